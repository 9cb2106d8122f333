// BytePairModel: from a word to its tokens.
//
// A word is cut into characters, each character becomes its token, and BytePairMerges joins them. In a byte-level
// vocabulary every byte is a character of its own (ByteAlphabet). In the others a character can be missing: then its
// UTF-8 bytes become tokens such as <0xE2> (byte fallback), or it becomes the unknown token, or it is dropped.

/// The vocabulary and merges of a tokenizer, and its rules for characters that the vocabulary lacks.
struct BytePairModel: Sendable {
  let vocabulary: Vocabulary
  let merges: BytePairMerges
  /// Whether a word that is a token becomes that token without merging (Llama 3).
  let wholeWordsFirst: Bool
  let isByteLevel: Bool
  let unknown: Int32?
  /// Whether several unknown characters in a row become one unknown token.
  let fusesUnknown: Bool
  /// The tokens <0x00> to <0xFF>, as far as they exist; nil without byte fallback.
  private let fallbackTokens: [Int32?]?
  /// By byte, in a byte-level vocabulary: the token of its character. In the others: that of an ASCII character.
  private let byteTokens: [Int32?]

  init(
    vocabulary: Vocabulary, merges: BytePairMerges, wholeWordsFirst: Bool, isByteLevel: Bool, unknown: Int32?,
    fusesUnknown: Bool, hasByteFallback: Bool
  ) {
    self.vocabulary = vocabulary
    self.merges = merges
    self.wholeWordsFirst = wholeWordsFirst
    self.isByteLevel = isByteLevel
    self.unknown = unknown
    self.fusesUnknown = fusesUnknown
    fallbackTokens = hasByteFallback ? (0..<256).map { vocabulary.id(of: FallbackByte.token(UInt8($0)).utf8) } : nil
    byteTokens = (0..<256).map { byte in
      isByteLevel
        ? vocabulary.id(of: ByteAlphabet.spellings[byte])
        : byte < 0x80 ? vocabulary.id(of: CollectionOfOne(UInt8(byte))) : nil
    }
  }

  func tokens(of word: [UInt8]) -> [Int32] {
    if wholeWordsFirst {
      let spelled = isByteLevel ? word.flatMap { ByteAlphabet.spellings[Int($0)] } : word
      if let id = vocabulary.id(of: spelled) { return [id] }
    }
    return merges.merge(isByteLevel ? byteSymbols(of: word) : characterSymbols(of: word))
  }

  private func byteSymbols(of word: [UInt8]) -> [Int32] {
    var symbols = Symbols(self)
    symbols.ids.reserveCapacity(word.count)
    for byte in word {
      if let id = byteTokens[Int(byte)] {
        symbols.add(id)
      } else {
        symbols.addMissing(ByteAlphabet.spellings[Int(byte)][...])
      }
    }
    return symbols.finished()
  }

  private func characterSymbols(of word: [UInt8]) -> [Int32] {
    var symbols = Symbols(self)
    symbols.ids.reserveCapacity(word.count)
    var start = 0
    while start < word.count {
      let byte = word[start]
      var end = start + 1
      while end < word.count, word[end] & 0xC0 == 0x80 { end += 1 }
      if let id = byte < 0x80 ? byteTokens[Int(byte)] : vocabulary.id(of: word[start..<end]) {
        symbols.add(id)
      } else {
        symbols.addMissing(word[start..<end])
      }
      start = end
    }
    return symbols.finished()
  }

  /// The tokens of a word's characters.
  private struct Symbols {
    var ids: [Int32] = []
    private var pendingUnknown: Int32?
    private let model: BytePairModel

    init(_ model: BytePairModel) { self.model = model }

    mutating func add(_ id: Int32) {
      if let unknown = pendingUnknown {
        ids.append(unknown)
        pendingUnknown = nil
      }
      ids.append(id)
    }

    /// - Parameter character: as UTF-8.
    mutating func addMissing(_ character: ArraySlice<UInt8>) {
      if let tokens = model.fallbackTokens {
        let bytes = character.compactMap { tokens[Int($0)] }
        if bytes.count == character.count {
          // An unknown token that waits comes after these, as in the library.
          ids.append(contentsOf: bytes)
          return
        }
      }
      guard let unknown = model.unknown else { return }
      if let pending = pendingUnknown, !model.fusesUnknown { ids.append(pending) }
      pendingUnknown = unknown
    }

    consuming func finished() -> [Int32] {
      if let unknown = pendingUnknown { ids.append(unknown) }
      return ids
    }
  }
}

/// Tokens such as <0x0A>, which stand for one byte.
enum FallbackByte {
  static func token(_ byte: UInt8) -> String {
    let digits = String(byte, radix: 16, uppercase: true)
    return "<0x" + (digits.count < 2 ? "0" : "") + digits + ">"
  }

  /// The byte of such a token. The library's number parser decides: it takes lower case, and "+" before one digit.
  static func byte(of token: ArraySlice<UInt8>) -> UInt8? {
    guard token.count == 6, token.starts(with: "<0x".utf8), token.last == UInt8(ascii: ">") else { return nil }
    return UInt8(String(decoding: token.dropFirst(3).dropLast(), as: UTF8.self), radix: 16)
  }
}
