// GradientExchange: what the trainer asks of the other learner ranks. MPI is one answer (LearnerRole), being alone
// another.

/// Sums over all learner ranks; every rank calls in the same order and ends with the same values.
package protocol GradientExchange {
  var rank: Int { get }
  var size: Int { get }
  func sum(_ values: UnsafeMutableBufferPointer<Int64>) throws
  func sum(_ values: UnsafeMutableBufferPointer<Float>) throws
  func maximum(_ value: Float) throws -> Float
}

/// One rank.
package struct NoExchange: GradientExchange {
  package init() {}
  package var rank: Int { 0 }
  package var size: Int { 1 }
  package func sum(_ values: UnsafeMutableBufferPointer<Int64>) {}
  package func sum(_ values: UnsafeMutableBufferPointer<Float>) {}
  package func maximum(_ value: Float) -> Float { value }
}
