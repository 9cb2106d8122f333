// docs/protocol.md agrees with the code: every kind is on the page with its number and name, and every limit with its
// value.

import Base
import Fleet
import Foundation
import Records
import Testing
import Wire

@Suite struct DocumentationTests {
  private let page: String

  init() throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    page = try String(contentsOf: root.appending(path: "docs/protocol.md"), encoding: .utf8)
  }

  /// The name of a message's case. A new case does not compile until it is named here. Then the test fails until the
  /// case is among the samples and on the page.
  private func name(of message: Message) -> String {
    switch message {
    case .hello: "hello"
    case .welcome: "welcome"
    case .goodbye: "goodbye"
    case .finished: "finished"
    case .want: "want"
    case .lease: "lease"
    case .trajectories: "trajectories"
    case .settled: "settled"
    case .revoke: "revoke"
    case .heartbeat: "heartbeat"
    case .offer: "offer"
    case .requestBytes: "requestBytes"
    case .policyBytes: "policyBytes"
    case .requestBundle: "requestBundle"
    case .bundle: "bundle"
    case .requestChunk: "requestChunk"
    case .chunk: "chunk"
    case .missing: "missing"
    case .fault: "fault"
    case .installed: "installed"
    case .ready: "ready"
    case .batch: "batch"
    case .publish: "publish"
    case .published: "published"
    case .standbys: "standbys"
    case .follow: "follow"
    case .snapshot: "snapshot"
    case .requestFile: "requestFile"
    case .fileBytes: "fileBytes"
    case .commit: "commit"
    case .committed: "committed"
    }
  }

  @Test func `every kind of message is on the page with its number, and no other kind`() {
    let spoken = Samples.messages.map { message -> String in
      let frame = Frame.encode(message)
      return "| \(UInt16(frame[6]) | UInt16(frame[7]) << 8) | `\(name(of: message))` |"
    }
    let written = page.split(separator: "\n").compactMap { line -> String? in
      let cells = line.split(separator: "|", omittingEmptySubsequences: true)
      guard cells.count == 4, Int(cells[0].trimmingCharacters(in: .whitespaces)) != nil else { return nil }
      return "|\(cells[0])|\(cells[1])|"
    }
    #expect(spoken == written.filter { $0.contains("`") })
  }

  @Test func `every figure of a report is on the page, in the order of the bits, and counts are bold`() throws {
    let lines = page.split(separator: "\n").drop { !$0.hasPrefix("| bits |") }.dropFirst(2).prefix { $0.hasPrefix("|") }
    let rows = lines.map { $0.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) } }
    let figures = FigureName.allCases.map { $0.isCount ? "**`\($0.rawValue)`**" : "`\($0.rawValue)`" }
    #expect(rows.map(\.first) == stride(from: 0, to: figures.count, by: 4).map { "\($0)–\($0 + 3)" })
    #expect(rows.flatMap { $0.dropFirst() }.filter { !$0.isEmpty } == figures)
  }

  @Test func `every limit on the page is the limit in the code`() {
    for (text, value) in [
      ("| trajectories or slots in a message | 4,096 |", Limits.trajectoriesPerMessage == 4096),
      ("| payload of a frame | 16 MiB |", Limits.frameBytes == 16 << 20),
      ("| payload of a connection's first frame | 4,096 |", Limits.helloBytes == 4096),
      ("| bytes of a relay's address | 256 |", Limits.addressBytes == 256),
      (
        "| weight bytes in one `policyBytes`; how many are requested ahead | 1 MiB; 4 |",
        Limits.chunkBytes == 1 << 20 && Limits.piecesAhead == 4
      ),
      (
        "| unpacked bytes of a chunk; packed | 256 KiB; 260 KiB |",
        Limits.blockBytes == 256 << 10 && Limits.packedChunkBytes == 260 << 10
      ),
      ("| chunks of a bundle | 262,144 |", Limits.chunksPerBundle == 262_144),
      (
        "| chunks asked for ahead, and their bytes | 64, 4 MiB |",
        Limits.chunksInFlight == 64 && Limits.chunkBytesInFlight == 4 << 20
      ),
      (
        "| 5 s and 0.5 s; 30 s |",
        Limits.relaySilence == .seconds(5) && Limits.relaySilencePerHop == .milliseconds(500)
          && Limits.relayAge == .seconds(30)
      ),
      ("| workers in a chain; that one relay serves | 64; 16 |", Limits.relayDepth == 64 && Limits.relayChildren == 16),
      ("| bytes of any text | 4 MiB |", Limits.textBytes == 4 << 20),
      ("| stop tokens | 64 |", Limits.stopTokens == 64),
      ("| stop strings; bytes of one | 16; 256 |", Limits.stopStrings == 16 && Limits.stopStringBytes == 256),
      (
        "| tokens whose texts a welcome has; bytes of all | 1,048,576; 8 MiB |",
        Limits.tokenTexts == 1_048_576 && Limits.tokenTextBytes == 8 << 20
      ),
      (
        "| standbys; files and versions of a snapshot | 16; 4,096; 1,024 |",
        Limits.standbys == 16 && Limits.replicaFiles == 4096 && Limits.versionsPerCommit == 1024
      ),
      (
        "| bytes of commits on their way to a standby; that the coordinator keeps | 8 MiB; 64 MiB |",
        Limits.commitBytesInFlight == 8 << 20 && Limits.commitBytesKept == 64 << 20
      ),
      ("| prompts in a lease | 1,024 |", Limits.promptsPerLease == 1024),
      ("| tokens of a prompt or response | 1,048,576 |", Limits.tokensPerSequence == 1_048_576),
      ("| 65,536; 64 |", Limits.samplesPerPrompt == 65536 && Limits.slotsPerLease == 64),
      ("| 4 MiB |", Limits.batchPartBytes == 4 << 20),
      (
        "| 10 s; 15 s; 120 s |",
        Limits.helloDeadline == .seconds(10) && Limits.silence == .seconds(15)
          && Limits.leaseWithoutProgress == .seconds(120)
      ),
    ] {
      #expect(page.contains(text) && value, "\(text)")
    }
  }
}
