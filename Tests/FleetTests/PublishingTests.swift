// How a version becomes known: announced, sent in order, verified, durable, and then offered to workers.

import Base
import Fleet
import Records
import Testing

@Suite struct PublishingTests {
  /// A coordinator with a learner, peer 1, that has announced policy 1.
  private func announced() -> CoordinatorBench {
    var bench = CoordinatorBench()
    _ = bench.join(1, .learner)
    _ = bench.say(.publish(Small.manifest(1), report: Small.report(1)), from: 1)
    return bench
  }

  @Test func `an announced version is fetched, written in order, sealed, and then confirmed`() {
    var bench = CoordinatorBench()
    _ = bench.join(1, .learner)
    let announced = bench.say(.publish(Small.manifest(1), report: Small.report(1)), from: 1)
    #expect(announced == [.send(.requestBytes(PolicyVersion(1), offset: 0), to: PeerID(1))])
    let half = bench.say(.policyBytes(PolicyVersion(1), offset: 0, bytes: [1, 2]), from: 1)
    #expect(
      half == [
        .writePolicy(PolicyVersion(1), offset: 0, bytes: [1, 2]),
        .send(.requestBytes(PolicyVersion(1), offset: 2), to: PeerID(1)),
      ])
    let whole = bench.say(.policyBytes(PolicyVersion(1), offset: 2, bytes: [3, 4]), from: 1)
    #expect(
      whole == [
        .writePolicy(PolicyVersion(1), offset: 2, bytes: [3, 4]),
        .sealPolicy(Small.manifest(1), report: Small.report(1), from: PeerID(1)),
      ])
    let sealed = bench.on(.sealed(Small.manifest(1), isIntact: true, from: PeerID(1)))
    #expect(sealed.contains(.note(.published(PolicyVersion(1)))))
    #expect(messages(to: 1, in: sealed) == [.published(PolicyVersion(1))])
  }

  @Test func `after the first piece the coordinator asks for several at once`() {
    let long = PolicyManifest(version: PolicyVersion(1), byteCount: 15, digest: [1])
    var bench = CoordinatorBench()
    _ = bench.join(1, .learner)
    _ = bench.say(.publish(long, report: Small.report(1)), from: 1)
    func piece(_ offset: UInt64, _ count: Int = 2) -> [Message] {
      let bytes = [UInt8](repeating: 0, count: count)
      return messages(to: 1, in: bench.say(.policyBytes(PolicyVersion(1), offset: offset, bytes: bytes), from: 1))
    }
    func asks(_ offsets: UInt64...) -> [Message] { offsets.map { .requestBytes(PolicyVersion(1), offset: $0) } }
    #expect(piece(0) == asks(2, 4, 6, 8))
    #expect(piece(2) == asks(10))
    #expect(piece(4) == asks(12))
    #expect(piece(6) == asks(14))
    for offset in [8, 10, 12] as [UInt64] { #expect(piece(offset).isEmpty) }
    let last = bench.say(.policyBytes(PolicyVersion(1), offset: 14, bytes: [0]), from: 1)
    #expect(last.contains(.sealPolicy(long, report: Small.report(1), from: PeerID(1))))
  }

  @Test func `a version at hand is taken over, and confirmed`() {
    var bench = CoordinatorBench()
    _ = bench.join(1, .learner)
    let announced = bench.say(.publish(Small.manifest(1), report: Small.report(1), isAtHand: true), from: 1)
    #expect(announced == [.adoptPolicy(Small.manifest(1), report: Small.report(1), from: PeerID(1))])
    let sealed = bench.on(.sealed(Small.manifest(1), isIntact: true, from: PeerID(1)))
    #expect(messages(to: 1, in: sealed) == [.published(PolicyVersion(1))])
  }

  @Test func `a version at hand is offered before it is verified, and leased when it is durable`() {
    var bench = CoordinatorBench(plan: Small.plan(steps: 2))
    for lease in bench.lease(to: 1) { _ = bench.deliver(lease, from: 1) }
    _ = bench.say(.want(slots: 64), from: 1)
    _ = bench.join(2, .learner)
    let announced = bench.say(.publish(Small.manifest(1), report: Small.report(1), isAtHand: true), from: 2)
    #expect(announced == [.adoptPolicy(Small.manifest(1), report: Small.report(1), from: PeerID(2))])
    let named = bench.on(.named(Small.manifest(1)))
    #expect(named == [.send(.offer(Small.manifest(1)), to: PeerID(1))])
    // A worker of another machine.
    #expect(bench.say(.requestBundle(PolicyVersion(1), holding: [PolicyVersion(0)]), from: 1).isEmpty)
    let sealed = bench.on(.sealed(Small.manifest(1), isIntact: true, from: PeerID(2)))
    #expect(sealed.contains(.bundle(.make(Small.manifest(1), base: Small.manifest(0)))))
    #expect(!leases(in: sealed).isEmpty)
    let bundled = bench.on(.bundled(Small.bundle(1, base: 0)))
    #expect(messages(to: 1, in: bundled) == [.bundle(Small.bundle(1, base: 0), from: "", depth: 0)])
  }

  @Test func `the delta of a version at hand is made while the version is verified, and dropped if it is wrong`() {
    var bench = CoordinatorBench(plan: Small.plan(steps: 2))
    for lease in bench.lease(to: 1) { _ = bench.deliver(lease, from: 1) }
    _ = bench.say(.requestBundle(PolicyVersion(0), holding: []), from: 1)
    _ = bench.join(2, .learner)
    _ = bench.say(.publish(Small.manifest(1), report: Small.report(1), isAtHand: true), from: 2)
    let make = CoordinatorEffect.bundle(.make(Small.manifest(1), base: Small.manifest(0)))
    #expect(bench.on(.named(Small.manifest(1))).contains(make))
    #expect(bench.on(.notAtHand(Small.manifest(1))).contains(.bundle(.drop(PolicyVersion(1)))))
    _ = bench.say(.policyBytes(PolicyVersion(1), offset: 0, bytes: [0, 0, 0, 0]), from: 2)
    let sealed = bench.on(.sealed(Small.manifest(1), isIntact: true, from: PeerID(2)))
    #expect(sealed.contains(make) && messages(to: 2, in: sealed) == [.published(PolicyVersion(1))])
  }

  @Test func `who asked for a version whose publication failed is told`() {
    var bench = CoordinatorBench()
    _ = bench.join(1)
    _ = bench.join(2, .learner)
    _ = bench.say(.publish(Small.manifest(1), report: Small.report(1)), from: 2)
    #expect(bench.say(.requestBundle(PolicyVersion(1), holding: []), from: 1).isEmpty)
    #expect(messages(to: 1, in: bench.on(.disconnected(PeerID(2)))) == [.missing(PolicyVersion(1))])
  }

  @Test func `a version that is said to be at hand and is not is fetched from the learner that is connected then`() {
    var bench = CoordinatorBench()
    _ = bench.join(1, .learner)
    _ = bench.say(.publish(Small.manifest(1), report: Small.report(1), isAtHand: true), from: 1)
    _ = bench.on(.disconnected(PeerID(1)))
    _ = bench.join(2, .learner)
    #expect(bench.say(.publish(Small.manifest(1), report: Small.report(1), isAtHand: true), from: 2).isEmpty)
    let effects = bench.on(.notAtHand(Small.manifest(1)))
    #expect(effects == [.send(.requestBytes(PolicyVersion(1), offset: 0), to: PeerID(2))])
    let whole = bench.say(.policyBytes(PolicyVersion(1), offset: 0, bytes: [1, 2, 3, 4]), from: 2)
    #expect(whole.contains(.sealPolicy(Small.manifest(1), report: Small.report(1), from: PeerID(2))))
  }

  @Test func `a version that is not at hand, of a learner that is gone, can be announced again`() {
    var bench = CoordinatorBench()
    _ = bench.join(1, .learner)
    _ = bench.say(.publish(Small.manifest(1), report: Small.report(1), isAtHand: true), from: 1)
    _ = bench.on(.disconnected(PeerID(1)))
    #expect(bench.on(.notAtHand(Small.manifest(1))).isEmpty)
    _ = bench.join(2, .learner)
    let again = bench.say(.publish(Small.manifest(1), report: Small.report(1)), from: 2)
    #expect(messages(to: 2, in: again) == [.requestBytes(PolicyVersion(1), offset: 0)])
  }

  @Test(arguments: [
    Message.policyBytes(PolicyVersion(1), offset: 1, bytes: [1]), .policyBytes(PolicyVersion(1), offset: 0, bytes: []),
    .policyBytes(PolicyVersion(2), offset: 0, bytes: [1]),
    .policyBytes(PolicyVersion(1), offset: 0, bytes: [1, 2, 3, 4, 5]),
  ])
  func `a chunk that was not asked for ends the connection`(_ chunk: Message) {
    var bench = announced()
    let effects = bench.say(chunk, from: 1)
    #expect(dismissals(of: 1, in: effects).count == 1)
    #expect(!effects.contains { if case .writePolicy = $0 { true } else { false } })
  }

  @Test func `a version that arrived damaged does not exist, and can be announced again`() {
    var bench = announced()
    let effects = bench.transfer(Small.manifest(1), from: 1, isIntact: false)
    #expect(effects.contains(.cutOff(PeerID(1), .damaged(PolicyVersion(1)))))
    #expect(messages(to: 1, in: effects).isEmpty)
    _ = bench.join(2, .learner)
    let again = bench.say(.publish(Small.manifest(1), report: Small.report(1)), from: 2)
    #expect(messages(to: 2, in: again) == [.requestBytes(PolicyVersion(1), offset: 0)])
  }

  @Test func `a learner that reconnects while its version is verified is not asked for the bytes again`() {
    var bench = announced()
    _ = bench.say(.policyBytes(PolicyVersion(1), offset: 0, bytes: [0, 0, 0, 0]), from: 1)
    _ = bench.on(.disconnected(PeerID(1)))
    _ = bench.join(2, .learner)
    #expect(bench.say(.publish(Small.manifest(1), report: Small.report(1)), from: 2).isEmpty)
    let sealed = bench.on(.sealed(Small.manifest(1), isIntact: true, from: PeerID(1)))
    #expect(messages(to: 2, in: sealed) == [.published(PolicyVersion(1))])
    #expect(messages(to: 1, in: sealed).isEmpty)
  }

  @Test func `a learner that is gone when its version is sealed does no harm`() {
    var bench = announced()
    _ = bench.say(.policyBytes(PolicyVersion(1), offset: 0, bytes: [0, 0, 0, 0]), from: 1)
    _ = bench.on(.disconnected(PeerID(1)))
    let sealed = bench.on(.sealed(Small.manifest(1), isIntact: true, from: PeerID(1)))
    #expect(messages(to: 1, in: sealed).isEmpty)
    #expect(messages(to: 2, in: bench.join(2, .learner)) == [.welcome(Small.welcome(latest: 1))])
  }

  @Test func `a version may not skip the one before it`() {
    var bench = CoordinatorBench()
    _ = bench.join(1, .learner)
    let effects = bench.say(.publish(Small.manifest(2), report: Small.report(2)), from: 1)
    #expect(dismissals(of: 1, in: effects) == [.notNext(PolicyVersion(2), latest: PolicyVersion(0))])
  }

  /// A coordinator at policy 2, whose policy 1 is not needed and not kept any more.
  private func advanced() -> CoordinatorBench {
    CoordinatorBench(
      plan: Small.plan(steps: 3),
      memory: CoordinatorMemory(
        closedRounds: [.train(step: 0), .train(step: 1)], policies: (0...2).map { Small.manifest($0) }))
  }

  @Test(arguments: [UInt32(1), 2])
  func `a version that is published again with the same digest is confirmed, kept or not`(_ version: UInt32) {
    var bench = advanced()
    _ = bench.join(1, .learner)
    let effects = bench.say(.publish(Small.manifest(version), report: Small.report(version)), from: 1)
    #expect(effects == [.send(.published(PolicyVersion(version)), to: PeerID(1))])
  }

  @Test(arguments: [UInt32(1), 2])
  func `a version that is published again with another digest ends the run`(_ version: UInt32) {
    var bench = advanced()
    _ = bench.join(1, .learner)
    let effects = bench.say(.publish(Small.manifest(version, digest: 9), report: Small.report(version)), from: 1)
    #expect(effects == [.fail(.trainedDifferently(PolicyVersion(version)))])
  }

  @Test func `a policy is dropped when its last round is closed, and not before there is a newer one`() {
    var bench = CoordinatorBench()
    _ = bench.join(9, .learner)
    for lease in bench.lease(to: 1) { _ = bench.deliver(lease, from: 1) }
    _ = bench.say(.publish(Small.manifest(1), report: Small.report(1)), from: 9)
    #expect(bench.transfer(Small.manifest(1), from: 9).contains(.dropPolicy(PolicyVersion(0))))
    #expect(
      messages(to: 1, in: bench.say(.requestBundle(PolicyVersion(0), holding: []), from: 1)) == [
        .missing(PolicyVersion(0))
      ])
  }

  @Test func `a new version's delta is made before the version before it is dropped, and workers hear of it at once`() {
    var bench = CoordinatorBench()
    _ = bench.join(9, .learner)
    let leases = bench.lease(to: 1)
    _ = bench.say(.requestBundle(PolicyVersion(0), holding: []), from: 1)
    for lease in leases { _ = bench.deliver(lease, from: 1) }
    _ = bench.say(.publish(Small.manifest(1), report: Small.report(1)), from: 9)
    let effects = bench.transfer(Small.manifest(1), from: 9)
    let made = effects.firstIndex(of: .bundle(.make(Small.manifest(1), base: Small.manifest(0))))
    let dropped = effects.firstIndex(of: .dropPolicy(PolicyVersion(0)))
    #expect(made != nil && made ?? 0 < dropped ?? 0)
    #expect(messages(to: 1, in: effects).contains(.offer(Small.manifest(1))))
  }

  @Test func `a run whose last round is a step waits for what the step makes`() {
    var bench = CoordinatorBench(plan: [Small.plan()[0]])
    _ = bench.join(9, .learner)
    for lease in bench.lease(to: 1) {
      #expect(!bench.deliver(lease, from: 1).contains(.finish), "policy 1 would be lost")
    }
    _ = bench.say(.publish(Small.manifest(1), report: Small.report(1)), from: 9)
    #expect(!bench.transfer(Small.manifest(1), from: 9).contains(.finish), "the learner does not know yet")
    #expect(bench.say(.ready(PolicyVersion(1)), from: 9).contains(.finish))
  }
}
