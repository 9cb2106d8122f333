// ArchiveError: why a file is not a whole archive, and where.

import Base

package enum ArchiveError: LastingError, Equatable, Sendable {
  /// The first line is not a header of an archive, or the file is not compressed with zstd.
  case notAnArchive(path: String, found: String)
  case otherVersion(path: String, found: String)
  /// zstd cannot unpack the bytes after this line.
  case damaged(path: String, line: Int, reason: String)
  /// The file ends before its last line; this many lines are sealed.
  case cutShort(path: String, lines: Int)
  /// The lines' hash is not the one in their seal.
  case otherHash(path: String, first: Int, last: Int, said: String, found: String)
  /// A line that is sealed, or is a seal, and does not have the form that it should have.
  case badLine(path: String, line: Int, problem: String)
  /// The last line says another number of something than there is.
  case otherCount(path: String, name: String, said: String, found: Int)
  /// There is something after the last line.
  case trailing(path: String, line: Int)
}

extension ArchiveError: CustomStringConvertible {
  package var description: String { text.visible }

  private var text: String {
    switch self {
    case .notAnArchive(let path, let found):
      "\(path) is not an archive of ttrl: \(found). Expected a file that ttrl export has written"
    case .otherVersion(let path, let found):
      "\(path) has version \(found) of the archive's format, and this program reads version \(ArchiveFormat.version). "
        + "Read it with the version of ttrl that wrote it (the header's \"versions\")"
    case .damaged(let path, let line, let reason):
      "\(path) is damaged after line \(line): zstd cannot unpack it (\(reason)). \(Self.remedy)"
    case .cutShort(let path, let lines):
      "\(path) is cut short: it ends after line \(lines), and the last line, the \"end\", is missing. \(Self.remedy)"
    case .otherHash(let path, let first, let last, let said, let found):
      "\(path): lines \(first) to \(last) are not those that were written, or their hash was changed: their seal, line "
        + "\(last + 1), says \(said), and their hash is \(found). \(Self.remedy)"
    case .badLine(let path, let line, let problem):
      "\(path): line \(line): \(problem). \(Self.remedy)"
    case .otherCount(let path, let name, let said, let found):
      "\(path): the last line says \"\(name)\" is \(said), and the archive has \(found). \(Self.remedy)"
    case .trailing(let path, let line):
      "\(path) goes on after its last line, \(line): expected nothing more. \(Self.remedy)"
    }
  }

  private static let remedy = "Get it again from where it came from, or export the run again"
}
