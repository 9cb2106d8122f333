// The commands that README.md and docs/ tell people to type: each is one, takes the settings it is given, and every
// script is there. PagesExamplesTests runs some of them, `scripts/walk` those of docs/start.md.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct PagesCommandsTests {
    /// A command of a page: "README.md:131", and its words.
    private struct Typed {
      var place: String
      var words: [String]
    }

    /// Every use of `program` in the pages, with words after it.
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

    @Test func `every command of a page is one, and takes its settings`() throws {
      // Those that processes start, or that are no more than a way to speak of a command, have no help.
      let uses = Self.uses(of: "ttrl").filter { !["reach", "attend", "help", "--version"].contains($0.words[0]) }
        .filter { $0.words[0].wholeMatch(of: /[a-z]+/) != nil }
      #expect(uses.count > 60, "\(uses.count) commands were found in the pages")
      var help: [[String]: String] = [:]
      for typed in uses {
        let name = Array(typed.words.prefix(typed.words.first == "bench" ? 2 : 1))
        if help[name] == nil { help[name] = try Program.run(name + ["--help"]).output }
        let text = try #require(help[name])
        #expect(text.hasPrefix("ttrl \(name.joined(separator: " ")): "), "\(typed)")
        for word in typed.words where word.hasPrefix("--") && word != "--help" {
          let flag = word.prefix { $0 != "=" }
          #expect(text.contains("\n  \(flag) ") || text.contains("\n  \(flag)\n"), "\(typed.place): \(flag) of \(name)")
        }
      }
    }

    @Test func `every command of ttrl-dev in a page is one, and takes its settings`() throws {
      let usage = try Program.run([], program: Program.path("ttrl-dev")).errors
      let uses = Self.uses(of: "ttrl-dev")
      #expect(uses.count > 10, "\(uses.count) commands were found in the pages")
      for typed in uses {
        let command = try #require(typed.words.first, "\(typed)")
        let lines = usage.split(separator: "\n").filter { $0.contains(" \(command) ") }
        #expect(!lines.isEmpty, "\(typed.place): there is no ttrl-dev \(command)")
        for word in typed.words where word.hasPrefix("--") {
          #expect(lines.contains { $0.contains(word) }, "\(typed.place): \(word) of ttrl-dev \(command)")
        }
      }
    }

    @Test func `every script that a page names is there and can be run`() throws {
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
