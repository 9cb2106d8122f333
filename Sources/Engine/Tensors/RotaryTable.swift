// RotaryTable: the cosines and sines of rotary positions.
//
// Computed once per model. Angles are products of float32 numbers, as in the models' own code. Up to position 333, the
// log-probabilities differed from the reference's by at most 8e-5 with exact angles, and by at most 4e-5 with these.
// Cosines and sines come from the C library in float64 and are rounded to float32 once. These, and pow, are the only
// results of a math library that reach the model. C libraries can differ in the last bit of float64; the rounding to
// float32 almost always hides that. Source: RoPE, arXiv 2104.09864; low frequencies are stretched as in Llama 3.1
// (`rope_type: llama3`).

import Glibc

/// How Llama 3 stretches rotary frequencies. Wavelengths above `originalMaxPositions / lowFrequencyFactor` are
/// stretched by `factor`, those below `originalMaxPositions / highFrequencyFactor` are not, and between the two the
/// factor changes smoothly.
package struct RotaryStretch: Sendable, Hashable {
  package var factor: Double
  package var lowFrequencyFactor: Double
  package var highFrequencyFactor: Double
  package var originalMaxPositions: Double

  package init(
    factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalMaxPositions: Double
  ) {
    self.factor = factor
    self.lowFrequencyFactor = lowFrequencyFactor
    self.highFrequencyFactor = highFrequencyFactor
    self.originalMaxPositions = originalMaxPositions
  }

  func stretched(_ frequency: Double) -> Double {
    let wavelength = 2 * Double.pi / frequency
    if wavelength < originalMaxPositions / highFrequencyFactor { return frequency }
    if wavelength > originalMaxPositions / lowFrequencyFactor { return frequency / factor }
    let smooth =
      (originalMaxPositions / wavelength - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor)
    return (1 - smooth) * frequency / factor + smooth * frequency
  }
}

/// [positions, D/2] each. Dimension i of a head's first half is rotated with dimension i of its second half.
package struct RotaryTable: Sendable {
  package let cosines: Matrix
  package let sines: Matrix

  package init(positions: Int, dimension: Int, theta: Double, stretch: RotaryStretch?) {
    let half = dimension / 2
    cosines = Matrix(rows: positions, columns: half)
    sines = Matrix(rows: positions, columns: half)
    for index in 0..<half {
      let plain = 1 / pow(theta, Double(2 * index) / Double(dimension))
      let frequency = stretch?.stretched(plain) ?? plain
      for position in 0..<positions {
        let angle = Double(Float(position) * Float(frequency))
        cosines.values[position * half + index] = Float(cos(angle))
        sines.values[position * half + index] = Float(sin(angle))
      }
    }
  }
}
