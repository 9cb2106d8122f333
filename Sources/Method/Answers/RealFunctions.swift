// RealFunctions: exponential, logarithm, sine, cosine and arctangent of 384-bit numbers.
//
// Each function makes its argument small, sums a short Taylor series, and undoes the first step with squarings,
// doublings or halvings. It takes a few tens of products. About 30 of the 384 places are lost; NumericEvaluator allows
// for this.

extension Real {
  static let pi: Real = {
    // Machin, 1706: π/4 = 4·arctan(1/5) − arctan(1/239).
    func arctangent(ofOneOver n: Int) -> Real {
      sumOfSeries(from: Real.one.divided(by: n)) { term, k in (-term.divided(by: n * n), 2 * k + 1) }
    }
    return (arctangent(ofOneOver: 5).scaled(by: 2) - arctangent(ofOneOver: 239)).scaled(by: 2)
  }()

  /// ln 2 = 2·artanh(1/3).
  static let naturalLogarithmOf2 =
    sumOfSeries(from: Real.one.divided(by: 3)) { term, k in (term.divided(by: 9), 2 * k + 1) }.scaled(by: 1)

  /// Σ term_k / divisor_k, from the first term until the terms are too small to change the sum.
  private static func sumOfSeries(from first: Real, next: (Real, Int) -> (term: Real, divisor: Int)) -> Real {
    var (sum, term, k) = (first, first, 1)
    while !term.isZero, term.exponent > sum.exponent - bits {
      let divisor: Int
      (term, divisor) = next(term, k)
      sum = sum + term.divided(by: divisor)
      k += 1
    }
    return sum
  }

  /// e^self, for |self| below 2^30; nil above.
  var exponential: Real? {
    guard exponent <= 30 else { return nil }
    guard let twos = (self * Self.naturalLogarithmOf2.reciprocal).rounded else { return nil }
    let halvings = 16
    let small = (self - Real(twos) * Self.naturalLogarithmOf2).scaled(by: -halvings)
    var (sum, term, k) = (Real.one + small, small, 2)
    while !term.isZero, term.exponent > -Self.bits {
      term = (term * small).divided(by: k)
      sum = sum + term
      k += 1
    }
    for _ in 0..<halvings { sum = sum * sum }
    return sum.scaled(by: twos)
  }

  /// ln |self|; self is not zero.
  var logarithm: Real {
    let roots = 8
    var near = magnitude.scaled(by: -exponent)
    for _ in 0..<roots { near = near.squareRoot }
    // ln w = 2·artanh((w − 1)/(w + 1)).
    let z = (near - .one) * (near + .one).reciprocal
    let square = z * z
    let sum = Self.sumOfSeries(from: z) { term, k in (term * square, 2 * k + 1) }
    return sum.scaled(by: roots + 1) + Real(exponent) * Self.naturalLogarithmOf2
  }

  /// sin self and cos self, for |self| below 2^60; nil above.
  var sineAndCosine: (sine: Real, cosine: Real)? {
    let quarter = Self.pi.scaled(by: -1)
    guard exponent <= 60, let quarters = (self * quarter.reciprocal).rounded else { return nil }
    let doublings = 8
    let small = (self - Real(quarters) * quarter).scaled(by: -doublings)
    let square = small * small
    var (sine, cosine) = (small, Real.one)
    var (term, k) = (small, 2)
    // Both series together: x, −x²/2, −x³/6, x⁴/24 ...
    var even = Real.one
    while !term.isZero, term.exponent > -Self.bits {
      even = -(even * square).divided(by: (k - 1) * k)
      cosine = cosine + even
      term = -(term * square).divided(by: k * (k + 1))
      sine = sine + term
      k += 2
    }
    for _ in 0..<doublings {
      (sine, cosine) = ((sine * cosine).scaled(by: 1), .one - (sine * sine).scaled(by: 1))
    }
    return switch ((quarters % 4) + 4) % 4 {
    case 0: (sine, cosine)
    case 1: (cosine, -sine)
    case 2: (-sine, -cosine)
    default: (-cosine, sine)
    }
  }

  var arctangent: Real {
    guard !isZero else { return self }
    // The first halving brings any number below 1.
    let halvings = 7
    var near = self
    for _ in 0..<halvings { near = near * (.one + (.one + near * near).squareRoot).reciprocal }
    let square = near * near
    return Self.sumOfSeries(from: near) { term, k in (-(term * square), 2 * k + 1) }.scaled(by: halvings)
  }
}
