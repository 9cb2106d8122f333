// Who waits for whom: at every moment of a step, one cause for each process and round that waits.

import Base
import Fleet
import Records
import Testing

@Suite struct WaitsTests {
  /// A coordinator that is looked at once a second.
  private struct Watched {
    var bench = CoordinatorBench()
    var watch = FleetWatch()

    /// Lets time pass; peers 1 and 9 go on sending heartbeats.
    mutating func pass(_ seconds: Int) {
      for _ in 0..<seconds {
        bench.now = bench.now + .seconds(1)
        for id in [UInt64(1), 9] { _ = bench.say(.heartbeat(tokens: 0), from: id) }
        look()
      }
    }

    mutating func look() { watch.look(at: bench.coordinator, now: bench.now, limit: 100) }

    /// The causes now.
    mutating func causes() -> [FleetWait.Cause] {
      look()
      return watch.waits.map(\.cause)
    }
  }

  private let step = RoundID.train(step: 0)
  private let version = PolicyVersion(1)

  /// A step from its first sample to the end of the run. Peer 1 is the worker ada, peer 9 the learner.
  @Test func `at every moment of a step, each process and round that waits has a cause`() {
    var fleet = Watched()
    #expect(fleet.causes() == [.noLearner, .slots(of: step, leased: 0, pending: 8, by: .none)])
    _ = fleet.bench.join(9, .learner, name: "learner")
    #expect(fleet.causes().first == .learnerVersion)
    _ = fleet.bench.say(.ready(PolicyVersion(0)), from: 9)
    let leases = fleet.bench.lease(to: 1, slots: 6)
    #expect(
      fleet.causes() == [
        .batch(step: 0, isSampling: true), .slots(of: step, leased: 6, pending: 2, by: .holding(["ada"], others: 0)),
      ])
    for lease in leases { _ = fleet.bench.deliver(lease, from: 1) }
    #expect(
      fleet.causes() == [
        .batch(step: 0, isSampling: true), .slots(of: step, leased: 0, pending: 2, by: .busy),
        .lease(worker: "ada", slots: 0),
      ])
    for lease in FleetTests.leases(in: fleet.bench.say(.want(slots: 64), from: 1)) {
      _ = fleet.bench.deliver(lease, from: 1)
    }
    #expect(fleet.causes() == [.training(step: 0), .lease(worker: "ada", slots: 62)])
    _ = fleet.bench.say(.publish(Small.manifest(1), report: Small.report(1)), from: 9)
    #expect(fleet.causes().first == .bytes(of: version, received: 0, total: 4))
    _ = fleet.bench.say(.policyBytes(version, offset: 0, bytes: [0, 0, 0, 0]), from: 9)
    #expect(fleet.causes().first == .durability(of: version))
    let last = FleetTests.leases(in: fleet.bench.on(.sealed(Small.manifest(1), isIntact: true, from: PeerID(9))))
    _ = fleet.bench.say(.ready(version), from: 9)
    let evaluation = RoundID.evaluate(.training, at: version)
    #expect(
      fleet.causes() == [.end, .slots(of: evaluation, leased: 2, pending: 0, by: .holding(["ada"], others: 0))])
    for lease in last { _ = fleet.bench.deliver(lease, from: 1) }
    #expect(fleet.causes() == [.departure(of: "ada"), .departure(of: "learner")])
  }

  @Test func `a wait is as old as its cause, and bytes that arrive do not begin a new one`() {
    var fleet = Watched()
    _ = fleet.bench.join(9, .learner, name: "learner")
    func since() -> Double? { fleet.watch.waits.first?.since.seconds }
    fleet.pass(3)
    #expect(since() == 2)
    _ = fleet.bench.say(.publish(Small.manifest(1), report: Small.report(1)), from: 9)
    fleet.pass(3)
    _ = fleet.bench.say(.policyBytes(version, offset: 0, bytes: [0]), from: 9)
    fleet.pass(3)
    #expect(fleet.watch.waits.first?.cause == .bytes(of: version, received: 1, total: 4) && since() == 5)
    _ = fleet.bench.on(.disconnected(PeerID(9)))
    fleet.pass(3)
    #expect(fleet.watch.waits.first?.cause == .noLearner && since() == 2)
  }

  @Test func `a deadline is the time until the coordinator does something about it`() {
    var fleet = Watched()
    _ = fleet.bench.join(9, .learner, name: "learner")
    _ = fleet.bench.lease(to: 1, slots: 6)
    fleet.bench.now = fleet.bench.now + .seconds(10)
    fleet.look()
    #expect(
      fleet.watch.waits.map(\.deadline) == [
        Limits.training - .seconds(10), Limits.leaseWithoutProgress - .seconds(10),
      ])
  }

  @Test func `a worker that samples between two looks is not idle all the while`() {
    var fleet = Watched()
    _ = fleet.bench.join(1)
    fleet.pass(5)
    #expect(fleet.watch.waits.last?.since == .seconds(4))
    _ = fleet.bench.say(.heartbeat(tokens: 7), from: 1)
    fleet.look()
    #expect(fleet.watch.waits.last?.since == .zero)
  }

  @Test func `three workers of a round are named, the others counted`() {
    var fleet = Watched(bench: CoordinatorBench(plan: Small.plan(samples: 64)))
    for (id, name) in zip(UInt64(1)..., ["ada", "barbara", "chien", "dorothy", "emmy"]) {
      _ = fleet.bench.join(id, name: name)
      _ = fleet.bench.say(.want(slots: 8), from: id)
    }
    let workers = FleetWait.Workers.holding(["ada", "barbara", "chien"], others: 2)
    #expect(fleet.causes().last == .slots(of: step, leased: 40, pending: 88, by: workers))
  }

  @Test func `a member is told of with what it holds`() {
    var fleet = Watched()
    let lease = fleet.bench.lease(to: 1, slots: 6)[0]
    _ = fleet.bench.say(.trajectories(lease.id, [CoordinatorBench.trajectory(lease.slots[0])]), from: 1)
    fleet.pass(2)
    let ada = fleet.watch.members.first
    #expect(ada?.name == "ada" && ada?.leases == 2 && ada?.slots == 5 && ada?.holding == lease.slots[1])
    #expect(ada?.stillness == .seconds(2) && ada?.silence == .zero)
  }
}
