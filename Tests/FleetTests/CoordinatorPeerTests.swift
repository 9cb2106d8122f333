// Which peers a coordinator talks to, and what becomes of those that are late, silent, or one too many.

import Base
import Fleet
import Records
import Testing

@Suite struct CoordinatorPeerTests {
  @Test func `a peer that says nothing for ten seconds is cut off`() {
    var bench = CoordinatorBench()
    _ = bench.on(.connected(PeerID(1)))
    bench.now = .zero + Limits.helloDeadline + .milliseconds(1)
    #expect(bench.on(.tick) == [.cutOff(PeerID(1), .noHello)])
  }

  @Test func `a silent worker is cut off without a goodbye, so that it may come back`() {
    // A process that was stopped and goes on finds its connection closed. Told goodbye, it would leave for good.
    var bench = CoordinatorBench()
    let lease = bench.lease(to: 1, slots: 4)[0]
    bench.now = .zero + Limits.silence + .milliseconds(1)
    let effects = bench.on(.tick)
    #expect(effects.contains(.cutOff(PeerID(1), .silent(for: Limits.silence))))
    #expect(dismissals(of: 1, in: effects).isEmpty)
    // Its slots are free: the next worker gets the same.
    #expect(bench.lease(to: 2, slots: 4)[0].slots == lease.slots)
  }

  @Test func `a worker that speaks is not silent, whatever it says`() {
    var bench = CoordinatorBench()
    _ = bench.join(1)
    for second in 1...10 {
      bench.now = .zero + .seconds(UInt64(second) * 10)
      _ = bench.say(.heartbeat(tokens: 0), from: 1)
      #expect(bench.on(.tick).isEmpty)
    }
  }

  /// It is named and cut off, so that its place is free for its successor; if it lives it can come back.
  @Test func `a learner that waits for a batch is cut off like a worker, one that may be training much later`() {
    var bench = CoordinatorBench()
    _ = bench.join(1, .learner, name: "grace")
    _ = bench.say(.ready(PolicyVersion(0)), from: 1)
    bench.now = .zero + Limits.silence + .milliseconds(1)
    #expect(bench.on(.tick) == silenced(1, "grace", for: Limits.silence))
    // It comes back, and it is not known whether it trains what the old connection brought.
    _ = bench.join(2, .learner, name: "grace")
    bench.now = bench.now + Limits.training
    #expect(bench.on(.tick).isEmpty)
    bench.now = bench.now + .milliseconds(1)
    #expect(bench.on(.tick) == silenced(2, "grace", for: Limits.training))
  }

  @Test func `a learner with its batch is waited for as long as it speaks`() {
    var bench = CoordinatorBench()
    _ = bench.join(9, .learner)
    _ = bench.say(.ready(PolicyVersion(0)), from: 9)
    for lease in bench.lease(to: 1) { _ = bench.deliver(lease, from: 1) }
    for _ in 0..<10 {
      bench.now = bench.now + Limits.training
      _ = bench.say(.heartbeat(tokens: 0), from: 9)
      _ = bench.say(.heartbeat(tokens: 0), from: 1)
      #expect(bench.on(.tick).isEmpty)
    }
  }

  private func silenced(_ id: UInt64, _ name: String, for span: Instant.Span) -> [CoordinatorEffect] {
    [
      .note(.silent(PeerID(id), name: name)), .cutOff(PeerID(id), .silent(for: span)),
      .note(.left(PeerID(id), name: name, outstanding: 0)),
    ]
  }

  @Test func `a stranger that does not introduce itself is refused`() {
    var bench = CoordinatorBench()
    _ = bench.on(.connected(PeerID(1)))
    #expect(bench.say(.want(slots: 1), from: 1) == [.dismiss(PeerID(1), .unexpectedMessage(from: nil))])
  }

  @Test(arguments: [
    Message.ready(PolicyVersion(0)), .publish(Small.manifest(1), report: Small.report(1)),
    .policyBytes(PolicyVersion(1), offset: 0, bytes: [0]), .hello(Small.hello(.worker)), .welcome(Small.welcome()),
    .settled([]), .finished, .published(PolicyVersion(0)),
  ])
  func `a worker may not say what is not a worker's to say`(_ message: Message) {
    var bench = CoordinatorBench()
    _ = bench.join(1)
    #expect(dismissals(of: 1, in: bench.say(message, from: 1)) == [.unexpectedMessage(from: .worker)])
  }

  @Test(arguments: [
    Message.want(slots: 1), .trajectories(LeaseID(1), []), .installed(PolicyVersion(0), .seconds(1)),
  ])
  func `a learner may not say what is a worker's to say`(_ message: Message) {
    var bench = CoordinatorBench()
    _ = bench.join(1, .learner)
    #expect(dismissals(of: 1, in: bench.say(message, from: 1)) == [.unexpectedMessage(from: .learner)])
  }

  @Test func `a peer that was refused is not heard any more`() {
    var bench = CoordinatorBench()
    _ = bench.join(1)
    _ = bench.say(.finished, from: 1)
    #expect(bench.say(.want(slots: 8), from: 1).isEmpty)
    #expect(bench.on(.disconnected(PeerID(1))).isEmpty)
  }

  @Test func `a second learner takes over, and the first is told so`() {
    var bench = CoordinatorBench()
    _ = bench.join(1, .learner)
    let effects = bench.join(2, .learner)
    #expect(dismissals(of: 1, in: effects) == [.replaced])
    #expect(messages(to: 2, in: effects) == [.welcome(Small.welcome())])
    #expect(bench.say(.ready(PolicyVersion(0)), from: 1).isEmpty)
  }

  @Test func `a peer whose program computes other bits is refused by name`() throws {
    var bench = CoordinatorBench()
    _ = bench.on(.connected(PeerID(1)))
    var hello = Small.hello(.worker)
    hello.edition = Edition.own + 1
    let effects = bench.say(.hello(hello), from: 1)
    #expect(dismissals(of: 1, in: effects) == [.otherEdition(Edition.own + 1)])
    #expect(messages(to: 1, in: effects).isEmpty)
    #expect("\(try #require(dismissals(of: 1, in: effects).first))".contains("edition \(Edition.own + 1), here"))
  }

  @Test func `a hello that a dead learner left behind does not unseat its successor`() {
    var bench = CoordinatorBench()
    _ = bench.on(.connected(PeerID(1)))
    _ = bench.join(2, .learner)
    let effects = bench.say(.hello(Small.hello(.learner)), from: 1)
    #expect(dismissals(of: 1, in: effects) == [.replaced])
    #expect(messages(to: 2, in: effects).isEmpty)
  }

  @Test func `a worker that asks for a policy which is not kept is told so, and stays`() {
    var bench = CoordinatorBench()
    _ = bench.join(1)
    #expect(
      bench.say(.requestBundle(PolicyVersion(5), holding: []), from: 1) == [
        .send(.missing(PolicyVersion(5)), to: PeerID(1))
      ])
    #expect(
      bench.say(.requestBundle(PolicyVersion(0), holding: []), from: 1)
        == [.bundle(.make(Small.manifest(0), base: nil))])
  }

  @Test func `a relay that a worker left is noted, and no worker is sent there`() {
    var bench = CoordinatorBench()
    _ = bench.join(1)
    #expect(
      bench.say(.fault("r:1", PolicyVersion(0), .wrong), from: 1) == [
        .note(.relayAvoided("r:1", .wrong, by: PeerID(1)))
      ])
  }
}
