// ModelConfiguration: the shape of a decoder-only transformer.
//
// One architecture with switches covers Qwen2/2.5, Llama 3, Qwen3 and Mistral: RMSNorm, rotary positions, grouped-query
// attention, SwiGLU. In Qwen3.5, most layers have linear attention in place of attention (`LayerKind`).
// Not here: the place of each weight (ParameterLayout.swift), reading config.json (HuggingFace/), the arithmetic
// (Transformer.swift).

package import Tensors

/// Letters: C hidden size, F feed-forward size, H query heads, G key/value heads, D head dimension, V vocabulary.
package struct ModelConfiguration: Sendable, Hashable {
  package enum Family: String, Sendable, Hashable, CaseIterable {
    case qwen2, llama, qwen3, mistral
    case qwen35 = "qwen3_5_text"
  }

  /// How a layer mixes the positions of a sequence.
  package enum LayerKind: Sendable, Hashable, CaseIterable {
    /// Softmax attention over all earlier positions.
    case attention
    /// Linear attention by the gated delta rule: a state of fixed size that every token changes.
    case deltaRule
  }

  package var family: Family
  package var vocabularySize: Int  // V
  package var hiddenSize: Int  // C
  package var feedForwardSize: Int  // F
  package var layerCount: Int { layerKinds.count }
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
  /// How many of a head's first dimensions are rotated; the others do not depend on the position.
  package var rotatedDimension: Int
  /// Attention's result is multiplied with sigmoid gates, which the query projection computes too.
  package var hasOutputGates: Bool
  /// The weight of a norm is 1 + what is stored, except in `deltaRule` layers.
  package var hasZeroCentredNorms: Bool
  /// By layer.
  package var layerKinds: [LayerKind]
  /// The heads of `deltaRule` layers; nil if there are none.
  package var deltaHeads: DeltaHeads?

  package init(
    family: Family, vocabularySize: Int, hiddenSize: Int, feedForwardSize: Int, layerCount: Int, headCount: Int,
    keyValueHeadCount: Int, headDimension: Int, normEpsilon: Float = 1e-6, ropeTheta: Float = 10000,
    ropeScaling: RotaryScaling? = nil, maxPositions: Int, hasTiedEmbeddings: Bool, hasAttentionBias: Bool,
    hasQueryKeyNorm: Bool, rotatedDimension: Int? = nil, hasOutputGates: Bool = false,
    hasZeroCentredNorms: Bool = false, layerKinds: [LayerKind]? = nil, deltaHeads: DeltaHeads? = nil
  ) {
    self.family = family
    self.vocabularySize = vocabularySize
    self.hiddenSize = hiddenSize
    self.feedForwardSize = feedForwardSize
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
    self.rotatedDimension = rotatedDimension ?? headDimension
    self.hasOutputGates = hasOutputGates
    self.hasZeroCentredNorms = hasZeroCentredNorms
    self.layerKinds = layerKinds ?? Array(repeating: .attention, count: layerCount)
    self.deltaHeads = deltaHeads
  }
}

extension ModelConfiguration {
  package var heads: Heads {
    Heads(query: headCount, keyValue: keyValueHeadCount, dimension: headDimension, hasGates: hasOutputGates)
  }

  /// The widest row of projections that a layer mixes, and the widest result.
  var projectedWidthMax: Int { max(heads.width, deltaHeads?.width ?? 0) }
  var mixedWidthMax: Int { max(heads.queryWidth, deltaHeads?.valueWidth ?? 0) }
}
