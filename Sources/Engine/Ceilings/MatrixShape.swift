// MatrixShape: the matrix products of a model.
//
// Almost all of a model's arithmetic is matrix products of a few shapes, so their operations limit the speed of
// everything else. Not here: how long they take (Benchmarks).

package import LanguageModel
import Tensors

/// A matrix product of a model: [rows, inner] by [inner, columns].
package struct MatrixShape: Sendable, Equatable {
  package var name: String
  package var inner: Int
  package var columns: Int
  /// How often one token needs the product.
  package var uses: Int
  /// Whether it is the product of the output head, which only some tokens reach.
  package var isHead: Bool

  package init(name: String, inner: Int, columns: Int, uses: Int, isHead: Bool) {
    self.name = name
    self.inner = inner
    self.columns = columns
    self.uses = uses
    self.isHead = isHead
  }

  /// The products of a model's forward pass.
  package static func all(of c: ModelConfiguration) -> [MatrixShape] {
    let heads = c.heads
    let attention = c.attentionLayerCount
    func layer(_ name: String, _ inner: Int, _ columns: Int, uses: Int) -> MatrixShape {
      MatrixShape(name: name, inner: inner, columns: columns, uses: uses, isHead: false)
    }
    var shapes = [
      layer("q|k|v", c.hiddenSize, heads.width, uses: attention),
      layer("attention output", heads.queryWidth, c.hiddenSize, uses: attention),
    ]
    if let delta = c.deltaHeads {
      let uses = c.layerCount - attention
      shapes += [
        layer("q|k|v|z|b|a", c.hiddenSize, delta.width, uses: uses),
        layer("linear attention output", delta.valueWidth, c.hiddenSize, uses: uses),
      ]
    }
    return shapes + [
      layer("gate|up", c.hiddenSize, 2 * c.feedForwardSize, uses: c.layerCount),
      layer("down", c.feedForwardSize, c.hiddenSize, uses: c.layerCount),
      MatrixShape(name: "head", inner: c.hiddenSize, columns: c.vocabularySize, uses: 1, isHead: true),
    ]
  }

  /// Floating-point operations per row, for all uses together.
  package var flops: Double { 2 * Double(inner) * Double(columns) * Double(uses) }
}
