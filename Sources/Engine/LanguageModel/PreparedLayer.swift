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

  init(_ index: Int, _ source: WeightSource) {
    let layer = source.plan.layout.layers[index]
    source.begin(source.plan.piece(ofLayer: index))
    mixerNorms = layer.mixerNorms.map(source.norm)
    feedForwardNorms = layer.feedForwardNorms.map(source.norm)
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

  fileprivate init(_ names: ParameterLayout.Attention, layer: Int, _ source: WeightSource) {
    let plan = source.plan
    if case .attention(let reach) = plan.configuration.layerKinds[layer] { window = reach.window } else { window = nil }
    let biases = [names.queryBias, names.keyBias, names.valueBias].compactMap { $0 }
    finish = QueryKeyValueFinish(
      bias: biases.isEmpty ? nil : source.values(biases),
      queryNorm: names.queryNorm.map(source.norm), keyNorm: names.keyNorm.map(source.norm),
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

  fileprivate init(_ names: ParameterLayout.DeltaRule, _ source: WeightSource) {
    guard let heads = source.plan.configuration.deltaHeads else { preconditionFailure("the layer has no heads") }
    self.heads = heads
    weights = DeltaWeights(
      heads, convolution: source.values([names.convolution]), decayLog: source.values([names.decayLog]),
      stepBias: source.values([names.stepBias]))
    norm = source.values([names.norm])
    projection = source.linear(names.projections)
    output = source.blockOutput(names.output)
  }
}

/// What comes before and after the layers.
struct PreparedEnds: Sendable {
  let finalNorm: Floats
  let head: PackedWeights
  /// [V, C] the same as the head if they are tied, so that its weights are stored once.
  let embedding: PackedWeights

  init(_ source: WeightSource) {
    let plan = source.plan
    finalNorm = source.finalNorm()
    head = source.rowsOfTokens(plan.layout.head)
    embedding = plan.isTied ? head : source.rowsOfTokens(plan.layout.embedding)
  }

  private init(finalNorm: Floats, head: PackedWeights, embedding: PackedWeights) {
    (self.finalNorm, self.head, self.embedding) = (finalNorm, head, embedding)
  }

  /// The same with another head.
  func with(head: PackedWeights) -> PreparedEnds {
    PreparedEnds(finalNorm: finalNorm, head: head, embedding: embedding)
  }

  /// What is multiplied or unpacked, once each.
  var packed: [PackedWeights] { embedding === head ? [head] : [head, embedding] }
}

extension PackedWeights {
  /// The value head of a critic with an adapter.
  ///
  /// - Parameters:
  ///   - head: its place among the trained parameters.
  ///   - plan: the critic's.
  ///   - parameters: those of the head.
  convenience init(valueHead head: Range<Int>, of plan: TransformerPlan, _ parameters: ParameterSource) {
    self.init(outputs: 1, inputs: head.count, type: plan.type, team: nil, spare: nil) { _ in
      parameters.values(head).rows(of: head.count)
    }
  }
}
