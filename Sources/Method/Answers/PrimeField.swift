// PrimeField: arithmetic modulo two large primes, with a square root of -1.
//
// An exact answer is compared by its image in a finite field. There `1/3`, `√2` and `10^100` are one machine word each,
// every operation takes nanoseconds, and nothing is rounded or can grow. The map from numbers to the field preserves
// + − × ÷ and roots, so two spellings of one value have one image. Image.swift says when two values could have the same
// image.
//
// The two primes have special properties. Each is 7 mod 8, and every prime up to 109 is a square modulo it, so the
// square root that is itself a square behaves like the positive root (`√8 = 2√2`, `√a·√b = √(ab)`). −1 is not a square,
// so adding `i` gives a field, and `√−3 = i√3`. And p − 1 is not divisible by 3, 5, 7, 11 or 13, so roots of these
// degrees exist and are unique, as for real numbers. A random search with these conditions found the primes; the tests
// check every condition.
//
// Not here: what the images mean (Image), how an expression becomes one (Evaluator).

/// A prime between 2^61 and 2^62 with the properties named at the top of this file.
package protocol Modulus: Sendable {
  static var prime: UInt64 { get }
  /// −1/prime modulo 2^64.
  static var negatedInverse: UInt64 { get }
  /// 2^128 modulo prime.
  static var squaredRadix: UInt64 { get }
}

package enum FirstPrime: Modulus {
  package static let prime: UInt64 = 0x2F53_8CDB_E76B_264F
  package static let negatedInverse: UInt64 = 0x32D5_3293_D231_CF51
  package static let squaredRadix: UInt64 = 0x0343_A3BC_A57F_6BF5
}

package enum SecondPrime: Modulus {
  package static let prime: UInt64 = 0x236D_9DED_7638_160F
  package static let negatedInverse: UInt64 = 0x8215_74FE_16B1_E711
  package static let squaredRadix: UInt64 = 0x17F6_2D82_E40A_8D53
}

/// An integer modulo a prime, stored as value · 2^64 (Montgomery's form). A product then needs no division.
struct Residue<M: Modulus>: Hashable, Sendable {
  /// value · 2^64 modulo the prime, always below the prime.
  private var scaled: UInt64

  private init(scaled: UInt64) { self.scaled = scaled }

  init(_ value: UInt64) {
    scaled = Self.reduce((value % M.prime).multipliedFullWidth(by: M.squaredRadix))
  }

  static var zero: Self { Self(scaled: 0) }
  static var one: Self { Self(1) }

  /// The value, from 0 up to the prime.
  var value: UInt64 { Self.reduce((high: 0, low: scaled)) }
  var isZero: Bool { scaled == 0 }

  /// `wide` / 2^64 modulo the prime, for `wide` below prime · 2^64.
  private static func reduce(_ wide: (high: UInt64, low: UInt64)) -> UInt64 {
    let factor = wide.low &* M.negatedInverse
    let product = factor.multipliedFullWidth(by: M.prime)
    // The sum of the low halves is 0 modulo 2^64 by construction. It carries exactly if the low half is not zero.
    let sum = wide.high &+ product.high &+ (wide.low == 0 ? 0 : 1)
    return sum >= M.prime ? sum &- M.prime : sum
  }

  static func + (left: Self, right: Self) -> Self {
    let sum = left.scaled &+ right.scaled
    return Self(scaled: sum >= M.prime ? sum &- M.prime : sum)
  }

  static prefix func - (operand: Self) -> Self {
    Self(scaled: operand.scaled == 0 ? 0 : M.prime &- operand.scaled)
  }

  static func - (left: Self, right: Self) -> Self { left + -right }

  static func * (left: Self, right: Self) -> Self {
    Self(scaled: reduce(left.scaled.multipliedFullWidth(by: right.scaled)))
  }

  func power(_ exponent: UInt64) -> Self {
    var result = Self.one
    var square = self
    var rest = exponent
    while rest > 0 {
      if rest & 1 == 1 { result = result * square }
      square = square * square
      rest >>= 1
    }
    return result
  }

  /// 1/self. Zero has no inverse and gives zero, so callers check ``isZero`` first.
  var inverse: Self { power(M.prime - 2) }

  var isSquare: Bool { isZero || power((M.prime - 1) / 2) == .one }

  /// The root that is itself a square. Only meaningful if ``isSquare`` is true.
  var squareRoot: Self { power((M.prime + 1) / 4) }

  /// The one root of an odd prime degree up to 13.
  func oddRoot(_ degree: UInt64) -> Self {
    // 1/degree modulo p − 1 is (k(p − 1) + 1)/degree for the k that makes it an integer. There is one, because p − 1
    // and the degree are coprime.
    let order = M.prime - 1
    let remainder = order % degree
    for k in 1..<degree where (k * remainder + 1) % degree == 0 {
      // (k·order + 1)/degree without overflow: order = degree·quotient + remainder.
      return power(k * (order / degree) + (k * remainder + 1) / degree)
    }
    return self
  }
}

/// a + bi with a and b modulo a prime. This is a field, because −1 is not a square modulo the prime.
struct Gaussian<M: Modulus>: Hashable, Sendable {
  var real: Residue<M>
  var imaginary: Residue<M>

  init(_ real: Residue<M>, _ imaginary: Residue<M> = .zero) {
    self.real = real
    self.imaginary = imaginary
  }

  var isZero: Bool { real.isZero && imaginary.isZero }

  static func + (left: Self, right: Self) -> Self {
    Self(left.real + right.real, left.imaginary + right.imaginary)
  }

  static prefix func - (operand: Self) -> Self { Self(-operand.real, -operand.imaginary) }

  static func * (left: Self, right: Self) -> Self {
    if left.imaginary.isZero && right.imaginary.isZero { return Self(left.real * right.real) }
    return Self(
      left.real * right.real - left.imaginary * right.imaginary,
      left.real * right.imaginary + left.imaginary * right.real)
  }

  /// 1/self; zero gives zero.
  var inverse: Self {
    let norm = (real * real + imaginary * imaginary).inverse
    return Self(real * norm, -imaginary * norm)
  }

  func power(_ exponent: UInt64) -> Self {
    var result = Self(.one)
    var square = self
    var rest = exponent
    while rest > 0 {
      if rest & 1 == 1 { result = result * square }
      square = square * square
      rest >>= 1
    }
    return result
  }

  /// The square root of a number without imaginary part: the root that is a square, or i times that of −self.
  var squareRoot: Self? {
    guard imaginary.isZero else { return nil }
    return real.isSquare ? Self(real.squareRoot) : Self(.zero, (-real).squareRoot)
  }

  /// The root of an odd prime degree up to 13 of a number without imaginary part.
  func oddRoot(_ degree: UInt64) -> Self? { imaginary.isZero ? Self(real.oddRoot(degree)) : nil }
}
