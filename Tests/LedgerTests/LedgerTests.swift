// The ledger: records come back as they were written, a slot has one trajectory, a crash loses no commit, and readers
// do not disturb the writer.

import Base
import Glibc
import Ledger
import Records
import Testing

/// A new directory with the path of a ledger, removed with the object.
private final class Place {
  let directory: String
  var path: String { directory + "/ledger.sqlite" }

  init() throws {
    var template = Array("/tmp/ttrl-ledger-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit {
    for ending in ["", "-wal", "-shm"] {
      unlink(path + ending)
      unlink(path + ".copy" + ending)
    }
    rmdir(directory)
  }

  /// What a crash would leave: the database and its log as they are on the disk now.
  func crashCopy() throws -> String {
    for ending in ["", "-wal"] { try copy(path + ending, path + ".copy" + ending) }
    return path + ".copy"
  }

  func overwrite(at offset: Int, with text: String) throws {
    let fd = Glibc.open(path, O_WRONLY)
    defer { close(fd) }
    try #require(pwrite(fd, text, text.utf8.count, offset) == text.utf8.count)
  }

  private func copy(_ from: String, _ to: String) throws {
    let source = Glibc.open(from, O_RDONLY)
    let target = Glibc.open(to, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    defer {
      close(source)
      close(target)
    }
    var chunk = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let count = read(source, &chunk, chunk.count)
      try #require(count >= 0)
      if count == 0 { return }
      try #require(write(target, chunk, count) == count)
    }
  }
}

private let round = RoundID.train(step: 3)

private func trajectory(_ prompt: UInt32, _ sample: UInt32, tokens: Int = 5, in round: RoundID = round) -> Trajectory {
  let values = (0..<tokens).map { Int32($0) &* 7919 - 3 }
  return Trajectory(
    slot: Slot(round: round, prompt: prompt, sample: sample), policy: PolicyVersion(round.step), tokens: values,
    logprobs: values.map { -Float($0 &+ 4) / 3 }, entropySum: 1.1, finish: sample % 2 == 0 ? .stop : .length)
}

/// A ledger in which `round` is open.
private func opened(_ place: Place, limits: LedgerLimits = LedgerLimits()) throws -> Ledger {
  let ledger = try Ledger(path: place.path, mode: .readWrite, limits: limits)
  try ledger.open(round, policy: PolicyVersion(round.step), slots: 8, at: 100)
  return ledger
}

@Suite struct TrajectoryTests {
  @Test func `trajectories come back bit for bit, by prompt and sample`() throws {
    let place = try Place()
    let ledger = try opened(place)
    var odd = trajectory(0, 1)
    odd.logprobs = [-0.0, -.infinity, .nan, Float(bitPattern: 1), -1e-38]
    odd.entropySum = Float(bitPattern: 0x3F80_0001)
    for one in [trajectory(1, 0), trajectory(0, 3, tokens: 0), odd, trajectory(1, 1)] {
      #expect(try ledger.insert(one, worker: nil))
    }
    let back = try Ledger(path: place.path, mode: .readOnly).trajectories(of: round)
    #expect(back.map { [$0.slot.prompt, $0.slot.sample] } == [[0, 1], [0, 3], [1, 0], [1, 1]])
    #expect(back[0].logprobs.map(\.bitPattern) == odd.logprobs.map(\.bitPattern))
    #expect(back[0].entropySum == odd.entropySum && back[0].tokens == odd.tokens)
    #expect(Array(back.dropFirst()) == [trajectory(0, 3, tokens: 0), trajectory(1, 0), trajectory(1, 1)])
    #expect(try ledger.settledSlots(of: round) == back.map(\.slot))
  }

  @Test func `what a method asked samplers to record comes back bit for bit, and takes no space otherwise`() throws {
    let place = try Place()
    let ledger = try opened(place)
    var recorded = trajectory(0, 1)
    recorded.entropies = [0, 1.5, Float(bitPattern: 1), 0.1, 3]
    recorded.selfCertainty = Float(bitPattern: 0x4123_4567)
    for one in [recorded, trajectory(0, 2)] { #expect(try ledger.insert(one, worker: nil)) }
    let reader = try Ledger(path: place.path, mode: .readOnly)
    #expect(try reader.trajectories(of: round) == [recorded, trajectory(0, 2)])
    #expect(
      try reader.responses(to: 0, in: round, from: 0, limit: 9).map(\.trajectory) == [recorded, trajectory(0, 2)])
  }

  @Test func `a second trajectory for a slot is refused and the first stays`() throws {
    let place = try Place()
    let ledger = try opened(place)
    #expect(try ledger.insert(trajectory(0, 0), worker: nil))
    #expect(try !ledger.insert(trajectory(0, 0, tokens: 9), worker: nil))
    #expect(try ledger.trajectories(of: round) == [trajectory(0, 0)])
    #expect(try ledger.trajectoryCount(of: round) == 1)
  }

  @Test func `verdicts come back as they were recorded, and a second one for a slot is refused`() throws {
    let place = try Place()
    let ledger = try opened(place)
    let verdicts = [
      Verdict(reward: 0.1, voteWeight: 5), Verdict(reward: -.leastNonzeroMagnitude), Verdict(voteWeight: 0),
      Verdict(isValid: false), Verdict(.late), Verdict(.crowded), Verdict(.late),
    ]
    let said = verdicts.enumerated().map { SlotVerdict(Slot(round: round, prompt: 1, sample: UInt32($0)), $1) }
    for one in said.reversed() { try ledger.insert(one, at: 1) }
    #expect(throws: LedgerError.self) {
      try ledger.insert(SlotVerdict(said[0].slot, Verdict(reward: 2)), at: 2)
    }
    let reader = try Ledger(path: place.path, mode: .readOnly)
    #expect(try reader.verdicts(of: round) == said)
    #expect(try reader.verdicts(of: round, from: said[2].slot, before: said[4].slot) == Array(said[2..<4]))
    #expect(try reader.verdictCount(of: round) == 7)
    let faults = try reader.verdictFaults(of: round)
    #expect(faults.map(\.fault) == ["crowded", "late"] && faults.map(\.count) == [1, 2])
  }

  @Test func `slots that a vote did not need are not in the batch, and count in the accounting`() throws {
    let place = try Place()
    let ledger = try opened(place)
    for (prompt, sample) in [(0, 0), (0, 2), (1, 1)] as [(UInt32, UInt32)] {
      #expect(try ledger.insert(trajectory(prompt, sample), worker: nil))
    }
    let unneeded = [(0, 1), (0, 2)].map { Slot(round: round, prompt: $0.0, sample: $0.1) }
    // A restarted coordinator records them again.
    for _ in 0..<2 {
      for slot in unneeded { try ledger.insert(unneeded: slot) }
    }
    #expect(try ledger.unneededSlots(of: round) == unneeded)
    #expect(try ledger.trajectories(of: round) == [trajectory(0, 0), trajectory(1, 1)])
    #expect(try ledger.settledSlots(of: round).count == 3 && ledger.trajectoryCount(of: round) == 3)
    #expect(try ledger.accountedCount(of: round) == 4)
  }

  @Test func `a batch is read in pieces, from one slot to the next`() throws {
    let place = try Place()
    let ledger = try opened(place)
    let lengths: [(UInt32, UInt32, Int)] = [(0, 0, 3), (0, 1, 9), (2, 0, 4), (2, 5, 8), (3, 0, 7), (3, 1, 0)]
    for (prompt, sample, tokens) in lengths.reversed() {
      #expect(try ledger.insert(trajectory(prompt, sample, tokens: tokens), worker: nil))
    }
    try ledger.insert(unneeded: Slot(round: round, prompt: 3, sample: 0))
    let all = try ledger.trajectories(of: round)
    var heard: [Int] = []
    let starts = try ledger.slots(of: round) { length in
      heard.append(length)
      return heard.count % 2 == 1
    }
    #expect(heard == all.map(\.tokens.count) && heard == [3, 9, 4, 8, 0])
    #expect(starts == [all[0].slot, all[2].slot, all[4].slot])
    let pieces = try zip(starts, starts.dropFirst().map(Optional.some) + [nil]).map {
      try ledger.trajectories(of: round, from: $0, before: $1)
    }
    #expect(pieces.map(\.count) == [2, 2, 1] && pieces.flatMap { $0 } == all)
  }

  @Test func `rounds are kept apart`() throws {
    let place = try Place()
    let ledger = try opened(place)
    let evaluation = RoundID.evaluate(.heldOut, at: PolicyVersion(3))
    try ledger.open(evaluation, policy: PolicyVersion(0), slots: 1, at: 1)
    #expect(try ledger.insert(trajectory(0, 0), worker: nil))
    #expect(try ledger.insert(trajectory(0, 0, tokens: 2, in: evaluation), worker: nil))
    #expect(try ledger.trajectories(of: round) == [trajectory(0, 0)])
    #expect(try ledger.trajectories(of: evaluation) == [trajectory(0, 0, tokens: 2, in: evaluation)])
    #expect(try ledger.trajectoryCount() == 2)
  }

  @Test func `a trajectory of a round that was never opened is refused`() throws {
    let place = try Place()
    let ledger = try Ledger(path: place.path, mode: .readWrite)
    let error = #expect(throws: LedgerError.self) { try ledger.insert(trajectory(0, 0), worker: nil) }
    guard case .refused = error else {
      Issue.record("expected .refused, got \(String(describing: error))")
      return
    }
  }
}

@Suite struct RecordTests {
  @Test func `prompts come back in order, with or without answers and names`() throws {
    let place = try Place()
    let ledger = try Ledger(path: place.path, mode: .readWrite)
    let prompts = [
      StoredPrompt(set: .training, index: 0, id: "a", text: "1 + 1 = ?", tokens: [1, -2, .max], answer: "2"),
      StoredPrompt(set: .training, index: 1, text: "naïve\u{0}\u{1F600}", tokens: []),
    ]
    for prompt in prompts.reversed() { try ledger.insert(prompt) }
    try ledger.insert(StoredPrompt(set: .heldOut, index: 0, text: "other", tokens: [5]))
    #expect(try ledger.prompts(of: .training).map(\.tokens) == prompts.map(\.tokens))
    #expect(try ledger.prompts(of: .training)[0] == prompts[0])
    #expect(try ledger.prompts(of: .training)[1] == prompts[1])
    #expect(try ledger.prompts(of: .heldOut).count == 1)
  }

  @Test func `a round opens once and closes once`() throws {
    let place = try Place()
    let ledger = try opened(place)
    try ledger.open(round, policy: PolicyVersion(round.step), slots: 99, at: 200)
    try ledger.close(round, at: 300)
    try ledger.close(round, at: 400)
    let rounds = try ledger.rounds()
    #expect(rounds.map(\.id) == [round] && rounds[0].slots == 8)
    #expect(rounds[0].openedAt == 100 && rounds[0].closedAt == 300)
  }

  @Test func `rounds are listed in the order of the plan`() throws {
    let place = try Place()
    let ledger = try Ledger(path: place.path, mode: .readWrite)
    let plan = [
      RoundID.evaluate(.training, at: PolicyVersion(0)), .train(step: 0), .train(step: 1),
      .evaluate(.heldOut, at: PolicyVersion(2)),
    ].sorted()
    for round in plan.reversed() { try ledger.open(round, policy: PolicyVersion(round.step), slots: 1, at: 0) }
    #expect(try ledger.rounds().map(\.id) == plan)
  }

  @Test func `a policy version is recorded once, and other bytes under its number are refused`() throws {
    let place = try Place()
    let ledger = try Ledger(path: place.path, mode: .readWrite)
    let first = StoredPolicy(
      version: PolicyVersion(1), sha256: "aa", path: "policies/1", bytes: 1 << 40, madeByStep: 0, madeAt: 5)
    try ledger.insert(first)
    try ledger.insert(first)
    #expect(try ledger.policies() == [first])
    var other = first
    other.sha256 = "bb"
    #expect(throws: LedgerError.self) { try ledger.insert(other) }
    try ledger.markRemoved(first.version, at: 9)
    #expect(try ledger.policy(first.version)?.removedAt == 9)
    #expect(try ledger.policy(PolicyVersion(2)) == nil)
  }

  @Test func `metrics must be JSON, and a repeated step replaces its own`() throws {
    let place = try Place()
    let ledger = try opened(place)
    try ledger.setMetrics(#"{"reward": 0.5}"#, ofStep: 1)
    try ledger.setMetrics(#"{"reward": 0.25}"#, ofStep: 0)
    try ledger.setMetrics(#"{"reward": 0.75}"#, ofStep: 1)
    #expect(try ledger.stepMetrics().map(\.json) == [#"{"reward": 0.25}"#, #"{"reward": 0.75}"#])
    try ledger.setMetrics("{}", of: round)
    #expect(try ledger.evaluationMetrics().map(\.round) == [round])
    #expect(throws: LedgerError.self) { try ledger.setMetrics("{\"loss\": nan}", ofStep: 2) }
  }

  @Test func `trajectories and tokens are counted for each connection`() throws {
    let place = try Place()
    let ledger = try opened(place)
    func join() throws -> Int64 {
      try ledger.join(name: "ada", address: "h:1", instructionSet: "avx2", libraries: "oneDNN 2.6.3", at: 1)
    }
    let (first, second) = (try join(), try join())
    _ = try ledger.insert(trajectory(0, 0, tokens: 3), worker: second)
    _ = try ledger.insert(trajectory(0, 1, tokens: 4), worker: second)
    try ledger.leave(worker: first, because: "silent", at: 2)
    let workers = try ledger.workers()
    #expect(workers.map(\.trajectories) == [0, 2] && workers.map(\.tokens) == [0, 7])
    #expect(workers[0].leftBecause == "silent" && workers[1].leftAt == nil)
  }

  @Test func `facts are replaced, and events are numbered and read in pages`() throws {
    let place = try Place()
    let ledger = try Ledger(path: place.path, mode: .readWrite)
    try ledger.set("old", for: .manifest)
    try ledger.set("new", for: .manifest)
    #expect(try ledger.value(for: .manifest) == "new")
    #expect(try ledger.value(for: .delivered) == nil)
    for number in 1...5 { try ledger.record(event: "kind", "\(number)", at: 0) }
    let page = try ledger.events(before: 5, limit: 2)
    #expect(page.map(\.number) == [4, 3] && page.map(\.detail) == ["4", "3"])
  }
}

@Suite struct DurabilityTests {
  @Test func `a transaction that throws leaves nothing`() throws {
    let place = try Place()
    let ledger = try opened(place)
    #expect(throws: LedgerError.diskFull(path: "test")) {
      try ledger.transaction { () throws(LedgerError) in
        _ = try ledger.insert(trajectory(0, 0), worker: nil)
        throw .diskFull(path: "test")
      }
    }
    #expect(try ledger.trajectoryCount() == 0)
    try ledger.transaction { () throws(LedgerError) in _ = try ledger.insert(trajectory(0, 0), worker: nil) }
    #expect(try ledger.trajectoryCount() == 1)
  }

  @Test func `a crash in the middle of a transaction keeps only what was committed`() throws {
    let place = try Place()
    let ledger = try opened(place)
    #expect(try ledger.insert(trajectory(0, 0), worker: nil))
    var copy = ""
    try ledger.transaction { () throws(LedgerError) in
      // About 16 MB: more than the page cache, so that uncommitted pages are in the log on the disk.
      for sample in 1...2000 { _ = try ledger.insert(trajectory(7, UInt32(sample), tokens: 1000), worker: nil) }
      copy = (try? place.crashCopy()) ?? ""
    }
    #expect(try ledger.trajectoryCount() == 2001)
    let survivor = try Ledger(path: copy, mode: .readWrite)
    #expect(try survivor.trajectories(of: round) == [trajectory(0, 0)])
    #expect(try survivor.insert(trajectory(7, 1), worker: nil))
  }

  @Test func `a reader sees what is committed, and in its own transaction always the same state`() throws {
    let place = try Place()
    let writer = try opened(place)
    let reader = try Ledger(path: place.path, mode: .readOnly)
    try writer.transaction { () throws(LedgerError) in
      _ = try writer.insert(trajectory(0, 0), worker: nil)
      let uncommitted = try reader.trajectoryCount()
      #expect(uncommitted == 0)
    }
    #expect(try reader.trajectoryCount() == 1)
    try reader.transaction { () throws(LedgerError) in
      let before = try reader.trajectoryCount()
      _ = try writer.insert(trajectory(0, 1), worker: nil)
      #expect(before == 1)
      let after = try reader.trajectoryCount()
      #expect(after == 1)
    }
    #expect(try reader.trajectoryCount() == 2)
  }

  @Test func `a reader cannot write`() throws {
    let place = try Place()
    _ = try opened(place)
    let reader = try Ledger(path: place.path, mode: .readOnly)
    #expect(throws: LedgerError.self) { try reader.set("x", for: .manifest) }
  }

  @Test func `a full disk is an error, what was committed before stays, and writing continues when there is room`()
    throws
  {
    let place = try Place()
    let error: LedgerError? = try {
      let ledger = try opened(place, limits: LedgerLimits(bytes: 256 << 10))
      return #expect(throws: LedgerError.self) {
        for sample in 0..<1000 { _ = try ledger.insert(trajectory(0, UInt32(sample), tokens: 500), worker: nil) }
      }
    }()
    #expect(error == .diskFull(path: place.path))
    let ledger = try Ledger(path: place.path, mode: .readWrite)
    let kept = try ledger.trajectoryCount()
    #expect(kept > 10)
    #expect(try ledger.insert(trajectory(1, 0), worker: nil))
    #expect(try ledger.trajectoryCount() == kept + 1)
  }

  @Test func `a second writer waits, and then fails with an error that names the lock`() throws {
    let place = try Place()
    let first = try opened(place)
    let second = try Ledger(path: place.path, mode: .readWrite, limits: LedgerLimits(busyMilliseconds: 1))
    try first.transaction { () throws(LedgerError) in
      let error = #expect(throws: LedgerError.self) { try second.set("x", for: .manifest) }
      #expect(error == .locked(path: place.path, milliseconds: 1))
    }
  }
}

@Suite struct OpeningTests {
  @Test func `a missing ledger is not made by a reader`() throws {
    let place = try Place()
    #expect(throws: LedgerError.missing(path: place.path)) { try Ledger(path: place.path, mode: .readOnly) }
    #expect(access(place.path, F_OK) != 0)
  }

  @Test(arguments: [Ledger.Mode.readWrite, .readOnly])
  func `a ledger of a newer ttrl is refused and not changed`(mode: Ledger.Mode) throws {
    let place = try Place()
    _ = try opened(place)
    // user_version is the 32-bit big-endian word at byte 60 of the file.
    try place.overwrite(at: 63, with: "\u{7F}")
    let error = #expect(throws: LedgerError.self) { try Ledger(path: place.path, mode: mode) }
    #expect(error == .newerSchema(path: place.path, found: 127, known: 6))
    #expect(error.map { "\($0)".contains("made by a newer ttrl") } == true)
  }

  @Test(arguments: [Ledger.Mode.readWrite, .readOnly])
  func `another program's database is refused and not changed`(mode: Ledger.Mode) throws {
    let place = try Place()
    _ = try opened(place)
    // application_id is at byte 68.
    try place.overwrite(at: 68, with: "ELSE")
    #expect(throws: LedgerError.notALedger(path: place.path)) { try Ledger(path: place.path, mode: mode) }
  }

  @Test(arguments: [Ledger.Mode.readWrite, .readOnly])
  func `a file that is not a database is refused`(mode: Ledger.Mode) throws {
    let place = try Place()
    _ = try opened(place)
    try place.overwrite(at: 0, with: "this was never a database")
    #expect(throws: LedgerError.notALedger(path: place.path)) { try Ledger(path: place.path, mode: mode) }
  }

  @Test func `a damaged page is an error with a remedy`() throws {
    let place = try Place()
    try { _ = try opened(place).insert(trajectory(0, 0), worker: nil) }()
    for page in 1..<30 { try place.overwrite(at: page * 4096, with: String(repeating: "\u{7F}", count: 64)) }
    let error = #expect(throws: LedgerError.self) {
      _ = try Ledger(path: place.path, mode: .readWrite).trajectories(of: round)
    }
    guard case .corrupt = error else {
      Issue.record("expected .corrupt, got \(String(describing: error))")
      return
    }
    #expect(error.map { "\($0)".contains(".recover") } == true)
  }

  @Test func `a path that cannot be opened is an error`() throws {
    let error = #expect(throws: LedgerError.self) { try Ledger(path: "/no/such/place", mode: .readWrite) }
    guard case .storage = error else {
      Issue.record("expected .storage, got \(String(describing: error))")
      return
    }
  }

  @Test func `the schema's comments are in the file, for people who query it`() throws {
    let place = try Place()
    _ = try opened(place)
    let fd = Glibc.open(place.path, O_RDONLY)
    defer { close(fd) }
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    let count = read(fd, &bytes, bytes.count)
    let content = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    #expect(content.contains("float32, little-endian: natural log, one per token"))
  }
}
