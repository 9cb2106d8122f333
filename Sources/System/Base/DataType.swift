// DataType: the type of the inputs of matrix multiplications and of published weights. Everything else is float32.

package enum DataType: String, Sendable, Hashable, CaseIterable {
  case float32, bfloat16

  package var bytes: Int { self == .float32 ? 4 : 2 }
}

/// The order in which a bfloat16 product adds its terms. Each is the order of a processor's instruction, and every
/// processor computes the same bits in both. (float32 products have one order.)
package enum ProductOrder: String, Sendable, Hashable, CaseIterable {
  /// The order of AMX: of every 32 terms, the even ones and the odd ones are added up separately.
  case tile
  /// The order of vdpbf16ps: one term after the other, the odd one of every two first.
  case pair
}

extension DataType {
  /// How processes tell each other what they compute: the type and, of bfloat16, the order of products.
  package func text(_ products: ProductOrder) -> String {
    self == .bfloat16 ? "\(rawValue) \(products.rawValue)" : rawValue
  }

  /// The type and the order of a text; of float32, the order means nothing. nil if the text is another one.
  package static func parsed(_ text: String) -> (type: DataType, products: ProductOrder)? {
    for type in allCases {
      for products in ProductOrder.allCases where type.text(products) == text { return (type, products) }
    }
    return nil
  }
}
