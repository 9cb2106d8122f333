// Visible: text from outside as a person may safely see it.
//
// A worker's name, a file's name, an id of a question or a response can contain characters that a terminal executes
// (escape sequences), that break a line so that the rest looks like another line of ours, or that change the order in
// which the line is read (bidirectional overrides). Everything that the programs print goes through here: names one by
// one (`visible`), whole texts once more at the end (`visibleLines`), JSON as JSON (`visibleJSON`). Other text, of any
// language, stays as it is.

extension Unicode.Scalar {
  /// Whether it does something other than being shown.
  package var isActive: Bool {
    switch value {
    // Controls of ASCII and of Latin-1: a terminal can execute 0x9B like the two characters ESC and "[".
    case 0..<0x20, 0x7F..<0xA0: true
    // Marks, embeddings, overrides and isolates of text direction; separators of lines and of paragraphs.
    case 0x061C, 0x200E, 0x200F, 0x2028...0x202E, 0x2066...0x2069: true
    default: false
    }
  }
}

extension StringProtocol {
  /// On one line: characters that do something are written as "\n" or "\u{1b}".
  package var visible: String { escaped(keeping: nil) { "\\u{\($0)}" } }

  /// The same, but its lines stay lines. Names in it must be `visible` already.
  package var visibleLines: String { escaped(keeping: "\n") { "\\u{\($0)}" } }

  /// JSON text, still JSON with the same value. The writer has escaped the controls of ASCII in its strings.
  package var visibleJSON: String {
    escaped(keeping: "\n") { "\\u" + String(repeating: "0", count: 4 - $0.count) + $0 }
  }

  /// - Parameter escape: makes the escape of a character from its hexadecimal number.
  private func escaped(keeping kept: Unicode.Scalar?, _ escape: (String) -> String) -> String {
    guard unicodeScalars.contains(where: { $0.isActive && $0 != kept }) else { return String(self) }
    var text = ""
    for scalar in unicodeScalars {
      if scalar == kept || !scalar.isActive {
        text.unicodeScalars.append(scalar)
      } else {
        text += scalar == "\n" ? "\\n" : escape(String(scalar.value, radix: 16))
      }
    }
    return text
  }
}
