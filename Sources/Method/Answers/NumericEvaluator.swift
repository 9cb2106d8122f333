// NumericEvaluator: tier 3. A constant that is not a rational number is compared by its value.
//
// Tier 2 does not know all identities: `\arctan 1` is π/4, `\cos\frac{2\pi}5` is (√5−1)/4, and √(6+2√2+2√3+2√6) is
// 1+√2+√3. So a real constant is computed to 384 binary places, and its first 150 places are its key. Different
// constants in usual answers differ within these. Constants that are constructed to agree (√2 and √2 + 10^−60) have
// terms of very different sizes. Such constants are left to tier 2, like everything else whose places are not certain:
// complex values, too much cancellation, unknown functions.
//
// Not here: expressions with symbols. Their values at some points could be a key too, but tier 2 answers the same
// question exactly for usual answers.

/// A constant that this tier cannot resolve; tier 2 keeps it.
struct NotResolved: Error {}

struct NumericEvaluator {
  /// What `\pm` means: +1 or −1.
  let sign: Int
  private let budget: StepBudget
  /// An upper bound of the places lost to cancellation so far. Places lost to rounding are considered in `lostBitsMax`.
  private var lostBits = 0

  /// The places of a key. To recognize a rational number, more are needed.
  private static let keyBits = 150
  private static let rationalBits = 220
  /// 384 − 220 − 100 leaves 64 places for rounding, including that of the functions.
  private static let lostBitsMax = 100
  /// If a term or an argument is smaller than the other one by more than this, the value is not resolved.
  private static let gapBitsMax = 100

  init(budget: StepBudget, sign: Int) {
    self.budget = budget
    self.sign = sign
  }

  /// The result for a value: a small rational number, or its first places.
  enum Verdict {
    case rational(Rational)
    case places(String)
  }

  mutating func verdict(on node: Node) throws(NotResolved) -> Verdict {
    let value = try value(node)
    if node.hidesRational, let rational = try recognized(value) { return .rational(rational) }
    return .places(value.text(bits: Self.keyBits))
  }

  /// The rational number that equals the value, if its numerator and denominator are below 2^30. Found by the continued
  /// fraction.
  private func recognized(_ value: Real) throws(NotResolved) -> Rational? {
    guard !value.isZero, value.exponent > -40, value.exponent <= 30 else { return nil }
    var rest = value.magnitude
    var (old, new) = ((0, 1), (1, 0))
    for _ in 0..<48 {
      guard var whole = rest.rounded else { return nil }
      if rest.isSmaller(than: Real(whole)) { whole -= 1 }
      let (p, first) = whole.multipliedReportingOverflow(by: new.0)
      let (q, second) = whole.multipliedReportingOverflow(by: new.1)
      guard !first, !second, p < 1 << 30, q < 1 << 30 else { return nil }
      (old, new) = (new, (p + old.0, q + old.1))
      guard new.0 < 1 << 30, new.1 < 1 << 30 else { return nil }
      let fraction = rest - Real(whole)
      if fraction.isZero || fraction.exponent < -60 {
        let error = value.magnitude - Real(new.0) * Real(new.1).reciprocal
        let agreement = error.isZero ? Real.bits : value.exponent - error.exponent
        // It agrees with a rational number in the places of a key but not further: a value that is constructed to look
        // like another one.
        guard agreement >= Self.rationalBits else { throw NotResolved() }
        return Rational(numerator: value.isNegative ? -new.0 : new.0, denominator: new.1)
      }
      rest = fraction.reciprocal
    }
    return nil
  }
}

// MARK: Arithmetic

extension NumericEvaluator {
  private mutating func value(_ node: Node) throws(NotResolved) -> Real {
    // A visit to a function takes tens of products of 384 bits; `call` counts these.
    guard budget.spend() else { throw NotResolved() }
    switch node {
    case .number(let image): return try real(image)
    case .symbol("pi"): return .pi
    case .symbol("e"): return try resolved(Real.one.exponential)
    case .sum(let terms):
      var sum = Real.zero
      for term in terms { sum = try add(sum, value(term)) }
      return sum
    case .product(let factors):
      var product = Real.one
      for factor in factors { product = product * (try value(factor)) }
      return try bounded(product)
    case .quotient(let top, let bottom): return try bounded(value(top) * inverse(value(bottom)))
    case .negated(let inner): return -(try value(inner))
    case .eitherSign(let inner, let isFlipped):
      return (sign > 0) != isFlipped ? try value(inner) : -(try value(inner))
    case .power(let base, let exponent): return try power(base, exponent)
    case .root(let inner, let degree):
      return try root(value(inner), try resolved(image(degree).integer))
    case .call(let name, let arguments): return try call(name, arguments)
    case .symbol, .words, .enclosed, .set, .list, .combined, .matrix, .related: throw NotResolved()
    }
  }

  private func resolved<Value>(_ value: Value?) throws(NotResolved) -> Value {
    guard let value else { throw NotResolved() }
    return value
  }

  /// The value in tier 2, which knows whether it is rational.
  private func image(_ node: Node) throws(NotResolved) -> Image {
    var evaluator = Evaluator(budget: budget, sign: sign)
    do { return try evaluator.value(node) } catch { throw NotResolved() }
  }

  private func real(_ image: Image) throws(NotResolved) -> Real {
    let rational = try resolved(image.rational)
    return Real(rational.numerator) * Real(rational.denominator).reciprocal
  }

  private mutating func add(_ left: Real, _ right: Real) throws(NotResolved) -> Real {
    if left.isZero { return right }
    if right.isZero { return left }
    let sum = left + right
    let size = max(left.exponent, right.exponent)
    guard !sum.isZero, abs(left.exponent - right.exponent) <= Self.gapBitsMax else { throw NotResolved() }
    try lose(size - sum.exponent)
    return sum
  }

  private mutating func lose(_ bits: Int) throws(NotResolved) {
    lostBits += max(0, bits)
    guard lostBits <= Self.lostBitsMax else { throw NotResolved() }
  }

  private func bounded(_ value: Real) throws(NotResolved) -> Real {
    guard value.exponent.magnitude < 1 << 30 else { throw NotResolved() }
    return value
  }

  private func inverse(_ value: Real) throws(NotResolved) -> Real {
    guard !value.isZero else { throw NotResolved() }
    return value.reciprocal
  }

  private mutating func power(_ base: Node, _ exponent: Node) throws(NotResolved) -> Real {
    let value = try value(base)
    if let rational = try image(exponent).rational {
      guard rational.numerator.magnitude < 1 << 20 else { throw NotResolved() }
      let root = rational.denominator == 1 ? value : try root(value, rational.denominator)
      let power = try power(root, Int(rational.numerator.magnitude))
      return rational.numerator < 0 ? try inverse(power) : power
    }
    return try power(value, self.value(exponent))
  }

  /// base^exponent for a positive base.
  private mutating func power(_ base: Real, _ exponent: Real) throws(NotResolved) -> Real {
    guard !base.isZero, !base.isNegative else { throw NotResolved() }
    return try exponential(exponent * logarithm(base))
  }

  private mutating func power(_ base: Real, _ exponent: Int) throws(NotResolved) -> Real {
    guard !base.isZero || exponent > 0 else { throw NotResolved() }
    var (result, square, rest) = (Real.one, base, exponent)
    while rest > 0 {
      if rest & 1 == 1 { result = try bounded(result * square) }
      rest >>= 1
      if rest > 0 { square = try bounded(square * square) }
    }
    // The error grows with the exponent.
    try lose(Int.bitWidth - exponent.leadingZeroBitCount)
    return result
  }

  /// The real root. A negative number has one only if the degree is odd.
  private mutating func root(_ value: Real, _ degree: Int) throws(NotResolved) -> Real {
    guard degree > 0, degree <= Evaluator.degreeMax, !value.isNegative || degree % 2 == 1 else { throw NotResolved() }
    if value.isZero || degree == 1 { return value }
    if degree == 2 { return value.squareRoot }
    let root = try resolved(value.logarithm.divided(by: degree).exponential)
    return value.isNegative ? -root : root
  }
}

// MARK: Functions

extension NumericEvaluator {
  private mutating func exponential(_ value: Real) throws(NotResolved) -> Real {
    try checkArgument(value)
    try lose(value.exponent)
    return try resolved(value.exponential)
  }

  private mutating func logarithm(_ value: Real) throws(NotResolved) -> Real {
    guard !value.isZero, !value.isNegative else { throw NotResolved() }
    if (value - .one).isZero { return .zero }
    let result = value.logarithm
    try lose(-result.exponent)
    return result
  }

  /// Refuses very small arguments: the function is then almost equal to the first term of its series, and the
  /// difference would be lost.
  private func checkArgument(_ value: Real) throws(NotResolved) {
    guard value.isZero || value.exponent > -Self.gapBitsMax else { throw NotResolved() }
  }

  private mutating func call(_ name: String, _ arguments: [Node]) throws(NotResolved) -> Real {
    guard let first = arguments.first, budget.spend(50) else { throw NotResolved() }
    if name == "!" { return try factorial(resolved(image(first).integer)) }
    if name == "binom" { return try real(image(.call(name, arguments))) }
    let x = try value(first)
    try checkArgument(x)
    switch name {
    case "sin", "cos", "tan", "cot", "sec", "csc": return try trigonometric(name, x)
    case "arcsin", "arccos", "arctan", "arccot": return try inverseTrigonometric(name, x)
    case "exp": return try exponential(x)
    case "sinh", "cosh", "tanh": return try hyperbolic(name, x)
    case "ln": return try logarithm(x)
    case "log" where arguments.count == 2, "lg" where arguments.count == 2:
      return try logarithm(x) * inverse(logarithm(value(arguments[1])))
    case "abs": return x.magnitude
    case "floor", "ceil": return try roundedDown(name == "floor" ? x : -x, isCeiling: name == "ceil")
    // The base of a bare `\log` is not known; tier 2 keeps it as a function of its own.
    default: throw NotResolved()
    }
  }

  private mutating func factorial(_ n: Int) throws(NotResolved) -> Real {
    guard (0...1_000).contains(n), budget.spend(n) else { throw NotResolved() }
    return n < 2 ? .one : (2...n).reduce(Real.one) { $0 * Real($1) }
  }

  private mutating func trigonometric(_ name: String, _ x: Real) throws(NotResolved) -> Real {
    try lose(x.exponent)
    var (sine, cosine) = try resolved(x.sineAndCosine)
    // sin π is computed as about 10^−110; none of its digits is right.
    if sine.exponent < -Self.rationalBits { sine = .zero } else if !sine.isZero { try lose(-sine.exponent) }
    if cosine.exponent < -Self.rationalBits { cosine = .zero } else if !cosine.isZero { try lose(-cosine.exponent) }
    return switch name {
    case "sin": sine
    case "cos": cosine
    case "tan": try sine * inverse(cosine)
    case "cot": try cosine * inverse(sine)
    case "sec": try inverse(cosine)
    default: try inverse(sine)
    }
  }

  private mutating func inverseTrigonometric(_ name: String, _ x: Real) throws(NotResolved) -> Real {
    let half = Real.pi.scaled(by: -1)
    if name == "arctan" { return x.arctangent }
    if name == "arccot" { return try add(half, -x.arctangent) }
    let square = x * x
    var sine = x.isNegative ? -half : half
    if !(x.magnitude - .one).isZero {
      guard square.isSmaller(than: .one) else { throw NotResolved() }
      let cosine = try add(.one, -square).squareRoot
      sine = (x * cosine.reciprocal).arctangent
    }
    if name == "arcsin" { return sine }
    return x.magnitude.isSmaller(than: .one) || x.isNegative ? try add(half, -sine) : .zero
  }

  private mutating func hyperbolic(_ name: String, _ x: Real) throws(NotResolved) -> Real {
    if x.isZero { return name == "cosh" ? .one : .zero }
    let up = try exponential(x)
    let down = up.reciprocal
    let (sine, cosine) = (try add(up, -down), try add(up, down))
    return switch name {
    case "sinh": sine.scaled(by: -1)
    case "cosh": cosine.scaled(by: -1)
    default: sine * cosine.reciprocal
    }
  }

  /// The largest integer not above x. With `isCeiling`, its negative: the smallest integer not below −x.
  private func roundedDown(_ x: Real, isCeiling: Bool) throws(NotResolved) -> Real {
    let nearest = try resolved(x.rounded)
    let distance = x - Real(nearest)
    // If x is very close to an integer without being one, it is not certain on which side it is.
    guard distance.isZero || distance.exponent > -Self.gapBitsMax else { throw NotResolved() }
    let floor = distance.isNegative ? nearest - 1 : nearest
    return Real(isCeiling ? -floor : floor)
  }
}
