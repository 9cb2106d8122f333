// CollectivesError: an error of the MPI library, and what to do about it.

/// An error of the MPI library.
package enum CollectivesError: Error, Equatable, Sendable {
  /// `text` is MPI's own message.
  case failed(operation: String, rank: Int, text: String)
  /// What a rank received is not what another rank sent.
  case forged(operation: String, rank: Int)
  /// The ranks do not have the same key.
  case otherKey(rank: Int, key: String)
  /// The library was built without any thread support.
  case noThreads(library: String)
}

extension CollectivesError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .failed(let operation, let rank, let text):
      "learner rank \(rank): MPI cannot \(operation): \(text). The ranks must be started again together; "
        + "the run resumes from its last checkpoint"
    case .forged(let operation, let rank):
      "learner rank \(rank): cannot \(operation): a message was changed on its way between the ranks, or is not from "
        + "one of them. The network may be under attack; the ranks must be started again together, and "
        + "the run resumes from its last checkpoint"
    case .otherKey(let rank, let key):
      "learner rank \(rank): another rank does not have this rank's key (\(key)). Give every rank the same key file, "
        + "or, if everybody on the network is trusted, --protect-mpi off"
    case .noThreads(let library):
      "\(library) cannot be used by a program with threads (MPI_THREAD_FUNNELED). Use an MPI built with thread support"
    }
  }
}
