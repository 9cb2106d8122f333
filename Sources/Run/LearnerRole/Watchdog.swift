// Watchdog: ends a learner rank that is stuck.
//
// If a rank dies, the MPI job ends and the supervisor starts it again. If a rank hangs (a network that drops packets, a
// library that waits for ever), all other ranks would wait for ever too. So a thread counts seconds while a step is
// trained, every micro-batch sets the count back, and when the patience is over the thread ends the process. It counts
// only seconds in which it ran itself: a process that was stopped, or whose machine slept, has not hung. Not here: the
// coordinator's own deadline on a learner (Coordinator.watch), which closes the connection but cannot end the process.

import Glibc
package import Platform
import Synchronization

package final class Watchdog: Sendable {
  private let secondsLeft: Atomic<Int>
  private let patience: Int

  private static let atRest = -1

  /// At rest, without its thread.
  ///
  /// - Parameter patience: seconds without a sign of life.
  package init(patience: Int) {
    self.patience = patience
    secondsLeft = Atomic(Self.atRest)
  }

  /// Starts the thread that counts, and that ends the process when training has stood still for too long.
  ///
  /// - Throws: if no thread can be started.
  package func start() throws(PlatformError) {
    try startThread(named: "watchdog") {
      while true {
        sleep(1)
        guard self.hasStoodStill() else { continue }
        Log.error(
          "learner.stuck", ["reason": "training has stood still for \(self.patience) s; ending, to be started again"])
        _exit(1)
      }
    }
  }

  /// A sign of life: it begins to count, or begins anew.
  package func wake() { secondsLeft.store(patience, ordering: .relaxed) }

  package func rest() { secondsLeft.store(Self.atRest, ordering: .relaxed) }

  /// Counts a second.
  ///
  /// - Returns: whether all seconds of its patience have passed since the last sign of life.
  package func hasStoodStill() -> Bool {
    let left = secondsLeft.load(ordering: .relaxed)
    guard left != Self.atRest else { return false }
    guard left > 0 else { return true }
    // A sign of life, or rest, that came meanwhile has the last word.
    _ = secondsLeft.compareExchange(expected: left, desired: left - 1, ordering: .relaxed)
    return false
  }
}
