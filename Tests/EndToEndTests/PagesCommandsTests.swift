// The commands in README.md and docs/: each exists and takes its settings, and every script exists. PagesExamplesTests
// runs some of them, `scripts/walk` those of docs/start.md.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct PagesCommandsTests {
    /// A command of a page: its place, such as "README.md:131", and its words.
    private struct Typed {
      var place: String
      var words: [String]
    }

    /// Every use of `program` in the pages that has words after it.
    private static func uses(of program: String) -> [Typed] {
      Pages.all.flatMap { page in
        Pages.shell(of: page).flatMap { line, text in
          text.split(whereSeparator: { "|;&()".contains($0) }).compactMap { part -> Typed? in
            let words = part.split(separator: " ").map(String.init)
            guard let own = words.firstIndex(where: { $0 == program || $0.hasSuffix("/" + program) }),
              own == 0 || words[0] == "mpirun", own + 1 < words.count
            else { return nil }
            return Typed(place: "\(page):\(line)", words: Array(words[(own + 1)...]))
          }
        }
      }
    }

    /// The tools of ttrl-dev print a line of usage instead of help.
    private static let tools: [String: Substring] = {
      let overview = (try? Program.run([], program: Program.dev).errors) ?? ""
      let lines = overview.split(separator: "\n").drop { $0 != "Tools:" }.dropFirst().filter { $0.hasPrefix("  ") }
      return Dictionary(lines.map { (String($0.split(separator: " ")[0]), $0) }) { $0 + $1 }
    }()

    @Test(arguments: [("ttrl", 50), ("ttrl-dev", 20)])
    func `every command on a page exists and takes its settings`(_ program: String, _ least: Int) throws {
      // Commands that only processes start have no help.
      let uses = Self.uses(of: program).filter {
        !["reach", "attend", "two-ranks", "confine", "help", "--version"].contains($0.words[0])
      }
      .filter { $0.words[0].wholeMatch(of: /[a-z-]+/) != nil }
      #expect(uses.count > least, "\(uses.count) commands were found in the pages")
      var help: [[String]: String] = [:]
      for typed in uses {
        if program == "ttrl-dev", let usage = Self.tools[typed.words[0]] {
          for word in typed.words where word.hasPrefix("--") {
            #expect(usage.contains(word), "\(typed.place): \(word)")
          }
          continue
        }
        let name = Array(typed.words.prefix(typed.words.first == "bench" ? 2 : 1))
        if help[name] == nil { help[name] = try Program.run(name + ["--help"], program: Program.path(program)).output }
        let text = try #require(help[name])
        #expect(text.hasPrefix("\(program) \(name.joined(separator: " ")): "), "\(typed)")
        for word in typed.words where word.hasPrefix("--") && word != "--help" {
          let flag = word.prefix { $0 != "=" }
          #expect(text.contains("\n  \(flag) ") || text.contains("\n  \(flag)\n"), "\(typed.place): \(flag) of \(name)")
        }
      }
    }

    @Test func `every script that a page names exists and is executable`() throws {
      for page in Pages.all {
        let text = Pages.text(of: page)
        for match in text.matches(of: /[`\n(](?:\.\.\/)?((?:scripts|cluster)\/[a-z][a-z\/.@-]*)/) {
          let path = Program.packageRoot.appendingPathComponent(String(match.1)).path
          #expect(FileManager.default.fileExists(atPath: path), "\(page) names \(match.1)")
        }
      }
    }
  }
}
