// The schedule of `ttrl-dev chaos`, and what it reads from logs afterwards.

import Base
import Chaos
import Platform
import Records
import Testing

@Suite struct ScheduleTests {
  private func disturbances(seed: UInt64, run: Int = 1, kills: Int) -> [Disturbance] {
    var schedule = DisturbanceSchedule(seed: seed, run: run, kills: kills, meanPause: .seconds(1))
    var all: [Disturbance] = []
    while let (after, disturbance) = schedule.next() {
      #expect(after <= .seconds(2))
      all.append(disturbance)
    }
    return all
  }

  private func kills(_ disturbances: [Disturbance]) -> [ProcessKind] {
    disturbances.compactMap { if case .kill(let kind) = $0 { kind } else { nil } }
  }

  @Test func `the schedule has the requested number of kills, and every kind once in each block`() {
    let kills = kills(disturbances(seed: 3, kills: 20))
    #expect(kills.count == 20)
    for block in stride(from: 0, to: 20, by: 5) {
      #expect(Set(kills[block..<block + 5]) == Set(ProcessKind.allCases))
    }
  }

  @Test func `between two restarts of train, the learner dies at most as often as the supervisor allows`() {
    for seed in UInt64(0)..<200 {
      let parts = kills(disturbances(seed: seed, kills: 60)).split(separator: .train, omittingEmptySubsequences: false)
      for part in parts {
        #expect(part.count { $0 == .learner || $0 == .mpirun } <= Limits.restarts, "seed \(seed)")
      }
    }
  }

  @Test func `a seed gives one schedule, and another run or seed gives another`() {
    let one = disturbances(seed: 1, kills: 10)
    #expect(one == disturbances(seed: 1, kills: 10))
    #expect(one != disturbances(seed: 2, kills: 10) && one != disturbances(seed: 1, run: 2, kills: 10))
  }

  @Test func `the schedule contains all kinds of disturbance`() {
    let all = disturbances(seed: 5, kills: 60)
    #expect(all.contains(.reset) && all.contains(.corrupt))
    #expect(all.contains { if case .stall = $0 { true } else { false } })
    #expect(all.contains { if case .pause(_, let span) = $0 { span > Limits.silence } else { false } })
  }
}

@Suite struct RecoveryTests {
  private func joined(_ second: Int, _ role: String, _ name: String) -> (seconds: Double, line: LogLine)? {
    let line = Log.line(
      at: WallClock.text(of: Double(second)), .info, role: "coordinator", "coordinator.joined",
      ["peer": 1, "role": role, "name": name])
    return LogLine(parsing: line.dropLast()).map { (Double(second), $0) }
  }

  @Test func `a victim is replaced when a process of its role joins`() {
    let log = [
      joined(10, "worker", "worker-1"), joined(11, "worker", "worker-2"), joined(15, "learner", "learner-0"),
      joined(30, "worker", "worker-2"),
    ].compactMap { $0 }
    let kills = [
      Kill(.coordinator, time: 9), Kill(.worker, name: "worker-2", time: 10.5), Kill(.mpirun, time: 12),
      Kill(.worker, name: "worker-1", time: 31),
    ]
    let found = recoveries(of: kills, log: log)
    #expect(found.first { $0.kind == .coordinator }?.times == RecoveryTimes(kills: 1, seconds: [1]))
    #expect(found.first { $0.kind == .worker }?.times == RecoveryTimes(kills: 2, seconds: [0.5]))
    #expect(found.first { $0.kind == .mpirun }?.times.worst == 3)
    #expect(found.first { $0.kind == .train }?.times.median == nil)
  }

  @Test func `a log line is read as it was written, and half a line is refused`() {
    let written = Log.line(
      at: "2026-02-03T04:05:06.789Z", .info, role: "worker 1", "worker.done", ["reason": "a \"b\" = c", "n": 3])
    let line = LogLine(parsing: written.dropLast())
    #expect(line?.event == "worker.done" && line?["role"] == "worker 1" && line?["reason"] == "a \"b\" = c")
    #expect(line?["n"] == "3" && line?.time == "2026-02-03T04:05:06.789Z")
    #expect(LogLine(parsing: "time=2026-02-03T04:05:06.789Z level=info event=x reason=\"cut sho") == nil)
    #expect(LogLine(parsing: "[node1] something of MPI's") == nil)
  }

  @Test(arguments: [0, 1_795_000_000.123, 951_782_400.5])
  func `a time that was written as text is read back`(_ seconds: Double) throws {
    let read = try #require(WallClock.seconds(of: WallClock.text(of: seconds)))
    #expect(abs(read - seconds) < 0.0011)
  }

  @Test(arguments: ["", "2026-02-03", "2026-02-03T04:05:06.789", "2026-02-03T04:05:06.789Zx", "2026/02/03T04:05"])
  func `a text that is not a time is refused`(_ text: String) { #expect(WallClock.seconds(of: text) == nil) }
}
