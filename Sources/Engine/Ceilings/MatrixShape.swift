// MatrixShape: the matrix products of a model.
//
// Almost all of a model's arithmetic is matrix products of a few shapes, so their operations limit the speed of
// everything else. Not here: how long they take (Benchmarks).

package import LanguageModel

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
    let queryWidth = c.headCount * c.headDimension
    let width = queryWidth + 2 * c.keyValueHeadCount * c.headDimension
    func layer(_ name: String, _ inner: Int, _ columns: Int) -> MatrixShape {
      MatrixShape(name: name, inner: inner, columns: columns, uses: c.layerCount, isHead: false)
    }
    return [
      layer("q|k|v", c.hiddenSize, width), layer("attention output", queryWidth, c.hiddenSize),
      layer("gate|up", c.hiddenSize, 2 * c.feedForwardSize), layer("down", c.feedForwardSize, c.hiddenSize),
      MatrixShape(name: "head", inner: c.hiddenSize, columns: c.vocabularySize, uses: 1, isHead: true),
    ]
  }

  /// Floating-point operations per row, for all uses together.
  package var flops: Double { 2 * Double(inner) * Double(columns) * Double(uses) }
}
