// PreparedLayer: one layer's weights, ready to run.
//
// Matrices that are multiplied with the same input are fused into one.

import Base
import Tensors

struct PreparedLayer: Sendable {
  let mixerNorms: BlockNorms<Floats>
  let mixer: PreparedMixer
  let feedForwardNorms: BlockNorms<Floats>
  /// gate|up are fused; `down` is a block's output.
  let gateUp, down: PackedWeights

  init(
    _ index: Int, plan: TransformerPlan, parameters: Floats, forTraining: Bool, team: Team?, spare: SpareMemory?
  ) throws(ModelError) {
    let layer = plan.layout.layers[index]
    let source = LayerSource(plan: plan, parameters: parameters, forTraining: forTraining, team: team, spare: spare)
    mixerNorms = layer.mixerNorms.map { normWeight($0, plan: plan, parameters) }
    feedForwardNorms = layer.feedForwardNorms.map { normWeight($0, plan: plan, parameters) }
    mixer =
      switch layer.mixer {
      case .attention(let names): .attention(try PreparedAttention(names, layer: index, source))
      case .deltaRule(let names): .deltaRule(try PreparedDeltaRule(names, source))
      }
    gateUp = try source.linear([layer.gate, layer.up])
    down = try source.blockOutput(layer.down)
  }
}

/// The part of a layer that mixes positions.
enum PreparedMixer: Sendable {
  case attention(PreparedAttention)
  case deltaRule(PreparedDeltaRule)

  /// The fused projections.
  var input: PackedWeights {
    switch self {
    case .attention(let weights): weights.queryKeyValue
    case .deltaRule(let weights): weights.projection
    }
  }

  var output: PackedWeights {
    switch self {
    case .attention(let weights): weights.output
    case .deltaRule(let weights): weights.output
    }
  }
}

struct PreparedAttention: Sendable {
  /// How many positions a query sees; nil: all.
  let window: Int?
  let finish: QueryKeyValueFinish
  /// q|k|v are fused; `output` is a block's output.
  let queryKeyValue, output: PackedWeights

  fileprivate init(_ names: ParameterLayout.Attention, layer: Int, _ source: LayerSource) throws(ModelError) {
    let (plan, parameters) = (source.plan, source.parameters)
    if case .attention(let reach) = plan.configuration.layerKinds[layer] { window = reach.window } else { window = nil }
    let biases = [names.queryBias, names.keyBias, names.valueBias].compactMap { $0 }
    finish = QueryKeyValueFinish(
      bias: biases.isEmpty ? nil : rounded(biases, plan: plan, parameters),
      queryNorm: names.queryNorm.map { normWeight($0, plan: plan, parameters) },
      keyNorm: names.keyNorm.map { normWeight($0, plan: plan, parameters) },
      normEpsilon: plan.configuration.normEpsilon, queryScale: plan.configuration.attentionScale,
      rotary: plan.rotary.byLayer[layer])
    queryKeyValue = try source.linear([names.query, names.key, names.value])
    output = try source.blockOutput(names.output)
  }
}

struct PreparedDeltaRule: Sendable {
  let heads: DeltaHeads
  let weights: DeltaWeights
  /// [V] the norm of each value head's result. Its weight is not zero-centred in any model.
  let norm: Floats
  /// q|k|v|z|b|a are fused; `output` is a block's output.
  let projection, output: PackedWeights

  fileprivate init(_ names: ParameterLayout.DeltaRule, _ source: LayerSource) throws(ModelError) {
    let (plan, parameters) = (source.plan, source.parameters)
    guard let heads = plan.configuration.deltaHeads else { preconditionFailure("the layer has no heads") }
    self.heads = heads
    weights = DeltaWeights(
      heads, convolution: rounded([names.convolution], plan: plan, parameters),
      decayLog: rounded([names.decayLog], plan: plan, parameters),
      stepBias: rounded([names.stepBias], plan: plan, parameters))
    norm = rounded([names.norm], plan: plan, parameters)
    projection = try source.linear(names.projections)
    output = try source.blockOutput(names.output)
  }
}

/// Where a layer's weights are taken from, and for what.
private struct LayerSource {
  let plan: TransformerPlan
  let parameters: Floats
  let forTraining: Bool
  let team: Team?
  let spare: SpareMemory?

  /// The weights of a block's last product. It adds to the residual stream if nothing comes between.
  func blockOutput(_ index: Int) throws(ModelError) -> PackedWeights {
    try linear([index], addsToResidual: plan.configuration.addsBlocksDirectly)
  }

  func linear(_ indices: [Int], addsToResidual: Bool = false) throws(ModelError) -> PackedWeights {
    let columns = plan.layout.tensors[indices[0]].shape[1]
    let weights = joined(indices.map { plan.layout.tensors[$0] }, of: parameters).rows(of: columns)
    return try multiplying { () throws(MultiplicationError) in
      try PackedWeights(
        weights, type: plan.type, accumulates: addsToResidual, isForTraining: forTraining, team: team, spare: spare)
    }
  }
}
