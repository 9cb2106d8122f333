// DataType: what matrix multiplications take in, and what published weights are stored as. Everything else is float32.

package enum DataType: String, Sendable, Hashable, CaseIterable {
  case float32, bfloat16

  package var bytes: Int { self == .float32 ? 4 : 2 }
}
