// What a worker does with leases, policies and its own results, connected or not.

import Base
import Fleet
import Records
import Testing

/// A worker, its clock, and shortcuts for what happens to it.
struct WorkerBench {
  var worker: Worker
  var now = Instant.zero

  init(capacity: Int = 8) {
    worker = Worker(hello: Small.hello(.worker), capacity: capacity, digest: Small.digest)
  }

  mutating func on(_ event: WorkerEvent) -> [WorkerEffect] { worker.receive(event, now: now) }

  /// Its engine has sampled these.
  mutating func sample(_ lease: LeaseID, _ trajectories: [Trajectory]) -> [WorkerEffect] {
    on(.sampled(trajectories.map { SampledTrajectory($0, of: lease) }))
  }

  mutating func hear(_ message: Message) -> [WorkerEffect] { on(.received(message)) }

  /// Connects and is welcomed.
  mutating func join(latest: UInt32 = 0) -> [WorkerEffect] {
    _ = on(.connected)
    return hear(.welcome(Small.welcome(latest: latest)))
  }

  /// Is offered a version, gets its chunks, and installs it.
  mutating func install(_ version: UInt32) -> [WorkerEffect] {
    receive(version)
    return on(.transfer(.installed(Small.bundle(version), isIntact: true)))
  }

  /// Is offered a version and gets its chunks.
  mutating func receive(_ version: UInt32) {
    _ = hear(.offer(Small.manifest(version)))
    _ = hear(.bundle(Small.bundle(version), from: "", depth: 0))
    for chunk in Small.chunks(version) { _ = hear(.chunk(Small.digest(chunk), chunk)) }
  }
}

func sent(_ effects: [WorkerEffect]) -> [Message] {
  effects.compactMap { if case .send(let message) = $0 { message } else { nil } }
}

@Suite struct WorkerPolicyTests {
  @Test func `an offered policy is fetched, installed, and only then sampled from`() {
    var bench = WorkerBench()
    _ = bench.join()
    #expect(sent(bench.hear(.offer(Small.manifest(0)))) == [.requestBundle(PolicyVersion(0), holding: [])])
    #expect(sent(bench.hear(.lease(Small.lease(1)))).isEmpty)
    bench.receive(0)
    #expect(bench.on(.transfer(.installed(Small.bundle(0), isIntact: true))).contains(.sample(Small.lease(1))))
  }

  /// A coordinator that has not said welcome would refuse any message but a hello.
  @Test func `how long an installation took is said only after the welcome`() {
    var bench = WorkerBench()
    let event = WorkerEvent.installed(PolicyVersion(0), in: .milliseconds(5))
    _ = bench.on(.connected)
    #expect(sent(bench.on(event)).isEmpty)
    _ = bench.join()
    #expect(sent(bench.on(event)) == [.installed(PolicyVersion(0), .milliseconds(5))])
    _ = bench.on(.disconnected)
    #expect(sent(bench.on(event)).isEmpty)
  }

  @Test func `a policy that is held is not fetched again, however often it is offered`() {
    var bench = WorkerBench()
    _ = bench.join()
    _ = bench.install(0)
    #expect(bench.hear(.offer(Small.manifest(0))).isEmpty)
  }

  @Test func `a policy that is being installed when the connection breaks is not fetched again`() {
    var bench = WorkerBench()
    _ = bench.join()
    bench.receive(0)
    _ = bench.on(.disconnected)
    _ = bench.join()
    #expect(bench.hear(.offer(Small.manifest(0))).isEmpty)
    _ = bench.hear(.lease(Small.lease(1)))
    #expect(bench.on(.transfer(.installed(Small.bundle(0), isIntact: true))).contains(.sample(Small.lease(1))))
  }

  @Test func `two policies are kept, older ones are dropped`() {
    var bench = WorkerBench()
    _ = bench.join()
    _ = bench.install(0)
    #expect(!bench.install(1).contains(.dropPolicy(PolicyVersion(0))))
    #expect(bench.install(2).contains(.dropPolicy(PolicyVersion(0))))
  }

  @Test func `a policy that no round needs is dropped when there is a newer one and no lease needs it`() {
    var bench = WorkerBench()
    _ = bench.join()
    _ = bench.install(0)
    // The next delta refers to it.
    #expect(!bench.hear(.missing(PolicyVersion(0))).contains(.dropPolicy(PolicyVersion(0))))
    #expect(bench.install(1).contains(.dropPolicy(PolicyVersion(0))))
    _ = bench.hear(.lease(Small.lease(1, step: 1, samples: 0..<1)))
    _ = bench.install(2)
    #expect(!bench.hear(.missing(PolicyVersion(1))).contains(.dropPolicy(PolicyVersion(1))))
    let done = bench.sample(LeaseID(1), [Small.trajectory(step: 1, sample: 0)])
    #expect(done.contains(.dropPolicy(PolicyVersion(1))))
  }

  @Test func `no lease is sampled from a policy that was trained again with other bits`() {
    var bench = WorkerBench()
    _ = bench.join()
    _ = bench.install(1)
    _ = bench.hear(.offer(Small.manifest(1, digest: 9)))
    #expect(!bench.hear(.lease(Small.lease(1, step: 1))).contains(.sample(Small.lease(1, step: 1))))
  }

  @Test func `a policy that a lease at hand is sampled from is not dropped before the lease is done`() {
    var bench = WorkerBench()
    _ = bench.join()
    _ = bench.install(0)
    _ = bench.hear(.lease(Small.lease(1, samples: 0..<1)))
    _ = bench.install(1)
    #expect(!bench.install(2).contains(.dropPolicy(PolicyVersion(0))))
    let done = bench.sample(LeaseID(1), [Small.trajectory(sample: 0)])
    #expect(done.contains(.dropPolicy(PolicyVersion(0))))
  }

  @Test func `a policy that was dropped is fetched again when a lease needs it`() {
    var bench = WorkerBench()
    _ = bench.join()
    for version in UInt32(0)...2 { _ = bench.install(version) }
    #expect(
      sent(bench.hear(.offer(Small.manifest(0)))) == [.requestBundle(PolicyVersion(0), holding: [PolicyVersion(2)])])
  }

  @Test func `where others can have chunks is said at the meeting`() {
    var bench = WorkerBench()
    _ = bench.on(.transfer(.listening(at: "10.0.0.1:7")))
    guard case .hello(let hello) = sent(bench.on(.connected)).first else { return #expect(Bool(false)) }
    #expect(hello.relay == "10.0.0.1:7")
  }
}

@Suite struct WorkerLeaseTests {
  /// A worker that samples lease 1, four slots of policy 0.
  private func sampling() -> WorkerBench {
    var bench = WorkerBench()
    _ = bench.join()
    _ = bench.install(0)
    _ = bench.hear(.lease(Small.lease(1)))
    return bench
  }

  @Test func `a worker asks for as many slots as it can hold, and again when a lease's worth is free`() {
    var bench = WorkerBench(capacity: 4)
    #expect(sent(bench.join()) == [.want(slots: 4)])
    _ = bench.install(0)
    #expect(sent(bench.hear(.lease(Small.lease(1)))).isEmpty)
    let some = bench.sample(LeaseID(1), [Small.trajectory(sample: 0)])
    #expect(!sent(some).contains(.want(slots: 1)))
    let rest = bench.sample(LeaseID(1), (1..<4).map { Small.trajectory(sample: $0) })
    #expect(sent(rest).contains(.want(slots: 4)))
  }

  @Test func `wants add up to the capacity while leases are on their way`() {
    var bench = WorkerBench(capacity: 4)
    #expect(sent(bench.join()) == [.want(slots: 4)])
    _ = bench.install(0)
    // The first of several small leases is done before the second arrives: three slots are still owed to the worker.
    _ = bench.hear(.lease(Small.lease(1, samples: 0..<1)))
    let first = bench.sample(LeaseID(1), [Small.trajectory(sample: 0)])
    #expect(sent(first).last == .want(slots: 1))
    _ = bench.hear(.lease(Small.lease(2, samples: 1..<3)))
    let second = bench.sample(LeaseID(2), (1..<3).map { Small.trajectory(sample: $0) })
    #expect(sent(second).last == .want(slots: 2))
  }

  @Test func `what was sampled together is delivered by lease`() {
    var bench = sampling()
    _ = bench.hear(.lease(Small.lease(2, samples: 4..<6)))
    let sampled = [(4, 2), (0, 1), (5, 2), (1, 1)].map { sample, lease in
      SampledTrajectory(Small.trajectory(sample: UInt32(sample)), of: LeaseID(UInt64(lease)))
    }
    #expect(
      sent(bench.on(.sampled(sampled))) == [
        .trajectories(LeaseID(1), [0, 1].map { Small.trajectory(sample: $0) }),
        .trajectories(LeaseID(2), [4, 5].map { Small.trajectory(sample: $0) }),
      ])
  }

  @Test func `what was sampled is kept until it is settled, and offered again after a reconnect`() {
    var bench = sampling()
    let first = Small.trajectory(sample: 0)
    let second = Small.trajectory(sample: 1)
    #expect(sent(bench.sample(LeaseID(1), [first, second])) == [.trajectories(LeaseID(1), [first, second])])
    _ = bench.hear(.settled([first.slot]))
    _ = bench.on(.disconnected)
    #expect(sent(bench.join()).first == .trajectories(LeaseID(1), [second]))
    _ = bench.hear(.settled([second.slot]))
    _ = bench.on(.disconnected)
    #expect(!sent(bench.join()).contains { if case .trajectories = $0 { true } else { false } })
  }

  @Test func `while the coordinator is away sampling goes on, and the results wait`() {
    var bench = sampling()
    _ = bench.on(.disconnected)
    let trajectory = Small.trajectory(sample: 0)
    #expect(sent(bench.sample(LeaseID(1), [trajectory])).isEmpty)
    #expect(sent(bench.join()).first == .trajectories(LeaseID(1), [trajectory]))
  }

  @Test func `leases that have not begun are forgotten with the connection`() {
    var bench = WorkerBench()
    _ = bench.join()
    _ = bench.hear(.lease(Small.lease(1)))
    _ = bench.on(.disconnected)
    _ = bench.join()
    #expect(!bench.install(0).contains(.sample(Small.lease(1))))
  }

  @Test func `a revoked lease is cancelled, begun or not`() {
    var begun = sampling()
    #expect(begun.hear(.revoke(LeaseID(1))).contains(.cancel(LeaseID(1))))
    var waiting = WorkerBench()
    _ = waiting.join()
    _ = waiting.hear(.lease(Small.lease(1)))
    #expect(!waiting.hear(.revoke(LeaseID(1))).contains(.cancel(LeaseID(1))))
    #expect(!waiting.install(0).contains(.sample(Small.lease(1))))
  }

  @Test func `a restarted coordinator's lease waits for an earlier one of its number`() {
    // Lease numbers start again with the coordinator; the engine knows leases by number.
    var bench = sampling()
    _ = bench.on(.disconnected)
    _ = bench.join()
    let second = Small.lease(1, samples: 4..<6)
    #expect(!bench.hear(.lease(second)).contains(.sample(second)))
    let rest = bench.sample(LeaseID(1), (0..<4).map { Small.trajectory(sample: $0) })
    #expect(rest.contains(.sample(second)))
  }

  @Test func `a heartbeat is sent as often as the coordinator wishes, and not before the welcome`() {
    var bench = WorkerBench()
    bench.now = .zero + .seconds(5)
    #expect(bench.on(.tick(tokens: 0)).isEmpty)
    _ = bench.join()
    #expect(sent(bench.on(.tick(tokens: 17))) == [.heartbeat(tokens: 17)])
    #expect(bench.on(.tick(tokens: 18)).isEmpty)
    bench.now = bench.now + .seconds(2)
    #expect(sent(bench.on(.tick(tokens: 19))) == [.heartbeat(tokens: 19)])
  }
}

@Suite struct WorkerLeavingTests {
  @Test func `a drained worker finishes what it has, hands it over, and leaves`() {
    var bench = WorkerBench()
    _ = bench.join()
    _ = bench.install(0)
    _ = bench.hear(.lease(Small.lease(1, samples: 0..<1)))
    #expect(bench.on(.drain).isEmpty)
    #expect(bench.hear(.lease(Small.lease(2))).isEmpty)
    let trajectory = Small.trajectory(sample: 0)
    #expect(bench.sample(LeaseID(1), [trajectory]) == [.send(.trajectories(LeaseID(1), [trajectory]))])
    let last = bench.hear(.settled([trajectory.slot]))
    #expect(last == [.send(.goodbye(reason: "drained")), .exit(.drained)])
  }

  @Test func `a worker exits when the run is finished`() {
    var bench = WorkerBench()
    _ = bench.join()
    #expect(bench.hear(.finished).contains(.exit(.finished)))
  }

  @Test func `a refused worker exits and says why`() {
    var bench = WorkerBench()
    _ = bench.on(.connected)
    let effects = bench.hear(.goodbye(reason: "full"))
    #expect(effects.contains(.exit(.refused("full"))))
  }

  @Test func `a worker does not serve two runs`() {
    var bench = WorkerBench()
    _ = bench.join()
    _ = bench.on(.disconnected)
    _ = bench.on(.connected)
    let effects = bench.hear(.welcome(Small.welcome(run: "other")))
    #expect(effects.contains(.exit(.otherRun("other", joined: "run"))))
  }

  @Test func `a message that is not for workers ends the connection`() {
    var bench = WorkerBench()
    _ = bench.join()
    #expect(bench.hear(.ready(PolicyVersion(0))).contains(.disconnect))
  }

  @Test func `pauses between attempts double up to five seconds, half of each by chance`() {
    var bench = WorkerBench()
    for attempt in 0..<12 {
      guard case .connect(let next) = bench.on(.disconnected).first else { return #expect(Bool(false)) }
      let pause = next.pause
      let whole = min(Instant.Span.milliseconds(100 << UInt64(attempt)), .seconds(5))
      #expect(pause <= whole && pause * 2 >= whole, "attempt \(attempt) waits \(pause.milliseconds) ms")
    }
    _ = bench.join()
    guard case .connect(let next) = bench.on(.disconnected).first else { return #expect(Bool(false)) }
    let pause = next.pause
    #expect(pause <= .milliseconds(100))
  }
}
