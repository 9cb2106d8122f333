// CheckpointPace: after which steps a checkpoint is due.

import Base
import LearnerRole
import Settings
import Testing

@Suite struct CheckpointPaceTests {
  private func at(_ seconds: UInt64) -> Instant { Instant(nanoseconds: seconds * 1_000_000_000) }

  @Test func `a number of steps is kept to, whatever a checkpoint takes`() {
    var pace = CheckpointPace(.steps(3))
    #expect((1...7).filter { pace.isDue($0, at: at(0)) } == [3, 6])
    pace.begin(at: at(0))
    pace.end(after: .seconds(1_000))
    #expect((1...7).filter { pace.isDue($0, at: at(1)) } == [3, 6])
  }

  @Test func `auto writes the first at once, and the next when 20 times its duration have passed`() {
    var pace = CheckpointPace(.auto)
    #expect(pace.isDue(5, at: at(100)))
    pace.begin(at: at(100))
    #expect(!pace.isDue(6, at: at(1_000)), "while one is written, the next would only wait for it")
    pace.end(after: .seconds(10))
    #expect(pace.pause == .seconds(200))
    #expect(!pace.isDue(7, at: at(299)) && pace.isDue(7, at: at(300)))
    // The disk is faster now.
    pace.begin(at: at(300))
    pace.end(after: .seconds(1))
    #expect(!pace.isDue(8, at: at(319)) && pace.isDue(8, at: at(320)))
  }
}
