// Collectives: the operations that the learner's ranks do together.
//
// Every rank makes the same calls in the same order with the same counts. Each call returns when all ranks have made
// it. There are two implementations: OneRank, and MPICollectives over MPI; this module does not use MPI. Each call's
// comment says whether its result depends on the number of ranks. Sums of integers do not depend on it, so the result
// of `--reduction exact` does not depend on the number of ranks.

package protocol Collectives {
  /// In 0 ..< size. Only rank 0 communicates with the coordinator.
  var rank: Int { get }
  var size: Int { get }

  // MARK: Gradients and weights

  /// Replaces each value by its sum over the ranks, modulo 2^64. The bits are the same for any number and order of
  /// ranks.
  func sum(_ values: UnsafeMutableBufferPointer<Int64>) throws

  /// Begins a reduce-scatter: `slices[rank]` of the values becomes its sum over the ranks, modulo 2^64. The other
  /// values do not change. Several reduce-scatters can be begun one after the other. The caller must not move or change
  /// the values until `finishBuckets` returns.
  ///
  /// - Parameters:
  ///   - values: this rank's terms; all ranks have the same number of them.
  ///   - slices: one per rank, ascending, ranges of indices of `values`; the same on all ranks.
  func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Int64>, slices: [Range<Int>]) throws

  /// The same for float32 values, which are added in the order of the ranks. The result is repeatable for one number of
  /// ranks.
  func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Float>, slices: [Range<Int>]) throws

  /// Begins an exchange: this rank sends `outgoing[q]` of its values to rank q, and receives `incoming[q]` values from
  /// it. Where a count is 0, there is no message. The caller must not change the values until `land` is called.
  ///
  /// - Parameters:
  ///   - values: this rank's.
  ///   - outgoing: one per rank; the own one is empty.
  ///   - incoming: one per rank; the own one is 0. It equals what that rank sends to this one.
  ///   - land: gets the received parts, by rank, when all of them are here and all of the values are sent.
  func beginExchange(
    _ values: UnsafeMutableBufferPointer<Float>, outgoing: [Range<Int>], incoming: [Int],
    land: @escaping ([UnsafeBufferPointer<Float>]) -> Void) throws

  /// Begins an all-gather, in the same way: every rank gets the slices of all other ranks.
  ///
  /// - Parameters:
  ///   - bytes: the caller fills in `slices[rank]`; the other slices are replaced.
  ///   - slices: one per rank, ascending, in bytes; the same on all ranks.
  func beginAllGather(_ bytes: UnsafeMutableRawBufferPointer, slices: [Range<Int>]) throws

  /// Advances the transfers without waiting. Called during pauses in other work.
  func advanceBuckets() throws

  /// Advances the transfers until `isDone`, which becomes true when one of them is complete. Sleeps in between.
  func advanceBuckets(until isDone: () -> Bool) throws

  /// Returns when all transfers that were begun are complete on this rank.
  func finishBuckets() throws

  /// The largest of each value over the ranks. The result is unspecified if any value is NaN.
  func max(_ values: [Double]) throws -> [Double]

  // MARK: From and to rank 0

  /// Rank 0 only: sends the bytes to every other rank. All other ranks call `receiveFromRoot`.
  func sendToAll(_ bytes: [UInt8]) throws

  /// Every rank except 0: the bytes that rank 0 sends. Sleeps until rank 0 sends them, without a time limit.
  func receiveFromRoot() throws -> [UInt8]

  /// Replaces the bytes by rank 0's bytes.
  func copyFromRoot(_ bytes: UnsafeMutableRawBufferPointer) throws

  /// Gives rank 0 the slices of all other ranks. The other ranks' bytes do not change.
  ///
  /// - Parameters:
  ///   - bytes: as for `beginAllGather`; at most a bucket of float32 (`Shards.bucketElements`).
  ///   - slices: as for `beginAllGather`.
  func gatherToRoot(_ bytes: UnsafeMutableRawBufferPointer, slices: [Range<Int>]) throws
}

/// A job with one rank: it adds nothing, and waits for no other rank.
package struct OneRank: Collectives {
  package init() {}

  package var rank: Int { 0 }
  package var size: Int { 1 }
  package func sum(_ values: UnsafeMutableBufferPointer<Int64>) {}
  package func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Int64>, slices: [Range<Int>]) {}
  package func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Float>, slices: [Range<Int>]) {}
  package func beginExchange(
    _ values: UnsafeMutableBufferPointer<Float>, outgoing: [Range<Int>], incoming: [Int],
    land: ([UnsafeBufferPointer<Float>]) -> Void
  ) { land([UnsafeBufferPointer(start: nil, count: 0)]) }
  package func beginAllGather(_ bytes: UnsafeMutableRawBufferPointer, slices: [Range<Int>]) {}
  package func advanceBuckets() {}
  package func advanceBuckets(until isDone: () -> Bool) {}
  package func finishBuckets() {}
  package func max(_ values: [Double]) -> [Double] { values }
  package func sendToAll(_ bytes: [UInt8]) {}
  package func receiveFromRoot() -> [UInt8] { preconditionFailure("rank 0 receives nothing from itself") }
  package func copyFromRoot(_ bytes: UnsafeMutableRawBufferPointer) {}
  package func gatherToRoot(_ bytes: UnsafeMutableRawBufferPointer, slices: [Range<Int>]) {}
}
