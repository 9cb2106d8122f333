// DataType: the type of the inputs of matrix multiplications and of published weights. Everything else is float32.

package enum DataType: String, Sendable, Hashable, CaseIterable {
  case float32, bfloat16

  package var bytes: Int { self == .float32 ? 4 : 2 }
}
