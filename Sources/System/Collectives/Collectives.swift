// Collectives: what the learner's ranks do together.
//
// Every rank makes the same calls in the same order with the same counts; each call returns when all have made it. Two
// implementations: LocalCollectives, a world of one, and MPICollectives. Which results depend on the number of ranks is
// said at each call: sums of integers do not, and that is what makes `--reduction exact` free of the world size.

package protocol Collectives: AnyObject {
  /// 0 ..< size. Rank 0 talks to the coordinator.
  var rank: Int { get }
  var size: Int { get }

  /// Replaces each value by its sum over the ranks, modulo 2^64: the same bits for any number and order of ranks.
  func sum(_ values: UnsafeMutableBufferPointer<Int64>) throws(CollectivesError)

  /// Begins a reduce-scatter: `slices[rank]` of the values becomes its sum over the ranks, modulo 2^64. The rest is
  /// left as it was. Several may be begun one after the other; the values stay where they are, and as they are, until
  /// `finishBuckets`.
  ///
  /// - Parameters:
  ///   - values: this rank's terms; the same number on all ranks.
  ///   - slices: one per rank, ascending, ranges of indices of `values`; the same on all ranks.
  func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Int64>, slices: [Range<Int>]) throws(CollectivesError)

  /// The same of float32, added in the order of the ranks: repeatable at one world size.
  func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Float>, slices: [Range<Int>]) throws(CollectivesError)

  /// Begins an all-gather, in the same way: every rank gets the slices of all the others.
  ///
  /// - Parameters:
  ///   - bytes: `slices[rank]` is filled in; the others are replaced.
  ///   - slices: one per rank, ascending, in bytes; the same on all ranks.
  func beginAllGather(_ bytes: UnsafeMutableRawBufferPointer, slices: [Range<Int>]) throws(CollectivesError)

  /// Moves on with what was begun as far as is possible at once, and returns. For the pauses of other work.
  func advanceBuckets() throws(CollectivesError)

  /// Returns when all that was begun is complete, here.
  func finishBuckets() throws(CollectivesError)

  /// Gives rank 0 the slices of all the others, which keep what they have.
  ///
  /// - Parameters:
  ///   - bytes: as for `beginAllGather`; at most `MPICollectives.pieceBytes`.
  ///   - slices: likewise.
  func gatherToRoot(_ bytes: UnsafeMutableRawBufferPointer, slices: [Range<Int>]) throws(CollectivesError)

  /// Sums each value over the ranks. The last bits depend on the world size: for metrics, not for weights.
  func sum(_ values: [Double]) throws(CollectivesError) -> [Double]

  /// The largest of each value over the ranks. If any is NaN the result is unspecified.
  func max(_ values: [Double]) throws(CollectivesError) -> [Double]

  /// Rank 0 only: gives the bytes to every other rank, all of which call `receiveFromRoot`.
  func sendToAll(_ bytes: [UInt8]) throws(CollectivesError)

  /// Every rank but 0: what rank 0 sends. Sleeps until it does, however long that is.
  func receiveFromRoot() throws(CollectivesError) -> [UInt8]

  /// Replaces the bytes by rank 0's.
  func copyFromRoot(_ bytes: UnsafeMutableRawBufferPointer) throws(CollectivesError)

  /// Returns when every rank has called it.
  func barrier() throws(CollectivesError)
}

/// What the MPI library refused.
package enum CollectivesError: Error, Equatable, Sendable {
  /// `text` is MPI's own.
  case failed(operation: String, rank: Int, text: String)
  /// The library was built without any thread support.
  case noThreads(library: String)
}

extension CollectivesError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .failed(let operation, let rank, let text):
      "learner rank \(rank): MPI cannot \(operation): \(text). The ranks must be started again together; "
        + "the run resumes from its last checkpoint"
    case .noThreads(let library):
      "\(library) cannot be used by a program with threads (MPI_THREAD_FUNNELED). Use an MPI built with thread support"
    }
  }
}

/// A world of one: nothing to add, no one to wait for.
package final class LocalCollectives: Collectives {
  package let rank = 0
  package let size = 1

  package init() {}

  package func sum(_ values: UnsafeMutableBufferPointer<Int64>) {}
  package func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Int64>, slices: [Range<Int>]) {}
  package func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Float>, slices: [Range<Int>]) {}
  package func beginAllGather(_ bytes: UnsafeMutableRawBufferPointer, slices: [Range<Int>]) {}
  package func advanceBuckets() {}
  package func finishBuckets() {}
  package func gatherToRoot(_ bytes: UnsafeMutableRawBufferPointer, slices: [Range<Int>]) {}
  package func sum(_ values: [Double]) -> [Double] { values }
  package func max(_ values: [Double]) -> [Double] { values }
  package func sendToAll(_ bytes: [UInt8]) {}
  package func receiveFromRoot() -> [UInt8] { preconditionFailure("rank 0 receives nothing from itself") }
  package func copyFromRoot(_ bytes: UnsafeMutableRawBufferPointer) {}
  package func barrier() {}
}
