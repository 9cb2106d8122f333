// Sampling that is behind by a fixed number of versions: which rounds are open, by which version, and for how long that
// version is kept.

import Base
import Fleet
import Records
import Testing

@Suite struct StalenessTests {
  /// Four steps, two versions behind, a worker (peer 1) that has taken all it can get, and a learner (peer 9).
  private func begun() -> (bench: CoordinatorBench, leases: [Lease]) {
    var bench = CoordinatorBench(plan: Small.plan(steps: 4, staleness: 2))
    _ = bench.join(9, .learner)
    _ = bench.say(.ready(PolicyVersion(0)), from: 9)
    let leases = bench.lease(to: 1, slots: 1000)
    return (bench, leases)
  }

  private func publish(
    _ version: UInt32, _ bench: inout CoordinatorBench, course: RunCourse = RunCourse()
  ) -> [CoordinatorEffect] {
    _ = bench.say(.publish(Small.manifest(version), report: Small.report(version)), from: 9)
    _ = bench.say(.policyBytes(PolicyVersion(version), offset: 0, bytes: [0, 0, 0, 0]), from: 9)
    return bench.on(.sealed(Small.manifest(version), isIntact: true, from: PeerID(9), course: course))
  }

  private func steps(_ leases: [Lease]) -> [UInt32] { Set(leases.map(\.round.step)).sorted() }

  @Test func `at version v the rounds up to step v + K are open, each for the version K before it`() {
    var (bench, leases) = begun()
    #expect(steps(leases) == [0, 1, 2] && leases.allSatisfy { $0.policy == PolicyVersion(0) })
    for lease in leases where lease.round.step == 0 { _ = bench.deliver(lease, from: 1) }
    leases = FleetTests.leases(in: publish(1, &bench))
    #expect(steps(leases) == [3] && leases.allSatisfy { $0.policy == PolicyVersion(1) })
  }

  @Test func `a trajectory of any other version is refused, a newer one too`() {
    var (bench, leases) = begun()
    for lease in leases where lease.round.step == 0 { _ = bench.deliver(lease, from: 1) }
    _ = publish(1, &bench)
    for policy in [UInt32(0), 2, 3] {
      let late = Small.trajectory(step: 3, sample: 0, policy: policy)
      #expect(
        refusals(in: bench.say(.trajectories(LeaseID(1), [late]), from: 1)) == [.otherPolicy(PolicyVersion(policy))])
    }
    let right = Small.trajectory(step: 3, sample: 0, policy: 1)
    #expect(refusals(in: bench.say(.trajectories(LeaseID(1), [right]), from: 1)).isEmpty)
  }

  @Test func `batches that were complete before their step came are sent when it comes`() {
    var (bench, leases) = begun()
    var effects: [CoordinatorEffect] = []
    for lease in leases { effects += bench.deliver(lease, from: 1) }
    #expect(
      effects.filter { if case .sendBatch = $0 { true } else { false } } == [
        .sendBatch(.train(step: 0), to: PeerID(9))
      ])
    _ = publish(1, &bench)
    #expect(bench.say(.ready(PolicyVersion(1)), from: 9) == [.sendBatch(.train(step: 1), to: PeerID(9))])
  }

  @Test func `a version is kept until the steps that it sampled are trained`() {
    func dropped(_ effects: [CoordinatorEffect]) -> [UInt32] {
      effects.compactMap { if case .dropPolicy(let version) = $0 { version.number } else { nil } }
    }
    var (bench, leases) = begun()
    for lease in leases { _ = bench.deliver(lease, from: 1) }
    // Version 0 sampled steps 0, 1 and 2. Only when they are trained is it known that it is not the best.
    for version in UInt32(1)...2 {
      let effects = publish(version, &bench)
      #expect(dropped(effects).isEmpty)
      for lease in FleetTests.leases(in: effects) { _ = bench.deliver(lease, from: 1) }
    }
    #expect(dropped(publish(3, &bench)) == [0])
    #expect(dropped(publish(4, &bench)) == [1, 2, 3])
  }

  @Test func `a run that ends early takes back what was promised for later steps, and trains none that is complete`() {
    var (bench, leases) = begun()
    for lease in leases where lease.round.step != 2 { _ = bench.deliver(lease, from: 1) }
    let end = RunCourse(best: PolicyVersion(0), judged: PolicyVersion(0), end: PolicyVersion(1))
    let effects = publish(1, &bench, course: end)
    // Step 1 is complete in vain, step 2 is under way, step 3 would have begun.
    #expect(effects.contains(.abandonRounds([.train(step: 2), .train(step: 3)])))
    let taken = leases.filter { $0.round.step == 2 }.map { CoordinatorEffect.send(.revoke($0.id), to: PeerID(1)) }
    #expect(!taken.isEmpty && taken.allSatisfy(effects.contains))
    #expect(FleetTests.leases(in: effects).map(\.round) == [.evaluate(.training, at: PolicyVersion(0))])
    #expect(!bench.say(.ready(PolicyVersion(1)), from: 9).contains { if case .sendBatch = $0 { true } else { false } })
    let late = Small.trajectory(step: 2, sample: 0, policy: 0)
    #expect(refusals(in: bench.say(.trajectories(LeaseID(1), [late]), from: 1)) == [.roundNotOpen])
    for lease in FleetTests.leases(in: effects) { #expect(bench.deliver(lease, from: 1).contains(.finish)) }
  }

  @Test func `a coordinator that restarts opens the same rounds, and abandons the same`() {
    var memory = CoordinatorMemory(
      closedRounds: [.train(step: 0), .train(step: 1)], policies: (0...1).map { Small.manifest($0) })
    var bench = CoordinatorBench(plan: Small.plan(steps: 4, staleness: 2), memory: memory)
    #expect(
      bench.lease(to: 1, slots: 1000).map { "\($0.round.step) by \($0.policy)" } == [
        "2 by 0", "2 by 0", "3 by 1", "3 by 1",
      ])
    memory.course = RunCourse(best: PolicyVersion(0), judged: PolicyVersion(0), end: PolicyVersion(1))
    bench = CoordinatorBench(plan: Small.plan(steps: 4, staleness: 2), memory: memory)
    #expect(bench.on(.tick).contains(.abandonRounds([.train(step: 2), .train(step: 3)])))
  }
}
