// Evaluator: computes the image of a scalar expression, by the rules of arithmetic and a few identities.
//
// Sums, products, quotients and integer powers need no rules: the arithmetic of the fields handles them for numbers,
// radicals and symbols. So `(x-1)(x+1) = x^2-1` and `1/(2+√3) = 2-√3` hold without any algebra here. Rules are needed
// for what the fields do not know: roots of products, powers with symbols in the exponent, logarithms, sines. Each rule
// below is an identity of real numbers wherever both sides are defined. If no rule applies, the result is an atom of
// the arguments.
//
// A symbol is a pseudo-random number. Two assignments give two evaluation points; with these, an equation can be
// compared up to a constant factor. Every visit to a node takes one step of the budget, so that malicious towers of
// powers end.
//
// Not here: anything that is not one number (AnswerKey divides structures into their elements).

/// Why an expression has no image.
enum Unresolved: Error {
  /// A tuple, a word or a set where a number is needed.
  case notScalar
  /// A division by zero, or zero to the power zero.
  case undefined
  /// The budget of steps is used up.
  case tooCostly
}

struct Evaluator {
  /// The evaluation point that determines the symbols' values.
  let assignment: UInt64
  /// What `\pm` means: +1 or −1.
  let sign: Int
  private let budget: StepBudget

  /// Larger factorials and binomials stay atoms. 1,000 products take 10 µs and count as 1,000 steps.
  private static let factorsMax = 1_000

  init(budget: StepBudget, assignment: UInt64 = 0, sign: Int = 1) {
    self.budget = budget
    self.assignment = assignment
    self.sign = sign
  }

  mutating func value(_ node: Node) throws(Unresolved) -> Image {
    try spend(1)
    switch node {
    case .number(let image): return image
    case .symbol(let name): return symbol(name)
    case .sum(let terms):
      var sum = Image(0)
      for term in terms { sum = sum + (try value(term)) }
      return sum
    case .product, .quotient:
      var factors = RootFactors()
      try gather(node, exponent: 1, into: &factors)
      return try factors.product
    case .negated(let inner): return -(try value(inner))
    case .eitherSign(let inner, let isFlipped):
      return (sign > 0) != isFlipped ? try value(inner) : -(try value(inner))
    case .power(let base, let exponent): return try power(base, exponent)
    case .root(let inner, let degree): return try root(inner, degree: value(degree))
    case .call(let name, let arguments): return try call(name, arguments)
    case .words, .enclosed, .set, .list, .combined, .matrix, .related: throw .notScalar
    }
  }

  private mutating func spend(_ steps: Int) throws(Unresolved) {
    guard budget.spend(steps) else { throw .tooCostly }
  }

  private func inverse(of image: Image) throws(Unresolved) -> Image {
    guard let inverse = image.inverse else { throw .undefined }
    return inverse
  }

  private func symbol(_ name: String) -> Image {
    if name == "i" { return .imaginaryUnit }
    // A constant is the same number at every evaluation point.
    let isConstant = ["pi", "e", "∞"].contains(name)
    return Image(atom: [Tag.symbol, nameHash(name), isConstant ? 0 : assignment])
  }
}

// MARK: Powers and roots

extension Evaluator {
  private mutating func power(_ base: Node, _ exponent: Node) throws(Unresolved) -> Image {
    let image = try value(exponent)
    if let rational = image.rational { return try power(base, rational) }
    if let unit = try unitPower(base, image) { return unit }
    // b^(2n+1) = b·(b^n)^2: each term of the exponent separately, with its rational coefficient outside.
    var result = Image.one
    for term in terms(of: exponent) { result = result * (try power(base, term: term)) }
    return result
  }

  /// Euler's e^(ikπ/12) = cos(kπ/12) + i·sin(kπ/12).
  private mutating func unitPower(_ base: Node, _ exponent: Image) throws(Unresolved) -> Image? {
    let angle = try exponent * inverse(of: .imaginaryUnit)
    guard try value(base) == symbol("e"), let twelfths = try twelfthsOfPi(in: angle) else { return nil }
    return unitNumber(twelfthsOfPi: twelfths)
  }

  private mutating func power(_ base: Node, _ exponent: Rational) throws(Unresolved) -> Image {
    if case .root(let inner, let degree) = base, let degree = try value(degree).integer, degree > 0 {
      return try power(inner, reduced(exponent.numerator, exponent.denominator, times: degree))
    }
    guard exponent.denominator <= 64 else { throw .tooCostly }
    if exponent.denominator > 1 || base.isAbsolute, base.hasUnknown {
      var factors = RootFactors()
      try gather(.power(base, .number(exponent.image)), exponent: 1, into: &factors)
      return try factors.product
    }
    let root = exponent.denominator == 1 ? try value(base) : try root(base, degree: Image(exponent.denominator))
    guard let result = root.power(exponent.numerator) else { throw .undefined }
    return result
  }

  private func reduced(_ numerator: Int, _ denominator: Int, times degree: Int) throws(Unresolved) -> Rational {
    let (product, overflow) = denominator.multipliedReportingOverflow(by: degree)
    guard !overflow else { throw .tooCostly }
    let divisor = max(1, greatestCommonDivisor(numerator, product))
    return Rational(numerator: numerator / divisor, denominator: product / divisor)
  }

  private mutating func power(_ base: Node, term: Node) throws(Unresolved) -> Image {
    let (coefficient, rest) = try split(term)
    guard let rest else { return try power(base, coefficient) }
    let exponent = try value(rest)
    // Signs were moved into the coefficient by `split`, so (coefficient, rest) is the same for every spelling.
    let atom = try symbolicPower(base, exponent)
    let root = coefficient.denominator == 1 ? atom : atom.fieldRoot(coefficient.denominator)
    guard let result = root?.power(coefficient.numerator) else { throw .undefined }
    return result
  }

  /// base^exponent for an exponent that is not rational: factors and prime factors of the base one by one.
  private mutating func symbolicPower(_ base: Node, _ exponent: Image) throws(Unresolved) -> Image {
    if case .product(let factors) = base {
      var result = Image.one
      for factor in factors { result = result * (try symbolicPower(factor, exponent)) }
      return result
    }
    if case .quotient(let top, let bottom) = base {
      return try symbolicPower(top, exponent) * inverse(of: symbolicPower(bottom, exponent))
    }
    let image = try value(base)
    guard let rational = image.rational, rational.numerator > 0 else { return powerAtom(image, exponent) }
    let top = primePowers(UInt64(rational.numerator), exponent)
    return try top * inverse(of: primePowers(UInt64(rational.denominator), exponent))
  }

  private func primePowers(_ value: UInt64, _ exponent: Image) -> Image {
    primeFactors(of: value).reduce(Image.one) { product, factor in
      product * (powerAtom(Image(Int(factor.prime)), exponent).power(factor.exponent) ?? .one)
    }
  }

  private func powerAtom(_ base: Image, _ exponent: Image) -> Image {
    Image(atom: [Tag.power] + base.words + exponent.words)
  }

  /// The terms of a sum, with the signs of nested sums applied.
  func terms(of node: Node) -> [Node] {
    switch node {
    case .sum(let nodes): nodes.flatMap { terms(of: $0) }
    case .negated(let inner): terms(of: inner).map { .negated($0) }
    case .quotient(let top, let bottom): terms(of: top).map { .quotient($0, bottom) }
    default: [node]
    }
  }

  /// A term as (rational coefficient, everything else). The rest is nil if the term is rational.
  mutating func split(_ term: Node) throws(Unresolved) -> (Rational, Node?) {
    if let rational = try value(term).rational { return (rational, nil) }
    var numbers: [Node] = []
    var rest: [Node] = []
    try collectFactors(term, into: &numbers, &rest)
    guard let coefficient = try value(.product(numbers)).rational, !rest.isEmpty else {
      return (.one, term)
    }
    return (coefficient, .product(rest))
  }

  private mutating func collectFactors(
    _ node: Node, into numbers: inout [Node], _ rest: inout [Node]
  ) throws(Unresolved) {
    switch node {
    case .negated(let inner):
      numbers.append(.number(Image(-1)))
      try collectFactors(inner, into: &numbers, &rest)
    case .product(let factors):
      for factor in factors { try collectFactors(factor, into: &numbers, &rest) }
    case .quotient(let top, let bottom):
      try collectFactors(top, into: &numbers, &rest)
      let below = Node.quotient(.number(.one), bottom)
      if try value(bottom).rational != nil { numbers.append(below) } else { rest.append(below) }
    default:
      if try value(node).rational != nil { numbers.append(node) } else { rest.append(node) }
    }
  }

  /// The root of a product is the product of the roots. The root of a power divides its exponent.
  private mutating func root(_ node: Node, degree: Image) throws(Unresolved) -> Image {
    guard let degree = degree.integer, (1...64).contains(degree) else { throw .undefined }
    let image = try value(node)
    if let root = image.rational?.root(degree) { return root }
    if node.hasUnknown { return try symbolicRoot(node, degree) }
    switch node {
    case .symbol: return image.fieldRoot(degree) ?? rootAtom(image, degree)
    case .product(let factors):
      var result = Image.one
      for factor in factors { result = result * (try root(factor, degree: Image(degree))) }
      return result
    case .quotient(let top, let bottom):
      return try root(top, degree: Image(degree)) * inverse(of: root(bottom, degree: Image(degree)))
    case .power(let base, let exponent):
      guard let rational = try value(exponent).rational else { return rootAtom(image, degree) }
      return try power(base, reduced(rational.numerator, rational.denominator, times: degree))
    case .root(let inner, let innerDegree):
      let (product, overflow) = degree.multipliedReportingOverflow(by: try value(innerDegree).integer ?? .max)
      guard !overflow else { throw .tooCostly }
      return try root(inner, degree: Image(product))
    case .sum: return try rootOfSum(node, image, degree)
    default: return rootAtom(image, degree)
    }
  }

  private func rootAtom(_ image: Image, _ degree: Int) -> Image {
    Image(atom: [Tag.root, UInt64(degree)] + image.words)
  }

  /// √(3+2√2) is 1+√2, and √(4x+4) is 2√(x+1). Any other root of a sum is an atom.
  private mutating func rootOfSum(_ sum: Node, _ image: Image, _ degree: Int) throws(Unresolved) -> Image {
    var parts: [(coefficient: Rational, rest: Node?)] = []
    for term in terms(of: sum) { parts.append(try split(term)) }
    if degree == 2, let root = try denested(parts) { return root }
    let content = content(of: parts.map { $0.coefficient })
    guard let outside = content.root(degree) else { return rootAtom(image, degree) }
    return outside * rootAtom(try image * inverse(of: content.image), degree)
  }

  /// Whether the factor is a root of a positive rational number. (In `denested`, the sign of t must be that of its
  /// coefficient.)
  private mutating func isPositiveRoot(_ node: Node) throws(Unresolved) -> Bool {
    guard case .root(let inner, _) = node, let radicand = try value(inner).rational else { return false }
    return radicand.numerator > 0
  }

  /// If a and t² are rational, √(a+t) is √((a+d)/2) ± √((a−d)/2) with d² = a² − t², where d must be rational.
  private mutating func denested(_ parts: [(coefficient: Rational, rest: Node?)]) throws(Unresolved) -> Image? {
    let surds = parts.filter { $0.rest != nil }
    guard surds.count == 1, case .product(let factors) = surds[0].rest else { return nil }
    for factor in factors { guard try isPositiveRoot(factor) else { return nil } }
    let a = parts.filter { $0.rest == nil }.reduce(Image(0)) { $0 + $1.coefficient.image }
    let t = try value(.product(factors)) * surds[0].coefficient.image
    guard let difference = (a * a - t * t).rational, difference.numerator >= 0,
      let d = difference.root(2)?.rational, let half = Image(2).inverse,
      let plus = ((a + d.image) * half).rational, let minus = ((a - d.image) * half).rational,
      plus.numerator > 0, minus.numerator >= 0, let first = plus.root(2), let second = minus.root(2)
    else { return nil }
    return surds[0].coefficient.numerator > 0 ? first + second : first - second
  }

  /// The largest rational number by which the coefficients of a sum can be divided so that they become integers.
  mutating func content(ofSum sum: Node) throws(Unresolved) -> Rational {
    var coefficients: [Rational] = []
    for term in terms(of: sum) { coefficients.append(try split(term).0) }
    return content(of: coefficients)
  }

  private func content(of coefficients: [Rational]) -> Rational {
    var numerator = 0
    var denominator = 1
    for coefficient in coefficients {
      numerator = greatestCommonDivisor(numerator, coefficient.numerator)
      let step = coefficient.denominator / greatestCommonDivisor(denominator, coefficient.denominator)
      let (product, overflow) = denominator.multipliedReportingOverflow(by: step)
      if overflow { return .one }
      denominator = product
    }
    return numerator == 0 ? .one : Rational(numerator: numerator, denominator: denominator)
  }
}

// MARK: Functions

extension Evaluator {
  private mutating func call(_ name: String, _ arguments: [Node]) throws(Unresolved) -> Image {
    var images: [Image] = []
    for argument in arguments { images.append(try value(argument)) }
    guard let first = images.first else { throw .notScalar }
    switch name {
    case "sin", "cos", "tan", "cot", "sec", "csc": return try trigonometric(name, of: arguments[0])
    case "exp": return try power(.symbol("e"), arguments[0])
    case "ln": return try logarithm(arguments[0])
    case "log" where images.count == 2, "lg" where images.count == 2:
      return try logarithm(arguments[0]) * inverse(of: logarithm(arguments[1]))
    // The base of a bare `\log` is not known. It is a constant times `\ln`.
    case "log", "lg": return try logarithm(arguments[0]) * Image(atom: [Tag.logarithm, nameHash(name)])
    case "abs" where arguments[0].hasUnknown:
      return try symbolicRoot(.power(arguments[0], .number(Image(2))), 2)
    case "abs": return absolute(first)
    case "!": return try factorial(first)
    case "binom" where images.count == 2: return try binomial(images)
    case "floor", "ceil": return rounded(name, first)
    default: return atom(name, images)
    }
  }

  private func atom(_ name: String, _ images: [Image]) -> Image {
    Image(atom: [Tag.function, nameHash(name)] + images.flatMap { $0.words })
  }

  func absolute(_ image: Image) -> Image {
    if let rational = image.rational { return rational.numerator < 0 ? -image : image }
    return rootAtom(image * image, 2)
  }

  private func rounded(_ name: String, _ image: Image) -> Image {
    guard let rational = image.rational else { return atom(name, [image]) }
    let (quotient, remainder) = rational.numerator.quotientAndRemainder(dividingBy: rational.denominator)
    if name == "floor" { return Image(remainder < 0 ? quotient - 1 : quotient) }
    return Image(remainder > 0 ? quotient + 1 : quotient)
  }

  private mutating func factorial(_ image: Image) throws(Unresolved) -> Image {
    guard let integer = image.integer, (0...Self.factorsMax).contains(integer) else { return atom("!", [image]) }
    return try product(from: 1, through: integer)
  }

  private mutating func binomial(_ images: [Image]) throws(Unresolved) -> Image {
    guard let upper = images[0].integer, let lower = images[1].integer, lower >= 0, lower <= upper,
      min(lower, upper - lower) <= Self.factorsMax
    else { return atom("binom", images) }
    let count = min(lower, upper - lower)
    let top = try product(from: upper - count + 1, through: upper)
    return try top * inverse(of: product(from: 1, through: count))
  }

  private mutating func product(from first: Int, through last: Int) throws(Unresolved) -> Image {
    guard first <= last else { return .one }
    try spend(last - first)
    return (first...last).reduce(Image.one) { $0 * Image($1) }
  }

  /// ln of products, quotients, powers and rational numbers is split into terms; ln e is 1.
  private mutating func logarithm(_ node: Node) throws(Unresolved) -> Image {
    let image = try value(node)
    if image == symbol("e") { return .one }
    if let rational = image.rational, rational.numerator > 0 {
      return sumOfLogarithms(UInt64(rational.numerator)) - sumOfLogarithms(UInt64(rational.denominator))
    }
    switch node {
    case .product(let factors):
      var sum = Image(0)
      for factor in factors { sum = sum + (try logarithm(factor)) }
      return sum
    case .quotient(let top, let bottom): return try logarithm(top) - logarithm(bottom)
    case .power(let base, let exponent): return try value(exponent) * logarithm(base)
    case .root(let inner, let degree): return try logarithm(inner) * inverse(of: value(degree))
    default: return Image(atom: [Tag.logarithm] + image.words)
    }
  }

  private func sumOfLogarithms(_ value: UInt64) -> Image {
    primeFactors(of: value).reduce(Image(0)) { sum, factor in
      sum + Image(factor.exponent) * Image(atom: [Tag.logarithm] + Image(Int(factor.prime)).words)
    }
  }

  /// With z = e^(iα): cos α = (z + 1/z)/2 and sin α = (z − 1/z)/2i. All identities of the six functions follow from
  /// this.
  private mutating func trigonometric(_ name: String, of angle: Node) throws(Unresolved) -> Image {
    let z = try unitNumber(angle)
    let cosine = z + (try inverse(of: z))
    let sine = (z - (try inverse(of: z))) * (try inverse(of: .imaginaryUnit))
    let two = Image(2)
    return switch name {
    case "sin": try sine * inverse(of: two)
    case "cos": try cosine * inverse(of: two)
    case "tan": try sine * inverse(of: cosine)
    case "cot": try cosine * inverse(of: sine)
    case "sec": try two * inverse(of: cosine)
    default: try two * inverse(of: sine)
    }
  }

  /// e^(iα), for each term of the angle: multiples of π/12 are known; c·u, where c is a fraction whose denominator
  /// divides 12, is a power of an atom of u.
  private mutating func unitNumber(_ angle: Node) throws(Unresolved) -> Image {
    var result = Image.one
    for term in terms(of: angle) {
      let image = try value(term)
      if let twelfths = try twelfthsOfPi(in: image) {
        result = result * unitNumber(twelfthsOfPi: twelfths)
        continue
      }
      let (coefficient, rest) = try split(term)
      let isSimple = 12 % coefficient.denominator == 0
      let base = unitAtom(isSimple ? try value(rest ?? .number(.one)) : image)
      let exponent = isSimple ? coefficient.numerator : 1
      guard let power = base.power(exponent)?.power(isSimple ? 12 / coefficient.denominator : 12) else {
        throw .undefined
      }
      result = result * power
    }
    return result
  }

  private func unitNumber(twelfthsOfPi multiple: Int) -> Image {
    cosine(twelfthsOfPi: multiple) + .imaginaryUnit * cosine(twelfthsOfPi: multiple - 6)
  }

  /// e^(iu/12) as (1+ti)/(1−ti), where t is an atom of u. For −u it is the inverse.
  private func unitAtom(_ angle: Image) -> Image {
    let (positive, isNegated) = angle.withoutSign
    let t = atom("angle", [positive]) * .imaginaryUnit
    let (up, down) = isNegated ? (.one - t, .one + t) : (.one + t, .one - t)
    return up * (down.inverse ?? .one)
  }

  /// k if the angle is kπ/12, modulo whole turns; else nil.
  private func twelfthsOfPi(in angle: Image) throws(Unresolved) -> Int? {
    guard let turns = try (angle * inverse(of: symbol("pi"))).rational, 12 % turns.denominator == 0 else { return nil }
    return (turns.numerator % (2 * turns.denominator)) * (12 / turns.denominator)
  }

  /// cos(kπ/12) for any k, reduced to the first quarter.
  private func cosine(twelfthsOfPi multiple: Int) -> Image {
    let turn = ((multiple % 24) + 24) % 24
    let half = turn > 12 ? 24 - turn : turn
    if half > 6 { return -cosine(twelfthsOfPi: 12 - half) }
    let quarter = Image(4).inverse ?? .one
    let two = Image(2).fieldRoot(2) ?? .one
    let three = Image(3).fieldRoot(2) ?? .one
    let fourTimes = [
      Image(4), two * three + two, Image(2) * three, Image(2) * two, Image(2), two * three - two, Image(0),
    ]
    return fourTimes[half] * quarter
  }
}

/// The greatest common divisor of the magnitudes; 0 only if both are 0.
func greatestCommonDivisor(_ left: Int, _ right: Int) -> Int {
  var (old, new) = (left, right)
  while new != 0 { (old, new) = (new, old % new) }
  return abs(old)
}
