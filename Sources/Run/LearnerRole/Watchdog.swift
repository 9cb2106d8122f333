// Watchdog: ends a learner rank that is stuck.
//
// A rank that dies ends the MPI job, and the supervisor starts it again. One that hangs (a network that swallows, a
// library that waits for what never comes) would keep all others waiting for ever. So a thread counts seconds while a
// step is trained, every micro-batch sets it back, and when it gets to the end it ends the process, which then is one
// that died. It counts seconds in which it was awake itself: a process that was stopped, on a machine that slept, has
// not hung. Not here: the coordinator's own deadline on a learner (Coordinator.watch), which cuts off and cannot end.

import Glibc
package import Platform
import Synchronization

package final class Watchdog: Sendable {
  private let secondsLeft: Atomic<Int>
  private let patience: Int

  private static let atRest = -1

  /// Starts its thread, at rest.
  /// - Parameter patience: seconds without a sign of life.
  /// - Throws: if no thread can be started.
  package init(patience: Int) throws(PlatformError) {
    self.patience = patience
    secondsLeft = Atomic(Self.atRest)
    try startThread(named: "watchdog") {
      while true {
        sleep(1)
        self.countSecond()
      }
    }
  }

  /// A sign of life: it begins to count, or begins anew.
  package func wake() { secondsLeft.store(patience, ordering: .relaxed) }

  package func rest() { secondsLeft.store(Self.atRest, ordering: .relaxed) }

  private func countSecond() {
    let left = secondsLeft.load(ordering: .relaxed)
    guard left != Self.atRest else { return }
    guard left > 0 else {
      Log.error("learner.stuck", ["reason": "training has stood still for \(patience) s; ending, to be started again"])
      _exit(1)
    }
    // Whoever woke it or sent it to rest meanwhile has the last word.
    _ = secondsLeft.compareExchange(expected: left, desired: left - 1, ordering: .relaxed)
  }
}
