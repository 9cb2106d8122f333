// Text from outside, as terminals get it.

import Base
import Testing

@Suite struct VisibleTests {
  @Test(arguments: [
    ("worker-1", "worker-1"), ("日本語 é 🙂", "日本語 é 🙂"), ("a\u{1B}[2Jb", "a\\u{1b}[2Jb"),
    ("a\nrun  finished", "a\\nrun  finished"), ("a\u{9B}2Jb", "a\\u{9b}2Jb"), ("a\u{7F}\u{0}b", "a\\u{7f}\\u{0}b"),
    ("a\r\nb", "a\\u{d}\\nb"), ("txt.\u{202E}gpj", "txt.\\u{202e}gpj"), ("\u{2066}a\u{2069}", "\\u{2066}a\\u{2069}"),
    ("a\u{2028}b", "a\\u{2028}b"),
  ])
  func `a name is one line that a terminal does not execute`(_ name: String, _ shown: String) {
    #expect(name.visible == shown)
  }

  @Test func `a text keeps its lines and nothing else that is active`() {
    #expect("one\ntwo\u{1B}[0m\n".visibleLines == "one\ntwo\\u{1b}[0m\n")
  }

  @Test func `JSON stays the same value, and none of its characters is active`() throws {
    let value: JSON = ["name": "a\u{1B}\u{9B}\u{7F}\u{202E}\n\u{2028}é", "list": [.int(1)]]
    for layout in [JSON.Layout.compact, .pretty] {
      let text = value.text(layout).visibleJSON
      #expect(try JSON.parse(Array(text.utf8)) == value)
      #expect(text.unicodeScalars.allSatisfy { !$0.isActive || $0 == "\n" })
    }
  }

  /// Every character that can begin a control sequence, end a line or turn the direction of text.
  @Test func `all controls and all marks of direction are active`() {
    let properties = (0...0xFFFF).compactMap { Unicode.Scalar(UInt32($0)) }
    for scalar in properties where scalar.properties.generalCategory == .control || scalar.properties.isBidiControl {
      #expect(scalar.isActive, "\(scalar.value)")
    }
  }
}
