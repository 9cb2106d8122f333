// EvaluatorRoots: roots of expressions with symbols, and products of such roots.
//
// A symbol can be negative, so √(x²) is |x| and not x, and √(xy) is not √x·√y, because their domains differ. If a root
// is defined only for x ≥ 0, as √(x³) is, then a factor x² leaves it as x. The rules below hold wherever both sides are
// real. A root that cannot be reduced is an atom of its radicand. Products count such atoms, because only a product can
// see that √u·√u is u and that 1/√u is √u/u.
//
// Not here: roots of numbers (Evaluator, Image).

/// The factors of a product: the value of those that have one, and the roots that were not reduced, with their powers.
struct RootFactors {
  private var value: Image? = .one
  private var roots: [(radicand: Image, degree: Int, power: Int)] = []

  mutating func multiply(by image: Image, power: Int) {
    value = image.power(power).flatMap { factor in value.map { $0 * factor } }
  }

  mutating func multiply(byRootOf radicand: Image, degree: Int, power: Int) {
    if let index = roots.firstIndex(where: { $0.radicand == radicand && $0.degree == degree }) {
      roots[index].power += power
    } else {
      roots.append((radicand, degree, power))
    }
  }

  /// The value of the product. Whole powers of a radicand leave its root.
  var product: Image {
    get throws(Unresolved) {
      guard var product = value else { throw .undefined }
      for root in roots {
        let rest = ((root.power % root.degree) + root.degree) % root.degree
        guard let whole = root.radicand.power((root.power - rest) / root.degree) else { throw .undefined }
        let atom = Image(atom: [Tag.root, UInt64(root.degree)] + root.radicand.words)
        product = product * whole * (atom.power(rest) ?? .one)
      }
      return product
    }
  }
}

/// One base under a root, with its exponent.
private struct RootedPower {
  var base: Image
  var exponent: Int
  /// Which rules apply to roots of the base.
  var sort: Sort

  enum Sort {
    /// A single unknown. Its roots are in the field.
    case symbol
    /// π or e. Its roots are in the field, and it is positive.
    case positive
    case other
  }
}

extension Evaluator {
  /// Multiplies `factors` by node^exponent.
  mutating func gather(_ node: Node, exponent: Int, into factors: inout RootFactors) throws(Unresolved) {
    guard exponent.magnitude < 1 << 20 else { throw .tooCostly }
    switch node {
    case .product(let nodes): for node in nodes { try gather(node, exponent: exponent, into: &factors) }
    case .quotient(let top, let bottom):
      try gather(top, exponent: exponent, into: &factors)
      try gather(bottom, exponent: -exponent, into: &factors)
    case .call("abs", let arguments) where arguments.count == 1 && arguments[0].hasUnknown:
      try gatherRoot(.power(arguments[0], .number(Image(2))), 2, exponent: exponent, into: &factors)
    case .root(let inner, let degree) where inner.hasUnknown:
      guard let degree = try value(degree).integer, (1...Self.degreeMax).contains(degree) else { throw .undefined }
      try gatherRoot(inner, degree, exponent: exponent, into: &factors)
    case .power(let base, let power) where base.hasUnknown:
      guard let rational = try value(power).rational else {
        return factors.multiply(by: try value(node), power: exponent)
      }
      // `value` is not called for these powers, because it would call this function.
      if rational.numerator.magnitude >= 1 << 20 || rational.denominator > Self.degreeMax {
        guard rational.denominator == 1, let power = try value(base).power(rational.numerator) else { throw .tooCostly }
        factors.multiply(by: power, power: exponent)
      } else if rational.denominator == 1 {
        try gather(base, exponent: exponent * rational.numerator, into: &factors)
      } else {
        try gatherRoot(base, rational.denominator, exponent: exponent * rational.numerator, into: &factors)
      }
    default: factors.multiply(by: try value(node), power: exponent)
    }
  }

  /// The root of a node that contains symbols.
  mutating func symbolicRoot(_ node: Node, _ degree: Int) throws(Unresolved) -> Image {
    var factors = RootFactors()
    try gatherRoot(node, degree, exponent: 1, into: &factors)
    return try factors.product
  }

  /// Multiplies `factors` by the root of the node, raised to the exponent.
  private mutating func gatherRoot(
    _ node: Node, _ degree: Int, exponent: Int, into factors: inout RootFactors
  ) throws(Unresolved) {
    var coefficient = Image.one
    var powers: [RootedPower] = []
    try collect(node, exponent: 1, &coefficient, &powers)
    guard let scale = coefficient.rational, let outside = Rational(magnitudeOf: scale).root(degree) else {
      return factors.multiply(byRootOf: try value(node), degree: degree, power: exponent)
    }
    factors.multiply(by: outside, power: exponent)
    let isNegative = scale.numerator < 0
    if degree % 2 == 1 && isNegative { factors.multiply(by: -.one, power: exponent) }
    take(powers, degree, isNegative: isNegative && degree % 2 == 0, exponent: exponent, into: &factors)
  }

  /// Multiplies `factors` by the root of a product of powers, raised to the exponent. `isNegative`: the product has a
  /// factor −1 that cannot leave the root, because the degree is even.
  private func take(
    _ powers: [RootedPower], _ degree: Int, isNegative: Bool, exponent: Int, into factors: inout RootFactors
  ) {
    let isEven = degree % 2 == 0
    func remainder(_ power: RootedPower) -> Int { ((power.exponent % degree) + degree) % degree }
    for power in powers where power.sort == .positive {
      if let root = power.base.fieldRoot(degree) {
        factors.multiply(by: root, power: power.exponent * exponent)
      } else {
        factors.multiply(byRootOf: power.base, degree: degree, power: power.exponent * exponent)
      }
    }
    let powers = powers.filter { $0.sort != .positive }
    let inside = powers.filter { remainder($0) != 0 }
    // √(x³) is defined only for x ≥ 0. √(x³y) requires that of neither.
    let isForced = inside.count == 1 && remainder(inside[0]) % 2 == 1 && !isNegative
    for power in powers {
      let whole = (power.exponent - remainder(power)) / degree
      if isEven && whole % 2 != 0 && !(isForced && power.base == inside[0].base) {
        factors.multiply(byRootOf: power.base * power.base, degree: 2, power: whole * exponent)
      } else {
        factors.multiply(by: power.base, power: whole * exponent)
      }
    }
    if !isEven || inside.count == 1 && !isNegative {
      for power in inside { takeOne(power, remainder(power), degree, exponent: exponent, into: &factors) }
    } else if !inside.isEmpty || isNegative {
      let product = inside.reduce(isNegative ? -.one : .one) { $0 * ($1.base.power(remainder($1)) ?? .one) }
      factors.multiply(byRootOf: product, degree: degree, power: exponent)
    }
  }

  /// Multiplies `factors` by (base^remainder)^(1/degree), after remainder and degree are reduced. For a symbol the root
  /// is in the field; for anything else it is an atom.
  private func takeOne(
    _ power: RootedPower, _ remainder: Int, _ degree: Int, exponent: Int, into factors: inout RootFactors
  ) {
    let divisor = greatestCommonDivisor(remainder, degree)
    let base = divisor % 2 == 0 ? absolute(power.base) : power.base
    if power.sort == .symbol, divisor % 2 == 1, let root = base.fieldRoot(degree / divisor) {
      factors.multiply(by: root, power: remainder / divisor * exponent)
    } else {
      factors.multiply(byRootOf: base, degree: degree / divisor, power: remainder / divisor * exponent)
    }
  }

  /// Splits a node into a rational coefficient and powers of different bases.
  private mutating func collect(
    _ node: Node, exponent: Int, _ coefficient: inout Image, _ powers: inout [RootedPower]
  ) throws(Unresolved) {
    guard exponent.magnitude < 1 << 20 else { throw .tooCostly }
    let image = try value(node)
    if image.rational != nil {
      guard let power = image.power(exponent) else { throw .undefined }
      coefficient = coefficient * power
      return
    }
    switch node {
    case .negated(let inner):
      if exponent % 2 != 0 { coefficient = -coefficient }
      try collect(inner, exponent: exponent, &coefficient, &powers)
    case .product(let nodes): for node in nodes { try collect(node, exponent: exponent, &coefficient, &powers) }
    case .quotient(let top, let bottom):
      try collect(top, exponent: exponent, &coefficient, &powers)
      try collect(bottom, exponent: -exponent, &coefficient, &powers)
    case .power(let base, let power):
      guard let power = try value(power).integer, power.magnitude < 1 << 20 else {
        return add(RootedPower(base: image, exponent: exponent, sort: .other), to: &powers)
      }
      try collect(base, exponent: exponent * power, &coefficient, &powers)
    case .sum:
      // √(4x+4) is 2√(x+1).
      let content = try content(ofSum: node)
      guard let below = content.image.inverse, let power = content.image.power(exponent) else { throw .undefined }
      coefficient = coefficient * power
      add(RootedPower(base: image * below, exponent: exponent, sort: .other), to: &powers)
    default:
      // √8 is 2√2 here too.
      if !node.hasUnknown, let surd = try surd(of: [node]), let power = surd.outside.image.power(exponent) {
        coefficient = coefficient * power
        guard let below = surd.outside.image.inverse else { throw .undefined }
        return add(RootedPower(base: image * below, exponent: exponent, sort: .other), to: &powers)
      }
      add(RootedPower(base: image, exponent: exponent, sort: sort(of: node)), to: &powers)
    }
  }

  private func sort(of node: Node) -> RootedPower.Sort {
    guard case .symbol(let name) = node else { return .other }
    return node.isUnknown ? .symbol : ["pi", "e"].contains(name) ? .positive : .other
  }

  private func add(_ power: RootedPower, to powers: inout [RootedPower]) {
    if let index = powers.firstIndex(where: { $0.base == power.base }) {
      powers[index].exponent += power.exponent
    } else {
      powers.append(power)
    }
  }
}

/// outside · ⁿ√radicand, where n is the degree and no nth power divides the radicand.
struct Surd {
  var outside: Rational
  var radicand: Int
  var degree: Int

  /// Products of roots of a higher common degree are not recognized.
  static let degreeMax = 6
}

extension Rational {
  /// The positive root of this positive number as outside · ⁿ√radicand; nil if a part is too large.
  func extracted(_ degree: Int) -> (outside: Rational, radicand: Int)? {
    // ⁿ√(p/q) = ⁿ√(p·qⁿ⁻¹) / q, prime by prime.
    var exponents: [(prime: UInt64, exponent: Int)] = primeFactors(of: UInt64(numerator.magnitude))
    exponents += primeFactors(of: UInt64(denominator)).map { ($0.prime, $0.exponent * (degree - 1)) }
    var outside = 1
    var radicand = 1
    for (prime, exponent) in exponents {
      for (power, isInside) in [(exponent / degree, false), (exponent % degree, true)] {
        for _ in 0..<power {
          let (product, overflow) = (isInside ? radicand : outside).multipliedReportingOverflow(by: Int(prime))
          // Beyond 2^30 a fraction is not recognized as rational again.
          guard !overflow, product < 1 << 30 else { return nil }
          if isInside { radicand = product } else { outside = product }
        }
      }
    }
    let divisor = greatestCommonDivisor(outside, denominator)
    return (Rational(numerator: outside / divisor, denominator: denominator / divisor), radicand)
  }

  fileprivate init(magnitudeOf other: Rational) {
    self.init(numerator: abs(other.numerator), denominator: other.denominator)
  }
}
