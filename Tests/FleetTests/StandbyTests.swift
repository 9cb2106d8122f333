// Standbys, event by event: how one follows and takes over, what a coordinator holds back, and who gives way to whom.

import Base
import Fleet
import Records
import Testing

private let run = "run"

private func position(_ number: UInt64, term: Term = .first) -> LedgerPosition {
  LedgerPosition(term: term, number: number)
}

private func commit(_ number: UInt64, adding versions: [UInt32] = [], removing removed: [UInt32] = []) -> LedgerCommit {
  LedgerCommit(
    number: number, added: versions.map { Small.manifest($0) }, removed: removed.map { PolicyVersion($0) },
    changes: [UInt8(number)])
}

private func message(_ commit: LedgerCommit) -> Message { .commit(commit, part: 0, partCount: 1) }

// MARK: - The standby

/// A standby that has a copy up to commit 5, with version 0, and its clock.
private struct StandbyBench {
  var standby: Standby
  var now = Instant.zero + .seconds(100)

  init(copy: LedgerPosition? = position(5), held: [UInt32] = [0]) {
    standby = Standby(
      hello: Hello(role: .standby, name: "s", arithmetic: "", processID: 7, threads: 1, relay: "s:1"),
      coordinators: ["c:1"],
      copy: copy.map {
        Standby.Copy(
          runID: run, position: $0, kept: [Small.manifest(0)], held: held.map { PolicyVersion($0) })
      }, patience: .seconds(10), identity: 9, digest: Small.digest)
    _ = on(.tick)
  }

  mutating func on(_ event: StandbyEvent) -> [StandbyEffect] { standby.receive(event, now: now) }
  mutating func hear(_ message: Message) -> [StandbyEffect] { on(.received(message)) }

  mutating func join(term: Term = .first) -> [StandbyEffect] {
    _ = on(.connected)
    var welcome = Small.welcome()
    welcome.term = term
    return hear(.welcome(welcome))
  }

  /// Time passes, in steps as short as real ones.
  mutating func wait(_ seconds: Int) -> [StandbyEffect] {
    (0..<seconds).flatMap { _ in
      now = now + .seconds(1)
      return on(.tick)
    }
  }

  mutating func takesOver(within seconds: Int) -> Term? {
    wait(seconds).compactMap { if case .lead(let term, _) = $0 { term } else { nil } }.first
  }
}

@Suite struct StandbyMachineTests {
  @Test func `it says how far its copy is, makes commits in order, and confirms them when they are durable`() {
    var bench = StandbyBench()
    #expect(
      bench.join()
        == [.send(.follow(FollowRequest(runID: run, position: position(5), patience: .seconds(10))))])
    #expect(bench.hear(message(commit(6))) == [.apply([commit(6)])])
    // While these are made, the next ones wait.
    #expect(bench.hear(message(commit(7))) == [])
    #expect(bench.hear(message(commit(8))) == [])
    #expect(bench.on(.applied(6)) == [.send(.committed(6)), .apply([commit(7), commit(8)])])
    #expect(bench.on(.applied(8)) == [.send(.committed(8))])
  }

  @Test func `a commit out of order ends the connection`() {
    var bench = StandbyBench()
    _ = bench.join()
    #expect(bench.hear(message(commit(7))) == [.disconnect])
  }

  @Test func `a commit that records a version waits for its bytes`() {
    var bench = StandbyBench()
    _ = bench.join()
    #expect(bench.hear(message(commit(6, adding: [1]))) == [.send(.requestBundle(PolicyVersion(1), holding: []))])
    #expect(bench.hear(message(commit(7))) == [])
    let bundle = Small.bundle(1)
    _ = bench.hear(.bundle(bundle, from: "", depth: 0))
    for chunk in Small.chunks(1) { _ = bench.hear(.chunk(Small.digest(chunk), chunk)) }
    let effects = bench.on(.transfer(.installed(bundle, isIntact: true)))
    #expect(effects == [.apply([commit(6, adding: [1]), commit(7)])])
  }

  @Test func `it takes over after the silence, under the next term, if the copy is complete`() {
    var bench = StandbyBench()
    _ = bench.join()
    #expect(bench.takesOver(within: 9) == nil)
    #expect(bench.takesOver(within: 1) == Term.first.next(of: 9))
    var lacking = StandbyBench(held: [])
    _ = lacking.join()
    #expect(lacking.takesOver(within: 100) == nil)
    var empty = StandbyBench(copy: nil)
    #expect(empty.takesOver(within: 100) == nil)
  }

  @Test func `a lost connection does not take from it what it has, and commits that were on their way do not count`() {
    var bench = StandbyBench()
    _ = bench.join()
    _ = bench.hear(message(commit(6, adding: [1])))
    _ = bench.on(.disconnected)
    #expect(bench.takesOver(within: 10) != nil)
    #expect(bench.standby.reached == position(5))
  }

  @Test func `a heartbeat, or a pause of its own, does not count as silence`() {
    var bench = StandbyBench()
    _ = bench.join()
    for _ in 0..<5 {
      #expect(bench.takesOver(within: 9) == nil)
      _ = bench.hear(.heartbeat(tokens: 0))
    }
    bench.now = bench.now + .seconds(1000)
    #expect(bench.takesOver(within: 9) == nil)
    #expect(bench.takesOver(within: 2) != nil)
  }

  @Test func `a copy of an earlier term is replaced before it can lead`() {
    var bench = StandbyBench()
    let later = Term.first.next(of: 3)
    #expect(bench.join(term: later).contains { if case .send(.follow) = $0 { true } else { false } })
    #expect(bench.takesOver(within: 100) == nil)
    _ = bench.on(.disconnected)
    _ = bench.join(term: later)
    let file = ReplicaFile(name: "ledger.sqlite", byteCount: 2, digest: ChunkDigest([1]))
    let snapshot = ReplicaSnapshot(
      schema: 1, position: position(9, term: later), files: [file], kept: [Small.manifest(0)])
    #expect(bench.hear(.snapshot(snapshot)) == [.compare(snapshot)])
    #expect(bench.on(.lacking([0])) == [.send(.requestFile(index: 0, offset: 0))])
    #expect(
      bench.hear(.fileBytes(index: 0, offset: 0, bytes: [1, 2]))
        == [.write(index: 0, offset: 0, bytes: [1, 2]), .install(snapshot)])
    #expect(
      bench.on(.installed)
        == [
          .send(.follow(FollowRequest(runID: run, position: position(9, term: later), patience: .seconds(10))))
        ])
    #expect(bench.takesOver(within: 10) == later.next(of: 9))
  }

  @Test func `it does not follow a coordinator of a lower term`() {
    var bench = StandbyBench(copy: position(5, term: Term.first.next(of: 3)))
    #expect(bench.join() == [.disconnect])
  }

  @Test func `a finished run ends it when all commits are made`() {
    var bench = StandbyBench()
    _ = bench.join()
    _ = bench.hear(message(commit(6)))
    #expect(bench.hear(.finished) == [])
    #expect(bench.on(.applied(6)) == [.send(.committed(6)), .exit(.finished)])
  }
}

// MARK: - The coordinator's side

@Suite struct ReplicationTests {
  private func replication(_ durability: Durability, hasTakenOver: Bool = false) -> Replication {
    Replication(position: position(5), durability: durability, hasTakenOver: hasTakenOver, isJudged: false)
  }

  private func request(_ number: UInt64, term: Term = .first, run: String = run) -> FollowRequest {
    FollowRequest(runID: run, position: position(number, term: term), patience: .seconds(10))
  }

  private let settled = CoordinatorEffect.send(.settled([]), to: PeerID(1))

  @Test func `a standby that has everything gets the next commits, and another one a copy`() {
    var book = replication(.local)
    #expect(book.follow(request(5), by: PeerID(2), at: position(5)) == [])
    #expect(book.committed(commit(6)) == [.send(message(commit(6)), to: PeerID(2))])
    #expect(book.follow(request(5), by: PeerID(3), at: position(6)) == [.send(message(commit(6)), to: PeerID(3))])
    for other in [request(4), request(7), request(6, term: Term(7)), request(6, run: "")] {
      #expect(book.follow(other, by: PeerID(4), at: position(6)) == [.copy(to: PeerID(4))])
    }
  }

  @Test func `acknowledgements wait until all standbys have the commits, and nothing else waits`() {
    var book = replication(.replicated)
    _ = book.follow(request(5), by: PeerID(2), at: position(5))
    _ = book.follow(request(5), by: PeerID(3), at: position(5))
    _ = book.committed(commit(6))
    #expect(book.admits(settled) == false)
    #expect(book.admits(.send(.heartbeat(tokens: 0), to: PeerID(1))) == true)
    #expect(book.confirmed(6, by: PeerID(2)) == [])
    #expect(book.confirmed(6, by: PeerID(3)) == [.release(settled)])
    #expect(book.admits(settled) == true)
    // One that leaves does not count any more.
    _ = book.committed(commit(7))
    #expect(book.admits(settled) == false)
    #expect(book.confirmed(7, by: PeerID(2)) == [])
    #expect(book.left(PeerID(3)) == [.release(settled)])
  }

  @Test func `without a standby nothing is acknowledged, except by a coordinator that has taken over`() {
    var first = replication(.replicated)
    #expect(first.admits(settled) == false)
    #expect(first.lacksStandby)
    #expect(first.follow(request(5), by: PeerID(2), at: position(5)) == [.release(settled)])
    _ = first.committed(commit(6))
    #expect(first.admits(settled) == false)
    #expect(first.left(PeerID(2)) == [])
    var successor = replication(.replicated, hasTakenOver: true)
    #expect(successor.admits(settled) == true)
    #expect(!successor.lacksStandby)
    _ = successor.follow(request(5), by: PeerID(2), at: position(5))
    _ = successor.left(PeerID(2))
    #expect(successor.admits(settled) == false)
    var local = replication(.local)
    #expect(local.admits(settled) == true)
  }

  @Test func `a commit that is long travels in parts, and a slow standby is not sent more than it can hold`() {
    var long = commit(6)
    long.changes = [UInt8](repeating: 1, count: Limits.chunkBytes + 1)
    #expect(long.messages.count == 2)
    var book = replication(.local)
    _ = book.follow(request(5), by: PeerID(2), at: position(5))
    var sent = 0
    for number in UInt64(6)..<40 {
      long.number = number
      sent += book.committed(long).count
    }
    #expect(sent == 2 * 8)
    #expect(book.confirmed(6, by: PeerID(2)).count == 2)
  }

  @Test func `with a reward command a standby needs replicated durability`() {
    var book = Replication(position: position(5), durability: .local, hasTakenOver: false, isJudged: true)
    #expect(
      book.follow(request(5), by: PeerID(2), at: position(5)) == [.dismiss(PeerID(2), .needsReplication)])
  }
}

// MARK: - Terms

@Suite struct TermTests {
  private func hello(_ role: Role, term: Term) -> Message {
    var hello = Small.hello(role)
    (hello.term, hello.relay) = (term, "b:1")
    return .hello(hello)
  }

  @Test func `a coordinator gives way to a higher term, and tells its peers where`() {
    var bench = CoordinatorBench()
    _ = bench.join(1)
    _ = bench.on(.connected(PeerID(2)))
    let later = Term.first.next(of: 1)
    let effects = bench.say(hello(.coordinator, term: later), from: 2)
    #expect(
      effects.prefix(2) == [
        .send(.standbys(["b:1"], silence: Limits.silence), to: PeerID(1)), .abdicate(later, to: ["b:1"]),
      ])
  }

  @Test func `a finished run does not give way`() {
    var bench = CoordinatorBench(
      memory: CoordinatorMemory(
        closedRounds: Small.plan().map(\.id), policies: [Small.manifest(0), Small.manifest(1)]))
    #expect(bench.on(.tick).contains(.finish))
    _ = bench.on(.ended)
    _ = bench.on(.connected(PeerID(2)))
    #expect(bench.say(hello(.worker, term: Term.first.next(of: 1)), from: 2) == [.send(.finished, to: PeerID(2))])
  }

  @Test func `a coordinator answers a lower term with its own`() {
    var bench = CoordinatorBench()
    _ = bench.on(.connected(PeerID(2)))
    let effects = bench.say(hello(.coordinator, term: .none), from: 2)
    #expect(effects.contains(.send(.welcome(Small.welcome()), to: PeerID(2))))
  }

  @Test func `a worker tries all addresses, and does not join a lower term than it has seen`() {
    var worker = Worker(
      hello: Small.hello(.worker), coordinators: ["a:1"], capacity: 4, digest: Small.digest)
    var welcome = Small.welcome()
    welcome.term = Term.first.next(of: 1)
    _ = worker.receive(.connected, now: .zero)
    _ = worker.receive(.received(.welcome(welcome)), now: .zero)
    _ = worker.receive(.received(.standbys(["b:1"], silence: .seconds(3))), now: .zero)
    func address(_ effects: [WorkerEffect]) -> String? {
      effects.compactMap { if case .connect(let next) = $0 { next.address } else { nil } }.first
    }
    #expect(address(worker.receive(.disconnected, now: .zero)) == "a:1")
    #expect(address(worker.receive(.disconnected, now: .zero)) == "b:1")
    _ = worker.receive(.connected, now: .zero)
    #expect(worker.receive(.received(.welcome(Small.welcome())), now: .zero) == [.disconnect])
    #expect(address(worker.receive(.disconnected, now: .zero)) == "a:1")
    _ = worker.receive(.connected, now: .zero)
    _ = worker.receive(.received(.welcome(welcome)), now: .zero)
    // One without standbys does not show that it is alive.
    #expect(!worker.receive(.tick(tokens: 0), now: .zero + .seconds(1)).contains(.disconnect))
    _ = worker.receive(.received(.standbys(["b:1"], silence: .seconds(3))), now: .zero)
    // A coordinator that says nothing is left.
    for second in UInt64(1)...3 {
      #expect(!worker.receive(.tick(tokens: 0), now: .zero + .seconds(second)).contains(.disconnect))
    }
    #expect(worker.receive(.tick(tokens: 0), now: .zero + .seconds(4)).contains(.disconnect))
    // It tries the other address first, and does not wait long for an answer.
    let attempt = Attempt(address: "b:1", pause: .zero, deadline: Limits.oneOfSeveral)
    #expect(worker.receive(.disconnected, now: .zero + .seconds(4)).first == .connect(attempt))
  }

  @Test func `a learner that is ahead of a standby that has taken over starts again from an older state`() {
    var learner = Learner(
      hello: Small.hello(.learner), held: PolicyVersion(3), publication: (Small.manifest(3), Small.report(3)))
    _ = learner.receive(.connected, now: .zero)
    #expect(
      learner.receive(.received(.welcome(Small.welcome(latest: 1))), now: .zero)
        == [.exit(.ahead(PolicyVersion(3), latest: PolicyVersion(1)))])
  }
}
