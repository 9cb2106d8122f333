// Page: the one document that a browser gets, and what the browser is allowed to do with it.
//
// The policy names one script and one style, by their hashes. Whatever a response, a question or a worker's name
// contains, nothing else is executed, and nothing is fetched except this server's own answers.

import Observatory
import Platform

package enum Page {
  package static let bytes = Array(PageDocument.html.utf8)

  package static let policy =
    "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; "
    + "frame-ancestors 'none'; script-src '\(hash(PageDocument.script))'; style-src '\(hash(PageDocument.style))'"

  private static func hash(_ text: String) -> String { "sha256-" + base64(SHA256.digest(of: Array(text.utf8))) }

  package static func base64(_ bytes: [UInt8]) -> String {
    let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var text: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let three = bytes[start..<min(start + 3, bytes.count)]
      let word = three.enumerated().reduce(UInt32(0)) { $0 | UInt32($1.element) << UInt32(16 - 8 * $1.offset) }
      for place in 0..<4 {
        text.append(place <= three.count ? digits[Int(word >> UInt32(18 - 6 * place) & 63)] : UInt8(ascii: "="))
      }
    }
    return String(decoding: text, as: UTF8.self)
  }
}
