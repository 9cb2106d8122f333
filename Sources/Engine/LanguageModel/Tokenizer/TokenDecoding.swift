// TokenDecoding: from tokens back to text.
//
// Byte-level tokens are bytes; all bytes together are decoded as UTF-8. The tokens of SentencePiece are text, besides
// those that stand for a byte: if a run of such bytes is UTF-8, it is that text, and if not, each byte becomes U+FFFD.
// So such a run is known only when it ends. Then "▁" becomes a space, and the first space of the text is dropped.

/// How a tokenizer's decoder turns tokens into text.
enum TokenDecoding: Sendable {
  case byteLevel
  case characters(CharacterDecoding)
}

struct CharacterDecoding: Sendable {
  /// Applied to each token, in this order.
  var replacements: [Replacement] = []
  var hasByteFallback = false
  /// As many of these characters are dropped at the beginning of the text.
  var strip: (character: [UInt8], count: Int)?
}

/// What one token adds to a text.
enum TokenText {
  case bytes([UInt8])
  /// A byte of a run that is decoded as a whole.
  case fallback(UInt8)

  var bytes: [UInt8] {
    switch self {
    case .bytes(let bytes): bytes
    case .fallback(let byte): [byte]
    }
  }
}

extension TokenDecoding {
  /// - Parameter token: as it is in the file.
  func text(of token: ArraySlice<UInt8>) -> TokenText {
    switch self {
    case .byteLevel: return .bytes(ByteAlphabet.bytes(of: token))
    case .characters(let decoding):
      let text = decoding.replacements.reduce(Array(token)) { $1.applied(to: $0) }
      if decoding.hasByteFallback, let byte = FallbackByte.byte(of: text[...]) { return .fallback(byte) }
      return .bytes(text)
    }
  }
}

extension Tokenizer {
  /// The text of `ids`. Bytes that are not UTF-8 become U+FFFD. Ids that no token has are ignored.
  package func decode(_ ids: [Int32], skipSpecial: Bool) -> String {
    var decoder = TextAssembler(decoding)
    for id in ids { text(of: id, skipSpecial: skipSpecial).map { decoder.append($0) } }
    decoder.finish()
    return String(decoding: decoder.taken(), as: UTF8.self)
  }

  /// The text of a token; nil for an id that no token has, and for a special token if these are left out.
  private func text(of id: Int32, skipSpecial: Bool) -> TokenText? {
    if let added = addedToken(id) {
      return skipSpecial && added.isLeftOut ? nil : decoding.text(of: added.normalized[...])
    }
    return model.vocabulary.token(id).map { decoding.text(of: $0) }
  }

  /// The bytes of a token's text. They can be parts of characters.
  ///
  /// All bytes of a response, one token after the other, are its text as the continuation of a prompt: unlike `decode`,
  /// a space at the beginning is kept.
  func bytes(of id: Int32, skipSpecial: Bool) -> [UInt8] { text(of: id, skipSpecial: skipSpecial)?.bytes ?? [] }

  fileprivate func append(_ id: Int32, to assembler: inout TextAssembler, skipSpecial: Bool) {
    text(of: id, skipSpecial: skipSpecial).map { assembler.append($0) }
  }
}

/// Joins the texts of tokens.
private struct TextAssembler {
  private let isByteLevel: Bool
  private var strip: (character: [UInt8], count: Int)?
  /// Bytes of UTF-8 text that is complete, besides a character at the end of a byte-level text.
  private var bytes: [UInt8] = []
  /// Fallback bytes whose run has not ended.
  private var run: [UInt8] = []

  init(_ decoding: TokenDecoding) {
    switch decoding {
    case .byteLevel: isByteLevel = true
    case .characters(let decoding):
      isByteLevel = false
      strip = decoding.strip
    }
  }

  mutating func append(_ text: TokenText) {
    switch text {
    case .fallback(let byte): run.append(byte)
    case .bytes(let text):
      finish()
      add(text)
    }
  }

  /// Ends a run of fallback bytes.
  mutating func finish() {
    guard !run.isEmpty else { return }
    let isText = String(validating: run, as: UTF8.self) != nil
    add(isText ? run : run.flatMap { _ in Array("\u{FFFD}".utf8) })
    run = []
  }

  private mutating func add(_ text: [UInt8]) {
    var text = text[...]
    while let (character, count) = strip, !text.isEmpty {
      guard count > 0, text.starts(with: character) else {
        strip = nil
        break
      }
      text.removeFirst(character.count)
      strip = (character, count - 1)
    }
    bytes.append(contentsOf: text)
  }

  /// Removes and returns the bytes that are complete.
  mutating func taken(keepingUnfinished: Bool = false) -> [UInt8] {
    let complete = keepingUnfinished && isByteLevel ? bytes.count - unfinishedCount : bytes.count
    defer { bytes.removeFirst(complete) }
    return Array(bytes[..<complete])
  }

  /// The number of bytes at the end that are the beginning of a longer character. At most 3.
  private var unfinishedCount: Int {
    for (distance, byte) in bytes.suffix(3).reversed().enumerated() where byte & 0xC0 != 0x80 {
      let length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1
      return length > distance + 1 ? distance + 1 : 0
    }
    return 0
  }
}

/// Decodes tokens as they arrive, and never returns a part of a character.
///
/// All returned pieces together equal `decode` of all tokens.
package struct StreamingDecoder: Sendable {
  private let tokenizer: Tokenizer
  private let skipSpecial: Bool
  private var assembler: TextAssembler

  package init(_ tokenizer: Tokenizer, skipSpecial: Bool) {
    self.tokenizer = tokenizer
    self.skipSpecial = skipSpecial
    assembler = TextAssembler(tokenizer.decoding)
  }

  /// The text that is complete now: everything except a character whose last bytes are missing, and a run of fallback
  /// bytes.
  package mutating func append(_ id: Int32) -> String {
    tokenizer.append(id, to: &assembler, skipSpecial: skipSpecial)
    return String(decoding: assembler.taken(keepingUnfinished: true), as: UTF8.self)
  }

  /// Call after the last token. Returns the rest: U+FFFD if it is a part of a character.
  package mutating func finish() -> String {
    assembler.finish()
    return String(decoding: assembler.taken(), as: UTF8.self)
  }
}
