// SourceTree: the project's files as lines, found from the path of this file.

import Foundation

/// One line of one file.
struct SourceLine {
  var path: String
  var number: Int
  var text: Substring

  /// The text without a comment at its end. A string that contains two slashes is cut there too.
  var code: Substring {
    guard let comment = text.range(of: "//") else { return text }
    return text[..<comment.lowerBound]
  }

  /// "Sources/Fleet/Fleet/Worker.swift:12".
  var place: String { "\(path):\(number)" }
}

struct SourceFile {
  /// Relative to the repository's root.
  var path: String
  var text: String

  /// "Wire" of "Sources/Fleet/Wire/Frame.swift", "ttrl" of "Sources/ttrl/main.swift".
  var target: String {
    let parts = path.split(separator: "/").map(String.init)
    guard parts.count > 2 else { return "" }
    return Layers.module(parts[1])?.folder == "" ? parts[1] : parts[2]
  }

  var lines: [SourceLine] {
    text.split(separator: "\n", omittingEmptySubsequences: false).enumerated().map {
      SourceLine(path: path, number: $0 + 1, text: $1)
    }
  }
}

enum SourceTree {
  static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  /// All files below a folder whose names have one of these endings, in the order of their paths. Fixtures and this
  /// target's own rules are left out.
  static func files(in folder: String, endingIn suffixes: [String]) -> [SourceFile] {
    let base = root.appending(path: folder)
    guard let walk = FileManager.default.enumerator(atPath: base.path) else { return [] }
    return walk.compactMap { $0 as? String }.sorted().compactMap { name -> SourceFile? in
      let path = "\(folder)/\(name)"
      guard suffixes.contains(where: name.hasSuffix), !path.contains("/Fixtures/"), path != Rules.ownPath else {
        return nil
      }
      return read(path)
    }
  }

  /// One file, or nil if it does not exist or is not text.
  static func read(_ path: String) -> SourceFile? {
    (try? String(contentsOf: root.appending(path: path), encoding: .utf8)).map { SourceFile(path: path, text: $0) }
  }

  static func exists(_ path: String) -> Bool {
    FileManager.default.fileExists(atPath: root.appending(path: path).path)
  }
}
