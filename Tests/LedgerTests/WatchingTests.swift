// Reading a run that goes on: what is new comes once, in order, and every question has a bound.

import Base
import Glibc
import Ledger
import Records
import Testing

@Suite struct WatchingTests {
  private let path: String

  init() throws {
    var template = Array("/tmp/ttrl-watching-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private func finish() {
    for ending in ["", "-wal", "-shm"] { unlink(path + "/ledger.sqlite" + ending) }
    rmdir(path)
  }

  private static func trajectory(_ step: UInt32, _ prompt: UInt32, _ sample: UInt32) -> Trajectory {
    Trajectory(
      slot: Slot(round: .train(step: step), prompt: prompt, sample: sample), policy: PolicyVersion(step),
      tokens: [7, 8, 9], logprobs: [-1, -2, -3], entropySum: 0.5, finish: .stop)
  }

  @Test func `a reader beside the writer is told what is new, once and in order`() throws {
    defer { finish() }
    let writer = try Ledger(path: path + "/ledger.sqlite", mode: .readWrite)
    let reader = try Ledger(path: path + "/ledger.sqlite", mode: .readOnly)
    let worker = try writer.join(name: "ada", address: "h:1", instructionSet: "avx2", libraries: "x", at: 1)
    try writer.open(.train(step: 0), policy: PolicyVersion(0), slots: 6, at: 2)
    var (seen, row): ([Slot], Int64) = ([], 0)
    let before = try reader.changeCounter()
    for sample in 0..<6 as Range<UInt32> {
      #expect(try writer.insert(Self.trajectory(0, 5, sample), worker: worker, lease: UInt64(sample / 2)))
      for found in try reader.deliveries(after: row, limit: 100) {
        #expect(found.worker == worker && found.tokens == 3 && found.row > row)
        row = found.row
        seen.append(Slot(round: found.round, prompt: 5, sample: UInt32(seen.count)))
      }
    }
    #expect(seen.count == 6)
    #expect(try reader.deliveries(after: row, limit: 100) == [])
    #expect(try reader.deliveries(after: 0, limit: 4).count == 4)
    let after = try reader.changeCounter()
    #expect(after != before)
    #expect(try reader.changeCounter() == after)
  }

  @Test func `a response says where it came from`() throws {
    defer { finish() }
    let ledger = try Ledger(path: path + "/ledger.sqlite", mode: .readWrite)
    let worker = try ledger.join(name: "ada", address: "h:1", instructionSet: "avx2", libraries: "x", at: 1)
    try ledger.open(.train(step: 3), policy: PolicyVersion(0), slots: 4, at: 2)
    _ = try ledger.insert(Self.trajectory(3, 5, 0), worker: worker, lease: 41)
    _ = try ledger.insert(Self.trajectory(3, 5, 1), worker: nil)
    try ledger.insert(unneeded: Slot(round: .train(step: 3), prompt: 5, sample: 1))
    let responses = try ledger.responses(to: 5, in: .train(step: 3), from: 0, limit: 10)
    #expect(responses.map(\.worker) == ["ada", nil] && responses.map(\.lease) == [41, nil])
    #expect(responses.map(\.counts) == [true, false] && responses[0].trajectory == Self.trajectory(3, 5, 0))
    #expect(try ledger.responses(to: 5, in: .train(step: 3), from: 1, limit: 10).count == 1)
    #expect(try ledger.responses(to: 6, in: .train(step: 3), from: 0, limit: 10).isEmpty)
  }

  @Test func `steps, prompts and events come in pieces`() throws {
    defer { finish() }
    let ledger = try Ledger(path: path + "/ledger.sqlite", mode: .readWrite)
    for step in 0..<5 as Range<UInt32> {
      try ledger.setMetrics(#"{"step":\#(step),"prompts":[{"prompt":7,"label_votes":\#(step)}]}"#, ofStep: step)
      try ledger.insert(StoredPrompt(set: .training, index: step, text: "q\(step)", tokens: [1]))
      try ledger.record(event: step % 2 == 0 ? "even" : "odd", "\(step)", at: Double(step))
    }
    #expect(try ledger.stepMetrics(after: -1, limit: 2).map(\.step) == [0, 1])
    #expect(try ledger.stepMetrics(after: 3, limit: 2).map(\.step) == [4])
    #expect(try ledger.metrics(ofStep: 9) == nil)
    #expect(try ledger.prompts(of: .training, from: 3, limit: 9).map(\.text) == ["q3", "q4"])
    #expect(try ledger.promptCount(of: .training) == 5)
    let newest = try ledger.events(before: nil, limit: 2)
    #expect(newest.map(\.detail) == ["4", "3"])
    #expect(try ledger.events(before: newest[1].number, limit: 9).map(\.detail) == ["2", "1", "0"])
    #expect(try ledger.eventCounts().map { "\($0.kind) \($0.count)" } == ["even 3", "odd 2"])
  }
}
