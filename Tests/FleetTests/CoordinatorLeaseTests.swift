// How a round gets done: slots are promised, sampled, settled once, and promised again when nothing comes of them.

import Base
import Fleet
import Records
import Testing

@Suite struct CoordinatorLeaseTests {
  @Test func `a worker is leased what it wants, a prompt per lease, the policy offered first`() {
    var bench = CoordinatorBench()
    _ = bench.join(1)
    let effects = bench.say(.want(slots: 6), from: 1)
    let granted = leases(in: effects)
    #expect(granted.map { $0.prompts.map(\.prompt) } == [[0], [1]])
    #expect(granted.map(\.slotCount) == [4, 2])
    #expect(messages(to: 1, in: effects).first == .offer(Small.manifest(0)))
    #expect(granted[0].prompts[0].tokens == [5] && granted[0].sampling == Small.sampling)
  }

  @Test func `no lease is longer than its limit`() {
    var bench = CoordinatorBench(plan: Small.plan(samples: 200))
    let granted = bench.lease(to: 1, slots: 1000)
    #expect(granted.allSatisfy { $0.slotCount <= Limits.slotsPerLease })
    #expect(granted.reduce(0) { $0 + $1.slotCount } == 400)
  }

  @Test func `workers share a round, and no slot is leased twice`() {
    var bench = CoordinatorBench()
    let first = bench.lease(to: 1, slots: 3)
    let second = bench.lease(to: 2, slots: 64)
    let slots = (first + second).flatMap(\.slots)
    #expect(slots.count == 8 && Set(slots).count == 8)
  }

  @Test func `a trajectory is stored before it is acknowledged`() {
    var bench = CoordinatorBench()
    let lease = bench.lease(to: 1)[0]
    let effects = bench.deliver(lease, from: 1)
    #expect(
      effects.starts(with: [
        .store(lease.slots.map(CoordinatorBench.trajectory), worker: "ada", lease: lease.id),
        .send(.settled(lease.slots), to: PeerID(1)),
      ]))
  }

  @Test func `a disconnected worker's slots are leased again, those it delivered are not`() {
    var bench = CoordinatorBench()
    let lease = bench.lease(to: 1, slots: 4)[0]
    _ = bench.say(.trajectories(lease.id, [CoordinatorBench.trajectory(lease.slots[1])]), from: 1)
    let left = bench.on(.disconnected(PeerID(1)))
    #expect(left == [.note(.left(PeerID(1), name: "ada", outstanding: 3))])
    #expect(bench.lease(to: 2, slots: 4)[0].slots == [lease.slots[0], lease.slots[2], lease.slots[3]])
  }

  @Test func `a lease without progress expires, is revoked, and is granted to another worker`() {
    var bench = CoordinatorBench(plan: Small.plan(samples: 4))
    let lease = bench.lease(to: 1, slots: 4)[0]
    for other in bench.lease(to: 2, slots: 4) { _ = bench.deliver(other, from: 2) }
    bench.now = .zero + Limits.leaseWithoutProgress + .milliseconds(1)
    for peer in UInt64(1)...2 { _ = bench.say(.heartbeat(tokens: peer == 2 ? 5 : 0), from: peer) }
    _ = bench.say(.want(slots: 4), from: 2)
    let effects = bench.on(.tick)
    #expect(effects.contains(.note(.expired(lease.id, holder: PeerID(1), slots: 4))))
    #expect(messages(to: 1, in: effects) == [.revoke(lease.id)])
    #expect(leases(in: effects).map(\.slots) == [lease.slots])
  }

  @Test func `a slow worker keeps its lease as long as its tokens grow`() {
    var bench = CoordinatorBench()
    _ = bench.lease(to: 1, slots: 4)
    for minute in UInt64(1)...10 {
      bench.now = .zero + .seconds(60 * minute)
      _ = bench.say(.heartbeat(tokens: minute), from: 1)
      #expect(bench.on(.tick).isEmpty)
    }
  }

  @Test func `a worker that delivers second is acknowledged too, and nothing is stored`() {
    var bench = CoordinatorBench()
    let lease = bench.lease(to: 1, slots: 4)[0]
    _ = bench.deliver(lease, from: 1)
    _ = bench.join(2)
    let effects = bench.deliver(lease, from: 2)
    #expect(refusals(in: effects) == Array(repeating: .duplicate, count: 4))
    #expect(messages(to: 2, in: effects) == [.settled(lease.slots)])
    #expect(!effects.contains { if case .store = $0 { true } else { false } })
  }

  /// Every way in which a trajectory does not count, beside the duplicate above.
  @Test(arguments: [
    (Small.trajectory(step: 7, sample: 0), Refusal.roundNotOpen),
    (Small.trajectory(sample: 4), .noSuchSlot),
    (Small.trajectory(prompt: 2, sample: 0), .noSuchSlot),
    (Small.trajectory(sample: 0, policy: 3), .otherPolicy(PolicyVersion(3))),
    (Small.trajectory(sample: 0, tokens: []), .malformed),
    (Small.trajectory(sample: 0, tokens: [1, 2, 3, 9]), .malformed),
  ])
  func `a trajectory that does not count is named, acknowledged and not stored`(
    _ trajectory: Trajectory, _ refusal: Refusal
  ) {
    var bench = CoordinatorBench()
    _ = bench.join(1)
    let effects = bench.say(.trajectories(LeaseID(1), [trajectory]), from: 1)
    #expect(
      effects == [
        .note(.refused(trajectory.slot, refusal, from: PeerID(1))), .send(.settled([trajectory.slot]), to: PeerID(1)),
      ])
  }

  @Test func `a trajectory with fewer log-probabilities than tokens is malformed`() {
    var bench = CoordinatorBench()
    _ = bench.join(1)
    var trajectory = Small.trajectory(sample: 0)
    trajectory.logprobs.removeLast()
    #expect(refusals(in: bench.say(.trajectories(LeaseID(1), [trajectory]), from: 1)) == [.malformed])
  }

  @Test func `a trajectory has what the lease asks samplers to record, or it is malformed`() {
    func refused(asking records: TokenRecords, giving entropies: [Float], _ selfCertainty: Float?) -> [Refusal] {
      var plan = Small.plan()
      plan[0].sampling.records = records
      var bench = CoordinatorBench(plan: plan)
      _ = bench.join(1)
      var trajectory = Small.trajectory(sample: 0)
      trajectory.entropies = entropies
      trajectory.selfCertainty = selfCertainty
      return refusals(in: bench.say(.trajectories(LeaseID(1), [trajectory]), from: 1))
    }
    #expect(refused(asking: .all, giving: [1, 2], 3) == [] && refused(asking: [], giving: [], nil) == [])
    #expect(refused(asking: .entropies, giving: [1, 2], nil) == [])
    for (records, entropies, selfCertainty) in [
      (TokenRecords.all, [1, 2] as [Float], nil as Float?), (.all, [], 3), (.all, [1], 3), ([], [1, 2], nil),
      ([], [], 3),
    ] {
      #expect(refused(asking: records, giving: entropies, selfCertainty) == [.malformed])
    }
  }

  @Test func `a slot that is not leased still counts when a worker delivers it`() {
    // A worker that goes on after the coordinator's restart delivers under leases that the coordinator has forgotten.
    var bench = CoordinatorBench()
    _ = bench.join(1)
    let effects = bench.say(.trajectories(LeaseID(99), [Small.trajectory(sample: 2)]), from: 1)
    #expect(effects.first == .store([Small.trajectory(sample: 2)], worker: "ada", lease: LeaseID(99)))
    #expect(!bench.lease(to: 2).flatMap(\.slots).contains(Small.trajectory(sample: 2).slot))
  }
}

@Suite struct CoordinatorRoundTests {
  @Test func `a round closes when every slot is settled, then the learner gets its batch`() {
    var bench = CoordinatorBench()
    _ = bench.join(9, .learner)
    #expect(bench.say(.ready(PolicyVersion(0)), from: 9).isEmpty)
    let granted = bench.lease(to: 1)
    #expect(!bench.deliver(granted[0], from: 1).contains(.closeRound(.train(step: 0))))
    let effects = bench.deliver(granted[1], from: 1)
    #expect(
      effects.suffix(2) == [.closeRound(.train(step: 0)), .sendBatch(.train(step: 0), to: PeerID(9))])
  }

  @Test func `a learner that comes after the round is closed gets its batch at once`() {
    var bench = CoordinatorBench()
    for lease in bench.lease(to: 1) { _ = bench.deliver(lease, from: 1) }
    _ = bench.join(9, .learner)
    #expect(bench.say(.ready(PolicyVersion(0)), from: 9) == [.sendBatch(.train(step: 0), to: PeerID(9))])
  }

  @Test func `a learner that claims a version from the future is refused`() {
    var bench = CoordinatorBench()
    _ = bench.join(9, .learner)
    let effects = bench.say(.ready(PolicyVersion(1)), from: 9)
    #expect(dismissals(of: 9, in: effects) == [.unpublished(PolicyVersion(1), latest: PolicyVersion(0))])
  }

  @Test func `nothing of a step is sampled before the policy that samples it is sealed`() {
    var bench = CoordinatorBench(plan: Small.plan(steps: 2))
    _ = bench.join(9, .learner)
    for lease in bench.lease(to: 1) { _ = bench.deliver(lease, from: 1) }
    _ = bench.say(.publish(Small.manifest(1), report: Small.report(1)), from: 9)
    _ = bench.say(.want(slots: 64), from: 1)
    let sealed = bench.transfer(Small.manifest(1), from: 9)
    #expect(leases(in: sealed).allSatisfy { $0.round == .train(step: 1) && $0.policy == PolicyVersion(1) })
    #expect(!leases(in: sealed).isEmpty)
  }

  @Test func `leases of a closed round are revoked`() {
    var bench = CoordinatorBench()
    let granted = bench.lease(to: 1)
    _ = bench.join(2)
    _ = bench.say(.trajectories(LeaseID(77), granted[0].slots.map(CoordinatorBench.trajectory)), from: 2)
    let last = bench.say(.trajectories(LeaseID(78), granted[1].slots.map(CoordinatorBench.trajectory)), from: 2)
    #expect(messages(to: 1, in: last) == granted.map { .revoke($0.id) })
  }

  /// A run whose last round is closed: worker 1 and learner 9 are connected.
  private func finishing(learnerIsReady: Bool) -> (bench: CoordinatorBench, last: [CoordinatorEffect]) {
    var bench = CoordinatorBench()
    _ = bench.join(9, .learner)
    for lease in bench.lease(to: 1) { _ = bench.deliver(lease, from: 1) }
    _ = bench.say(.publish(Small.manifest(1), report: Small.report(1)), from: 9)
    let sealed = bench.transfer(Small.manifest(1), from: 9)
    if learnerIsReady { _ = bench.say(.ready(PolicyVersion(1)), from: 9) }
    let last = leases(in: sealed + bench.say(.want(slots: 8), from: 1))
    let effects = last.flatMap { bench.deliver($0, from: 1) }
    return (bench, effects)
  }

  /// A process that ends because it was told so must find the run finished on disk.
  @Test func `a run is finished when its last round is closed, and then all processes are told, late ones too`() {
    var (bench, effects) = finishing(learnerIsReady: true)
    let end = Array(effects.drop { $0 != .finish })
    #expect(end == [.finish, .send(.finished, to: PeerID(1)), .send(.finished, to: PeerID(9))])
    #expect(messages(to: 1, in: effects).contains(.finished) && messages(to: 9, in: effects) == [.finished])
    #expect(messages(to: 2, in: bench.join(2)).last == .finished)
  }

  @Test func `a run is not finished before a learner holds the last version`() {
    var (bench, effects) = finishing(learnerIsReady: false)
    #expect(!effects.contains(.finish))
    // It lost its newest checkpoint, and trains the last step again.
    _ = bench.on(.disconnected(PeerID(9)))
    #expect(messages(to: 10, in: bench.join(10, .learner)) == [.welcome(Small.welcome(latest: 1))])
    #expect(bench.say(.ready(PolicyVersion(0)), from: 10) == [.sendBatch(.train(step: 0), to: PeerID(10))])
    effects = bench.say(.ready(PolicyVersion(1)), from: 10)
    #expect(effects.contains(.finish) && messages(to: 10, in: effects) == [.finished])
  }

  @Test func `a learner that comes after the end is told when it is ready at the last version`() {
    var (bench, _) = finishing(learnerIsReady: true)
    #expect(messages(to: 10, in: bench.join(10, .learner)) == [.welcome(Small.welcome(latest: 1))])
    #expect(bench.say(.ready(PolicyVersion(0)), from: 10) == [.sendBatch(.train(step: 0), to: PeerID(10))])
    #expect(messages(to: 10, in: bench.say(.ready(PolicyVersion(1)), from: 10)) == [.finished])
  }

  @Test func `a coordinator that finds everything done on its disk finishes at once`() {
    let plan = Small.plan()
    var bench = CoordinatorBench(
      memory: CoordinatorMemory(closedRounds: plan.map(\.id), policies: (0...1).map { Small.manifest($0) }))
    #expect(bench.on(.tick).last == .finish)
  }

  @Test func `a restarted coordinator goes on from what was durable`() {
    let settled = (0..<3).map { Slot(round: .train(step: 0), prompt: 0, sample: $0) }
    var bench = CoordinatorBench(memory: CoordinatorMemory(settled: settled, policies: [Small.manifest(0)]))
    let slots = bench.lease(to: 1).flatMap(\.slots)
    #expect(slots.count == 5 && Set(slots).isDisjoint(with: settled))
  }

  @Test func `a round that was complete before a crash closes after it`() {
    let settled = (0..<8).map { Slot(round: .train(step: 0), prompt: $0 / 4, sample: $0 % 4) }
    var bench = CoordinatorBench(memory: CoordinatorMemory(settled: settled, policies: [Small.manifest(0)]))
    #expect(bench.on(.tick) == [.closeRound(.train(step: 0))])
  }

  @Test func `a round without prompts closes by itself`() {
    let plan = [
      RoundSpec(id: .evaluate(.training, at: PolicyVersion(0)), prompts: [], samples: 4, sampling: Small.sampling)
    ]
    var bench = CoordinatorBench(plan: plan)
    #expect(bench.on(.tick) == [.closeRound(plan[0].id), .finish])
  }
}

/// Two prompts of four samples, of which the first two are required.
@Suite struct EarlyStopLeaseTests {
  private let plan = [
    RoundSpec(
      id: .train(step: 0), prompts: [0, 1], samples: 4, sampling: Small.sampling, required: [[0, 1], [0, 1]])
  ]
  private let round = RoundID.train(step: 0)

  private func slots(_ prompt: UInt32, _ samples: [UInt32]) -> [Slot] {
    samples.map { Slot(round: round, prompt: prompt, sample: $0) }
  }

  @Test func `required slots of all prompts are leased first, spare ones after them`() {
    var bench = CoordinatorBench(plan: plan)
    let granted = bench.lease(to: 1)
    #expect(granted.map(\.slots) == [slots(0, [0, 1]), slots(1, [0, 1]), slots(0, [2, 3]), slots(1, [2, 3])])
  }

  @Test func `a worker that has much to do gets no spare slots, and none of later rounds instead`() {
    let busy = UInt32(Limits.slotsBesideSpare)
    let large = RoundSpec(
      id: round, prompts: [0], samples: busy + 40, sampling: Small.sampling, required: [Array(0..<busy)])
    let later = RoundSpec(
      id: .evaluate(.training, at: PolicyVersion(0)), prompts: [0], samples: 9, sampling: Small.sampling)
    var bench = CoordinatorBench(plan: [large, later])
    let granted = bench.lease(to: 1, slots: 500)
    #expect(granted.map(\.slotCount) == [64])
    // A worker that has nothing to do gets some, a few at a time.
    let spare = bench.lease(to: 2, slots: 20)
    #expect(spare.map(\.slotCount) == [Limits.slotsPerSpareLease, 4] && spare[0].slots[0].sample == busy)
  }

  @Test func `a decision is made durable, takes back what is leased, and refuses what comes late`() {
    var bench = CoordinatorBench(plan: plan)
    let granted = bench.lease(to: 1)
    _ = bench.deliver(granted[0], from: 1)
    let effects = bench.on(.decided(round, prompt: 0, unneeded: [2, 3]))
    #expect(effects == [.storeUnneeded(slots(0, [2, 3])), .send(.revoke(granted[2].id), to: PeerID(1))])
    let late = bench.deliver(granted[2], from: 1)
    #expect(refusals(in: late) == [.unneeded, .unneeded] && messages(to: 1, in: late).count == 1)
    #expect(!late.contains { if case .store = $0 { true } else { false } })
    #expect(bench.on(.decided(round, prompt: 0, unneeded: [])).isEmpty)
  }

  @Test func `the round closes when the last prompt is decided, not before, even if all slots are settled`() {
    var bench = CoordinatorBench(plan: plan)
    let granted = bench.lease(to: 1)
    for lease in granted {
      #expect(!bench.deliver(lease, from: 1).contains(.closeRound(round)))
    }
    #expect(!bench.on(.decided(round, prompt: 1, unneeded: [])).contains(.closeRound(round)))
    let effects = bench.on(.decided(round, prompt: 0, unneeded: [3]))
    #expect(effects.starts(with: [.storeUnneeded(slots(0, [3])), .closeRound(round)]))
  }

  @Test func `a restarted coordinator that is told the decisions again goes on from there`() {
    let settled = slots(0, [0, 1]) + slots(1, [0])
    var bench = CoordinatorBench(
      plan: plan, memory: CoordinatorMemory(settled: settled, policies: [Small.manifest(0)]))
    let effects = bench.on(.decided(round, prompt: 0, unneeded: [2, 3]))
    #expect(effects == [.storeUnneeded(slots(0, [2, 3]))])
    #expect(bench.lease(to: 1).map(\.slots) == [slots(1, [1]), slots(1, [2, 3])])
  }
}
