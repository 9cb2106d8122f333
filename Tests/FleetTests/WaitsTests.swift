// Who waits for whom: the coordinator says so at every moment of a step.

import Base
import Fleet
import Records
import Testing

@Suite struct WaitsTests {
  /// Each wait as a line: "waiter < awaited: what, since, deadline", in whole seconds.
  private func lines(_ bench: CoordinatorBench) -> [String] {
    bench.coordinator.waits(now: bench.now, limit: 100).map { wait in
      let deadline = wait.deadline.map { ", \(Int($0.seconds)) left" } ?? ""
      return "\(wait.waiter) < \(wait.awaited): \(wait.what), \(Int(wait.since.seconds))\(deadline)"
    }
  }

  @Test func `from the first round to the end, somebody is named for everybody who waits`() {
    var bench = CoordinatorBench()
    func pass(_ seconds: UInt64) {
      bench.now = bench.now + .seconds(seconds)
      for id in [UInt64(1), 9] { _ = bench.say(.heartbeat(tokens: 0), from: id) }
      _ = bench.on(.tick)
    }
    pass(1)
    pass(4)
    #expect(
      lines(bench) == [
        "coordinator < a learner to connect: to train, 4",
        "step 1 < a worker to connect: 8 slots: 0 promised, 8 not yet, 4",
      ])
    _ = bench.join(9, .learner)
    #expect(lines(bench).first == "coordinator < learner: to say which policy it holds, 0, 600 left")
    _ = bench.say(.ready(PolicyVersion(0)), from: 9)
    let leases = bench.lease(to: 1, slots: 6)
    pass(3)
    // 5 of 6 slots wanted went to prompts 0 and 1; the worker has all that it asked for.
    #expect(
      lines(bench) == [
        "learner < step 1: its batch, 3", "step 1 < worker ada: 8 slots: 6 promised, 2 not yet, 7, 117 left",
      ])
    for lease in leases { _ = bench.deliver(lease, from: 1) }
    for lease in FleetTests.leases(in: bench.say(.want(slots: 64), from: 1)) { _ = bench.deliver(lease, from: 1) }
    pass(5)
    #expect(
      lines(bench) == [
        "coordinator < learner: to train step 1, 5, 600 left", "worker ada < coordinator: 62 slots to sample, 5",
      ])
    _ = bench.say(.publish(Small.manifest(1), report: Small.report(1)), from: 9)
    #expect(lines(bench).first == "coordinator < learner: to send policy 1: 0 of 4 bytes, 0, 600 left")
    _ = bench.say(.policyBytes(PolicyVersion(1), offset: 0, bytes: [0, 0, 0, 0]), from: 9)
    pass(2)
    #expect(lines(bench).first == "learner < coordinator: to make policy 1 durable, 2")
    let last = FleetTests.leases(in: bench.on(.sealed(Small.manifest(1), isIntact: true, from: PeerID(9))))
    _ = bench.say(.ready(PolicyVersion(1)), from: 9)
    #expect(
      lines(bench) == [
        "learner < coordinator: the end of the run, 0",
        "evaluation of policy 1 on the training prompts < worker ada: 2 slots: 2 promised, 0 not yet, 0, 120 left",
      ])
    for lease in last { _ = bench.deliver(lease, from: 1) }
    #expect(lines(bench).allSatisfy { $0.hasPrefix("coordinator < ") && $0.contains("to leave: the run is finished") })
  }

  @Test func `a learner that is gone is missed from the moment it went, and names of many workers are cut short`() {
    var bench = CoordinatorBench(plan: Small.plan(samples: 64))
    _ = bench.join(9, .learner)
    for (id, name) in zip(UInt64(1)..., ["ada", "barbara", "chien", "dorothy", "emmy"]) {
      _ = bench.join(id, name: name)
      _ = bench.say(.want(slots: 8), from: id)
    }
    bench.now = bench.now + .seconds(7)
    _ = bench.on(.disconnected(PeerID(9)))
    bench.now = bench.now + .seconds(2)
    #expect(
      lines(bench) == [
        "coordinator < a learner to connect: to train, 2",
        "step 1 < workers ada, barbara, chien and 2 more: 128 slots: 40 promised, 88 not yet, 9, 111 left",
      ])
  }
}
