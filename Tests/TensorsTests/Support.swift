// Support: random numbers and conversions for the tests of kernels.

import Base
import Tensors

func choices(_ seed: UInt64) -> RandomSequence {
  RandomSequence(seed: seed, purpose: .questions, stream: SIMD3(5, 5, 5))
}

extension RandomSequence {
  /// Uniform in [-scale, scale).
  mutating func floats(_ count: Int, scale: Double = 1) -> [Float] {
    (0..<count).map { _ in Float((2 * uniform() - 1) * scale) }
  }

  /// Uniform in [-1, 1), rounded to values of the type.
  mutating func rounded(_ count: Int, to type: DataType) -> Floats {
    let values = Floats(floats(count))
    if type == .bfloat16 { Kernels.best.roundToBFloat16(values, into: values) }
    return values
  }
}

func matrix(_ values: [Float], columns: Int) -> Matrix { Floats(values).rows(of: columns) }

func doubles(_ values: some Sequence<Float>) -> [Double] { values.map(Double.init) }

/// The largest difference, relative to the larger of 1 and the expected value.
func worst(_ found: [Float], _ expected: [Double]) -> Double {
  zip(found, expected).reduce(0) { max($0, abs(Double($1.0) - $1.1) / max(1, abs($1.1))) }
}

func bits(_ values: [Float]) -> [UInt32] { values.map(\.bitPattern) }
