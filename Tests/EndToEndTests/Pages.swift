// Pages: the commands in README.md and docs/.

import Foundation

enum Pages {
  /// "README.md", "docs/start.md", …
  static let all: [String] =
    ["README.md"]
    + ((try? FileManager.default.contentsOfDirectory(atPath: Program.packageRoot.appendingPathComponent("docs").path))
    ?? []).filter { $0.hasSuffix(".md") }.sorted().map { "docs/" + $0 }

  static func text(of page: String) -> String {
    textOfFile(Program.packageRoot.appendingPathComponent(page).path)
  }

  /// A page's shell blocks, unchanged.
  static func blocks(of page: String) -> [String] {
    text(of: page).matches(of: /(?s)\n```sh\n(.*?\n)```\n/).map { String($0.1) }
  }

  /// The lines of a page's shell blocks, and the code in its sentences. A line that ends in a backslash is joined with
  /// the next. Comments and the input of commands are left out.
  static func shell(of page: String) -> [(line: Int, text: String)] {
    var found: [(Int, String)] = []
    var inside = false, other = false, joined = "", fed: Substring?
    for (index, line) in text(of: page).split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      if let end = fed {
        if line == end { fed = nil }
      } else if line.hasPrefix("```") {
        other = !inside && !other && line != "```sh"
        inside = line == "```sh"
      } else if inside, line.hasSuffix("\\") {
        joined += line.dropLast()
      } else if inside {
        found.append((index + 1, (joined + line).split(separator: " #", maxSplits: 1).first.map(String.init) ?? ""))
        joined = ""
        fed = line.firstMatch(of: /<<'?([A-Z]+)/)?.1
      } else if !other {
        found += line.matches(of: /`([^`]+)`/).map { (index + 1, String($0.1)) }
      }
    }
    return found
  }
}
