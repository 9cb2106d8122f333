// How a worker comes to hold a version, from whom, and what it does for others meanwhile.

import Base
import Fleet
import Records
import Testing

/// A fetcher and its clock.
private struct FetcherBench {
  var fetcher = BundleFetcher(digest: Small.digest)
  var now = Instant.zero

  mutating func on(_ event: FetcherEvent) -> [BundleFetcher.Effect] {
    var effects: [BundleFetcher.Effect] = []
    fetcher.receive(event, now: now, &effects)
    return effects
  }

  mutating func tell(_ message: Message) -> [BundleFetcher.Effect] {
    var effects: [BundleFetcher.Effect] = []
    fetcher.told(message, now: now, &effects)
    return effects
  }

  mutating func join() -> [BundleFetcher.Effect] {
    var effects: [BundleFetcher.Effect] = []
    fetcher.joined(policies: "", &effects)
    return effects
  }

  mutating func offer(_ version: UInt32) -> [BundleFetcher.Effect] {
    var effects: [BundleFetcher.Effect] = []
    fetcher.offered(Small.manifest(version), &effects)
    return effects
  }

  /// Lets time pass, a tick every half second.
  mutating func wait(_ span: Instant.Span) -> [BundleFetcher.Effect] {
    var effects: [BundleFetcher.Effect] = []
    let end = now + span
    while now < end {
      now = now + .milliseconds(500)
      fetcher.tick(now: now, &effects)
    }
    return effects
  }

  /// Is told to have version 1 from a relay.
  static func behindRelay(depth: Int = 1) -> FetcherBench {
    var bench = FetcherBench()
    _ = bench.join()
    _ = bench.offer(1)
    _ = bench.tell(.bundle(Small.bundle(1), from: "r:1", depth: depth))
    return bench
  }

  mutating func hold(_ version: UInt32) {
    _ = offer(version)
    _ = tell(.bundle(Small.bundle(version), from: "", depth: 0))
    for chunk in Small.chunks(version) { _ = tell(packed(chunk)) }
    _ = on(.installed(Small.bundle(version), isIntact: true))
  }
}

extension FetcherBench {
  /// Is on the coordinator's machine.
  static func beside() -> FetcherBench {
    var bench = FetcherBench()
    var effects: [BundleFetcher.Effect] = []
    bench.fetcher.joined(policies: "/run/policies", &effects)
    return bench
  }
}

private func packed(_ chunk: [UInt8]) -> Message { .chunk(Small.digest(chunk), chunk) }
private func fetch(_ version: UInt32, _ chunk: [UInt8]) -> Message {
  .requestChunk(PolicyVersion(version), Small.digest(chunk))
}
private func asked(_ effects: [BundleFetcher.Effect]) -> [Message] {
  effects.compactMap { if case .send(let message) = $0 { message } else { nil } }
}
private let first = Small.chunks(1)[0]
private let second = Small.chunks(1)[1]
private let child = ChildID(5)

@Suite struct BundleFetcherTests {
  @Test func `a version that is found as a file is not fetched`() {
    var bench = FetcherBench.beside()
    #expect(bench.offer(1) == [.transfer(.look(Small.manifest(1)))])
    #expect(bench.on(.looked(Small.manifest(1), isInstalled: true)) == [])
    #expect(bench.fetcher.installed == [PolicyVersion(1)])
    #expect(bench.offer(2) == [.transfer(.look(Small.manifest(2)))])
  }

  @Test func `the base of adapters is fetched first and once, and is neither a version nor the base of a delta`() {
    var bench = FetcherBench()
    let base = PolicyManifest(version: .base, byteCount: 4, digest: [9])
    let bundle = BundleManifest(
      policy: base, base: nil, wordBytes: 2, blockBytes: Small.bundle(1).blockBytes, chunks: Small.bundle(1).chunks)
    func join() -> [BundleFetcher.Effect] {
      var effects: [BundleFetcher.Effect] = []
      bench.fetcher.joined(policies: "", base: base, &effects)
      return effects
    }
    // It can be in the machine's cache.
    #expect(join() == [.transfer(.look(base))])
    #expect(bench.offer(1) == [])
    #expect(asked(bench.on(.looked(base, isInstalled: false))) == [.requestBundle(.base, holding: [])])
    _ = bench.tell(.bundle(bundle, from: "", depth: 0))
    // Another worker can have its chunks until it is installed.
    #expect(bench.on(.childSaid(child, .requestChunk(.base, Small.digest(second)))) == [])
    _ = bench.tell(packed(first))
    #expect(bench.tell(packed(second)).last == .transfer(.install(bundle)))
    let after = bench.on(.installed(bundle, isIntact: true))
    #expect(after.contains(.transfer(.forget(Small.chunks(1).map(Small.digest)))))
    #expect(asked(after) == [.requestBundle(PolicyVersion(1), holding: [])])
    #expect(bench.fetcher.installed == [])
    #expect(
      bench.on(.childSaid(child, .requestChunk(.base, Small.digest(first)))) == [
        .transfer(.tell(child, .missing(.base)))
      ])
    bench.hold(1)
    bench.fetcher.lost()
    #expect(join() == [])
    #expect(asked(bench.offer(2)) == [.requestBundle(PolicyVersion(2), holding: [PolicyVersion(1)])])
  }

  @Test func `a version that is not found as a file is asked for, now or when the coordinator is back`() {
    var bench = FetcherBench.beside()
    _ = bench.offer(1)
    #expect(
      asked(bench.on(.looked(Small.manifest(1), isInstalled: false)))
        == [.requestBundle(PolicyVersion(1), holding: [])])
    var alone = FetcherBench.beside()
    _ = alone.offer(1)
    alone.fetcher.lost()
    #expect(alone.on(.looked(Small.manifest(1), isInstalled: false)) == [])
    #expect(asked(alone.join()) == [.requestBundle(PolicyVersion(1), holding: [])])
  }

  @Test func `while a file is looked for, the coordinator's answers change nothing, and no chunk is promised`() {
    var bench = FetcherBench.beside()
    _ = bench.offer(1)
    #expect(bench.tell(.missing(PolicyVersion(1))) == [])
    #expect(bench.tell(.bundle(Small.bundle(1), from: "", depth: 0)) == [])
    #expect(
      bench.on(.childSaid(child, fetch(1, first))) == [.transfer(.tell(child, .missing(PolicyVersion(1))))])
    _ = bench.on(.looked(Small.manifest(1), isInstalled: true))
    #expect(bench.fetcher.installed == [PolicyVersion(1)])
  }

  @Test func `chunks are asked for ahead, kept as they come in any order, and installed when all are there`() {
    var bench = FetcherBench()
    _ = bench.join()
    #expect(asked(bench.offer(1)) == [.requestBundle(PolicyVersion(1), holding: [])])
    #expect(asked(bench.tell(.bundle(Small.bundle(1), from: "", depth: 0))) == [fetch(1, first), fetch(1, second)])
    #expect(bench.tell(packed(second)) == [.transfer(.keep(Small.digest(second), second))])
    #expect(
      bench.tell(packed(first)) == [.transfer(.keep(Small.digest(first), first)), .transfer(.install(Small.bundle(1)))])
  }

  @Test func `no more is asked for ahead than the window allows, and every chunk once`() {
    let chunks = (0..<200).map { [UInt8($0), 9] }
    var long = Small.bundle(1)
    long.policy.byteCount = 400
    long.chunks = chunks.map { PackedChunk(digest: Small.digest($0), byteCount: 2) }
    var bench = FetcherBench()
    _ = bench.join()
    var effects: [BundleFetcher.Effect] = []
    bench.fetcher.offered(long.policy, &effects)
    var requests = asked(bench.tell(.bundle(long, from: "", depth: 0)))
    #expect(requests.count == Limits.chunksInFlight)
    for chunk in chunks { requests += asked(bench.tell(packed(chunk))) }
    #expect(requests == chunks.map { fetch(1, $0) })
  }

  @Test func `what is held is not asked for again after a reconnect`() {
    var bench = FetcherBench()
    _ = bench.join()
    _ = bench.offer(1)
    _ = bench.tell(.bundle(Small.bundle(1), from: "", depth: 0))
    _ = bench.tell(packed(first))
    bench.fetcher.lost()
    #expect(asked(bench.join()) == [.requestBundle(PolicyVersion(1), holding: [])])
    #expect(asked(bench.tell(.bundle(Small.bundle(1), from: "", depth: 0))) == [fetch(1, second)])
  }

  @Test func `a relay goes on while the coordinator is away`() {
    var bench = FetcherBench.behindRelay()
    bench.fetcher.lost()
    _ = bench.on(.relaySaid(packed(first)))
    #expect(bench.on(.relaySaid(packed(second))).contains(.transfer(.install(Small.bundle(1)))))
  }

  @Test func `a wrong chunk of the coordinator's ends the connection, one of a relay's the relay`() {
    var bench = FetcherBench()
    _ = bench.join()
    _ = bench.offer(1)
    _ = bench.tell(.bundle(Small.bundle(1), from: "", depth: 0))
    #expect(bench.tell(.chunk(Small.digest(first), second)) == [.disconnect])
    var other = FetcherBench.behindRelay()
    let effects = other.on(.relaySaid(.chunk(Small.digest(first), second)))
    #expect(effects.starts(with: [.transfer(.hangUp), .transfer(.left(relay: "r:1", .wrong))]))
    #expect(
      asked(effects) == [.fault("r:1", PolicyVersion(1), .wrong), .requestBundle(PolicyVersion(1), holding: [])])
  }

  @Test func `whatever becomes of a relay, what it sent is kept, and it is not used again`() {
    var bench = FetcherBench.behindRelay()
    _ = bench.on(.relaySaid(packed(first)))
    #expect(asked(bench.on(.relayLost)).first == .fault("r:1", PolicyVersion(1), .lost))
    // Though the coordinator says so, it does not go there: it asks the coordinator, and only for what is missing.
    let effects = bench.tell(.bundle(Small.bundle(1), from: "r:1", depth: 1))
    #expect(asked(effects) == [fetch(1, second)] && !effects.contains(.transfer(.dial("r:1"))))
  }

  @Test func `a silent relay is left after a while that grows with the number of relays before it`() {
    var near = FetcherBench.behindRelay(depth: 1)
    var far = FetcherBench.behindRelay(depth: 3)
    #expect(near.wait(Limits.relaySilence) == [] && far.wait(Limits.relaySilence) == [])
    #expect(near.wait(.seconds(1)).contains(.transfer(.left(relay: "r:1", .slow))) && far.wait(.seconds(1)) == [])
    #expect(far.wait(.seconds(1)).contains(.transfer(.left(relay: "r:1", .slow))))
  }

  @Test func `a process that was paused does not blame its relay for that`() {
    var bench = FetcherBench.behindRelay()
    _ = bench.wait(.seconds(1))
    bench.now = bench.now + .seconds(60)
    #expect(bench.wait(.seconds(4)) == [])
  }

  @Test func `a relay that is not to blame is left without a mark`() {
    var bench = FetcherBench.behindRelay()
    #expect(asked(bench.on(.relaySaid(.missing(PolicyVersion(1))))).first == .fault("r:1", PolicyVersion(1), .gone))
    #expect(bench.tell(.bundle(Small.bundle(1), from: "r:1", depth: 1)).contains(.transfer(.dial("r:1"))))
  }

  @Test func `a fault found while the coordinator is away is told when it is back`() {
    var bench = FetcherBench.behindRelay()
    bench.fetcher.lost()
    #expect(asked(bench.on(.relayLost)) == [])
    #expect(
      asked(bench.join()) == [.fault("r:1", PolicyVersion(1), .lost), .requestBundle(PolicyVersion(1), holding: [])])
  }

  @Test func `a version that is not kept any more is given up, and its chunks forgotten`() {
    var bench = FetcherBench()
    _ = bench.join()
    _ = bench.offer(1)
    _ = bench.offer(2)
    _ = bench.tell(.bundle(Small.bundle(1), from: "", depth: 0))
    _ = bench.tell(packed(first))
    #expect(
      bench.tell(.missing(PolicyVersion(1)))
        == [.transfer(.forget([Small.digest(first)])), .send(.requestBundle(PolicyVersion(2), holding: []))])
  }

  @Test func `a version that turns out damaged is fetched again whole, as an anchor`() {
    var bench = FetcherBench()
    _ = bench.join()
    bench.hold(0)
    #expect(asked(bench.offer(1)) == [.requestBundle(PolicyVersion(1), holding: [PolicyVersion(0)])])
    let delta = Small.bundle(1, base: 0)
    _ = bench.tell(.bundle(delta, from: "", depth: 0))
    for chunk in Small.chunks(1, base: 0) { _ = bench.tell(packed(chunk)) }
    let effects = bench.on(.installed(delta, isIntact: false))
    #expect(
      effects == [.transfer(.forget(delta.chunks.map(\.digest))), .send(.requestBundle(PolicyVersion(1), holding: []))])
  }

  @Test func `a delta on a version that is not held ends the connection`() {
    var bench = FetcherBench()
    _ = bench.join()
    _ = bench.offer(1)
    #expect(bench.tell(.bundle(Small.bundle(1, base: 0), from: "", depth: 0)) == [.disconnect])
  }

  /// It was offered before it was durable; then its learner and the coordinator ended.
  @Test func `a version that was trained again with other bits replaces the one that is held`() {
    let again = Small.manifest(1, digest: 9)
    var bench = FetcherBench.beside()
    var effects: [BundleFetcher.Effect] = []
    _ = bench.offer(1)
    _ = bench.on(.looked(Small.manifest(1), isInstalled: true))
    bench.fetcher.offered(again, &effects)
    #expect(effects == [.transfer(.look(again))] && bench.fetcher.installed.isEmpty)
    _ = bench.on(.looked(again, isInstalled: true))
    #expect(bench.fetcher.installed == [PolicyVersion(1)])
    // The same while the first one is being installed.
    var early = FetcherBench.beside()
    _ = early.offer(1)
    early.fetcher.offered(again, &effects)
    #expect(early.on(.looked(Small.manifest(1), isInstalled: true)) == [.transfer(.look(again))])
    #expect(early.fetcher.installed.isEmpty)
  }

  @Test func `a bundle of a version that was trained again with other bits is not fetched before it is offered`() {
    var bench = FetcherBench()
    _ = bench.join()
    _ = bench.offer(1)
    var bundle = Small.bundle(1)
    bundle.policy = Small.manifest(1, digest: 9)
    #expect(bench.tell(.bundle(bundle, from: "", depth: 0)) == [])
    var effects: [BundleFetcher.Effect] = []
    bench.fetcher.offered(bundle.policy, &effects)
    #expect(asked(effects) == [.requestBundle(PolicyVersion(1), holding: [])])
  }

  @Test func `others get what is kept at once, and what is not when it comes`() {
    var bench = FetcherBench.behindRelay()
    _ = bench.on(.relaySaid(packed(first)))
    #expect(bench.on(.childSaid(child, fetch(1, first))) == [.transfer(.sendChunk(Small.digest(first), to: child))])
    #expect(bench.on(.childSaid(child, fetch(1, second))) == [])
    #expect(
      bench.on(.relaySaid(packed(second)))
        == [
          .transfer(.keep(Small.digest(second), second)), .transfer(.sendChunk(Small.digest(second), to: child)),
          .transfer(.hangUp),
          .transfer(.install(Small.bundle(1))),
        ])
  }

  @Test func `a child that asks for a version too early waits, one that asks for a dropped one is told`() {
    var bench = FetcherBench()
    _ = bench.join()
    bench.hold(0)
    #expect(bench.on(.childSaid(child, fetch(1, first))) == [])
    bench.hold(1)
    var effects: [BundleFetcher.Effect] = []
    bench.fetcher.drop(PolicyVersion(0), &effects)
    #expect(effects == [.transfer(.forget(Small.bundle(0).chunks.map(\.digest)))])
    #expect(
      bench.on(.childSaid(child, fetch(0, Small.chunks(0)[0]))) == [.transfer(.tell(child, .missing(PolicyVersion(0))))]
    )
  }

  @Test func `a child that waits for chunks of another bundle is told when the version is there`() {
    var bench = FetcherBench.behindRelay()
    let other = Small.chunks(1, base: 0)[0]
    #expect(bench.on(.childSaid(child, fetch(1, other))) == [])
    for chunk in [first, second] { _ = bench.on(.relaySaid(packed(chunk))) }
    #expect(
      bench.on(.installed(Small.bundle(1), isIntact: true)) == [.transfer(.tell(child, .missing(PolicyVersion(1))))])
  }

  @Test func `a child that asks for too much, or for something else, is hung up on`() {
    var bench = FetcherBench.behindRelay()
    #expect(bench.on(.childSaid(child, .finished)) == [.transfer(.dismiss(child))])
    var last: [BundleFetcher.Effect] = []
    for number in 0...Limits.chunksInFlight { last = bench.on(.childSaid(child, fetch(1, [UInt8(number), 77]))) }
    #expect(last == [.transfer(.dismiss(child))])
  }
}
