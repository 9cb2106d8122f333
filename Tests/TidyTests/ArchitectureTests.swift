// docs/architecture.md against the tree: its layers are those of Package.swift, and its walk leads along files and
// functions that exist.

import Testing

@Suite struct ArchitectureTests {
  private let page = SourceTree.read("docs/architecture.md")?.lines ?? []

  @Test func `the page shows the layers of the manifest`() {
    var shown: [[String]] = []
    for line in page.drop(while: { $0.text != "## Layers" }).drop(while: { $0.text != "```" }).dropFirst() {
      let words = line.text.split(separator: " ").map(String.init)
      guard let first = words.first, first != "```", first != "C" else { break }
      if Int(first) != nil { shown.append(Array(words.dropFirst())) } else { shown[shown.count - 1] += words }
    }
    let layers = Dictionary(grouping: Layers.modules, by: \.layer).sorted { $0.key > $1.key }
    #expect(shown == layers.map { $0.value.map(\.name) })
  }

  /// Rows of the walk: a file and functions in it.
  private var steps: [(path: String, functions: [String], place: String)] {
    page.compactMap { line in
      guard let path = line.text.firstMatch(of: /\| \[[^\]]+\]\(\.\.\/(Sources\/[^)]+)\) \| (.*) \|$/) else {
        return nil
      }
      return (String(path.1), path.2.matches(of: /`(\w+)`/).map { String($0.1) }, line.place)
    }
  }

  @Test func `the walk from lease to gradient has at most 20 files, and each has the functions it names`() {
    #expect(steps.count > 15 && Set(steps.map(\.path)).count <= 20)
    for step in steps {
      let text = SourceTree.read(step.path)?.text ?? ""
      #expect(!step.functions.isEmpty, "\(step.place) names no function")
      for function in step.functions {
        let isThere = ["func \(function)(", "func \(function)<", "var \(function):"].contains { text.contains($0) }
        #expect(isThere, "\(step.place): \(step.path) has no \(function)")
      }
    }
  }
}
