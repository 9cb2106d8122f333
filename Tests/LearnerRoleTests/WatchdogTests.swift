// A rank that is stuck ends, and one that is not is left alone.

import Glibc
import LearnerRole
import Testing

@Suite struct WatchdogTests {
  @Test func `training that stands still ends the process`() async {
    await #expect(processExitsWith: .exitCode(1)) {
      let watchdog = try Watchdog(patience: 1)
      watchdog.wake()
      sleep(30)
    }
  }

  @Test func `signs of life keep it, and at rest it counts nothing`() async {
    await #expect(processExitsWith: .success) {
      let watchdog = try Watchdog(patience: 1)
      for _ in 0..<6 {
        watchdog.wake()
        usleep(400_000)
      }
      watchdog.rest()
      sleep(2)
    }
  }
}
