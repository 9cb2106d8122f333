// Transcripts: what the machines say and do in a handful of scenarios, as text that a reviewer reads in a diff.
//
// A file of Tests/Fixtures/transcripts opens with what it shows. A line that begins with ">" is a command; the lines
// after it are what the machines made of it. The test performs the commands and compares the rest. When a change of
// behaviour is intended, write the files anew and review what changed in them:
//
//     TTRL_WRITE_TRANSCRIPTS=1 swift test --filter TranscriptTests && git diff Tests/Fixtures/transcripts
//
// After etcd/raft's testdata. Steps and samples are counted from 0, as in the machines.

import Foundation
import Testing

@Suite struct TranscriptTests {
  private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures/transcripts")

  static let names = [
    "worker-dies", "coordinator-restarts", "learner-comes-back", "early-stop", "staleness",
  ]

  @Test(arguments: names)
  func `the machines say and do what the transcript says`(_ name: String) throws {
    let file = Self.folder.appending(path: "\(name).txt")
    let written = try String(contentsOf: file, encoding: .utf8)
    let played = try Self.play(written)
    if ProcessInfo.processInfo.environment["TTRL_WRITE_TRANSCRIPTS"] != nil {
      try played.write(to: file, atomically: true, encoding: .utf8)
    } else {
      #expect(played == written, "\(name).txt: see TranscriptTests.swift for how to write it anew")
    }
  }

  @Test func `every transcript is played, is short, and opens with what it shows`() throws {
    let files = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path)
    #expect(files.sorted() == Self.names.map { "\($0).txt" }.sorted())
    for name in files {
      let lines = try String(contentsOf: Self.folder.appending(path: name), encoding: .utf8).split(separator: "\n")
      #expect(lines.first?.hasPrefix("# ") == true && (30...120).contains(lines.count), "\(name): \(lines.count) lines")
    }
  }

  /// Comments and commands stay; what follows a command is made anew.
  private static func play(_ text: String) throws -> String {
    var stage = Stage()
    for line in text.split(separator: "\n").map(String.init) {
      if line.hasPrefix("#") {
        let continues = stage.lines.last.map { $0.contains("#") } ?? true
        stage.say(continues ? line : "\n\(line)")
      } else if line.hasPrefix("> ") {
        stage.say("\n\(line)")
        try stage.perform(String(line.dropFirst(2)))
      }
    }
    return stage.lines.joined(separator: "\n") + "\n"
  }
}
