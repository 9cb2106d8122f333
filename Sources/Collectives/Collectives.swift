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

  /// Replaces each value by its sum over the ranks. The same bits on all ranks; repeatable only at one world size.
  func sum(_ values: UnsafeMutableBufferPointer<Float>) throws(CollectivesError)

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
  package func sum(_ values: UnsafeMutableBufferPointer<Float>) {}
  package func sum(_ values: [Double]) -> [Double] { values }
  package func max(_ values: [Double]) -> [Double] { values }
  package func sendToAll(_ bytes: [UInt8]) {}
  package func receiveFromRoot() -> [UInt8] { preconditionFailure("rank 0 receives nothing from itself") }
  package func copyFromRoot(_ bytes: UnsafeMutableRawBufferPointer) {}
  package func barrier() {}
}
