// ProductReference: the two orders of bfloat16 products in readable form, and random factors to compare them on.
//
// Unlike Reference.swift, this is exact: every kernel gives these bits, for all values (any NaN equals any NaN).

package import Base

extension ProductOrder {
  /// How many inner indices are added in one step. The last step is filled up with zeroes.
  package var step: Int { self == .tile ? 32 : 2 }

  /// initial + Σ left[k] · right[k] over bfloat16 values.
  package func sum(_ left: [Float], _ right: [Float], from initial: Float) -> Float {
    var total = initial
    for start in stride(from: 0, to: left.count, by: step) {
      func added(_ k: Int, to sum: Float) -> Float {
        let isMissing = start + k >= left.count
        return multiplyAdd(isMissing ? 0 : left[start + k], isMissing ? 0 : right[start + k], sum)
      }
      switch self {
      case .tile:
        let even = stride(from: 0, to: 32, by: 2).reduce(Float(0)) { added($1, to: $0) }
        let odd = stride(from: 1, to: 32, by: 2).reduce(Float(0)) { added($1, to: $0) }
        total = multiplyAdd(1, total, multiplyAdd(1, even, odd))
      case .pair:
        total = added(0, to: added(1, to: total))
      }
    }
    return total
  }
}

/// a · b + c, rounded once; denormal factors, terms and results are zero.
///
/// A result is denormal if it is still below 2⁻¹²⁶ after it is rounded to 24 bits. To see this, the sum is computed
/// once more, scaled by 2⁶⁴.
private func multiplyAdd(_ a: Float, _ b: Float, _ c: Float) -> Float {
  func flushed(_ x: Float) -> Float { x.isSubnormal ? Float(sign: x.sign, exponent: 0, significand: 0) : x }
  let (a, b, c) = (flushed(a), flushed(b), flushed(c))
  let result = c.addingProduct(a, b)
  guard abs(result) <= 0x1p-126, result != 0 || (a != 0 && b != 0) else { return result }
  // Both terms are small, or one is exactly the other's negative. So no scaled number overflows except in the second
  // case, where the result is 0 in both ways.
  let scaled = (c * 0x1p64).addingProduct(a * 0x1p32, b * 0x1p32)
  return abs(scaled) < 0x1p-62 ? Float(sign: result.sign, exponent: 0, significand: 0) : result
}

/// A random product of bfloat16 values: its shape and its factors.
package struct RandomProduct: Sendable {
  package let rows: Int
  package let inner: Int
  package let columns: Int
  /// [rows, inner], [columns, inner], and [rows, columns]: what the result had before.
  package let left: [Float]
  package let right: [Float]
  package let initial: [Float]

  /// Exponents spread over 2 to 250 powers of two, or all sums are near the smallest normal number. In two of three
  /// products one value of 64 is a zero or a denormal; in one of three, some are infinite or NaN.
  package init(seed: UInt64) {
    var random = RandomSequence(seed: seed, purpose: .questions, stream: SIMD3(19, 0, 0))
    func below(_ count: Int) -> Int { Int(random.uniform() * Double(count)) }
    let isDeep = below(8) == 0
    rows = 1 + below(isDeep ? 8 : below(8) == 0 ? 310 : 60)
    inner = 1 + below(isDeep ? 3500 : 200)
    columns = 1 + below(isDeep ? 20 : 90)
    let spread = [2, 20, 60, 140, 250, 8][below(6)]
    let center = spread == 8 ? -64 : 0
    let specials = below(3)
    func bits(_ center: Int, significand: Int) -> UInt32 {
      let exponent = max(0, min(254, 127 + center - spread / 2 + below(spread + 1)))
      return UInt32(below(2)) << 31 | UInt32(exponent) << 23 | UInt32(below(1 << significand)) << (23 - significand)
    }
    func value() -> Float {
      guard specials > 0, below(64) == 0 else { return Float(bitPattern: bits(center, significand: 7)) }
      let sign = UInt32(below(2)) << 31
      switch below(specials > 1 ? 12 : 11) {
      case 0..<5: return Float(bitPattern: sign)
      case 5..<11: return Float(bitPattern: sign | UInt32(below(128)) << 16)
      default: return Float(bitPattern: sign | 0x7F80_0000 | (below(4) == 0 ? UInt32(below(128)) << 16 : 0))
      }
    }
    left = (0..<rows * inner).map { _ in value() }
    right = (0..<columns * inner).map { _ in value() }
    initial = (0..<rows * columns).map { _ in
      switch below(16) {
      case 0: -0.0
      case 1: Float(bitPattern: UInt32(below(2)) << 31 | UInt32(below(1 << 23)))
      default: Float(bitPattern: bits(2 * center, significand: 23))
      }
    }
  }

  /// The readable form's results: three times the same product, added to `initial`, from 0, and added to `initial`.
  package func expected(_ order: ProductOrder) -> [[Float]] {
    let sums = [true, false].map { adds in
      (0..<rows * columns).map { at in
        let (row, column) = (at / columns, at % columns)
        return order.sum(
          Array(left[row * inner..<(row + 1) * inner]), Array(right[column * inner..<(column + 1) * inner]),
          from: adds ? initial[at] : 0)
      }
    }
    return [sums[0], sums[1], sums[0]]
  }

  /// The kernels' results: of a forward product with packed weights, of the gradient of an input, and of the gradient
  /// of weights. In these three, the factors of the same product are stored in different ways.
  package func results(_ kernels: Kernels, _ order: ProductOrder, threads: Int = 1) throws -> [[Float]] {
    let multiplier = Multiplier(Team(threads), kernels: kernels, order: order)
    let out = (0..<3).map { _ in Matrix(rows: rows, columns: columns) }
    for matrix in out { matrix.values.copy(from: initial) }
    let weights = Floats(right).rows(of: inner)
    let x = operand(left, columns: inner)
    try multiplier.multiply(
      x, rows: rows, by: PackedWeights(weights, type: .bfloat16, accumulates: true), into: out[0])
    try multiplier.multiplyBackward(
      x, rows: rows, by: PackedWeights(transposed(right, columns: inner), type: .bfloat16), into: out[1])
    try multiplier.addOuterProduct(
      operand(transposed(left, columns: inner).values.array, columns: rows), outputs: 0..<rows,
      operand(transposed(right, columns: inner).values.array, columns: columns), rows: inner, to: out[2])
    return out.map(\.values.array)
  }

  private func operand(_ values: [Float], columns: Int) -> Operand {
    let operand = Operand(rows: values.count / columns, columns: columns, type: .bfloat16)
    Kernels.best.convert(Floats(values).rows(of: columns), into: operand)
    return operand
  }

  private func transposed(_ values: [Float], columns: Int) -> Matrix {
    let rows = values.count / columns
    return Floats((0..<values.count).map { values[$0 % rows * columns + $0 / rows] }).rows(of: rows)
  }
}

/// How many values differ in their bits, except for two NaNs.
package func differences(_ found: [Float], _ expected: [Float]) -> Int {
  zip(found, expected).count { $0.bitPattern != $1.bitPattern && !($0.isNaN && $1.isNaN) }
}
