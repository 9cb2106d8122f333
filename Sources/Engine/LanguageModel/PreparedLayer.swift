// PreparedLayer: one layer's weights, ready to run.
//
// Matrices that are multiplied with the same input are fused into one.

import Base
import Tensors

struct PreparedLayer: Sendable {
  let mixerNorms: BlockNorms<Floats>
  var mixer: PreparedMixer
  let feedForwardNorms: BlockNorms<Floats>
  /// gate|up are fused; `down` is a block's output.
  var gateUp, down: LinearWeights

  init(
    _ index: Int, plan: TransformerPlan, parameters: ParameterSource, team: Team?, spare: SpareMemory?
  ) {
    let layer = plan.layout.layers[index]
    let source = LayerSource(plan: plan, parameters: parameters, team: team, spare: spare)
    mixerNorms = layer.mixerNorms.map { normWeight($0, plan: plan, parameters) }
    feedForwardNorms = layer.feedForwardNorms.map { normWeight($0, plan: plan, parameters) }
    mixer =
      switch layer.mixer {
      case .attention(let names): .attention(PreparedAttention(names, layer: index, source))
      case .deltaRule(let names): .deltaRule(PreparedDeltaRule(names, source))
      }
    gateUp = source.linear([layer.gate, layer.up])
    down = source.blockOutput(layer.down)
  }
}

/// The part of a layer that mixes positions.
enum PreparedMixer: Sendable {
  case attention(PreparedAttention)
  case deltaRule(PreparedDeltaRule)

  /// The fused projections.
  var input: LinearWeights {
    switch self {
    case .attention(let weights): weights.queryKeyValue
    case .deltaRule(let weights): weights.projection
    }
  }

  var output: LinearWeights {
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
  var queryKeyValue, output: LinearWeights

  fileprivate init(_ names: ParameterLayout.Attention, layer: Int, _ source: LayerSource) {
    let (plan, parameters) = (source.plan, source.parameters)
    if case .attention(let reach) = plan.configuration.layerKinds[layer] { window = reach.window } else { window = nil }
    let biases = [names.queryBias, names.keyBias, names.valueBias].compactMap { $0 }
    finish = QueryKeyValueFinish(
      bias: biases.isEmpty ? nil : rounded(biases, plan: plan, parameters),
      queryNorm: names.queryNorm.map { normWeight($0, plan: plan, parameters) },
      keyNorm: names.keyNorm.map { normWeight($0, plan: plan, parameters) },
      normEpsilon: plan.configuration.normEpsilon, queryScale: plan.configuration.attentionScale,
      rotary: plan.rotary.byLayer[layer])
    queryKeyValue = source.linear([names.query, names.key, names.value])
    output = source.blockOutput(names.output)
  }
}

struct PreparedDeltaRule: Sendable {
  let heads: DeltaHeads
  let weights: DeltaWeights
  /// [V] the norm of each value head's result. Its weight is not zero-centred in any model.
  let norm: Floats
  /// q|k|v|z|b|a are fused; `output` is a block's output.
  var projection, output: LinearWeights

  fileprivate init(_ names: ParameterLayout.DeltaRule, _ source: LayerSource) {
    let (plan, parameters) = (source.plan, source.parameters)
    guard let heads = plan.configuration.deltaHeads else { preconditionFailure("the layer has no heads") }
    self.heads = heads
    weights = DeltaWeights(
      heads, convolution: rounded([names.convolution], plan: plan, parameters),
      decayLog: rounded([names.decayLog], plan: plan, parameters),
      stepBias: rounded([names.stepBias], plan: plan, parameters))
    norm = rounded([names.norm], plan: plan, parameters)
    projection = source.linear(names.projections)
    output = source.blockOutput(names.output)
  }
}

/// Where a layer's weights are taken from, and for what.
private struct LayerSource {
  let plan: TransformerPlan
  let parameters: ParameterSource
  let team: Team?
  let spare: SpareMemory?

  /// The weights of a block's last product. It adds to the residual stream if nothing comes between.
  func blockOutput(_ index: Int) -> LinearWeights {
    linear([index], addsToResidual: plan.configuration.addsBlocksDirectly)
  }

  func linear(_ indices: [Int], addsToResidual: Bool = false) -> LinearWeights {
    let tensors = indices.map { plan.layout.tensors[$0] }
    let packed = PackedWeights(
      outputs: tensors.reduce(0) { $0 + $1.shape[0] }, inputs: tensors[0].shape[1], type: plan.type,
      accumulates: addsToResidual, team: team, spare: spare
    ) { rows in parameters.rows(rows, of: tensors) }
    return LinearWeights(packed)
  }
}
