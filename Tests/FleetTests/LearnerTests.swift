// What a learner asks for, trains, and publishes, and what it makes of a coordinator that comes and goes.

import Base
import Fleet
import Records
import Testing

/// A learner at some version, and shortcuts for what happens to it.
struct LearnerBench {
  var learner: Learner

  /// - Parameter held: the version of its checkpoint.
  init(held: UInt32 = 0) {
    learner = Learner(
      hello: Small.hello(.learner), held: PolicyVersion(held),
      publication: held == 0 ? nil : (Small.manifest(held), Small.report(held)))
  }

  mutating func on(_ event: LearnerEvent) -> [LearnerEffect] { learner.receive(event, now: .zero) }

  mutating func hear(_ message: Message) -> [LearnerEffect] { on(.received(message)) }

  mutating func join(latest: UInt32 = 0) -> [LearnerEffect] {
    _ = on(.connected)
    return hear(.welcome(Small.welcome(latest: latest)))
  }

  /// Hears the whole batch of a step in one part.
  mutating func hearBatch(step: UInt32) -> [LearnerEffect] {
    hear(.batch(step: step, part: 0, partCount: 1, [Small.trajectory(step: step, sample: 0)]))
  }
}

@Suite struct LearnerTests {
  @Test func `a learner says hello, then that it is ready`() {
    var bench = LearnerBench()
    #expect(bench.on(.connected) == [.send(.hello(Small.hello(.learner)))])
    #expect(bench.hear(.welcome(Small.welcome())) == [.send(.ready(PolicyVersion(0)))])
  }

  @Test func `a batch is trained when its last part is here, in order`() {
    var bench = LearnerBench()
    _ = bench.join()
    let first = Small.trajectory(sample: 0)
    let second = Small.trajectory(sample: 1)
    #expect(bench.hear(.batch(step: 0, part: 0, partCount: 2, [first])).isEmpty)
    #expect(bench.hear(.batch(step: 0, part: 1, partCount: 2, [second])) == [.train(step: 0, [first, second])])
  }

  @Test(arguments: [
    Message.batch(step: 1, part: 0, partCount: 1, []), .batch(step: 0, part: 1, partCount: 2, []),
    .batch(step: 0, part: 0, partCount: 0, []), .requestBytes(PolicyVersion(0), offset: 0), .settled([]),
  ])
  func `what does not fit ends the connection`(_ message: Message) {
    var bench = LearnerBench()
    _ = bench.join()
    #expect(bench.hear(message) == [.disconnect])
  }

  @Test func `it says that it is alive every two seconds, also while it trains, and only while it is welcome`() {
    var bench = LearnerBench()
    func beats(_ seconds: ClosedRange<UInt64>) -> Int {
      seconds.count { bench.learner.receive(.tick, now: .zero + .seconds($0)) == [.send(.heartbeat(tokens: 0))] }
    }
    #expect(beats(1...10) == 0)
    _ = bench.join()
    #expect(beats(11...20) == 5)
    #expect(bench.hearBatch(step: 0).count == 1 && beats(21...30) == 5)
    _ = bench.on(.disconnected)
    #expect(beats(31...40) == 0)
  }

  @Test func `half a batch is forgotten with the connection`() {
    var bench = LearnerBench()
    _ = bench.join()
    _ = bench.hear(.batch(step: 0, part: 0, partCount: 2, [Small.trajectory(sample: 0)]))
    _ = bench.on(.disconnected)
    #expect(bench.join() == [.send(.ready(PolicyVersion(0)))])
    #expect(bench.hearBatch(step: 0) == [.train(step: 0, [Small.trajectory(sample: 0)])])
  }

  @Test func `a trained version is published, served, and when confirmed the next batch is asked for`() {
    var bench = LearnerBench()
    _ = bench.join()
    _ = bench.hearBatch(step: 0)
    let publish = bench.on(.trained(Small.manifest(1), report: Small.report(1)))
    #expect(publish == [.send(.publish(Small.manifest(1), report: Small.report(1)))])
    #expect(bench.hear(.requestBytes(PolicyVersion(1), offset: 2)) == [.sendPolicy(PolicyVersion(1), offset: 2)])
    #expect(bench.hear(.requestBytes(PolicyVersion(1), offset: 4)) == [.disconnect], "it has bytes 0 to 3")
    #expect(bench.hear(.published(PolicyVersion(1))) == [.send(.ready(PolicyVersion(1)))])
  }

  @Test func `training goes on while the coordinator is away, and the version is published after it is back`() {
    var bench = LearnerBench()
    _ = bench.join()
    _ = bench.hearBatch(step: 0)
    _ = bench.on(.disconnected)
    #expect(bench.on(.trained(Small.manifest(1), report: Small.report(1))).isEmpty)
    #expect(bench.join() == [.send(.publish(Small.manifest(1), report: Small.report(1)))])
  }

  @Test func `a learner that reconnects while it trains asks for nothing`() {
    var bench = LearnerBench()
    _ = bench.join()
    _ = bench.hearBatch(step: 0)
    _ = bench.on(.disconnected)
    #expect(bench.join().isEmpty)
    #expect(
      bench.on(.trained(Small.manifest(1), report: Small.report(1))) == [
        .send(.publish(Small.manifest(1), report: Small.report(1)))
      ])
  }

  @Test func `a learner that died after its checkpoint and before publishing it publishes it first`() {
    var bench = LearnerBench(held: 3)
    #expect(bench.join(latest: 2) == [.send(.publish(Small.manifest(3), report: Small.report(3)))])
  }

  @Test func `a learner that is behind trains the same steps again`() {
    var bench = LearnerBench(held: 1)
    #expect(bench.join(latest: 3) == [.send(.ready(PolicyVersion(1)))])
    #expect(bench.hearBatch(step: 1) == [.train(step: 1, [Small.trajectory(step: 1, sample: 0)])])
    let publish = bench.on(.trained(Small.manifest(2), report: Small.report(2)))
    #expect(publish == [.send(.publish(Small.manifest(2), report: Small.report(2)))])
  }

  @Test func `a learner exits when the run is finished, when it is refused, and when another run is served`() {
    var bench = LearnerBench()
    _ = bench.join()
    #expect(bench.hear(.finished) == [.exit(.finished)])
    #expect(bench.hear(.goodbye(reason: "no")) == [.exit(.refused("no"))])
    _ = bench.on(.disconnected)
    _ = bench.on(.connected)
    let other = bench.hear(.welcome(Small.welcome(run: "other")))
    #expect(other == [.exit(.otherRun("other", joined: "run"))])
  }
}
