// Text files of other systems are read like those of this one.

import Base
import Testing

@Suite struct TextFileTests {
  @Test(arguments: [
    ("a\r\nb\r\n", "a\nb\n"), ("\u{FEFF}a\r\n", "a\n"), ("a\nb", "a\nb"), ("a\rb\r\r\n", "a\rb\r\n"), ("", ""),
    ("e\u{301}\r\né", "e\u{301}\né"), ("a\u{FEFF}", "a\u{FEFF}"),
  ])
  func `CR LF ends a line as LF does, and a byte order mark is no text`(text: String, plain: String) {
    #expect(text.withPlainLines.unicodeScalars.elementsEqual(plain.unicodeScalars))
  }
}
