// Heads: the shape of an attention layer, and what is done to its queries, keys and values.

package import Base
import CKernels

/// The heads of an attention layer: H query heads share G key/value heads; a head has D dimensions.
package struct Heads: Sendable, Hashable {
  package let query: Int
  package let keyValue: Int
  package let dimension: Int
  /// In a row, each query is followed by its output gate: q₀|g₀|q₁|g₁|…|k|v.
  package let hasGates: Bool
  /// The type of keys and values in pages. In bfloat16 they are rounded, also where the trainer keeps them.
  package let pageType: DataType

  package init(
    query: Int, keyValue: Int, dimension: Int, hasGates: Bool = false, pageType: DataType = .float32
  ) {
    precondition(keyValue > 0 && query % keyValue == 0, "\(query) query heads cannot share \(keyValue) key heads")
    precondition(dimension > 0 && dimension % 2 == 0, "a head of \(dimension) dimensions cannot be rotated in pairs")
    self.query = query
    self.keyValue = keyValue
    self.dimension = dimension
    self.hasGates = hasGates
    self.pageType = pageType
  }

  /// W: the width of a row q|k|v.
  package var width: Int { ((hasGates ? 2 : 1) * query + 2 * keyValue) * dimension }
  package var queryWidth: Int { query * dimension }
  package var keyWidth: Int { keyValue * dimension }
  /// Floats of one layer in a key/value page. In bfloat16 each has two values.
  package var pageFloats: Int { keyValue * 16 * (pageKeyRows + pageValueStride) }
  /// In a page and of one head: how many rows of 16 floats the keys have, and the floats of one position's value.
  var pageKeyRows: Int { pageType == .bfloat16 ? dimension / 2 : dimension }
  var pageValueStride: Int {
    pageType == .bfloat16 ? (dimension + 31) / 32 * 16 : (dimension + 15) / 16 * 16
  }

  var c: ttrl_heads {
    ttrl_heads(
      heads: Int32(query), groups: Int32(keyValue), dimension: Int32(dimension), has_gates: hasGates,
      has_bf16_pages: pageType == .bfloat16)
  }
}

/// What turns a row of the q|k|v product into rotated queries and keys.
package struct QueryKeyValueFinish: Sendable {
  package var bias: Floats?
  /// As wide as a head, or as all heads together. Both norms are of the same kind.
  package var queryNorm: Floats?
  package var keyNorm: Floats?
  package var normEpsilon: Float
  /// What the queries are multiplied with; nil: 1/√D.
  package var queryScale: Float?
  package var rotary: RotaryTable

  package init(
    bias: Floats?, queryNorm: Floats?, keyNorm: Floats?, normEpsilon: Float, queryScale: Float? = nil,
    rotary: RotaryTable
  ) {
    self.bias = bias
    self.queryNorm = queryNorm
    self.keyNorm = keyNorm
    self.normEpsilon = normEpsilon
    self.queryScale = queryScale
    self.rotary = rotary
  }

  /// Whether the norms are over all heads of a row together.
  func normsAllHeads(_ heads: Heads) -> Bool {
    guard let queryNorm, let keyNorm else { return false }
    // With one head of each kind, both kinds are the same.
    return queryNorm.count != heads.dimension || keyNorm.count != heads.dimension
  }

  func c(_ heads: Heads) -> ttrl_qkv_finish {
    precondition(bias.map { $0.count == heads.width } ?? true, "a q|k|v bias must have \(heads.width) values")
    let widths = normsAllHeads(heads) ? [heads.queryWidth, heads.keyWidth] : [heads.dimension, heads.dimension]
    precondition(
      (queryNorm == nil) == (keyNorm == nil) && [queryNorm?.count ?? widths[0], keyNorm?.count ?? widths[1]] == widths,
      "the norms of queries and keys must be as wide as a head, or as all heads")
    precondition(!normsAllHeads(heads) || !heads.hasGates, "queries with gates between them have norms of their own")
    precondition(rotary.cosines.columns * 2 <= heads.dimension, "the rotary table is for wider heads")
    return ttrl_qkv_finish(
      bias: bias?.base, query_norm: queryNorm?.base, key_norm: keyNorm?.base,
      norms_all_heads: normsAllHeads(heads), norm_epsilon: normEpsilon,
      query_scale: queryScale ?? 1 / Float(heads.dimension).squareRoot(), position_scales: rotary.queryScales?.base,
      rotated: Int64(2 * rotary.cosines.columns),
      cosines: rotary.cosines.base, sines: rotary.sines.base)
  }
}

/// What is computed of a gate of the feed-forward block before it is multiplied.
package enum GateActivation: Sendable, Hashable, CaseIterable {
  case silu
  /// GELU in the form with tanh.
  case geluTanh
}
