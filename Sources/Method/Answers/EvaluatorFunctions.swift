// EvaluatorFunctions: factorials, logarithms, trigonometric functions and others.
//
// Each rule is an identity wherever both sides are defined. A function without a rule is an atom of its arguments.
//
// Not here: powers and roots (Evaluator).

extension Evaluator {
  mutating func call(_ name: String, _ arguments: [Node]) throws(Unresolved) -> Image {
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
    case "!": return try factorial(of: arguments[0])
    case "binom" where images.count == 2: return try binomial(images, arguments)
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

  /// (n+2)! is n!·(n+1)(n+2), and (n−1)! is n!/n, for a sum of symbols n without a constant term.
  private mutating func factorial(of node: Node) throws(Unresolved) -> Image {
    let image = try value(node)
    guard node.hasUnknown, let constant = try constant(of: node), constant.magnitude <= Self.shiftMax else {
      return try factorial(image)
    }
    let symbols = image - Image(constant)
    var result = atom("!", [symbols])
    for step in 0..<Int(constant.magnitude) {
      if constant > 0 {
        result = result * (symbols + Image(step + 1))
      } else {
        result = result * (try inverse(of: symbols - Image(step)))
      }
    }
    return result
  }

  /// The integer among the terms of a sum; nil if it is not an integer.
  private mutating func constant(of node: Node) throws(Unresolved) -> Int? {
    var sum = Image(0)
    for term in terms(of: node) where !term.hasUnknown { sum = sum + (try value(term)) }
    return sum.integer
  }

  /// The largest constant term that is taken out of a factorial. Usual answers have 1 or 2.
  private static let shiftMax = 64

  /// A binomial coefficient with symbols is a quotient of factorials.
  private mutating func binomial(_ images: [Image], _ nodes: [Node]) throws(Unresolved) -> Image {
    if nodes.contains(where: { $0.hasUnknown }) {
      let below = try factorial(of: nodes[1]) * factorial(of: .sum([nodes[0], .negated(nodes[1])]))
      return try factorial(of: nodes[0]) * inverse(of: below)
    }
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

  func unitNumber(twelfthsOfPi multiple: Int) -> Image {
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
  func twelfthsOfPi(in angle: Image) throws(Unresolved) -> Int? {
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
