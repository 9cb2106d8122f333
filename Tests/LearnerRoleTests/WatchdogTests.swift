// A rank that is stuck ends, and one that is not is left alone. The test counts the seconds.

import LearnerRole
import Testing

@Suite struct WatchdogTests {
  /// The seconds, from the first, until the watchdog ends the process; nil if it does not within a minute.
  private func secondsToEnd(_ watchdog: Watchdog) -> Int? { (1...60).first { _ in watchdog.hasStoodStill() } }

  @Test func `training that stands still is ended when its patience is over`() {
    let watchdog = Watchdog(patience: 3)
    watchdog.wake()
    #expect(secondsToEnd(watchdog) == 4)
  }

  @Test func `a sign of life begins the count anew`() {
    let watchdog = Watchdog(patience: 3)
    for _ in 0..<20 {
      watchdog.wake()
      for _ in 0..<3 { #expect(!watchdog.hasStoodStill()) }
    }
    #expect(watchdog.hasStoodStill())
  }

  @Test func `at rest it counts nothing, before the first step and after it`() {
    let watchdog = Watchdog(patience: 3)
    #expect(secondsToEnd(watchdog) == nil)
    watchdog.wake()
    _ = watchdog.hasStoodStill()
    watchdog.rest()
    #expect(secondsToEnd(watchdog) == nil)
  }
}
