// Real: a binary floating-point number of 384 bits, for tier 3, which compares constants by their value.
//
// It uses integer operations, and IEEE division and square root for a first approximation. It uses no mathematics
// library, because the last bits of those differ. So the same text gives the same bits on every machine. Every
// operation truncates; its result is exact to a few units of the last of 384 places. NumericEvaluator keeps track of
// the places that are lost in an expression.
//
// Not here: functions (RealFunctions).

/// ± mantissa · 2^(exponent − 384), where the mantissa's top bit is set; or zero.
struct Real {
  static let limbs = 6
  static let bits = 64 * limbs

  var isNegative = false
  /// The magnitude is in [2^(exponent − 1), 2^exponent).
  var exponent = 0
  /// Least significant first.
  private var mantissa = InlineArray<6, UInt64>(repeating: 0)

  var isZero: Bool { mantissa[5] == 0 }

  static let zero = Real()
  static let one = Real(1)

  private init() {}

  init(_ value: Int) {
    let magnitude = UInt64(value.magnitude)
    guard magnitude != 0 else { return }
    let shift = magnitude.leadingZeroBitCount
    isNegative = value < 0
    exponent = 64 - shift
    mantissa[5] = magnitude << UInt64(shift)
  }

  /// The exact value of a positive normal number.
  private init(positive value: Double) {
    exponent = Int(value.exponent) + 1
    mantissa[5] = (value.significandBitPattern | 1 << 52) << 11
  }

  /// The leading 53 bits as a number in [1/2, 1).
  private var leading: Double { Double(sign: .plus, exponent: -53, significand: Double(mantissa[5] >> 11)) }

  var magnitude: Real {
    var result = self
    result.isNegative = false
    return result
  }

  static prefix func - (operand: Real) -> Real {
    var result = operand
    result.isNegative = !operand.isNegative && !operand.isZero
    return result
  }

  /// self · 2^shift.
  func scaled(by shift: Int) -> Real {
    var result = self
    if !isZero { result.exponent += shift }
    return result
  }
}

// MARK: Sums

extension Real {
  /// Whether |self| < |other|.
  func isSmaller(than other: Real) -> Bool {
    if isZero || other.isZero { return isZero && !other.isZero }
    if exponent != other.exponent { return exponent < other.exponent }
    for index in (0..<Self.limbs).reversed() where mantissa[index] != other.mantissa[index] {
      return mantissa[index] < other.mantissa[index]
    }
    return false
  }

  static func + (left: Real, right: Real) -> Real {
    let (large, small) = left.isSmaller(than: right) ? (right, left) : (left, right)
    let distance = large.exponent - small.exponent
    guard !small.isZero, distance < bits else { return large }
    let aligned = small.shiftedRight(distance)
    return large.isNegative == small.isNegative ? large.adding(aligned) : large.subtracting(aligned)
  }

  static func - (left: Real, right: Real) -> Real { left + -right }

  private func shiftedRight(_ distance: Int) -> InlineArray<6, UInt64> {
    var result = InlineArray<6, UInt64>(repeating: 0)
    let (words, shift) = (distance / 64, UInt64(distance % 64))
    for index in 0..<(Self.limbs - words) {
      let high = index + words + 1 < Self.limbs ? mantissa[index + words + 1] : 0
      result[index] = mantissa[index + words] >> shift | (shift == 0 ? 0 : high << (64 - shift))
    }
    return result
  }

  private func adding(_ other: InlineArray<6, UInt64>) -> Real {
    var result = self
    var carry: UInt64 = 0
    for index in 0..<Self.limbs {
      let (partial, first) = mantissa[index].addingReportingOverflow(other[index])
      let (sum, second) = partial.addingReportingOverflow(carry)
      result.mantissa[index] = sum
      carry = first || second ? 1 : 0
    }
    if carry == 1 {
      result.mantissa = result.shiftedRight(1)
      result.mantissa[5] |= 1 << 63
      result.exponent += 1
    }
    return result
  }

  private func subtracting(_ other: InlineArray<6, UInt64>) -> Real {
    var result = self
    var borrow: UInt64 = 0
    for index in 0..<Self.limbs {
      let (partial, first) = mantissa[index].subtractingReportingOverflow(other[index])
      let (difference, second) = partial.subtractingReportingOverflow(borrow)
      result.mantissa[index] = difference
      borrow = first || second ? 1 : 0
    }
    result.normalize()
    return result
  }

  private mutating func normalize() {
    guard let top = (0..<Self.limbs).last(where: { mantissa[$0] != 0 }) else {
      self = .zero
      return
    }
    let words = Self.limbs - 1 - top
    let shift = UInt64(mantissa[top].leadingZeroBitCount)
    for index in (0..<Self.limbs).reversed() {
      let source = index - words
      let low = source >= 1 ? mantissa[source - 1] : 0
      mantissa[index] = (source >= 0 ? mantissa[source] << shift : 0) | (shift == 0 ? 0 : low >> (64 - shift))
    }
    exponent -= 64 * words + Int(shift)
  }
}

// MARK: Products

extension Real {
  static func * (left: Real, right: Real) -> Real {
    if left.isZero || right.isZero { return .zero }
    var wide = InlineArray<12, UInt64>(repeating: 0)
    for i in 0..<limbs {
      var carry: UInt64 = 0
      for j in 0..<limbs {
        let product = left.mantissa[i].multipliedFullWidth(by: right.mantissa[j])
        let (partial, first) = product.low.addingReportingOverflow(wide[i + j])
        let (sum, second) = partial.addingReportingOverflow(carry)
        wide[i + j] = sum
        // At most 2^64 − 2 + 1 + 1 before the carries of a product that is at most (2^64 − 1)².
        carry = product.high &+ (first ? 1 : 0) &+ (second ? 1 : 0)
      }
      wide[i + limbs] = carry
    }
    var result = Real()
    result.isNegative = left.isNegative != right.isNegative
    result.exponent = left.exponent + right.exponent
    let shift: UInt64 = wide[11] >> 63 == 1 ? 0 : 1
    for index in 0..<limbs {
      result.mantissa[index] = wide[index + limbs] << shift | (shift == 0 ? 0 : wide[index + limbs - 1] >> 63)
    }
    result.exponent -= Int(shift)
    return result
  }

  /// self / divisor for a positive divisor below 2^63.
  func divided(by divisor: Int) -> Real {
    guard !isZero else { return self }
    var result = self
    var remainder: UInt64 = 0
    for index in (0..<Self.limbs).reversed() {
      let (quotient, rest) = UInt64(divisor).dividingFullWidth((remainder, mantissa[index]))
      result.mantissa[index] = quotient
      remainder = rest
    }
    result.normalize()
    return result
  }

  /// 1/self; self is not zero. Newton's iteration doubles the 50 bits of the first approximation three times.
  var reciprocal: Real {
    let scaled = magnitude.scaled(by: -exponent)
    var result = Real(positive: 1 / scaled.leading)
    for _ in 0..<3 { result = result * (Real(2) - scaled * result) }
    result.exponent -= exponent
    result.isNegative = isNegative
    return result
  }

  /// The square root of |self|, by Newton's iteration for its reciprocal.
  var squareRoot: Real {
    guard !isZero else { return self }
    let half = exponent >> 1
    let scaled = magnitude.scaled(by: -2 * half)
    let leading = Double(sign: .plus, exponent: scaled.exponent, significand: scaled.leading)
    var inverse = Real(positive: 1 / leading.squareRoot())
    for _ in 0..<3 { inverse = (inverse * (Real(3) - scaled * inverse * inverse)).scaled(by: -1) }
    return (scaled * inverse).scaled(by: half)
  }
}

// MARK: Integers and text

extension Real {
  /// The nearest integer, if it is below 2^62.
  var rounded: Int? {
    guard !isZero, exponent >= 0 else { return 0 }
    guard exponent <= 62 else { return nil }
    let sum = magnitude + Real.one.scaled(by: -1)
    let whole = sum.exponent == 0 ? 0 : Int(sum.mantissa[5] >> UInt64(64 - sum.exponent))
    return isNegative ? -whole : whole
  }

  /// The value rounded to `bits` places, as text: hexadecimal digits without zeroes at the end, and a power of two.
  /// Equal values have equal texts.
  func text(bits: Int) -> String {
    guard !isZero else { return "0" }
    let half = Real.one.scaled(by: exponent - bits - 1)
    var sum = magnitude + half
    for index in 0..<Self.limbs {
      let kept = min(64, max(0, 64 * (index + 1) - (Self.bits - bits)))
      sum.mantissa[index] = kept == 0 ? 0 : sum.mantissa[index] & ~0 << UInt64(64 - kept)
    }
    var digits = (0..<Self.limbs).reversed().map { index in
      let word = String(sum.mantissa[index], radix: 16)
      return String(repeating: "0", count: 16 - word.count) + word
    }.joined()
    while digits.last == "0" { digits.removeLast() }
    return (isNegative ? "-" : "") + digits + "p\(sum.exponent)"
  }
}
