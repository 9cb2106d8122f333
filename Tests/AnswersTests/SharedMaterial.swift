// SharedMaterial: the project's shared test data, if this checkout has it.
//
// It is in the directory that TTRL_SHARED names, or in `shared`, in the package or next to it. Without it, the tests
// that need it are disabled. The tables in EquivalenceTests are part of the source, so their tests always run.

import Base
import Foundation

/// One pair of `answers/pairs.jsonl`.
struct AnswerPair: Decodable {
  let category: String
  let answer: String
  let reference: String
  let equivalent: Bool
}

/// One question of `data/*.jsonl`.
struct SharedQuestion: Decodable {
  let answer: String
}

enum SharedMaterial {
  static let directory: URL? = {
    let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let named = ProcessInfo.processInfo.environment["TTRL_SHARED"].map { URL(fileURLWithPath: $0) }
    let candidates = [named, package.appending(path: "shared"), package.appending(path: "../shared")]
    return candidates.compactMap { $0 }.first { FileManager.default.fileExists(atPath: $0.path + "/answers") }
  }()

  static var isPresent: Bool { directory != nil }

  /// The objects of a JSON Lines file in the shared directory; none if there is no such directory.
  static func lines<Line: Decodable>(of path: String, as type: Line.Type) throws -> [Line] {
    guard let directory else { return [] }
    let data = try Data(contentsOf: directory.appending(path: path))
    let decoder = JSONDecoder()
    return try data.split(separator: UInt8(ascii: "\n")).map { try decoder.decode(type, from: Data($0)) }
  }
}
