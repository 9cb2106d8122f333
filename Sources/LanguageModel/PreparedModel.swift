// PreparedModel: one policy version, ready to run on every thread.
//
// The idea: parameters are one flat array; what is fast to multiply with is made from it once per version and never
// changes. `TransformerPlan` is what does not even depend on the parameters. In bfloat16 all parameters are rounded
// first, so sampler and trainer see the same numbers whoever holds the float32 masters; the rounded norms, biases and
// embeddings are then used as float32.
// Not here: the arithmetic (Transformer.swift, Backpropagation.swift), files (HuggingFace/).

package import Base
package import Tensors

/// What a model needs that its parameters do not change: made once per process.
package struct TransformerPlan: Sendable {
  package let configuration: ModelConfiguration
  package let layout: ParameterLayout
  package let type: DataType
  let heads: Heads
  let rotary: RotaryTable

  package init(_ configuration: ModelConfiguration, type: DataType) {
    self.configuration = configuration
    self.type = type
    layout = ParameterLayout(configuration)
    heads = Heads(
      query: configuration.headCount, keyValue: configuration.keyValueHeadCount,
      dimension: configuration.headDimension)
    rotary = RotaryTable(
      positions: configuration.maxPositions, dimension: configuration.headDimension,
      theta: Double(configuration.ropeTheta), stretch: configuration.ropeScaling.map(RotaryStretch.init))
  }
}

extension RotaryStretch {
  fileprivate init(_ scaling: ModelConfiguration.RopeScaling) {
    self.init(
      factor: Double(scaling.factor), lowFrequencyFactor: Double(scaling.lowFrequencyFactor),
      highFrequencyFactor: Double(scaling.highFrequencyFactor),
      originalMaxPositions: Double(scaling.originalMaxPositions))
  }
}

/// The parameters of one policy version, packed for multiplication. Immutable, shared by all threads.
package final class PreparedModel: Sendable {
  package let plan: TransformerPlan
  /// All parameters in layout order; rounded to bfloat16 where that is the type.
  package let parameters: Floats
  let layers: [PreparedLayer]
  let finalNorm: Floats
  let head: PackedWeights
  /// For dx = dy · W; nil unless made for training.
  let headBackward: PackedWeights?

  /// Copies `plan.layout.count` parameters, and packs them; `forTraining` also for the backward pass.
  /// - Throws: `.multiplication(.bfloat16Unsupported)` on a processor without AVX-512.
  package init(plan: TransformerPlan, parameters: Floats, forTraining: Bool) throws(ModelError) {
    let layout = plan.layout
    precondition(parameters.count == layout.count, "\(parameters.count) parameters for a model of \(layout.count)")
    let own = Floats(count: parameters.count)
    switch plan.type {
    case .float32: own.copy(from: parameters)
    case .bfloat16: Kernels.best.roundToBFloat16(parameters, into: own)
    }
    self.plan = plan
    self.parameters = own
    var layers: [PreparedLayer] = []
    for layer in layout.layers {
      layers.append(try PreparedLayer(layer, plan: plan, parameters: own, forTraining: forTraining))
    }
    self.layers = layers
    finalNorm = own[layout.tensors[layout.finalNorm].range]
    let headTensor = layout.tensors[layout.head]
    let headMatrix = own[headTensor.range].rows(of: plan.configuration.hiddenSize)
    (head, headBackward) = try multiplying { () throws(MultiplicationError) in
      (
        try PackedWeights(headMatrix, isTransposed: true, type: plan.type),
        forTraining ? try PackedWeights(headMatrix, isTransposed: false, type: plan.type) : nil
      )
    }
  }

  /// Bytes of one model that is not made for training: the parameters, and the packed copy of every matrix that rows
  /// are multiplied with.
  package static func bytes(_ layout: ParameterLayout, type: DataType) -> Int {
    let multiplied = layout.tensors.indices.filter { index in
      layout.tensors[index].shape.count == 2 && (index != layout.embedding || index == layout.head)
    }
    return layout.count * 4 + multiplied.reduce(0) { $0 + layout.tensors[$1].count } * type.bytes
  }

  var isForTraining: Bool { headBackward != nil }

  /// The embedding matrix [V, C].
  var embedding: Matrix {
    parameters[plan.layout.tensors[plan.layout.embedding].range].rows(of: plan.configuration.hiddenSize)
  }
}

/// One layer's weights, with those that share an input fused.
struct PreparedLayer: Sendable {
  /// The weights of a fused linear layer, both ways.
  struct Linear: Sendable {
    let forward: PackedWeights
    /// nil unless made for training.
    let backward: PackedWeights?

    init(
      _ weights: Matrix, type: DataType, addsToResidual: Bool, forTraining: Bool
    ) throws(MultiplicationError) {
      forward = try PackedWeights(weights, isTransposed: true, type: type, accumulates: addsToResidual)
      backward = forTraining ? try PackedWeights(weights, isTransposed: false, type: type) : nil
    }
  }

  let inputNorm: Floats
  let finish: QueryKeyValueFinish
  let feedForwardNorm: Floats
  /// q|k|v and gate|up; the other two add to the residual stream.
  let queryKeyValue, attentionOutput, gateUp, down: Linear

  init(
    _ layer: ParameterLayout.Layer, plan: TransformerPlan, parameters: Floats, forTraining: Bool
  ) throws(ModelError) {
    let layout = plan.layout
    func vector(_ index: Int) -> Floats { parameters[layout.tensors[index].range] }
    func linear(_ indices: [Int], addsToResidual: Bool = false) throws(ModelError) -> Linear {
      let columns = layout.tensors[indices[0]].shape[1]
      let weights = joined(indices.map { layout.tensors[$0] }, of: parameters).rows(of: columns)
      return try multiplying { () throws(MultiplicationError) in
        try Linear(weights, type: plan.type, addsToResidual: addsToResidual, forTraining: forTraining)
      }
    }
    inputNorm = vector(layer.inputNorm)
    feedForwardNorm = vector(layer.feedForwardNorm)
    let biases = [layer.queryBias, layer.keyBias, layer.valueBias].compactMap { $0 }
    finish = QueryKeyValueFinish(
      bias: biases.isEmpty ? nil : joined(biases.map { layout.tensors[$0] }, of: parameters),
      queryNorm: layer.queryNorm.map(vector), keyNorm: layer.keyNorm.map(vector),
      normEpsilon: plan.configuration.normEpsilon, rotary: plan.rotary)
    queryKeyValue = try linear([layer.query, layer.key, layer.value])
    attentionOutput = try linear([layer.attentionOutput], addsToResidual: true)
    gateUp = try linear([layer.gate, layer.up])
    down = try linear([layer.down], addsToResidual: true)
  }
}

/// The values of tensors one after the other: a view where they are neighbours, a copy where something lies between.
private func joined(_ tensors: [ParameterTensor], of parameters: Floats) -> Floats {
  let count = tensors.reduce(0) { $0 + $1.count }
  let start = tensors[0].offset
  if let last = tensors.last, last.range.upperBound == start + count { return parameters[start..<start + count] }
  let copy = Floats(count: count)
  var at = 0
  for tensor in tensors {
    copy[at..<at + tensor.count].copy(from: parameters[tensor.range])
    at += tensor.count
  }
  return copy
}
