// ModelConfiguration: the shape of a decoder-only transformer.
//
// One architecture with switches covers all families: RMSNorm, rotary positions, grouped-query attention, a
// feed-forward block with gates. Layers differ in what mixes positions (`LayerKind`): in Qwen3.5, most have linear
// attention in place of attention; in other families, some see a window of positions only, or do not know the distance.
// Blocks differ in where their norms are, and in what is multiplied with what.
// Not here: the place of each weight (ParameterLayout.swift), reading config.json (HuggingFace/), the arithmetic
// (Transformer.swift).

package import Base
package import Tensors

/// Letters: C hidden size, F feed-forward size, H query heads, G key/value heads, D head dimension, V vocabulary.
package struct ModelConfiguration: Sendable, Hashable {
  package enum Family: String, Sendable, Hashable, CaseIterable {
    case qwen2, llama, qwen3, mistral
    case qwen35 = "qwen3_5_text"
    case phi3
    case smolLM3 = "smollm3"
    case ministral, ministral3
    case granite, olmo2, olmo3
    case gemma3 = "gemma3_text"
  }

  /// How a layer mixes the positions of a sequence.
  package enum LayerKind: Sendable, Hashable {
    /// Softmax attention over earlier positions.
    case attention(Reach)
    /// Linear attention by the gated delta rule: a state of fixed size that every token changes.
    case deltaRule

    package var isAttention: Bool { self != .deltaRule }
  }

  /// Which positions a layer's attention sees, and whether it can tell how far away they are.
  package struct Reach: Sendable, Hashable {
    /// How many positions a query sees, its own included; nil: all up to its own.
    package var window: Int?
    /// False: queries and keys are not rotated (NoPE).
    package var isRotated: Bool

    package init(window: Int? = nil, isRotated: Bool = true) {
      self.window = window
      self.isRotated = isRotated
    }

    /// All earlier positions, with their distances.
    package static let whole = Reach()
  }

  /// The frequencies of rotary positions.
  package struct Rotary: Sendable, Hashable {
    package var theta: Float
    package var scaling: RotaryScaling?

    package init(theta: Float, scaling: RotaryScaling? = nil) {
      self.theta = theta
      self.scaling = scaling
    }
  }

  /// What the norms of queries and keys are over.
  package enum QueryKeyNorm: Sendable, Hashable {
    /// Each head (Qwen3).
    case head
    /// All heads of the queries, or of the keys, together (OLMo 2).
    case allHeads
  }

  /// Where a layer's two blocks (what mixes positions, and feed-forward) have norms.
  package enum NormPlacement: Sendable, Hashable {
    /// On what a block reads: x + block(norm(x)).
    case before
    /// On what a block computes: x + norm(block(x)) (OLMo 2).
    case after
    /// Both: x + norm(block(norm(x))) (Gemma 3).
    case both

    var isBefore: Bool { self != .after }
    var isAfter: Bool { self != .before }
  }

  /// What embeddings are multiplied with.
  package enum EmbeddingScale: Sendable, Hashable {
    case factor(Float)
    /// √C, rounded to the model's type (Gemma).
    case rootOfWidth
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
  /// The positions of layers with a window, where they differ from those of the other layers.
  package var windowRotary: Rotary?
  /// Queries grow with their position (Ministral 3).
  package var queryScaling: QueryScaling?
  package var maxPositions: Int
  /// The output head is the embedding matrix.
  package var hasTiedEmbeddings: Bool
  /// q, k and v projections have biases (Qwen2).
  package var hasAttentionBias: Bool
  /// q and k are RMS-normalised; nil: they are not.
  package var queryKeyNorm: QueryKeyNorm?
  /// How many of a head's first dimensions are rotated; the others do not depend on the position.
  package var rotatedDimension: Int
  /// Attention's result is multiplied with sigmoid gates, which the query projection computes too.
  package var hasOutputGates: Bool
  /// The weight of a norm is 1 + what is stored, except in `deltaRule` layers.
  package var hasZeroCentredNorms: Bool
  package var normPlacement = NormPlacement.before
  package var gateActivation = GateActivation.silu
  package var embeddingScale = EmbeddingScale.factor(1)
  /// What attention's scores are multiplied with; nil: 1/√D.
  package var attentionScale: Float?
  /// What a block computes is multiplied with this before it is added to the residual stream.
  package var residualScale: Float = 1
  /// Logits are divided by this.
  package var logitDivisor: Float = 1
  /// By layer.
  package var layerKinds: [LayerKind]
  /// The heads of `deltaRule` layers; nil if there are none.
  package var deltaHeads: DeltaHeads?

  package init(
    family: Family, vocabularySize: Int, hiddenSize: Int, feedForwardSize: Int, layerCount: Int, headCount: Int,
    keyValueHeadCount: Int, headDimension: Int, normEpsilon: Float = 1e-6, ropeTheta: Float = 10000,
    ropeScaling: RotaryScaling? = nil, maxPositions: Int, hasTiedEmbeddings: Bool, hasAttentionBias: Bool,
    queryKeyNorm: QueryKeyNorm? = nil, rotatedDimension: Int? = nil, hasOutputGates: Bool = false,
    hasZeroCentredNorms: Bool = false, layerKinds: [LayerKind]? = nil, deltaHeads: DeltaHeads? = nil,
    windowRotary: Rotary? = nil, queryScaling: QueryScaling? = nil
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
    self.queryKeyNorm = queryKeyNorm
    self.rotatedDimension = rotatedDimension ?? headDimension
    self.hasOutputGates = hasOutputGates
    self.hasZeroCentredNorms = hasZeroCentredNorms
    self.layerKinds = layerKinds ?? Array(repeating: .attention(.whole), count: layerCount)
    self.deltaHeads = deltaHeads
    self.windowRotary = windowRotary
    self.queryScaling = queryScaling
  }
}

extension ModelConfiguration {
  /// The heads, for what does not concern pages.
  package var heads: Heads { heads(pageType: .float32) }

  /// - Parameter type: of keys and values in pages.
  package func heads(pageType type: DataType) -> Heads {
    Heads(
      query: headCount, keyValue: keyValueHeadCount, dimension: headDimension, hasGates: hasOutputGates, pageType: type)
  }

  /// Why the model has fewer positions than its config.json says; nil if it has as many.
  package var contextNote: String? {
    guard case .longRoPE(let scaling) = ropeScaling, scaling.longMaxPositions > maxPositions else { return nil }
    return
      "the model has positions for \(maxPositions) tokens, not for \(scaling.longMaxPositions): for a longer text, "
      + "longrope would use long_factor from the first token on, so that what a token computes would depend on how "
      + "long its text becomes"
  }

  package var attentionLayerCount: Int { layerKinds.count(where: \.isAttention) }

  /// How many positions attention sees from a query with `context` positions before it, summed over the layers.
  package func keysSeen(after context: Double) -> Double {
    layerKinds.reduce(0) { sum, kind in
      guard case .attention(let reach) = kind else { return sum }
      return sum + min(context, reach.window.map(Double.init) ?? context)
    }
  }

  /// Whether what a block computes is added to the residual stream as it is.
  var addsBlocksDirectly: Bool { normPlacement == .before && residualScale == 1 }

  /// What embeddings are multiplied with in a model of this type.
  func embeddingFactor(_ type: DataType) -> Float {
    switch (embeddingScale, type) {
    case (.factor(let factor), _): factor
    case (.rootOfWidth, .float32): Float(Double(hiddenSize).squareRoot())
    case (.rootOfWidth, .bfloat16): nearestBFloat16(Float(Double(hiddenSize).squareRoot()))
    }
  }

  private func nearestBFloat16(_ value: Float) -> Float {
    let rounded = Floats(count: 1)
    Kernels.best.roundToBFloat16(Floats([value]), into: rounded)
    return rounded[0]
  }

  /// The widest row of projections that a layer mixes, and the widest result.
  var projectedWidthMax: Int { max(heads.width, deltaHeads?.width ?? 0) }
  var mixedWidthMax: Int { max(heads.queryWidth, deltaHeads?.valueWidth ?? 0) }
}
