// TextFile: text that people write, also on other systems: hosts files, keys, templates.
//
// Windows programs end lines with CR LF and can begin a file with a byte order mark. Neither is a part of what was
// written. Swift has CR LF as one character, so a split at "\n" does not find these lines.

extension String {
  /// The text without a byte order mark, its lines ended by LF.
  package var withPlainLines: String {
    let text = unicodeScalars.first == "\u{FEFF}" ? String(unicodeScalars.dropFirst()) : self
    guard text.utf8.contains(0x0D) else { return text }
    return String(text.map { $0 == "\r\n" ? "\n" : $0 })
  }
}
