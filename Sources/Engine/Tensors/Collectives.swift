// Collectives: what the learner's ranks do together.
//
// Every rank makes the same calls in the same order with the same counts; each call returns when all have made it. Two
// implementations: OneRank, and MPICollectives over MPI, which nothing here knows. Which results depend on the number
// of ranks is said at each call: sums of integers do not, and that is what makes `--reduction exact` free of the world
// size.

package protocol Collectives {
  /// 0 ..< size. Rank 0 talks to the coordinator.
  var rank: Int { get }
  var size: Int { get }

  // MARK: Gradients and weights

  /// Replaces each value by its sum over the ranks, modulo 2^64: the same bits for any number and order of ranks.
  func sum(_ values: UnsafeMutableBufferPointer<Int64>) throws

  /// Begins a reduce-scatter: `slices[rank]` of the values becomes its sum over the ranks, modulo 2^64. The rest is
  /// left as it was. Several may be begun one after the other; the values stay where they are, and as they are, until
  /// `finishBuckets`.
  ///
  /// - Parameters:
  ///   - values: this rank's terms; the same number on all ranks.
  ///   - slices: one per rank, ascending, ranges of indices of `values`; the same on all ranks.
  func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Int64>, slices: [Range<Int>]) throws

  /// The same of float32, added in the order of the ranks: repeatable at one world size.
  func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Float>, slices: [Range<Int>]) throws

  /// Begins an all-gather, in the same way: every rank gets the slices of all the others.
  ///
  /// - Parameters:
  ///   - bytes: `slices[rank]` is filled in; the others are replaced.
  ///   - slices: one per rank, ascending, in bytes; the same on all ranks.
  func beginAllGather(_ bytes: UnsafeMutableRawBufferPointer, slices: [Range<Int>]) throws

  /// Moves on with what was begun as far as is possible at once, and returns. For the pauses of other work.
  func advanceBuckets() throws

  /// Returns when all that was begun is complete, here.
  func finishBuckets() throws

  /// The largest of each value over the ranks. If any is NaN the result is unspecified.
  func max(_ values: [Double]) throws -> [Double]

  // MARK: From and to rank 0

  /// Rank 0 only: gives the bytes to every other rank, all of which call `receiveFromRoot`.
  func sendToAll(_ bytes: [UInt8]) throws

  /// Every rank but 0: what rank 0 sends. Sleeps until it does, however long that is.
  func receiveFromRoot() throws -> [UInt8]

  /// Replaces the bytes by rank 0's.
  func copyFromRoot(_ bytes: UnsafeMutableRawBufferPointer) throws

  /// Gives rank 0 the slices of all the others, which keep what they have.
  ///
  /// - Parameters:
  ///   - bytes: as for `beginAllGather`; at most a bucket of float32 (`Shards.bucketElements`).
  ///   - slices: likewise.
  func gatherToRoot(_ bytes: UnsafeMutableRawBufferPointer, slices: [Range<Int>]) throws
}

/// A world of one: nothing to add, and no other rank to wait for.
package struct OneRank: Collectives {
  package init() {}

  package var rank: Int { 0 }
  package var size: Int { 1 }
  package func sum(_ values: UnsafeMutableBufferPointer<Int64>) {}
  package func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Int64>, slices: [Range<Int>]) {}
  package func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Float>, slices: [Range<Int>]) {}
  package func beginAllGather(_ bytes: UnsafeMutableRawBufferPointer, slices: [Range<Int>]) {}
  package func advanceBuckets() {}
  package func finishBuckets() {}
  package func max(_ values: [Double]) -> [Double] { values }
  package func sendToAll(_ bytes: [UInt8]) {}
  package func receiveFromRoot() -> [UInt8] { preconditionFailure("rank 0 receives nothing from itself") }
  package func copyFromRoot(_ bytes: UnsafeMutableRawBufferPointer) {}
  package func gatherToRoot(_ bytes: UnsafeMutableRawBufferPointer, slices: [Range<Int>]) {}
}
