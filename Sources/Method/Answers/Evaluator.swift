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
// Not here: functions (EvaluatorFunctions); roots with symbols (EvaluatorRoots); anything that is not one number
// (AnswerKey divides structures into their elements).

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

  /// Roots of a higher degree are not computed. No usual answer has one, and the powers of smaller ones stay cheap.
  static let degreeMax = 1 << 20

  /// Larger factorials and binomials stay atoms. 1,000 products take 10 µs and count as 1,000 steps.
  static let factorsMax = 1_000

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

  mutating func spend(_ steps: Int) throws(Unresolved) {
    guard budget.spend(steps) else { throw .tooCostly }
  }

  func inverse(of image: Image) throws(Unresolved) -> Image {
    guard let inverse = image.inverse else { throw .undefined }
    return inverse
  }

  func symbol(_ name: String) -> Image {
    if name == "i" { return .imaginaryUnit }
    // A constant is the same number at every evaluation point.
    let isConstant = ["pi", "e", "∞"].contains(name)
    return Image(atom: [Tag.symbol, nameHash(name), isConstant ? 0 : assignment])
  }
}

// MARK: Powers and roots

extension Evaluator {
  mutating func power(_ base: Node, _ exponent: Node) throws(Unresolved) -> Image {
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
    guard exponent.denominator <= Self.degreeMax else { throw .tooCostly }
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
    if let (argument, factors) = logarithmFactor(of: rest), try value(base) == symbol("e"),
      let number = try value(argument).rational, number.numerator > 0
    {
      // e^(x·ln 2) is 2^x. For a symbol in place of 2 that is true only where it is positive.
      return try power(argument, .product([.number(coefficient.image)] + factors))
    }
    let exponent = try value(rest)
    // Signs were moved into the coefficient by `split`, so (coefficient, rest) is the same for every spelling.
    let atom = try symbolicPower(base, exponent)
    let root = coefficient.denominator == 1 ? atom : atom.fieldRoot(coefficient.denominator)
    guard let result = root?.power(coefficient.numerator) else { throw .undefined }
    return result
  }

  /// The argument of the first natural logarithm among the factors of a product, and the other factors.
  private func logarithmFactor(of product: Node) -> (argument: Node, others: [Node])? {
    guard case .product(var factors) = product,
      let place = factors.firstIndex(where: { if case .call("ln", _) = $0 { true } else { false } }),
      case .call(_, let arguments) = factors.remove(at: place), arguments.count == 1
    else { return nil }
    return (arguments[0], factors)
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
  ///
  /// A rational factor of a surd is part of the coefficient, so √8·x and 2√2·x are both (2, √2·x).
  mutating func split(_ term: Node) throws(Unresolved) -> (Rational, Node?) {
    if let rational = try value(term).rational { return (rational, nil) }
    var numbers: [Node] = []
    var rest: [Node] = []
    try collectFactors(term, into: &numbers, &rest)
    var surds: [Node] = []
    var others: [Node] = []
    for node in rest {
      if !node.hasUnknown, try surd(of: [node]) != nil { surds.append(node) } else { others.append(node) }
    }
    if let surd = try surd(of: surds) {
      numbers.append(.number(surd.outside.image))
      rest = others + [.root(.number(Image(surd.radicand)), degree: .number(Image(surd.degree)))]
    } else if !others.isEmpty, try value(.product(surds)).rational != nil {
      numbers += surds
      rest = others
    }
    guard let coefficient = try value(.product(numbers)).rational, !rest.isEmpty else {
      return (.one, term)
    }
    return (coefficient, .product(rest))
  }

  /// A product of constants as outside · ⁿ√radicand, with the smallest positive radicand. nil if it is no such root.
  mutating func surd(of constants: [Node]) throws(Unresolved) -> Surd? {
    guard !constants.isEmpty else { return nil }
    let image = try value(.product(constants))
    // Splitting numbers into primes takes time.
    try spend(20)
    for degree in 2...Surd.degreeMax {
      guard let power = image.power(degree)?.rational, power.numerator > 0,
        let (outside, radicand) = power.extracted(degree), radicand > 1
      else { continue }
      guard let root = Rational(numerator: radicand, denominator: 1).root(degree) else { return nil }
      let value = outside.image * root
      if value == image { return Surd(outside: outside, radicand: radicand, degree: degree) }
      guard value == -image else { return nil }
      let negative = Rational(numerator: -outside.numerator, denominator: outside.denominator)
      return Surd(outside: negative, radicand: radicand, degree: degree)
    }
    return nil
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
    guard let degree = degree.integer, (1...Self.degreeMax).contains(degree) else { throw .undefined }
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

  func rootAtom(_ image: Image, _ degree: Int) -> Image {
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
