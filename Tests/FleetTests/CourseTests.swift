// How a run follows its course: it keeps the best version, ends where it is told to, and evaluates what it delivers.

import Base
import Fleet
import Records
import Testing

@Suite struct CourseTests {
  /// Lives through steps of a plan of four, with a learner (peer 9) and a worker (peer 1), and ends with the effects of
  /// the last publication.
  private func afterSteps(_ count: UInt32, course: (UInt32) -> RunCourse) -> (CoordinatorBench, [CoordinatorEffect]) {
    var bench = CoordinatorBench(plan: Small.plan(steps: 4))
    _ = bench.join(9, .learner)
    _ = bench.join(1)
    var leases = leases(in: bench.say(.want(slots: 1000), from: 1))
    var effects: [CoordinatorEffect] = []
    for version in 1...count {
      for lease in leases { _ = bench.deliver(lease, from: 1) }
      _ = bench.say(.publish(Small.manifest(version), report: Small.report(version)), from: 9)
      _ = bench.say(.policyBytes(PolicyVersion(version), offset: 0, bytes: [0, 0, 0, 0]), from: 9)
      effects = bench.on(
        .sealed(Small.manifest(version), isIntact: true, from: PeerID(9), course: course(version)))
      leases = FleetTests.leases(in: effects)
    }
    return (bench, effects)
  }

  private func dropped(_ effects: [CoordinatorEffect]) -> [PolicyVersion] {
    effects.compactMap { if case .dropPolicy(let version) = $0 { version } else { nil } }
  }

  @Test func `the best version's bytes are kept until another is better`() {
    let best = { (version: UInt32) in RunCourse(best: PolicyVersion(version < 3 ? 1 : 2), deliversBest: true) }
    #expect(dropped(afterSteps(2, course: best).1).isEmpty)
    #expect(dropped(afterSteps(3, course: best).1) == [PolicyVersion(1)])
    // Without a course, policy 1 goes as soon as policy 2 is there.
    #expect(dropped(afterSteps(2, course: { _ in RunCourse() }).1) == [PolicyVersion(1)])
  }

  @Test func `a run that is cut short samples no more steps, and evaluates the best version`() {
    let end = RunCourse(best: PolicyVersion(1), end: PolicyVersion(2))
    let (bench, effects) = afterSteps(2, course: { $0 < 2 ? RunCourse(best: PolicyVersion($0 - 1)) : end })
    #expect(effects.contains(.note(.cutShort(at: PolicyVersion(2)))))
    let round = RoundID.evaluate(.training, at: PolicyVersion(1))
    #expect(
      effects.contains(.addRounds([RoundSpec(id: round, prompts: [0], samples: 2, sampling: Small.sampling)])))
    #expect(leases(in: effects).map(\.round) == [round])
    #expect(bench.coordinator.delivered == PolicyVersion(1))
  }

  @Test func `it is finished when the best is evaluated and the learner holds the last version`() {
    let end = RunCourse(best: PolicyVersion(1), end: PolicyVersion(2))
    var (bench, effects) = afterSteps(2, course: { $0 < 2 ? RunCourse() : end })
    for lease in leases(in: effects) { #expect(!bench.deliver(lease, from: 1).contains(.finish)) }
    #expect(bench.say(.ready(PolicyVersion(2)), from: 9).contains(.finish))
  }

  @Test func `a coordinator that restarts goes where the course says, and announces its rounds again`() {
    let course = RunCourse(best: PolicyVersion(0), end: PolicyVersion(2))
    var bench = CoordinatorBench(
      plan: Small.plan(steps: 4),
      memory: CoordinatorMemory(
        closedRounds: [.train(step: 0), .train(step: 1)], policies: (0...2).map { Small.manifest($0) }, course: course))
    let effects = bench.on(.tick)
    #expect(dropped(effects) == [PolicyVersion(1)])
    #expect(effects.contains { if case .addRounds = $0 { true } else { false } })
    #expect(bench.lease(to: 1).map(\.round) == [.evaluate(.training, at: PolicyVersion(0))])
  }

  @Test func `a run that delivers its best comes to its planned end first`() {
    let best = RunCourse(best: PolicyVersion(1), deliversBest: true)
    let (bench, effects) = afterSteps(4, course: { _ in best })
    #expect(
      leases(in: effects).map(\.round) == [
        .evaluate(.training, at: PolicyVersion(1)), .evaluate(.training, at: PolicyVersion(4)),
      ])
    #expect(bench.coordinator.delivered == PolicyVersion(1))
  }

  @Test func `the last version stands for the step that made it`() {
    let newest = RunCourse(best: PolicyVersion(3), judged: PolicyVersion(3), deliversBest: true)
    #expect(newest.delivered(last: PolicyVersion(4)) == PolicyVersion(4))
    // Three versions behind.
    #expect(newest.delivered(last: PolicyVersion(7)) == PolicyVersion(7))
    #expect(
      RunCourse(best: PolicyVersion(3), end: PolicyVersion(4)).delivered(last: PolicyVersion(4)) == PolicyVersion(3))
    #expect(RunCourse(best: PolicyVersion(3)).delivered(last: PolicyVersion(4)) == PolicyVersion(4))
    #expect(RunCourse(end: PolicyVersion(4)).delivered(last: PolicyVersion(4)) == PolicyVersion(4))
  }
}
