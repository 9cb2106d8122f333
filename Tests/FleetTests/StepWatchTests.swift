// Where a step's time goes: every moment of a step belongs to one part, so the parts add up to the step.

import Base
import Fleet
import Records
import Testing

@Suite struct StepWatchTests {
  /// A coordinator whose events and effects are watched.
  private struct Watched {
    var bench: CoordinatorBench
    var watch = StepWatch(at: .zero)

    init(plan: [RoundSpec] = Small.plan(), memory: CoordinatorMemory? = nil) {
      bench = CoordinatorBench(plan: plan, memory: memory)
    }

    @discardableResult mutating func on(_ event: CoordinatorEvent) -> [CoordinatorEffect] {
      let effects = bench.on(event)
      watch.see(event, effects, of: bench.coordinator, now: bench.now)
      return effects
    }

    /// Some milliseconds later, a peer says something.
    @discardableResult mutating func say(
      _ message: Message, from id: UInt64, after milliseconds: UInt64 = 0
    ) -> [CoordinatorEffect] {
      bench.now = bench.now + .milliseconds(milliseconds)
      return on(.received(message, from: PeerID(id)))
    }

    /// A worker joins and takes some slots.
    mutating func lease(to id: UInt64, _ name: String, slots: UInt32, after milliseconds: UInt64 = 0) -> [Lease] {
      bench.now = bench.now + .milliseconds(milliseconds)
      on(.connected(PeerID(id)))
      say(.hello(Small.hello(.worker, name)), from: id)
      return leases(in: say(.want(slots: slots), from: id))
    }

    mutating func deliver(_ leases: [Lease], from id: UInt64, after milliseconds: UInt64) {
      bench.now = bench.now + .milliseconds(milliseconds)
      for lease in leases {
        say(.trajectories(lease.id, lease.slots.map { CoordinatorBench.trajectory($0, of: lease.policy) }), from: id)
      }
    }

    /// The learner joins, holding a version.
    mutating func learner(at version: UInt32) {
      on(.connected(PeerID(9)))
      say(.hello(Small.hello(.learner, "learner")), from: 9)
      say(.ready(PolicyVersion(version)), from: 9)
    }

    /// The learner announces a version, and it is stored some milliseconds later.
    ///
    /// - Returns: the step's report, complete.
    mutating func publish(
      _ version: UInt32, _ parts: [(FigureName, Double)], after milliseconds: UInt64, stored: UInt64
    ) -> StepReport {
      var report = Small.report(version)
      for (part, seconds) in parts { report.figures[part] = seconds }
      say(.publish(Small.manifest(version), report: report), from: 9, after: milliseconds)
      say(.policyBytes(PolicyVersion(version), offset: 0, bytes: [0, 0, 0, 0]), from: 9)
      bench.now = bench.now + .milliseconds(stored)
      watch.end(&report, now: bench.now)
      on(.sealed(Small.manifest(version), isIntact: true, from: PeerID(9)))
      return report
    }
  }

  /// The parts in milliseconds, without those that have no time.
  private func parts(_ figures: FigureValues) -> [String: Int] {
    var parts: [String: Int] = [:]
    for part in FigureName.parts {
      let milliseconds = Int(((figures[part] ?? 0) * 1000).rounded())
      if milliseconds > 0 { parts[part.partName] = milliseconds }
    }
    return parts
  }

  private func expectSum(_ report: StepReport) {
    let sum = FigureName.parts.reduce(0) { $0 + (report.figures[$1] ?? .nan) }
    #expect(abs(sum - (report.figures[.stepSeconds] ?? .nan)) < 1e-9, "\(report.figures)")
  }

  private static let rankParts: [(FigureName, Double)] = [
    (.voteSeconds, 0.001), (.forwardSeconds, 0.020), (.backwardSeconds, 0.030), (.publishSeconds, 0.004),
  ]

  @Test func `each moment of a step belongs to one part, and each worker has times of its own`() {
    var fleet = Watched()
    fleet.learner(at: 0)
    let first = fleet.lease(to: 1, "ada", slots: 4, after: 10)
    // On another machine: the bundle is made, then fetched, then installed.
    fleet.say(.requestBundle(PolicyVersion(0), holding: []), from: 1)
    fleet.bench.now = fleet.bench.now + .milliseconds(20)
    fleet.on(.bundled(Small.bundle(0)))
    let second = fleet.lease(to: 2, "bob", slots: 4)
    fleet.say(.installed(PolicyVersion(0), .milliseconds(5)), from: 1, after: 45)
    fleet.say(.installed(PolicyVersion(0), .milliseconds(7)), from: 2, after: 3)
    fleet.deliver(first, from: 1, after: 100)
    fleet.deliver(second, from: 2, after: 50)
    let report = fleet.publish(1, Self.rankParts, after: 60, stored: 6)
    #expect(
      parts(report.figures) == [
        "workers": 10, "package": 20, "fetch": 40, "install": 5, "sampling": 103, "last sample": 50, "batch": 5,
        "vote": 1, "forward": 20, "backward": 30, "publish": 4 + 6,
      ])
    #expect(report.figures[.stepSeconds] == 0.294)
    expectSum(report)
    #expect(report.processes.map(\.process) == ["bob", "ada"])
    #expect(
      report.processes.map { parts($0.seconds) } == [
        ["fetch": 41, "install": 7, "sampling": 150], ["package": 20, "fetch": 40, "install": 5, "sampling": 103],
      ])
  }

  @Test
  func `an evaluation that workers finish first is a part of its own, and a version on this machine is installed`() {
    var plan = Small.plan(steps: 2)
    plan.insert(
      RoundSpec(id: .evaluate(.heldOut, at: PolicyVersion(0)), prompts: [0], samples: 2, sampling: Small.sampling),
      at: 1)
    var fleet = Watched(plan: plan)
    fleet.bench.coordinator = Coordinator(
      plan: plan, prompts: PromptTokens(training: [[5], [6]], heldOut: [[7]]), welcome: Small.welcome(),
      memory: CoordinatorMemory(policies: [Small.manifest(0)]))
    fleet.learner(at: 0)
    fleet.deliver(fleet.lease(to: 1, "ada", slots: 8), from: 1, after: 10)
    let evaluation = leases(in: fleet.say(.want(slots: 2), from: 1))
    expectSum(fleet.publish(1, Self.rankParts, after: 60, stored: 1))
    fleet.deliver(evaluation, from: 1, after: 30)
    let second = leases(in: fleet.say(.want(slots: 8), from: 1, after: 2))
    fleet.say(.installed(PolicyVersion(1), .milliseconds(8)), from: 1, after: 9)
    fleet.deliver(second, from: 1, after: 40)
    fleet.say(.ready(PolicyVersion(1)), from: 9)
    let report = fleet.publish(2, Self.rankParts, after: 55, stored: 1)
    #expect(
      parts(report.figures) == [
        "evaluation": 30, "workers": 2, "fetch": 1, "install": 8, "sampling": 40, "vote": 1, "forward": 20,
        "backward": 30, "publish": 5,
      ])
    expectSum(report)
  }

  @Test func `with staleness, what was sampled before the step counts nothing in it`() {
    var fleet = Watched(plan: Small.plan(steps: 2, staleness: 1))
    fleet.learner(at: 0)
    fleet.deliver(fleet.lease(to: 1, "ada", slots: 16), from: 1, after: 10)
    expectSum(fleet.publish(1, Self.rankParts, after: 60, stored: 1))
    fleet.say(.ready(PolicyVersion(1)), from: 9)
    let report = fleet.publish(2, Self.rankParts, after: 56, stored: 0)
    #expect(parts(report.figures) == ["batch": 1, "vote": 1, "forward": 20, "backward": 30, "publish": 4])
    #expect(parts(report.processes[0].seconds) == [:])
  }

  @Test func `a worker that leaves did not wait for the last sample`() {
    var fleet = Watched()
    fleet.learner(at: 0)
    let first = fleet.lease(to: 1, "ada", slots: 4)
    _ = fleet.lease(to: 2, "bob", slots: 4)
    fleet.deliver(first, from: 1, after: 100)
    fleet.on(.disconnected(PeerID(2)))
    let rest = leases(in: fleet.say(.want(slots: 4), from: 1, after: 50))
    fleet.deliver(rest, from: 1, after: 100)
    let report = fleet.publish(1, Self.rankParts, after: 55, stored: 0)
    #expect(
      parts(report.figures) == ["sampling": 250, "vote": 1, "forward": 20, "backward": 30, "publish": 4])
    #expect(report.processes.map(\.process) == ["ada"])
  }

  @Test func `a worker that never had the version does not hide that others waited for it`() {
    var plan = Small.plan()
    plan[0].required = [[0, 1], [0, 1]]
    var fleet = Watched(plan: plan)
    fleet.learner(at: 0)
    let needed = fleet.lease(to: 1, "ada", slots: 4)
    #expect(fleet.lease(to: 2, "bob", slots: 4).count > 0)
    fleet.say(.installed(PolicyVersion(0), .milliseconds(30)), from: 1, after: 40)
    fleet.deliver(needed, from: 1, after: 100)
    for prompt in [UInt32(0), 1] { fleet.on(.decided(.train(step: 0), prompt: prompt, unneeded: [2, 3])) }
    let report = fleet.publish(1, Self.rankParts, after: 55, stored: 0)
    #expect(
      parts(report.figures) == [
        "fetch": 10, "install": 30, "sampling": 100, "vote": 1, "forward": 20, "backward": 30, "publish": 4,
      ])
    expectSum(report)
    #expect(
      report.processes.map { parts($0.seconds) } == [["fetch": 10, "install": 30, "sampling": 100], ["fetch": 140]])
  }

  @Test func `a coordinator that was started again counts only its own time`() {
    var fleet = Watched(
      memory: CoordinatorMemory(
        closedRounds: [.train(step: 0)], settled: [], policies: [Small.manifest(0)]))
    fleet.on(.connected(PeerID(9)))
    fleet.say(.hello(Small.hello(.learner, "learner")), from: 9)
    let report = fleet.publish(1, Self.rankParts, after: 11, stored: 2)
    #expect(report.figures[.stepSeconds] == 0.013 && report.figures[.batchSeconds] == 0)
    expectSum(report)
  }

  /// A worker that has the key can say anything.
  @Test func `an absurd time of a worker or a learner is at most the time that passed`() {
    var fleet = Watched()
    fleet.learner(at: 0)
    let lease = fleet.lease(to: 1, "ada", slots: 8)
    fleet.say(.installed(PolicyVersion(0), Instant.Span(nanoseconds: .max)), from: 1, after: 5)
    fleet.say(.installed(PolicyVersion(7), Instant.Span(nanoseconds: .max)), from: 1, after: 5)
    fleet.deliver(lease, from: 1, after: 5)
    let absurd = [
      (FigureName.voteSeconds, -3), (.forwardSeconds, Double.greatestFiniteMagnitude), (.sumsSeconds, 1e300),
    ]
    let report = fleet.publish(1, absurd, after: 10, stored: 0)
    #expect(parts(report.figures)["install"] == 5 && FigureName.parts.allSatisfy { report.figures[$0] ?? -1 >= 0 })
    expectSum(report)
  }
}
