// docs/adding-a-method.md against the tree: its code is the code of the files that it names.

import Testing

@Suite struct MethodPageTests {
  private let page = SourceTree.read("docs/adding-a-method.md")?.text ?? ""

  /// The Swift blocks of the page, and the path that was named last before each.
  private var blocks: [(path: String, code: String)] {
    var found: [(String, String)] = []
    var path = ""
    for piece in page.split(separator: "```").enumerated() {
      if piece.offset.isMultiple(of: 2) {
        path = piece.element.matches(of: /`((?:Sources|Tests)\/[^`]+\.swift)`/).last.map { String($0.1) } ?? path
      } else if piece.element.hasPrefix("swift\n") {
        found.append((path, String(piece.element.dropFirst(6))))
      }
    }
    return found
  }

  @Test func `the code on the page is in the files that the page names`() {
    #expect(blocks.count >= 4)
    for (path, code) in blocks {
      #expect(SourceTree.read(path)?.text.contains(code) == true, "\(path) does not have:\n\(code)")
    }
  }

  @Test func `a real method with its test takes fewer than 40 lines`() {
    let lines = blocks.flatMap { $0.code.split(separator: "\n") }
    #expect(lines.count > 20 && lines.count < 40)
  }
}
