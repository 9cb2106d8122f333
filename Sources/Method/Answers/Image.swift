// Image: the image of a value in the two fields of PrimeField, and what it says about the value.
//
// The equality of images is the exact part of the equivalence of answers. Equal values always have equal images,
// because they are computed with rules that hold in every field. Different values have equal images only if the
// difference of their numerators is a multiple of both primes. That is impossible for integers that differ by less than
// 2^122, and for fractions whose numerator and denominator are below 2^60. For expressions with symbols it needs an
// unlucky evaluation point, with a probability near degree / 2^122 (Schwartz and Zippel).
//
// Values that the field does not know (π, a symbol, a sine) are *atoms*: pseudo-random numbers, made by hashing the
// name and the images of the arguments. Atoms of different things are unrelated, so they never cancel by accident.
//
// Not here: floating point. A rounded value needs a tolerance, and a tolerance is not transitive.

/// A quotient in lowest terms. It is small enough for computing exponents and roots.
struct Rational: Hashable, Sendable {
  let numerator: Int
  /// Positive.
  let denominator: Int

  static let one = Rational(numerator: 1, denominator: 1)

  var image: Image {
    denominator == 1 ? Image(numerator) : Image(numerator) * (Image(denominator).inverse ?? .one)
  }
}

/// The images of a value in both fields.
struct Image: Hashable, Sendable {
  private var first: Gaussian<FirstPrime>
  private var second: Gaussian<SecondPrime>

  private init(_ first: Gaussian<FirstPrime>, _ second: Gaussian<SecondPrime>) {
    self.first = first
    self.second = second
  }

  init(_ value: Int) {
    let magnitude = Image(Gaussian(Residue(UInt64(value.magnitude))), Gaussian(Residue(UInt64(value.magnitude))))
    self = value < 0 ? -magnitude : magnitude
  }

  /// The integer with these decimal digits (each 0...9, any number of them).
  init(digits: [UInt8]) {
    let ten = Image(10)
    self = digits.reduce(Image(0)) { $0 * ten + Image(Int($1)) }
  }

  /// An atom: a pseudo-random value that depends on `words`. It is a fourth power, so under roots it behaves like a
  /// positive number.
  init(atom words: [UInt64]) {
    var state = UInt64(words.count)
    for word in words { state = mixed(state ^ word) &+ 0x9E37_79B9_7F4A_7C15 }
    let root = Image(
      Gaussian(Residue(mixed(state ^ 0x6A09_E667_F3BC_C908))), Gaussian(Residue(mixed(state ^ 0xBB67_AE85_84CA_A73B))))
    self = root * root * root * root
  }

  /// The square root of −1.
  static let imaginaryUnit = Image(Gaussian(.zero, .one), Gaussian(.zero, .one))
  static let one = Image(1)

  var isZero: Bool { first.isZero && second.isZero }

  /// 1/self; nil if self is zero in one of the fields, because then the inverse would not be exact.
  var inverse: Image? { first.isZero || second.isZero ? nil : Image(first.inverse, second.inverse) }

  static func + (left: Image, right: Image) -> Image { Image(left.first + right.first, left.second + right.second) }
  static func * (left: Image, right: Image) -> Image { Image(left.first * right.first, left.second * right.second) }
  static func - (left: Image, right: Image) -> Image { left + -right }
  static prefix func - (operand: Image) -> Image { Image(-operand.first, -operand.second) }

  /// self to an integer power; nil for zero to a power that is not positive, and if there is no inverse.
  func power(_ exponent: Int) -> Image? {
    if exponent <= 0 && isZero { return nil }
    let result = Image(first.power(UInt64(exponent.magnitude)), second.power(UInt64(exponent.magnitude)))
    return exponent < 0 ? result.inverse : result
  }

  /// The four coordinates, as plain numbers. They determine the image.
  var words: [UInt64] {
    [first.real.value, first.imaginary.value, second.real.value, second.imaginary.value]
  }

  /// Of self and −self, the one that is first in a fixed order, and whether that is −self.
  var withoutSign: (image: Image, isNegated: Bool) {
    let opposite = -self
    return opposite.words.lexicographicallyPrecedes(words) ? (opposite, true) : (self, false)
  }
}

// MARK: Back to numbers

extension Image {
  /// The rational number whose image this is: an integer below 2^60, or a fraction of numbers below 2^30. nil if there
  /// is none.
  var rational: Rational? {
    guard first.imaginary.isZero && second.imaginary.isZero else { return nil }
    let value = first.real.value
    let isUpperHalf = value > FirstPrime.prime / 2
    let magnitude = isUpperHalf ? FirstPrime.prime - value : value
    if magnitude < 1 << 60 {
      let integer = isUpperHalf ? -Int(magnitude) : Int(magnitude)
      if Image(integer) == self { return Rational(numerator: integer, denominator: 1) }
    }
    return fraction(of: value)
  }

  /// The integer below 2^60 whose image this is; nil if there is none.
  var integer: Int? {
    guard let rational, rational.denominator == 1 else { return nil }
    return rational.numerator
  }

  /// Wang's rational reconstruction: Euclid's algorithm on (prime, value), stopped at a remainder below 2^30.
  ///
  /// The first prime exceeds 2 · 2^30 · 2^30, so there is at most one candidate; the second prime confirms it.
  private func fraction(of value: UInt64) -> Rational? {
    let bound = 1 << 30
    var (old, new) = (Int(FirstPrime.prime), Int(value))
    var (oldFactor, newFactor) = (0, 1)
    while new > bound {
      let quotient = old / new
      (old, new) = (new, old - quotient * new)
      (oldFactor, newFactor) = (newFactor, oldFactor - quotient * newFactor)
    }
    guard newFactor != 0, newFactor.magnitude <= bound else { return nil }
    let numerator = newFactor < 0 ? -new : new
    let denominator = Int(newFactor.magnitude)
    guard Image(numerator) == Image(denominator) * self else { return nil }
    return Rational(numerator: numerator, denominator: denominator)
  }
}

// MARK: Roots

extension Image {
  /// The root in the fields: for odd prime factors of the degree up to 13, then for square roots. nil if there is none.
  ///
  /// Only for primes and atoms does it behave like the positive root. The field root of (1+√2)² can be −(1+√2), and the
  /// field cannot distinguish the two. So this is never used for the root of a sum.
  func fieldRoot(_ degree: Int) -> Image? {
    var result = self
    var rest = degree
    for prime in [3, 5, 7, 11, 13] {
      while rest % prime == 0 {
        guard let first = result.first.oddRoot(UInt64(prime)), let second = result.second.oddRoot(UInt64(prime))
        else { return nil }
        result = Image(first, second)
        rest /= prime
      }
    }
    while rest % 2 == 0 {
      guard let first = result.first.squareRoot, let second = result.second.squareRoot else { return nil }
      result = Image(first, second)
      rest /= 2
    }
    return rest == 1 ? result : nil
  }
}

extension Rational {
  /// The principal root. nil for a negative number if the degree is even and above 2.
  ///
  /// Numerator and denominator are split into primes, so `√12 = 2√3` and `√6 = √2·√3` hold for all primes.
  func root(_ degree: Int) -> Image? {
    if numerator == 0 { return Image(0) }
    guard let below = Self.rootOfNatural(UInt64(denominator), degree).inverse else { return nil }
    let size = Self.rootOfNatural(UInt64(numerator.magnitude), degree) * below
    if numerator > 0 { return size }
    if degree == 2 { return size * .imaginaryUnit }
    return degree % 2 == 1 ? -size : nil
  }

  private static func rootOfNatural(_ value: UInt64, _ degree: Int) -> Image {
    var result = Image.one
    for (prime, exponent) in primeFactors(of: value) {
      let whole = Image(Int(prime)).power(exponent / degree) ?? .one
      result = result * whole
      if exponent % degree != 0 {
        let root = Image(Int(prime)).fieldRoot(degree) ?? Image(atom: [Tag.root, UInt64(degree), prime])
        result = result * (root.power(exponent % degree) ?? .one)
      }
    }
    return result
  }
}

/// The prime factors of `value` with their exponents, ascending. A factor without divisors up to 2^15 is not split.
func primeFactors(of value: UInt64) -> [(prime: UInt64, exponent: Int)] {
  var factors: [(prime: UInt64, exponent: Int)] = []
  var rest = value
  var divisor: UInt64 = 2
  while divisor * divisor <= rest && divisor < 1 << 15 {
    var exponent = 0
    while rest % divisor == 0 {
      rest /= divisor
      exponent += 1
    }
    if exponent > 0 { factors.append((divisor, exponent)) }
    divisor += divisor == 2 ? 1 : 2
  }
  if rest > 1 {
    let root = UInt64(Double(rest).squareRoot())
    factors.append(root * root == rest ? (root, 2) : (rest, 1))
  }
  return factors
}

/// The kind of an atom. It is the first word of the atom's hash, so that atoms of different kinds are different.
enum Tag {
  static let root: UInt64 = 1
  static let symbol: UInt64 = 2
  static let function: UInt64 = 3
  static let power: UInt64 = 4
  static let logarithm: UInt64 = 5
}

/// The finalizer of SplitMix64: every input bit influences every output bit. (Steele, Lea, Flood, OOPSLA 2014.)
private func mixed(_ value: UInt64) -> UInt64 {
  var word = value
  word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
  word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
  return word ^ word >> 31
}

/// FNV-1a: the hash of a name. Swift's own hash is different in every process.
func nameHash(_ name: String) -> UInt64 {
  name.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 }
}
