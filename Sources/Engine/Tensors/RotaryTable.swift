// RotaryTable: the cosines and sines of rotary positions.
//
// Computed once per model. Angles are products of float32 numbers, as in the models' own code. Up to position 333, the
// log-probabilities differed from the reference's by at most 8e-5 with exact angles, and by at most 4e-5 with these.
// Cosines and sines come from the C library in float64 and are rounded to float32 once. These, and pow and log, are the
// only results of a math library that reach the model. C libraries can differ in the last bit of float64; the rounding
// to float32 almost always hides that. Source: RoPE, arXiv 2104.09864; RotaryScaling.swift changes the frequencies.

import Glibc

/// [positions, D/2] each; of no dimensions where positions do not matter. Dimension i of a head's first half is rotated
/// with dimension i of its second half.
package struct RotaryTable: Sendable {
  package let cosines: Matrix
  package let sines: Matrix
  /// [positions] what queries are multiplied with in addition; nil: nothing.
  package let queryScales: Floats?

  package init(
    positions: Int, dimension: Int, theta: Double, scaling: RotaryScaling?, queryScaling: QueryScaling? = nil
  ) {
    queryScales = queryScaling.map { scaling in Floats((0..<positions).map(scaling.scale(at:))) }
    let half = dimension / 2
    cosines = Matrix(rows: positions, columns: half)
    sines = Matrix(rows: positions, columns: half)
    let frequencies =
      scaling?.frequencies(theta: theta, dimension: dimension)
      ?? RotaryScaling.plainFrequencies(theta: theta, dimension: dimension)
    let factor = Float(scaling?.attentionFactor ?? 1)
    for (index, frequency) in frequencies.enumerated() {
      for position in 0..<positions {
        let angle = Double(Float(position) * Float(frequency))
        cosines.values[position * half + index] = Float(cos(angle)) * factor
        sines.values[position * half + index] = Float(sin(angle)) * factor
      }
    }
  }
}
