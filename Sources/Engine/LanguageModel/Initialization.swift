// Initialization: the parameters of an untrained model, as a function of a seed.
//
// Each value's random numbers depend only on its tensor and its index there, so neither order nor threads matter.
// Matrices are normal with standard deviation 1 / sqrt(inputs). The two matrices that write to the residual stream are
// scaled by 1 / sqrt(2 · layers), so that its variance does not grow with depth. Norms are 1, biases are 0. The value
// heads of linear attention forget at rates from slow to fast.

import Base
import Glibc
package import Tensors

/// The scales of the initial values.
package struct InitialScales: Sendable, Equatable {
  /// Standard deviation of what the first layer reads of an embedding: of its values, multiplied with the model's
  /// factor.
  package var embedding: Double
  /// Factor of 1 / sqrt(C) for an untied output head. It is small, so that the first predictions are nearly uniform.
  package var head: Double

  package init(embedding: Double = 1, head: Double = 0.3) {
    self.embedding = embedding
    self.head = head
  }
}

/// All parameters of a new model, in layout order.
package func initialParameters(
  _ configuration: ModelConfiguration, scales: InitialScales = InitialScales(), seed: UInt64
) -> Floats {
  let layout = ParameterLayout(configuration)
  let parameters = Floats(count: layout.count)
  var deviations = layout.tensors.map { tensor in
    tensor.shape.count > 1 ? 1 / Double(tensor.shape.dropFirst().reduce(1, *)).squareRoot() : 0
  }
  let residual = 1 / Double(2 * configuration.layerCount).squareRoot()
  deviations[layout.embedding] = scales.embedding / Double(configuration.embeddingFactor(.float32))
  if layout.head != layout.embedding { deviations[layout.head] *= scales.head }
  var norms = [layout.finalNorm]
  var ones: [Int] = []
  for layer in layout.layers {
    deviations[layer.mixer.output] *= residual
    deviations[layer.down] *= residual
    let blocks = [layer.mixerNorms, layer.feedForwardNorms]
    norms += blocks.flatMap { [$0.before, $0.after] }.compactMap { $0 }
    switch layer.mixer {
    case .attention(let names): norms += [names.queryNorm, names.keyNorm].compactMap { $0 }
    case .deltaRule(let names):
      ones += [names.norm, names.stepBias]
      fillDecayLog(parameters[layout.tensors[names.decayLog].range])
    }
  }
  for (index, tensor) in layout.tensors.enumerated() where deviations[index] > 0 {
    fillNormal(parameters[tensor.range], deviation: deviations[index], stream: UInt32(index), seed: seed)
  }
  if !configuration.hasZeroCentredNorms { ones += norms }
  for tensor in ones { parameters[layout.tensors[tensor].range].fill(1) }
  return parameters
}

/// The logarithms of rates that are evenly spaced between 0 and 16, as the models' authors draw them at random.
private func fillDecayLog(_ values: Floats) {
  for index in 0..<values.count { values[index] = Float(log(16 * (Double(index) + 0.5) / Double(values.count))) }
}

/// Box–Muller in float64, two values from two uniform numbers.
private func fillNormal(_ values: Floats, deviation: Double, stream: UInt32, seed: UInt64) {
  let key = RandomPurpose.initialWeights.key(seed: seed)
  for pair in stride(from: 0, to: values.count, by: 2) {
    let place = UInt64(pair / 2)
    func uniform(_ which: UInt32) -> Double {
      let low = UInt32(truncatingIfNeeded: place)
      let high = UInt32(truncatingIfNeeded: place >> 32)
      return Philox.uniform(counter: SIMD4(low, high, stream, which), key: key)
    }
    let radius = deviation * (-2 * log(1 - uniform(0))).squareRoot()
    let angle = 2 * Double.pi * uniform(1)
    values[pair] = Float(radius * cos(angle))
    if pair + 1 < values.count { values[pair + 1] = Float(radius * sin(angle)) }
  }
}
