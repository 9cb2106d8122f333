// Dice: the only source of random numbers in a simulation.
//
// A simulation draws everything, from its settings to the time that one packet takes, from a few streams. Each stream
// is identified by the seed and a number. So the same seed gives the same run, event by event. Streams are separate
// (settings, network, faults, work, the vote's rules, staleness, objective …), so that a change in one place does not
// change all others.

import Base

/// A stream of random numbers, a function of a seed and a stream number.
struct Dice: Sendable {
  /// What a stream decides.
  enum Stream: UInt32 {
    case scenario = 1
    case network = 2
    case faults = 3
    case work = 4
    case vote = 5
    case staleness = 6
    case laterFaults = 7
    case disks = 8
    case base = 9
    case objective = 10
    case verdicts = 11
    case methods = 12
    case course = 13
    case plateau = 14
    case given = 15
    case standby = 16
    case releases = 17
    case forms = 18
  }

  private let key: UInt64
  private let stream: UInt32
  private var block: UInt32 = 0
  private var words = SIMD4<UInt32>.zero
  private var used = 4

  init(seed: UInt64, stream: Stream) {
    key = seed &* 0x9E37_79B9_7F4A_7C15 ^ 0x7474_726C_5349_4D00
    self.stream = stream.rawValue
  }

  private mutating func word() -> UInt32 {
    if used == 4 {
      words = Philox.words(counter: SIMD4(block, stream, 0, 0), key: key)
      block &+= 1
      used = 0
    }
    defer { used += 1 }
    return words[used]
  }

  /// A number in [0, 1).
  mutating func uniform() -> Double { Double(word()) * 0x1p-32 }

  /// An integer in 0..<bound.
  mutating func index(below bound: Int) -> Int { Int((UInt64(word()) * UInt64(bound)) >> 32) }

  /// An integer in the range.
  mutating func count(_ range: ClosedRange<Int>) -> Int { range.lowerBound + index(below: range.count) }

  mutating func chance(_ probability: Double) -> Bool { uniform() < probability }

  /// One of `choices`, which are not empty.
  mutating func pick<Choice>(_ choices: [Choice]) -> Choice { choices[index(below: choices.count)] }

  /// A random time between the two, uniformly distributed.
  mutating func span(_ low: Instant.Span, _ high: Instant.Span) -> Instant.Span {
    let width = Double(high.nanoseconds - low.nanoseconds)
    return Instant.Span(nanoseconds: low.nanoseconds + UInt64(uniform() * width))
  }

  /// A random time of random magnitude: `low` doubled 0 to `doublings` times.
  mutating func wildSpan(_ low: Instant.Span, doublings: Int) -> Instant.Span {
    Instant.Span(nanoseconds: low.nanoseconds << UInt64(index(below: doublings + 1)))
  }
}
