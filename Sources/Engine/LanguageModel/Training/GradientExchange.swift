// GradientExchange: what the trainer asks of the other learner ranks. MPI is one answer (LearnerRole), being alone
// another.

/// Every rank makes the same calls in the same order.
package protocol GradientExchange {
  var rank: Int { get }
  var size: Int { get }
  /// Replaces each value by its sum over the ranks.
  func sum(_ values: UnsafeMutableBufferPointer<Int64>) throws
  func maximum(_ value: Float) throws -> Float

  /// Begins to replace `slices[rank]` of the values by its sum over the ranks. The values stay where they are, and as
  /// they are, until all is finished. `slices` are ranges of indices, one per rank.
  func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Int64>, slices: [Range<Int>]) throws
  /// In the order of the ranks.
  func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Float>, slices: [Range<Int>]) throws
  /// Moves on with what was begun, without waiting. Called between pieces of the last micro-batch's way back.
  /// - Parameter start: from this parameter on, this rank's gradient is complete.
  func advance(completeFrom start: Int) throws
  /// Begins to give every rank the slices of all the others; each has filled in its own. `slices` are in bytes.
  func beginAllGather(_ bytes: UnsafeMutableRawBufferPointer, slices: [Range<Int>]) throws
  /// Returns when all that was begun is complete.
  func finishBuckets() throws
}

/// One rank.
package struct NoExchange: GradientExchange {
  package init() {}
  package var rank: Int { 0 }
  package var size: Int { 1 }
  package func sum(_ values: UnsafeMutableBufferPointer<Int64>) {}
  package func maximum(_ value: Float) -> Float { value }
  package func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Int64>, slices: [Range<Int>]) {}
  package func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Float>, slices: [Range<Int>]) {}
  package func advance(completeFrom start: Int) {}
  package func beginAllGather(_ bytes: UnsafeMutableRawBufferPointer, slices: [Range<Int>]) {}
  package func finishBuckets() {}
}
