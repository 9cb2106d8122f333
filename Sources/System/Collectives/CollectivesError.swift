// CollectivesError: an error of the MPI library, and what to do about it.

/// An error of the MPI library.
package enum CollectivesError: Error, Equatable, Sendable {
  /// `text` is MPI's own message.
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
