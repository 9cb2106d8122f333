// Philox: random numbers as a function of a key and a counter.
//
// There is no generator object and no state: any process can compute the number for (seed, round, prompt, sample,
// position), in any order, as often as needed. That is why a lost worker loses nothing, why a duplicate trajectory is
// identical to the first, and why a resumed run continues with the same bits.
//
// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), Philox4x32-10.

/// Philox4x32-10: four 32-bit words from a 128-bit counter and a 64-bit key.
package enum Philox {
  /// - Parameters:
  ///   - counter: four words; two draws that must be independent must differ in key or counter.
  ///   - key: 64 bits, usually the run's seed with a ``RandomPurpose`` mixed in.
  /// - Returns: four uniformly distributed words.
  @inlinable
  package static func words(counter: SIMD4<UInt32>, key: UInt64) -> SIMD4<UInt32> {
    var c = counter
    var k0 = UInt32(truncatingIfNeeded: key)
    var k1 = UInt32(truncatingIfNeeded: key >> 32)
    for _ in 0..<10 {
      let p0 = UInt64(0xD251_1F53) * UInt64(c[0])
      let p1 = UInt64(0xCD9E_8D57) * UInt64(c[2])
      c = SIMD4(
        UInt32(truncatingIfNeeded: p1 >> 32) ^ c[1] ^ k0, UInt32(truncatingIfNeeded: p1),
        UInt32(truncatingIfNeeded: p0 >> 32) ^ c[3] ^ k1, UInt32(truncatingIfNeeded: p0))
      k0 = k0 &+ 0x9E37_79B9
      k1 = k1 &+ 0xBB67_AE85
    }
    return c
  }

  /// A number in [0, 1) with 53 random bits.
  @inlinable
  package static func uniform(counter: SIMD4<UInt32>, key: UInt64) -> Double {
    let w = words(counter: counter, key: key)
    let bits = (UInt64(w[0]) << 21) ^ UInt64(w[1] >> 11)
    return Double(bits & 0x1F_FFFF_FFFF_FFFF) * 0x1p-53
  }
}

/// The purpose of a stream of random numbers. Each purpose has its own key, so streams of different purposes do not
/// share numbers.
package enum RandomPurpose: UInt64, Sendable {
  case sampling = 1
  case promptOrder = 2
  case trainedSubset = 3
  case miniBatchOrder = 4
  case randomLabels = 5
  case initialWeights = 6
  case questions = 7
  case bootstrap = 8
  case backoff = 9
  case chaos = 10
  case initialAdapter = 11
  case promptSkips = 12
  case subgroups = 13
  case questionExamples = 14
  case choiceOrders = 15

  /// The Philox key of this purpose under a run's seed.
  package func key(seed: UInt64) -> UInt64 { seed &* 0x9E37_79B9_7F4A_7C15 ^ (rawValue &* 0xD6E8_FEB8_6659_FD93) }
}

/// A sequence of draws from one stream, for code that needs "the next number" (shuffles, question generators).
package struct RandomSequence: Sendable {
  private let key: UInt64
  private var counter: SIMD4<UInt32>

  /// - Parameters:
  ///   - seed: the run's seed.
  ///   - purpose: what the numbers are for.
  ///   - stream: three words that identify this sequence among the sequences of its purpose.
  package init(seed: UInt64, purpose: RandomPurpose, stream: SIMD3<UInt32> = .zero) {
    key = purpose.key(seed: seed)
    counter = SIMD4(stream, 0)
  }

  /// The next number in [0, 1).
  package mutating func uniform() -> Double {
    defer { counter[3] &+= 1 }
    return Philox.uniform(counter: counter, key: key)
  }

  /// The next integer in 0..<bound. The bias is at most bound / 2^53, too small to observe.
  package mutating func index(below bound: Int) -> Int {
    precondition(bound > 0, "index(below:) needs a positive bound, got \(bound)")
    return min(Int(uniform() * Double(bound)), bound - 1)
  }

  /// A uniformly distributed ordering of 0..<count (Fisher–Yates).
  package mutating func permutation(of count: Int) -> [Int] {
    var order = Array(0..<count)
    for last in stride(from: count - 1, to: 0, by: -1) { order.swapAt(last, index(below: last + 1)) }
    return order
  }
}
