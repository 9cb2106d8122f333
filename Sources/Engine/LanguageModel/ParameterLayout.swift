// ParameterLayout: the place of each weight in the parameter array.
//
// All parameters of a model are in one flat array. So the optimizer, the all-reduce, hashes and checkpoints do not have
// to know layers. The projections that read the same input are neighbours, so that they can be multiplied as one.
// Not here: how a checkpoint names its tensors if not like this (HuggingFace/CheckpointNames.swift).

import Tensors

/// One weight tensor: its Hugging Face name, its shape, and its place in the flat parameter array.
package struct ParameterTensor: Sendable, Hashable {
  package var name: String
  /// [rows, columns] for a matrix (output features first), [n] for a vector, [channels, 1, taps] for a convolution.
  package var shape: [Int]
  package var offset: Int
  package var count: Int { shape.reduce(1, *) }
  package var range: Range<Int> { offset..<offset + count }
}

/// The tensors of a flat array, in its order, as files have them. What trains, sums, hashes or publishes an array needs
/// no more.
package struct TensorLayout: Sendable, Hashable {
  package let stored: [ParameterTensor]
  package let count: Int

  package init(stored: [ParameterTensor], count: Int) {
    self.stored = stored
    self.count = count
  }
}

/// The order of all parameters of a model in its flat array. A tied head has no tensor of its own.
package struct ParameterLayout: Sendable, Hashable {
  /// Tensors of one layer, as indices into `tensors`.
  package struct Layer: Sendable, Hashable {
    /// Where the layer's tensors begin in the flat array.
    package var offset: Int
    /// Of the block that mixes positions.
    package var mixerNorms: BlockNorms<Int>
    package var mixer: Mixer
    package var feedForwardNorms: BlockNorms<Int>
    package var gate: Int, up: Int, down: Int

    /// Those that are not the matrices of linear layers.
    var plainTensors: [Int] {
      let norms = [mixerNorms.before, mixerNorms.after, feedForwardNorms.before, feedForwardNorms.after]
      switch mixer {
      case .attention(let names):
        return
          (norms + [names.queryBias, names.keyBias, names.valueBias, names.queryNorm, names.keyNorm]).compactMap { $0 }
      case .deltaRule(let names):
        return norms.compactMap { $0 } + [names.convolution, names.decayLog, names.stepBias, names.norm]
      }
    }
  }

  package enum Mixer: Sendable, Hashable {
    case attention(Attention)
    case deltaRule(DeltaRule)

    /// The matrix that writes to the residual stream.
    package var output: Int {
      switch self {
      case .attention(let attention): attention.output
      case .deltaRule(let rule): rule.output
      }
    }
  }

  package struct Attention: Sendable, Hashable {
    package var query: Int, key: Int, value: Int
    package var queryBias: Int?, keyBias: Int?, valueBias: Int?
    package var queryNorm: Int?, keyNorm: Int?
    package var output: Int
  }

  package struct DeltaRule: Sendable, Hashable {
    /// q|k|v, the output gates z, and the inputs of the rule's strength (b) and decay (a).
    package var queryKeyValue: Int, outputGate: Int, strength: Int, decay: Int
    package var convolution: Int
    package var decayLog: Int, stepBias: Int
    package var norm: Int
    package var output: Int

    package var projections: [Int] { [queryKeyValue, outputGate, strength, decay] }
  }

  let names: CheckpointNames
  /// The tensors as files have them: some neighbours are one.
  package let stored: [ParameterTensor]
  package private(set) var tensors: [ParameterTensor] = []
  package private(set) var count = 0
  package var flat: TensorLayout { TensorLayout(stored: stored, count: count) }
  package let embedding: Int
  static let embeddingName = "model.embed_tokens.weight"
  package let layers: [Layer]
  package let finalNorm: Int
  /// The output head; if it is tied to the embedding, this is the embedding. Of a critic, the value head.
  package let head: Int
  static let valueHeadName = "score.weight"

  /// - Parameters:
  ///   - c: the model.
  ///   - hasValueHead: whether the head gives one number instead of one per token: a critic.
  package init(_ c: ModelConfiguration, hasValueHead: Bool = false) {
    var list = TensorList()
    names = CheckpointNames(c.family)
    embedding = list.add(Self.embeddingName, [c.vocabularySize, c.hiddenSize])
    var layers: [Layer] = []
    for (index, kind) in c.layerKinds.enumerated() {
      list.prefix = "model.layers.\(index)."
      let offset = list.count
      let inputNorm = list.norm(c, c.normPlacement.isBefore, "input_layernorm")
      let mixer: Mixer =
        switch kind {
        case .attention: .attention(list.attention(c))
        case .deltaRule: .deltaRule(list.deltaRule(c))
        }
      let mixerNorms = BlockNorms(
        before: inputNorm, after: list.norm(c, c.normPlacement.isAfter, "post_attention_layernorm"))
      // Where norms are only before the blocks, this one is named after the block before it.
      let feedForwardNorm = list.norm(
        c, c.normPlacement.isBefore,
        c.normPlacement == .before ? "post_attention_layernorm" : "pre_feedforward_layernorm")
      let gate = list.add("mlp.gate_proj.weight", [c.feedForwardSize, c.hiddenSize])
      let up = list.add("mlp.up_proj.weight", [c.feedForwardSize, c.hiddenSize])
      let down = list.add("mlp.down_proj.weight", [c.hiddenSize, c.feedForwardSize])
      let feedForwardNorms = BlockNorms(
        before: feedForwardNorm, after: list.norm(c, c.normPlacement.isAfter, "post_feedforward_layernorm"))
      layers.append(
        Layer(
          offset: offset, mixerNorms: mixerNorms, mixer: mixer, feedForwardNorms: feedForwardNorms, gate: gate, up: up,
          down: down))
    }
    self.layers = layers
    list.prefix = ""
    finalNorm = list.add("model.norm.weight", [c.hiddenSize])
    if hasValueHead {
      head = list.add(Self.valueHeadName, [1, c.hiddenSize])
    } else {
      head = c.hasTiedEmbeddings ? embedding : list.add("lm_head.weight", [c.vocabularySize, c.hiddenSize])
    }
    tensors = list.tensors
    stored = names.stored(list.tensors)
    count = list.count
  }
}

/// The norms of a block: of what it reads, and of what it computes. At least one is there.
package struct BlockNorms<Norm> {
  package var before: Norm?
  package var after: Norm?

  func map<Other>(_ transform: (Norm) -> Other) -> BlockNorms<Other> {
    BlockNorms<Other>(before: before.map(transform), after: after.map(transform))
  }
}

extension BlockNorms: Sendable where Norm: Sendable {}
extension BlockNorms: Equatable where Norm: Equatable {}
extension BlockNorms: Hashable where Norm: Hashable {}

/// The tensors so far.
private struct TensorList {
  var tensors: [ParameterTensor] = []
  var count = 0
  /// The beginning of the names of the next tensors.
  var prefix = ""

  mutating func add(_ name: String, _ shape: [Int]) -> Int {
    tensors.append(ParameterTensor(name: prefix + name, shape: shape, offset: count))
    count += shape.reduce(1, *)
    return tensors.count - 1
  }

  mutating func norm(_ c: ModelConfiguration, _ isThere: Bool, _ name: String) -> Int? {
    isThere ? add("\(name).weight", [c.hiddenSize]) : nil
  }

  mutating func attention(_ c: ModelConfiguration) -> ParameterLayout.Attention {
    let width = c.headCount * c.headDimension
    let keyWidth = c.keyValueHeadCount * c.headDimension
    let queryWidth = c.hasOutputGates ? 2 * width : width
    let query = add("self_attn.q_proj.weight", [queryWidth, c.hiddenSize])
    let queryBias = c.hasAttentionBias ? add("self_attn.q_proj.bias", [queryWidth]) : nil
    let key = add("self_attn.k_proj.weight", [keyWidth, c.hiddenSize])
    let keyBias = c.hasAttentionBias ? add("self_attn.k_proj.bias", [keyWidth]) : nil
    let value = add("self_attn.v_proj.weight", [keyWidth, c.hiddenSize])
    let valueBias = c.hasAttentionBias ? add("self_attn.v_proj.bias", [keyWidth]) : nil
    let normWidths: (query: Int, key: Int)? =
      switch c.queryKeyNorm {
      case nil: nil
      case .head: (c.headDimension, c.headDimension)
      case .allHeads: (width, keyWidth)
      }
    let queryNorm = normWidths.map { add("self_attn.q_norm.weight", [$0.query]) }
    let keyNorm = normWidths.map { add("self_attn.k_norm.weight", [$0.key]) }
    return ParameterLayout.Attention(
      query: query, key: key, value: value, queryBias: queryBias, keyBias: keyBias, valueBias: valueBias,
      queryNorm: queryNorm, keyNorm: keyNorm, output: add("self_attn.o_proj.weight", [c.hiddenSize, width]))
  }

  mutating func deltaRule(_ c: ModelConfiguration) -> ParameterLayout.DeltaRule {
    guard let heads = c.deltaHeads else { preconditionFailure("a layer of linear attention needs heads") }
    return ParameterLayout.DeltaRule(
      queryKeyValue: add("linear_attn.in_proj_qkv.weight", [heads.convolvedWidth, c.hiddenSize]),
      outputGate: add("linear_attn.in_proj_z.weight", [heads.valueWidth, c.hiddenSize]),
      strength: add("linear_attn.in_proj_b.weight", [heads.value, c.hiddenSize]),
      decay: add("linear_attn.in_proj_a.weight", [heads.value, c.hiddenSize]),
      convolution: add("linear_attn.conv1d.weight", [heads.convolvedWidth, 1, DeltaHeads.convolutionTaps]),
      decayLog: add("linear_attn.A_log", [heads.value]), stepBias: add("linear_attn.dt_bias", [heads.value]),
      norm: add("linear_attn.norm.weight", [heads.valueDimension]),
      output: add("linear_attn.out_proj.weight", [c.hiddenSize, heads.valueWidth]))
  }
}
