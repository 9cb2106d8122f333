// Which worker has chunks from which, and which bundles there are.

import Base
import Fleet
import Records
import Testing

/// A book with an anchor of version 0, and shortcuts.
private struct BookBench {
  var book = BundleBook()

  static func bundle(_ version: UInt32, base: UInt32? = nil, chunks: [UInt8] = [1, 2]) -> BundleManifest {
    BundleManifest(
      policy: Small.manifest(version), base: base.map { PolicyVersion($0) }, wordBytes: 2, blockBytes: 2,
      chunks: chunks.map { PackedChunk(digest: ChunkDigest([$0]), byteCount: 1) })
  }

  mutating func ask(
    _ version: UInt32, holding: [UInt32] = [], by peer: UInt64, at address: String? = nil
  ) -> [BundleBook.Effect] {
    var effects: [BundleBook.Effect] = []
    book.asked(
      for: Small.manifest(version), holding: holding.map { PolicyVersion($0) }, by: PeerID(peer),
      at: address ?? "10.0.0.\(peer):1", &effects)
    return effects
  }

  /// - Returns: the relay that a worker is sent to; empty is the coordinator.
  mutating func relay(_ version: UInt32, by peer: UInt64, at address: String? = nil) -> String? {
    for case .send(.bundle(_, let relay, _), to: PeerID(peer)) in ask(version, by: peer, at: address) { return relay }
    return nil
  }

  mutating func bundled(_ bundle: BundleManifest) -> [BundleBook.Effect] {
    var effects: [BundleBook.Effect] = []
    book.bundled(bundle, &effects)
    return effects
  }

  mutating func fault(_ relay: String, _ fault: RelayFault, version: UInt32 = 0, by peer: UInt64) -> [BundleBook.Effect]
  {
    var effects: [BundleBook.Effect] = []
    book.faulted(relay, PolicyVersion(version), fault, by: PeerID(peer), &effects)
    return effects
  }

  mutating func fetch(_ chunk: UInt8, of version: UInt32) -> [BundleBook.Effect] {
    var effects: [BundleBook.Effect] = []
    book.requested(ChunkDigest([chunk]), of: PolicyVersion(version), by: PeerID(1), &effects)
    return effects
  }

  static func withAnchor() -> BookBench {
    var bench = BookBench()
    _ = bench.ask(0, by: 100)
    _ = bench.bundled(bundle(0))
    bench.book.left(PeerID(100))
    return bench
  }
}

@Suite struct BundleBookTests {
  @Test func `an anchor is made once, when a worker asks, and all that asked meanwhile hear of it`() {
    var bench = BookBench()
    #expect(bench.ask(0, by: 1) == [.bundle(.make(Small.manifest(0), base: nil))])
    #expect(bench.ask(0, by: 2) == [])
    let told = bench.bundled(BookBench.bundle(0))
    #expect(
      told == [
        .send(.bundle(BookBench.bundle(0), from: "", depth: 0), to: PeerID(1)),
        .send(.bundle(BookBench.bundle(0), from: "10.0.0.1:1", depth: 1), to: PeerID(2)),
      ])
  }

  @Test func `a worker that holds the version before gets the difference, others everything`() {
    var bench = BookBench.withAnchor()
    var effects: [BundleBook.Effect] = []
    bench.book.sealed(Small.manifest(1), after: Small.manifest(0), &effects)
    #expect(effects == [.bundle(.make(Small.manifest(1), base: Small.manifest(0)))])
    #expect(bench.ask(1, holding: [0], by: 1) == [])
    #expect(bench.ask(1, holding: [], by: 2) == [.bundle(.make(Small.manifest(1), base: nil))])
    let delta = BookBench.bundle(1, base: 0)
    #expect(bench.bundled(delta) == [.send(.bundle(delta, from: "", depth: 0), to: PeerID(1))])
    #expect(
      bench.bundled(BookBench.bundle(1))
        == [.send(.bundle(BookBench.bundle(1), from: "", depth: 0), to: PeerID(2))])
  }

  @Test func `no difference is made before a worker has asked for any version`() {
    var bench = BookBench()
    var effects: [BundleBook.Effect] = []
    bench.book.sealed(Small.manifest(1), after: Small.manifest(0), &effects)
    #expect(effects == [])
    _ = bench.ask(1, by: 1)
    bench.book.sealed(Small.manifest(2), after: Small.manifest(1), &effects)
    #expect(effects == [.bundle(.make(Small.manifest(2), base: Small.manifest(1)))])
  }

  @Test func `workers form a chain, and the coordinator sends once`() {
    var bench = BookBench.withAnchor()
    #expect((1...4).map { bench.relay(0, by: $0) } == ["", "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"])
  }

  @Test func `a chain has an end, and another begins`() {
    var bench = BookBench.withAnchor()
    let relays = (1...UInt64(Limits.relayDepth + 2)).map { bench.relay(0, by: $0) }
    #expect(relays.count { $0 == "" } == 2 && relays[Limits.relayDepth] == "")
  }

  @Test func `a relay that one worker left is given to no worker any more`() {
    var bench = BookBench.withAnchor()
    for peer in UInt64(1)...3 { _ = bench.relay(0, by: peer) }
    #expect(bench.fault("10.0.0.2:1", .slow, by: 3) == [.avoid(relay: "10.0.0.2:1", .slow, by: PeerID(3))])
    #expect(bench.fault("10.0.0.2:1", .slow, by: 3) == [])
    #expect(bench.relay(0, by: 3) == "10.0.0.1:1")
    #expect(bench.relay(0, by: 4) == "10.0.0.3:1")
  }

  @Test func `no worker is sent to one that is behind it in the chain`() {
    var bench = BookBench.withAnchor()
    for peer in UInt64(1)...3 { _ = bench.relay(0, by: peer) }
    #expect(bench.relay(0, by: 1) == "")
    // Over another connection it still has its old place.
    bench.book.left(PeerID(1))
    #expect(bench.relay(0, by: 9, at: "10.0.0.1:1") == "")
    #expect(bench.relay(0, by: 2) == "10.0.0.1:1")
  }

  @Test func `a worker that is away, does not relay, or is reached over loopback only, is not a relay for others`() {
    var bench = BookBench.withAnchor()
    _ = bench.relay(0, by: 1)
    bench.book.left(PeerID(1))
    #expect(bench.relay(0, by: 2, at: "") == "")
    #expect(bench.relay(0, by: 3, at: "127.0.0.1:5") == "")
    #expect(bench.relay(0, by: 4, at: "127.0.0.1:6") == "127.0.0.1:5")
    #expect(bench.relay(0, by: 5) == "")
  }

  @Test func `a relay without the version is left out for it, and not avoided`() {
    var bench = BookBench.withAnchor()
    for peer in UInt64(1)...2 { _ = bench.relay(0, by: peer) }
    #expect(bench.fault("10.0.0.1:1", .gone, by: 2) == [])
    #expect(bench.relay(0, by: 2) == "")
    _ = bench.ask(1, by: 7)
    _ = bench.bundled(BookBench.bundle(1))
    #expect(bench.relay(1, by: 1) == "10.0.0.7:1" && bench.relay(1, by: 2) == "10.0.0.1:1")
  }

  @Test func `a chunk is there as long as any bundle has it`() {
    var bench = BookBench.withAnchor()
    _ = bench.ask(1, by: 1)
    _ = bench.bundled(BookBench.bundle(1, chunks: [2, 3]))
    #expect(bench.fetch(2, of: 1) == [.bundle(.sendChunk(ChunkDigest([2]), to: PeerID(1)))])
    var effects: [BundleBook.Effect] = []
    bench.book.dropped(PolicyVersion(1), &effects)
    #expect(effects == [.bundle(.drop(PolicyVersion(1)))])
    #expect(bench.fetch(2, of: 0) == [.bundle(.sendChunk(ChunkDigest([2]), to: PeerID(1)))])
    #expect(bench.fetch(3, of: 1) == [.send(.missing(PolicyVersion(1)), to: PeerID(1))])
  }

  @Test func `a worker that waits for a bundle of a version that is dropped is told`() {
    var bench = BookBench()
    _ = bench.ask(0, by: 1)
    var effects: [BundleBook.Effect] = []
    bench.book.dropped(PolicyVersion(0), &effects)
    #expect(effects == [.send(.missing(PolicyVersion(0)), to: PeerID(1)), .bundle(.drop(PolicyVersion(0)))])
    #expect(bench.bundled(BookBench.bundle(0)) == [.bundle(.drop(PolicyVersion(0)))])
  }
}
