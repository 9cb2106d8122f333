// Archives: what is written is read again, and what was changed, cut short or added is refused with its place.

import Archives
import Base
import Foundation
import Platform
import Records
import Testing

@Suite struct ArchiveTests {
  /// A directory that is removed with the test.
  private final class Place {
    let path = NSTemporaryDirectory() + "ttrl-test-\(UUID().uuidString)"
    var archive: String { path + "/a.jsonl.zst" }

    init() throws { try Files.createDirectory(path) }
    deinit { try? Files.removeTree(path) }
  }

  // MARK: An archive

  private static let header = ArchiveLine.header(
    ArchiveHeader(["format": "ttrl-archive", "format_version": 1, "run": "r", "model": ["sha256": "ab"]]))

  /// Floats whose decimals are easy to get wrong: both zeroes, the smallest, the largest, neighbours of powers of two.
  private static let floats: [Float] = [
    0, -0.0, .leastNonzeroMagnitude, -.greatestFiniteMagnitude, -0.1, Float(2).nextDown, -Float(16_777_216).nextUp,
    1e-10, -7.038531e-26,
  ]

  private static func response(_ sample: UInt32, of group: UInt32) -> ArchivedResponse {
    let tokens = (0..<Int32(floats.count)).map { $0 * 1000 + Int32(sample) }
    var trajectory = Trajectory(
      slot: Slot(round: .train(step: group), prompt: group, sample: sample), policy: PolicyVersion(group),
      tokens: tokens, logprobs: floats.map { $0 * (sample == 0 ? 1 : -1) }, entropySum: 0.1, finish: .stop)
    if sample % 3 == 1 {
      trajectory.entropies = floats
      trajectory.selfCertainty = 0.3
      trajectory.verdict = sample % 2 == 0 ? Verdict(reward: 0.1, voteWeight: 2) : Verdict(.late)
      trajectory.finish = .length
    }
    let advantages: [Float] =
      sample % 3 == 0 ? [] : sample % 3 == 1 ? floats : [Float](repeating: -0.7, count: tokens.count)
    return ArchivedResponse(
      trajectory: trajectory, text: "\"7\n\u{2028}é\u{0}\\\u{1F600}", answer: sample == 2 ? nil : "7",
      key: sample == 2 ? nil : "q:7", isRight: sample == 1 ? nil : sample == 0, reward: sample == 3 ? nil : 0.1,
      isTrained: sample % 3 != 0, advantages: advantages)
  }

  /// Lines of every kind, more than a seal's.
  private static let lines: [ArchiveLine] =
    [header]
    + (0..<30).map {
      .question(
        ArchivedQuestion(
          set: $0 < 20 ? .training : .heldOut, index: $0 % 20, id: $0 == 3 ? nil : "q-\($0)", text: "what\n\($0)?",
          tokens: [1, 2, Int32($0)], kind: AnswerKind(rawValue: "number:0.01") ?? .math, truth: $0 == 4 ? nil : "\($0)",
          truthKey: nil, row: $0 == 5 ? nil : ["id": "q", "prompt": [["role": "user", "content": "\u{0}"]]]))
    }
    + (0..<5).flatMap { step -> [ArchiveLine] in
      [
        .round(
          ArchivedRound(
            id: .train(step: step), policy: PolicyVersion(step), policySHA256: step == 0 ? nil : "cd",
            figures: ["loss": .double(0.1)])),
        .group(
          ArchivedGroup(
            round: .train(step: step), question: step, label: step == 2 ? nil : "q:7", labelVotes: 39,
            votes: [.init(key: "q:7", votes: 39), .init(key: "text:x", votes: 1)], samples: 40, unneeded: 24,
            abstention: step == 2 ? .tie : nil)),
      ] + (0..<40).map { .response(response($0, of: step)) }
    }

  @discardableResult
  private static func write(_ lines: [ArchiveLine] = lines, to path: String) throws -> String {
    let writer = try ArchiveWriter(path)
    for line in lines { try writer.write(line) }
    return try writer.finish()
  }

  /// The lines of a file as text, without their newlines.
  private static func text(of path: String) throws -> [String] {
    var bytes: [UInt8] = []
    #expect(ZstdDecompressor().decompress(try Files.read(path)[...]) { bytes += $0 } == nil)
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false).dropLast()
      .map(String.init)
  }

  private static func put(_ lines: [String], in path: String) throws {
    var packed: [UInt8] = []
    try ZstdCompressor().compress(Array(lines.map { $0 + "\n" }.joined().utf8), isLast: true) { packed += $0 }
    try Files.write(packed, to: path)
  }

  /// What a reader says of a file.
  private static func refusal(of path: String) -> ArchiveError? {
    do {
      try ArchiveReader(path).finish()
      return nil
    } catch {
      if error as? ArchiveError == nil { Issue.record("\(error)") }
      return error as? ArchiveError
    }
  }

  // MARK: Writing and reading

  @Test func `what is written is read again, bit for bit, and twice the same bytes are written`() throws {
    let place = try Place()
    let hash = try Self.write(to: place.archive)
    let bytes = try Files.read(place.archive)
    let reader = try ArchiveReader(place.archive)
    var read: [ArchiveLine] = [.header(reader.header)]
    while let line = try reader.next() { read.append(line) }
    #expect(read.count == Self.lines.count && read.dropFirst() == Self.lines.dropFirst())
    for (line, original) in zip(read, Self.lines) {
      guard case .response(let found) = line, case .response(let written) = original else { continue }
      // 0 equals −0, so bits are compared.
      #expect(found.trajectory.logprobs.map(\.bitPattern) == written.trajectory.logprobs.map(\.bitPattern))
      #expect(found.advantages.map(\.bitPattern) == written.advantages.map(\.bitPattern))
    }
    #expect(reader.header.run == "r" && reader.header.modelSHA256 == "ab" && reader.sha256 == hash)
    #expect(reader.counts.responses == 200 && reader.counts.tokens == 200 * Self.floats.count)
    try Self.write(to: place.archive)
    #expect(try Files.read(place.archive) == bytes)
  }

  @Test func `seals are what the page says, and every member is explained`() throws {
    let place = try Place()
    try Self.write(to: place.archive)
    var last = [UInt8](repeating: 0, count: 32)
    var block: [UInt8] = []
    var count = 0
    for line in try Self.text(of: place.archive) {
      let json = try JSON.parse(Array(line.utf8))
      let kind = try #require(json.members?.first?.value.string)
      for member in json.members ?? [] where kind != "header" {
        #expect(ArchiveColumns.explains(member.key, of: kind), "\(member.key) of \(kind)")
      }
      guard kind == "seal" || kind == "end" else {
        block += Array((line + "\n").utf8)
        count += 1
        continue
      }
      last = SHA256.digest(of: last + block)
      #expect(json["sha256"]?.string == Hexadecimal.text(last) && json["lines"]?.int == count && count <= 100)
      (block, count) = ([], 0)
    }
    #expect(block.isEmpty)
  }

  @Test func `a kind of line that is not known is left out`() throws {
    let place = try Place()
    try Self.write([Self.header], to: place.archive)
    // A later version's line, with right seals.
    let text = try Self.text(of: place.archive)
    let block = text[0] + "\n{\"kind\":\"later\",\"x\":1}\n"
    let hash = SHA256.hex(of: [UInt8](repeating: 0, count: 32) + Array(block.utf8))
    var end = text[1].replacing("\"lines\":1", with: "\"lines\":2").replacing(
      "\"all_lines\":2", with: "\"all_lines\":3")
    end = end.replacing(/"sha256":"[0-9a-f]+"/, with: "\"sha256\":\"\(hash)\"")
    try Self.put([text[0], "{\"kind\":\"later\",\"x\":1}", end], in: place.archive)
    #expect(try ArchiveReader(place.archive).next() == nil)
  }

  // MARK: What is refused

  @Test func `an archive that is cut short anywhere is refused`() throws {
    let place = try Place()
    try Self.write(to: place.archive)
    let bytes = try Files.read(place.archive)
    for count in Array(stride(from: 0, to: bytes.count - 9, by: 37)) + Array(bytes.count - 9..<bytes.count) {
      try Files.write(Array(bytes[..<count]), to: place.archive)
      guard case .cutShort(_, let lines) = Self.refusal(of: place.archive) else {
        Issue.record("\(count) of \(bytes.count) bytes: \(String(describing: Self.refusal(of: place.archive)))")
        continue
      }
      #expect(lines <= 245)
    }
  }

  @Test func `a changed byte anywhere is refused`() throws {
    let place = try Place()
    try Self.write(to: place.archive)
    let bytes = try Files.read(place.archive)
    for index in stride(from: 0, to: bytes.count, by: 23) {
      var changed = bytes
      changed[index] ^= 0x10
      try Files.write(changed, to: place.archive)
      #expect(Self.refusal(of: place.archive) != nil, "byte \(index) of \(bytes.count)")
    }
  }

  @Test func `forged lines and hashes are refused between their seals`() throws {
    let place = try Place()
    try Self.write(to: place.archive)
    let text = try Self.text(of: place.archive)
    let seals = text.indices.filter { text[$0].hasPrefix("{\"kind\":\"seal\"") }
    try #require(seals == [100, 201])
    // In the second block: a reward, a line left out, two lines exchanged, a line twice, another hash.
    let line = 150
    let forgeries: [(inout [String]) -> Void] = [
      { $0[line] = $0[line].replacing("\"reward\":0.1", with: "\"reward\":1.0") }, { $0.remove(at: line) },
      { $0.swapAt(line, line + 1) }, { $0[201] = $0[201].replacing(/"sha256":"[0-9a-f]/, with: "\"sha256\":\"g") },
      { $0[line].append(" ") },
    ]
    for (index, forge) in forgeries.enumerated() {
      var forged = text
      forge(&forged)
      #expect(forged != text)
      try Self.put(forged, in: place.archive)
      guard case .otherHash(_, let first, let last, _, _) = Self.refusal(of: place.archive) else {
        Issue.record("forgery \(index): \(String(describing: Self.refusal(of: place.archive)))")
        continue
      }
      #expect(first == 102 && last == (index == 1 ? 200 : 201))
    }
    // A line twice makes the block too long.
    try Self.put(Array(text[...line] + text[line...]), in: place.archive)
    #expect(Self.refusal(of: place.archive).map { "\($0)" }?.contains("line 202: expected a seal") == true)
    // A whole block with its seal.
    try Self.put(Array(text[...100] + text[202...]), in: place.archive)
    guard case .otherHash(_, 102, _, _, _) = Self.refusal(of: place.archive) else {
      Issue.record("a block was left out")
      return
    }
  }

  @Test func `another version, another file, wrong counts and what follows the end are refused by name`() throws {
    let place = try Place()
    try Self.write(to: place.archive)
    let text = try Self.text(of: place.archive)
    let last = text.count - 1
    let cases: [(String, [String])] = [
      ("has version 2 of the archive's format", [text[0].replacing("_version\":1", with: "_version\":2")] + text[1...]),
      ("is not an archive of ttrl: its first line is not a header", Array(text[1...])),
      (
        "the last line says \"responses\" is 201, and the archive has 200",
        text[..<last] + [text[last].replacing("\"responses\":200", with: "\"responses\":201")]
      ),
      (
        "the last line says \"all_lines\" is",
        text[..<last] + [text[last].replacing("all_lines\":2", with: "all_lines\":3")]
      ),
      ("goes on after its last line, \(text.count)", text + [text[1]]),
      ("is cut short: it ends after line 101", Array(text[...150])),
    ]
    for (words, lines) in cases {
      try Self.put(lines, in: place.archive)
      let refusal = Self.refusal(of: place.archive).map { "\($0)" } ?? "nothing"
      #expect(refusal.contains(words), "\(refusal)")
    }
    try Files.write("{\"kind\":\"header\"}\n", to: place.archive)
    #expect(Self.refusal(of: place.archive).map { "\($0)" }?.contains("it is not compressed with zstd") == true)
  }

  @Test func `sealed lines that do not belong together are refused with their number`() throws {
    let place = try Place()
    // Beginning: the header and two questions. Then a step with one group of two responses.
    let start = Array(Self.lines[..<3])
    let group = Self.group(samples: 2)
    let round = Self.lines[31]
    let (first, second) = (ArchiveLine.response(Self.response(0, of: 0)), ArchiveLine.response(Self.response(1, of: 0)))
    let other = ArchiveLine.response(Self.response(0, of: 1))
    try Self.write(start + [round, group, first, second], to: place.archive)
    #expect(Self.refusal(of: place.archive) == nil)
    let cases: [([ArchiveLine], Int, String)] = [
      (start + [start[2]], 4, "it is question 1 of the set training, expected 2"),
      (start + [round, start[1]], 5, "it is a question, and the first round has begun"),
      (start + [group], 4, "it is a group of"), (start + [round, first], 5, "does not follow its group"),
      (start + [round, group, other], 6, "it is a response to question 1"),
      (start + [round, group, second, first], 7, "it is sample 0, and sample 1 came before it"),
      (start + [round, group, first], 7, "the group before it has 1 of its 2 responses"),
      (start + [round, group, first, Self.lines[73]], 7, "the group before it has 1 of its 2 responses"),
      (start + [round, Self.group(samples: 1), first, second], 7, "the group has 1 responses, and this is one more"),
      (start + [round, group, first, second, group], 8, "question 0 has a group already"),
      (start + [round, round], 5, "it is step 0, and step 0 came before it"),
      (start[..<1] + [round, group], 3, "it is a group of question 0, and the set training has 0"),
    ]
    for (lines, number, words) in cases {
      try Self.write(lines, to: place.archive)
      guard case .badLine(_, number, let problem) = Self.refusal(of: place.archive), problem.contains(words) else {
        Issue.record("\(words): \(String(describing: Self.refusal(of: place.archive)))")
        continue
      }
    }
  }

  private static func group(samples: Int) -> ArchiveLine {
    .group(
      ArchivedGroup(
        round: .train(step: 0), question: 0, label: nil, labelVotes: 0, votes: [], samples: samples, unneeded: 0,
        abstention: nil))
  }

  @Test func `a sealed line of another form is refused with its number`() throws {
    let place = try Place()
    for (member, value) in [("tokens", "[1,\"x\"]"), ("logprobs", "[1e99]"), ("sample", "-1"), ("finish", "\"gone\"")] {
      try Self.write([Self.header, .response(Self.response(0, of: 0))], to: place.archive)
      var text = try Self.text(of: place.archive)
      let pattern = try Regex("\"\(member)\":(\\[[^\\]]*\\]|[^,]*)")
      text[1] = text[1].replacing(pattern, with: "\"\(member)\":\(value)")
      let hash = SHA256.hex(of: [UInt8](repeating: 0, count: 32) + Array((text[0] + "\n" + text[1] + "\n").utf8))
      text[2] = text[2].replacing(/"sha256":"[0-9a-f]+"/, with: "\"sha256\":\"\(hash)\"")
      try Self.put(text, in: place.archive)
      guard case .badLine(_, 2, let problem) = Self.refusal(of: place.archive) else {
        Issue.record("\(member): \(String(describing: Self.refusal(of: place.archive)))")
        continue
      }
      #expect(problem.contains("\"\(member)\""), "\(problem)")
    }
  }
}
