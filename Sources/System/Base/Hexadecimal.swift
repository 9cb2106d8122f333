// Hexadecimal: digests as text.

package enum Hexadecimal {
  /// Two lower-case digits per byte.
  package static func text(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }

  /// The bytes of such a text; empty if the text is not pairs of hexadecimal digits.
  package static func bytes(_ text: String) -> [UInt8] {
    let nibbles = text.utf8.map { UInt8(truncatingIfNeeded: Character(Unicode.Scalar($0)).hexDigitValue ?? 16) }
    guard nibbles.count % 2 == 0, !nibbles.contains(16) else { return [] }
    return stride(from: 0, to: nibbles.count, by: 2).map { nibbles[$0] << 4 | nibbles[$0 + 1] }
  }
}
