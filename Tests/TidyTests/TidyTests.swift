// Tidy: rules that a reviewer would otherwise check line by line. Each failure says what to do instead.
//
// After TigerBeetle's tidy.zig. The rules are in Rules.swift, the layers in Package.swift.

import Foundation
import Testing

@Suite struct TidyTests {
  private let swift = SourceTree.files(in: "Sources", endingIn: [".swift"])
  private let tests = SourceTree.files(in: "Tests", endingIn: [".swift"])
  private let c = SourceTree.files(in: "Sources", endingIn: [".c", ".h"])
  /// Styles and scripts of the page and the report.
  private let web = SourceTree.files(in: "Sources", endingIn: [".css", ".js"])

  @Test func `the source files are found`() {
    #expect(swift.count > 20 && !tests.isEmpty && !c.isEmpty && !web.isEmpty)
  }

  @Test func `every folder of Sources is a module of a layer, or C`() {
    #expect(Layers.modules.count > 25, "Package.swift could not be read")
    for target in Set((swift + c).map(\.target)).sorted() {
      #expect(Layers.module(target) != nil || Layers.isShim(target), "\(target) is in no layer of Package.swift")
    }
    for file in swift {
      guard let module = Layers.module(file.target), !module.folder.isEmpty else { continue }
      #expect(
        file.path.hasPrefix("Sources/\(module.folder)/\(module.name)/"),
        "\(file.path) is not in the folder of its module")
    }
  }

  @Test func `a module imports modules of lower layers only`() {
    for module in Layers.modules {
      for name in module.imports {
        guard let other = Layers.module(name) else {
          #expect(Layers.isShim(name), "\(module.name) imports \(name), which is not in Package.swift")
          continue
        }
        #expect(other.layer < module.layer, "\(module.name) imports \(name), which is not below it")
      }
    }
  }

  @Test func `a module imports exactly what Package.swift lists`() {
    for module in Layers.modules {
      let files = swift.filter { $0.target == module.name }
      let imported = Set(files.flatMap(\.lines).compactMap { self.imported(by: $0.text) })
      for name in module.imports where !imported.contains(name) {
        Issue.record("no file of \(module.name) imports \(name); take it out of Package.swift")
      }
      // Foundation has its own rule.
      for name in imported.subtracting(module.imports + Rules.system + ["Foundation"]).sorted() {
        Issue.record("\(module.name) imports \(name), which Package.swift does not list; \(module.imports)")
      }
    }
  }

  @Test func `ttrl does not contain the workshop, and watching depends on no role`() {
    let workshop = Layers.modules.filter { $0.folder == "Workshop" }.map(\.name)
    let roles = ["CoordinatorRole", "WorkerRole", "LearnerRole"]
    #expect(workshop.count == 6)
    #expect(reachable(from: "ttrl").isDisjoint(with: workshop))
    for module in Layers.modules where module.folder == "Watching" {
      #expect(reachable(from: module.name).isDisjoint(with: roles), "\(module.name)")
    }
  }

  private func reachable(from name: String) -> Set<String> {
    var found: Set<String> = []
    var waiting = [name]
    while let next = waiting.popLast() {
      guard found.insert(next).inserted else { continue }
      waiting += Layers.module(next)?.imports ?? []
    }
    return found
  }

  /// The module that a line imports: "Base" of "package import struct Base.Philox".
  private func imported(by line: Substring) -> String? {
    var words = line.split(separator: " ")
    let modifiers = ["public", "package", "internal", "private", "fileprivate", "@testable", "@preconcurrency"]
    words.removeFirst(words.prefix { modifiers.contains(String($0)) }.count)
    guard words.first == "import" else { return nil }
    let kinds = ["struct", "enum", "class", "func", "protocol", "typealias", "var", "let"]
    return words.dropFirst().first { !kinds.contains(String($0)) }.map { String($0.prefix { $0 != "." }) }
  }

  @Test func `pure code uses no clock, files, threads or Foundation`() {
    for line in swift.filter({ Layers.module($0.target)?.isPure == true }).flatMap(\.lines) {
      report(Rules.impure, in: line.code, at: line)
    }
  }

  @Test func `no Swift code forces a try or a cast`() {
    for line in (swift + tests).flatMap(\.lines) { report(Rules.unsafe, in: line.code, at: line) }
  }

  @Test func `files are opened for writing in one place, which follows no links`() {
    for line in swift.flatMap(\.lines) {
      guard line.path.hasPrefix("Sources/System/Platform/") else {
        report(Rules.files, in: line.code, at: line)
        continue
      }
      let opens = ["O_CREAT", "O_WRONLY", "O_RDWR"].contains { line.code.contains($0) }
      #expect(!opens || line.code.contains("writing") || line.code.contains("/dev/null"), "\(line.place)")
    }
  }

  @Test func `commands print through the function that makes text visible`() {
    let commands = swift.filter { ["ttrl", "Commands"].contains($0.target) }
    for line in commands.flatMap(\.lines) where line.path != "Sources/Run/Commands/Command.swift" {
      report(Rules.printing, in: line.code, at: line)
    }
  }

  @Test func `no file has a note for later or a path of one machine`() {
    let prose = SourceTree.files(in: "docs", endingIn: [".md"]) + [SourceTree.read("README.md")].compactMap { $0 }
    for line in (swift + tests + c + web + prose).flatMap(\.lines) { report(Rules.everywhere, in: line.text, at: line) }
  }

  private func report(_ bans: [Ban], in text: Substring, at line: SourceLine) {
    for ban in bans where ban.isIn(text) {
      Issue.record("\(line.place) has `\(ban.word)`; \(ban.advice)")
    }
  }

  @Test func `no file has more than 500 lines`() {
    for file in swift + tests + web where file.lines.count > Rules.linesMax {
      Issue.record("\(file.path) has \(file.lines.count) lines of \(Rules.linesMax); split it by topic")
    }
  }

  @Test func `Sources has at most ten entries`() {
    let names =
      (try? FileManager.default.contentsOfDirectory(atPath: SourceTree.root.appending(path: "Sources").path)) ?? []
    #expect(!names.isEmpty && names.count <= 10, "\(names.sorted())")
  }

  @Test func `no line is longer than 120 columns`() {
    for line in (swift + tests + c + web).flatMap(\.lines) where line.text.count > Rules.columns {
      Issue.record("\(line.place) has \(line.text.count) columns of \(Rules.columns); wrap it")
    }
  }

  @Test func `every file begins with a comment`() {
    for file in swift + tests + web where !file.text.hasPrefix("// ") && !file.text.hasPrefix("/* ") {
      Issue.record("\(file.path) does not begin with a comment; say its purpose, its idea, and what it leaves out")
    }
  }

  @Test func `the rules find the words that they ban`() {
    #expect(Ban("Date(", "").isIn("let now = Date()") && !Ban("Date(", "").isIn("mutating func upDate(x)"))
    #expect(Rules.unsafe.allSatisfy { $0.isIn("let x = \($0.word) f()") })
    #expect(imported(by: "package import struct Base.Philox") == "Base")
    #expect(imported(by: "import Records") == "Records" && imported(by: "// import Records") == nil)
    #expect(SourceLine(path: "a", number: 1, text: "code // comment").code == "code ")
  }
}

@Suite struct LinkTests {
  private let pages =
    [SourceTree.read("README.md")].compactMap { $0 } + SourceTree.files(in: "docs", endingIn: [".md"])

  @Test func `every relative link has a target`() {
    for page in pages {
      for line in page.lines {
        for target in links(in: line.text) { check(target, on: page, at: line.place) }
      }
    }
  }

  private func check(_ target: String, on page: SourceFile, at place: String) {
    let parts = target.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    let folder = page.path.split(separator: "/").dropLast().joined(separator: "/")
    let path = parts[0].isEmpty ? page.path : normalized(folder.isEmpty ? parts[0] : folder + "/" + parts[0])
    guard SourceTree.exists(path) else {
      Issue.record("\(place) links to \(path), which does not exist; correct the path or write the page")
      return
    }
    guard parts.count == 2, path.hasSuffix(".md"), let other = SourceTree.read(path) else { return }
    if !anchors(of: other).contains(parts[1]) {
      Issue.record("\(place) links to #\(parts[1]) of \(path), which has no such heading")
    }
  }

  /// The targets of all links in a line, except web addresses.
  private func links(in line: Substring) -> [String] {
    line.split(separator: "](").dropFirst().compactMap { rest in
      let target = rest.prefix { $0 != ")" }
      return target.contains("://") || target.hasPrefix("mailto:") ? nil : String(target)
    }
  }

  private func normalized(_ path: String) -> String {
    var parts: [Substring] = []
    for part in path.split(separator: "/") where part != "." {
      if part == "..", !parts.isEmpty { parts.removeLast() } else { parts.append(part) }
    }
    return parts.joined(separator: "/")
  }

  /// The anchors of a page's headings: lower case, hyphens for spaces, without punctuation.
  private func anchors(of page: SourceFile) -> [String] {
    page.lines.filter { $0.text.hasPrefix("#") }.map { line in
      let title = line.text.drop { $0 == "#" }.drop { $0 == " " }.lowercased()
      return String(title.filter { $0.isLetter || $0.isNumber || " -_".contains($0) }.map { $0 == " " ? "-" : $0 })
    }
  }

  @Test func `links are found, and paths are normalized`() {
    #expect(links(in: "see [a](b.md#c) and [d](https://e) or [f](../g.md)") == ["b.md#c", "../g.md"])
    #expect(normalized("docs/../README.md") == "README.md")
    #expect(anchors(of: SourceFile(path: "x.md", text: "# One, two!\n## A `b` c")) == ["one-two", "a-b-c"])
  }
}
