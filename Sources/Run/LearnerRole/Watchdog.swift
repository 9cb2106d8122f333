// Watchdog: ends a learner rank that is stuck.
//
// If a rank dies, the MPI job ends and the supervisor starts it again. If a rank hangs (a network that drops packets, a
// library that waits forever), all other ranks would also wait forever. So a thread counts seconds down while a step is
// trained. Every micro-batch sets the count back to the limit. When no seconds are left, the thread ends the process.
// It counts only seconds in which it ran itself: a process that was stopped, or whose machine slept, does not hang. Not
// here: the coordinator's own deadline for a learner (Coordinator.watch), which closes the connection but cannot end
// the process.

import Glibc
package import Platform
import Synchronization

package final class Watchdog: Sendable {
  private let secondsLeft: Atomic<Int>
  private let patience: Int

  private static let atRest = -1

  /// Creates a watchdog that does not count and has no thread yet.
  ///
  /// - Parameter patience: seconds without a sign of life.
  package init(patience: Int) {
    self.patience = patience
    secondsLeft = Atomic(Self.atRest)
  }

  /// Starts the thread that counts. The thread ends the process if training has made no progress for `patience`
  /// seconds.
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

  /// Gives a sign of life: the watchdog starts to count, or starts again from `patience`.
  package func wake() { secondsLeft.store(patience, ordering: .relaxed) }

  package func rest() { secondsLeft.store(Self.atRest, ordering: .relaxed) }

  /// Counts one second.
  ///
  /// - Returns: whether `patience` seconds have passed since the last sign of life.
  package func hasStoodStill() -> Bool {
    let left = secondsLeft.load(ordering: .relaxed)
    guard left != Self.atRest else { return false }
    guard left > 0 else { return true }
    // If `wake` or `rest` was called in the meantime, the value that it stored stays.
    _ = secondsLeft.compareExchange(expected: left, desired: left - 1, ordering: .relaxed)
    return false
  }
}
