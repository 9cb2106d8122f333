// ModelConfiguration: the shape of a decoder-only transformer, and the place of each weight in the parameter array.
//
// One architecture with switches covers Qwen2/2.5, Llama 3, Qwen3 and Mistral: RMSNorm, rotary positions, grouped-query
// attention, SwiGLU. All parameters of a model are in one flat array, in the order of `ParameterLayout`. So the
// optimizer, the all-reduce, hashes and checkpoints do not have to know layers.
// Not here: reading config.json (HuggingFace/), the arithmetic (Transformer.swift).

package import Tensors

/// Letters: C hidden size, F feed-forward size, H query heads, G key/value heads, D head dimension, V vocabulary.
package struct ModelConfiguration: Sendable, Hashable {
  package enum Family: String, Sendable, Hashable, CaseIterable {
    case qwen2, llama, qwen3, mistral
  }

  package var family: Family
  package var vocabularySize: Int  // V
  package var hiddenSize: Int  // C
  package var feedForwardSize: Int  // F
  package var layerCount: Int
  package var headCount: Int  // H
  package var keyValueHeadCount: Int  // G
  package var headDimension: Int  // D
  package var normEpsilon: Float
  package var ropeTheta: Float
  package var ropeScaling: RotaryScaling?
  package var maxPositions: Int
  /// The output head is the embedding matrix.
  package var hasTiedEmbeddings: Bool
  /// q, k and v projections have biases (Qwen2).
  package var hasAttentionBias: Bool
  /// q and k are RMS-normalised per head (Qwen3).
  package var hasQueryKeyNorm: Bool

  package init(
    family: Family, vocabularySize: Int, hiddenSize: Int, feedForwardSize: Int, layerCount: Int, headCount: Int,
    keyValueHeadCount: Int, headDimension: Int, normEpsilon: Float = 1e-6, ropeTheta: Float = 10000,
    ropeScaling: RotaryScaling? = nil, maxPositions: Int, hasTiedEmbeddings: Bool, hasAttentionBias: Bool,
    hasQueryKeyNorm: Bool
  ) {
    self.family = family
    self.vocabularySize = vocabularySize
    self.hiddenSize = hiddenSize
    self.feedForwardSize = feedForwardSize
    self.layerCount = layerCount
    self.headCount = headCount
    self.keyValueHeadCount = keyValueHeadCount
    self.headDimension = headDimension
    self.normEpsilon = normEpsilon
    self.ropeTheta = ropeTheta
    self.ropeScaling = ropeScaling
    self.maxPositions = maxPositions
    self.hasTiedEmbeddings = hasTiedEmbeddings
    self.hasAttentionBias = hasAttentionBias
    self.hasQueryKeyNorm = hasQueryKeyNorm
  }
}

/// One weight tensor: its Hugging Face name, its shape, and its place in the flat parameter array.
package struct ParameterTensor: Sendable, Hashable {
  package var name: String
  /// [rows, columns] for a matrix (output features first), [n] for a vector.
  package var shape: [Int]
  package var offset: Int
  package var count: Int { shape.reduce(1, *) }
  package var range: Range<Int> { offset..<offset + count }
}

/// The order of all parameters of a model in its flat array. A tied head has no tensor of its own.
package struct ParameterLayout: Sendable, Hashable {
  /// Tensors of one layer, as indices into `tensors`.
  package struct Layer: Sendable, Hashable {
    package var inputNorm: Int
    package var query: Int, key: Int, value: Int
    package var queryBias: Int?, keyBias: Int?, valueBias: Int?
    package var queryNorm: Int?, keyNorm: Int?
    package var attentionOutput: Int
    package var feedForwardNorm: Int
    package var gate: Int, up: Int, down: Int
  }

  package private(set) var tensors: [ParameterTensor] = []
  package private(set) var count = 0
  package let embedding: Int
  static let embeddingName = "model.embed_tokens.weight"
  package let layers: [Layer]
  package let finalNorm: Int
  /// The output head; if it is tied to the embedding, this is the embedding.
  package let head: Int

  package init(_ c: ModelConfiguration) {
    var tensors: [ParameterTensor] = []
    var count = 0
    func add(_ name: String, _ shape: [Int]) -> Int {
      tensors.append(ParameterTensor(name: name, shape: shape, offset: count))
      count += shape.reduce(1, *)
      return tensors.count - 1
    }
    let queryWidth = c.headCount * c.headDimension
    let keyWidth = c.keyValueHeadCount * c.headDimension
    embedding = add(Self.embeddingName, [c.vocabularySize, c.hiddenSize])
    var layers: [Layer] = []
    for index in 0..<c.layerCount {
      let prefix = "model.layers.\(index)."
      func optional(_ isPresent: Bool, _ name: String, _ width: Int) -> Int? {
        isPresent ? add(prefix + name, [width]) : nil
      }
      let inputNorm = add(prefix + "input_layernorm.weight", [c.hiddenSize])
      let query = add(prefix + "self_attn.q_proj.weight", [queryWidth, c.hiddenSize])
      let queryBias = optional(c.hasAttentionBias, "self_attn.q_proj.bias", queryWidth)
      let key = add(prefix + "self_attn.k_proj.weight", [keyWidth, c.hiddenSize])
      let keyBias = optional(c.hasAttentionBias, "self_attn.k_proj.bias", keyWidth)
      let value = add(prefix + "self_attn.v_proj.weight", [keyWidth, c.hiddenSize])
      let valueBias = optional(c.hasAttentionBias, "self_attn.v_proj.bias", keyWidth)
      let queryNorm = optional(c.hasQueryKeyNorm, "self_attn.q_norm.weight", c.headDimension)
      let keyNorm = optional(c.hasQueryKeyNorm, "self_attn.k_norm.weight", c.headDimension)
      layers.append(
        Layer(
          inputNorm: inputNorm, query: query, key: key, value: value, queryBias: queryBias, keyBias: keyBias,
          valueBias: valueBias, queryNorm: queryNorm, keyNorm: keyNorm,
          attentionOutput: add(prefix + "self_attn.o_proj.weight", [c.hiddenSize, queryWidth]),
          feedForwardNorm: add(prefix + "post_attention_layernorm.weight", [c.hiddenSize]),
          gate: add(prefix + "mlp.gate_proj.weight", [c.feedForwardSize, c.hiddenSize]),
          up: add(prefix + "mlp.up_proj.weight", [c.feedForwardSize, c.hiddenSize]),
          down: add(prefix + "mlp.down_proj.weight", [c.hiddenSize, c.feedForwardSize])))
    }
    self.layers = layers
    finalNorm = add("model.norm.weight", [c.hiddenSize])
    head = c.hasTiedEmbeddings ? embedding : add("lm_head.weight", [c.vocabularySize, c.hiddenSize])
    self.tensors = tensors
    self.count = count
  }
}
