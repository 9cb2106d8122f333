// ArchiveFormat: what an archive of a run consists of. docs/archives.md explains it to its readers.
//
// JSON lines, compressed with zstd: a header; the questions; round by round the round, its groups and their responses.
// After at most `linesPerSeal` lines comes a seal: a hash of these lines and of the seal before. The last line is the
// end: the last seal, with counts. So a reader knows of every line whether it is the one that was written, and that
// none is missing.

import Base
import Platform

package enum ArchiveFormat {
  package static let name = "ttrl-archive"
  /// A reader refuses another version. Members can be added without a new version.
  package static let version = 1

  /// The first member of every line says what the line is.
  package enum Kind: String, Sendable, CaseIterable {
    case header, question, round, group, response, seal, end
  }

  /// A block of lines ends at this many lines or bytes, whichever comes first. A reader holds one block, because it
  /// returns no line before it has checked the block's seal.
  package static let linesPerSeal = 100
  static let bytesPerSeal = 1 << 20
  /// One line: the figures of a step of 65,536 prompts have 20 MB, a response of a million tokens has 30 MB.
  static let lineBytes = 128 << 20
}

/// The hash over all blocks so far.
package struct ArchiveChain {
  private var last = [UInt8](repeating: 0, count: 32)

  package init() {}

  /// SHA-256 of the hash before, at first 32 zero bytes, and then the block's lines with their newlines.
  ///
  /// - Returns: the new hash, in hexadecimal.
  package mutating func add(_ block: some Sequence<UInt8>) -> String {
    last = SHA256.digest(of: last + block)
    return Hexadecimal.text(last)
  }
}

/// How much an archive has.
package struct ArchiveCounts: Sendable, Equatable {
  package var questions = 0
  package var rounds = 0
  package var groups = 0
  package var responses = 0
  /// Tokens of the responses.
  package var tokens = 0

  package init() {}

  mutating func count(_ line: ArchiveLine) {
    switch line {
    case .header: break
    case .question: questions += 1
    case .round: rounds += 1
    case .group: groups += 1
    case .response(let response):
      responses += 1
      tokens += response.tokens.count
    }
  }

  /// Their names in the last line, with their values.
  package var members: [(name: String, value: Int)] {
    [
      ("questions", questions), ("rounds", rounds), ("groups", groups), ("responses", responses), ("tokens", tokens),
    ]
  }
}
