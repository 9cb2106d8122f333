// Tokenizer: text to token ids and back. It is byte-level BPE, with exactly the results of the `tokenizers` library.
//
// A model understands only text that is cut as in its training, so "almost the same tokens" is a defect. The steps:
//
//   1  added tokens such as <|im_end|> are cut out of the text        AddedTokens.swift
//   2  the text between them is normalised (NFC, for Qwen)            CanonicalComposition.swift
//   3  the normalised text is split into words                        WordPattern.swift
//   4  each word's bytes are merged into tokens                       BytePairMerges.swift
//
// No BOS and no EOS is added, whatever the file's post-processor says; a caller that wants them writes them into the
// prompt. TokenizerFile.swift reads tokenizer.json. Not here: chat templates (Templates), other kinds of
// tokenizers (they are refused by name).

/// A byte-level BPE tokenizer. A value: it can be used from any thread.
package struct Tokenizer: Sendable {
  let vocabulary: Vocabulary
  let merges: BytePairMerges
  /// Whether a word that is a token becomes that token without merging (Llama 3).
  let wholeWordsFirst: Bool
  let composesText: Bool
  let splitting: [SplittingStep]
  /// By id, contents distinct.
  let addedTokens: [AddedToken]
  let verbatimMatcher: AddedTokenMatcher
  let normalizedMatcher: AddedTokenMatcher
  /// The token of each byte; nil if the vocabulary has none.
  let byteTokens: [Int32?]

  /// One step of splitting text. Each step splits the pieces of the one before.
  enum SplittingStep: Sendable, Equatable {
    case words(WordPattern)
    /// A piece that does not begin with a space gets one.
    case spaceInFront
  }

  init(
    vocabulary: Vocabulary, merges: BytePairMerges, wholeWordsFirst: Bool, composesText: Bool,
    splitting: [SplittingStep], addedTokens: [AddedToken]
  ) {
    self.vocabulary = vocabulary
    self.merges = merges
    self.wholeWordsFirst = wholeWordsFirst
    self.composesText = composesText
    self.splitting = splitting
    self.addedTokens = addedTokens
    verbatimMatcher = AddedTokenMatcher(addedTokens.filter { !$0.isNormalized })
    normalizedMatcher = AddedTokenMatcher(
      addedTokens.filter(\.isNormalized).map { token in
        var token = token
        if composesText { token.content = CanonicalComposition.compose(token.content) }
        return token
      })
    byteTokens = ByteAlphabet.spellings.map { vocabulary.id(of: $0) }
  }

  /// One more than the highest token id. A model's embedding can have more rows than this.
  package var idBound: Int { max(vocabulary.idBound, (addedTokens.last.map { Int($0.id) } ?? -1) + 1) }

  /// The id of the token that is `text` in the file: "<|im_end|>", or "Ġthe" for " the".
  package func id(of text: String) -> Int32? {
    let content = Array(text.utf8)
    return addedTokens.first { $0.content == content }?.id ?? vocabulary.id(of: content)
  }

  package func hasAddedToken(_ text: String) -> Bool {
    addedTokens.contains { $0.content.elementsEqual(text.utf8) }
  }

  package func isSpecial(_ id: Int32) -> Bool { addedToken(id)?.isSpecial ?? false }

  func addedToken(_ id: Int32) -> AddedToken? {
    var low = 0
    var high = addedTokens.count
    while low < high {
      let middle = (low + high) / 2
      if addedTokens[middle].id < id { low = middle + 1 } else { high = middle }
    }
    return low < addedTokens.count && addedTokens[low].id == id ? addedTokens[low] : nil
  }
}

// MARK: - Encoding

/// The tokens of words that were encoded before, so that a common word is merged once. It belongs to one tokenizer and
/// one thread.
package struct WordCache: Sendable {
  /// A full cache does not change any more: common words come early.
  static let wordCountMax = 10_000
  /// Longer words are rarely repeated.
  static let wordBytesMax = 64

  /// Looked up, never iterated.
  private var words: [[UInt8]: [Int32]] = [:]

  package init() {}

  func tokens(of word: [UInt8]) -> [Int32]? { words[word] }

  mutating func remember(_ word: [UInt8], _ tokens: [Int32]) {
    guard word.count <= Self.wordBytesMax, words.count < Self.wordCountMax else { return }
    words[word] = tokens
  }
}

extension Tokenizer {
  /// The tokens of `text`. Added tokens in the text are recognised; none is added.
  package func encode(_ text: String) -> [Int32] {
    var cache = WordCache()
    return encode(text, cache: &cache)
  }

  /// The tokens of one of many texts. `cache` keeps words from one text to the next, and is used with this tokenizer
  /// only.
  package func encode(_ text: String, cache: inout WordCache) -> [Int32] {
    var ids: [Int32] = []
    let raw = Array(text.utf8)
    for segment in verbatimMatcher.segments(of: raw) {
      switch segment {
      case .token(let id): ids.append(id)
      case .text(let range):
        encodeUnmarked(composesText ? CanonicalComposition.compose(Array(raw[range])) : Array(raw[range]), &ids, &cache)
      }
    }
    return ids
  }

  private func encodeUnmarked(_ text: [UInt8], _ ids: inout [Int32], _ cache: inout WordCache) {
    for segment in normalizedMatcher.segments(of: text) {
      switch segment {
      case .token(let id): ids.append(id)
      case .text(let range):
        for word in words(in: Array(text[range])) { encodeWord(word, &ids, &cache) }
      }
    }
  }

  private func words(in text: [UInt8]) -> [[UInt8]] {
    splitting.reduce([text]) { pieces, step in
      switch step {
      case .words(let pattern): pieces.flatMap { piece in pattern.words(in: piece[...]).map { Array(piece[$0]) } }
      case .spaceInFront: pieces.map { $0.first == 0x20 ? $0 : [0x20] + $0 }
      }
    }
  }

  private func encodeWord(_ word: [UInt8], _ ids: inout [Int32], _ cache: inout WordCache) {
    if let known = cache.tokens(of: word) {
      ids.append(contentsOf: known)
      return
    }
    let tokens = tokens(of: word)
    cache.remember(word, tokens)
    ids.append(contentsOf: tokens)
  }

  private func tokens(of word: [UInt8]) -> [Int32] {
    if wholeWordsFirst, let id = vocabulary.id(of: word.flatMap { ByteAlphabet.spellings[Int($0)] }) { return [id] }
    // A byte without a token is dropped, as in the library if there is no unknown token.
    return merges.merge(word.compactMap { byteTokens[Int($0)] })
  }
}

// MARK: - Decoding

extension Tokenizer {
  /// The text of `ids`. Bytes that are not UTF-8 become U+FFFD. Ids that no token has are ignored.
  package func decode(_ ids: [Int32], skipSpecial: Bool) -> String {
    var bytes: [UInt8] = []
    for id in ids { bytes.append(contentsOf: self.bytes(of: id, skipSpecial: skipSpecial)) }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The bytes of a token's text. They can be parts of characters.
  func bytes(of id: Int32, skipSpecial: Bool) -> [UInt8] {
    if let added = addedToken(id) {
      return skipSpecial && added.isSpecial ? [] : ByteAlphabet.bytes(of: added.content[...])
    }
    return vocabulary.token(id).map { ByteAlphabet.bytes(of: $0) } ?? []
  }
}

/// Decodes tokens as they arrive, and never returns a part of a character.
///
/// All returned pieces together equal `decode` of all tokens.
package struct StreamingDecoder: Sendable {
  private let tokenizer: Tokenizer
  private let skipSpecial: Bool
  private var pending: [UInt8] = []

  package init(_ tokenizer: Tokenizer, skipSpecial: Bool) {
    self.tokenizer = tokenizer
    self.skipSpecial = skipSpecial
  }

  /// The text that is complete now: everything except a character whose last bytes are missing.
  package mutating func append(_ id: Int32) -> String {
    pending.append(contentsOf: tokenizer.bytes(of: id, skipSpecial: skipSpecial))
    let complete = pending.count - unfinishedCount
    defer { pending.removeFirst(complete) }
    return String(decoding: pending[..<complete], as: UTF8.self)
  }

  /// Call after the last token. Returns the rest: U+FFFD if it is a part of a character.
  package mutating func finish() -> String {
    defer { pending = [] }
    return String(decoding: pending, as: UTF8.self)
  }

  /// The number of bytes at the end that are the beginning of a longer character. At most 3.
  private var unfinishedCount: Int {
    for (distance, byte) in pending.suffix(3).reversed().enumerated() where byte & 0xC0 != 0x80 {
      let length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1
      return length > distance + 1 ? distance + 1 : 0
    }
    return 0
  }
}
