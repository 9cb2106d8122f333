// Tokenizer: text to token ids and back. It is byte-pair encoding, with exactly the results of the `tokenizers`
// library.
//
// A model understands only text that is cut as in its training, so "almost the same tokens" is a defect. The steps:
//
//   1  added tokens such as <|im_end|> are cut out of the text        AddedTokens.swift
//   2  the text between them is normalised                            TextNormalizer.swift
//   3  the normalised text is split into words                        SplittingStep.swift, SplitExpression.swift
//   4  each word's characters are merged into tokens                  BytePairModel.swift, BytePairMerges.swift
//
// TokenDecoding.swift is the way back. TokenizerFile.swift and TokenizerPipeline.swift read tokenizer.json. Text is
// encoded without BOS and EOS, whatever the file's post-processor says; `tokensAround` says which tokens the library
// would add. Not here: chat templates (Templates), other kinds of tokenizers (they are refused by name).

/// A BPE tokenizer. A value: it can be used from any thread.
package struct Tokenizer: Sendable {
  let model: BytePairModel
  let normalizer: TextNormalizer
  let splitting: [SplittingStep]
  let decoding: TokenDecoding
  /// By id, contents distinct.
  let addedTokens: [AddedToken]
  let verbatimMatcher: AddedTokenMatcher
  let normalizedMatcher: AddedTokenMatcher
  private let around: Result<TokensAround, TokenizerError>

  /// The tokens that the library puts around a text if it is asked to add special tokens (which it is by default).
  package struct TokensAround: Sendable, Equatable {
    package var before: [Int32] = []
    package var after: [Int32] = []
  }

  init(
    model: BytePairModel, normalizer: TextNormalizer, splitting: [SplittingStep], decoding: TokenDecoding,
    addedTokens: [AddedToken], around: Result<TokensAround, TokenizerError>
  ) {
    self.model = model
    self.normalizer = normalizer
    self.splitting = splitting
    self.decoding = decoding
    self.addedTokens = addedTokens
    self.around = around
    verbatimMatcher = AddedTokenMatcher(addedTokens.filter { !$0.isNormalized })
    normalizedMatcher = AddedTokenMatcher(addedTokens.filter(\.isNormalized))
  }

  /// What `encode` of the library adds with `add_special_tokens`, by the file's post-processor: BOS, for most models
  /// that have one. A chat template writes these tokens itself, and its text is encoded without them. transformers can
  /// replace the post-processor by what tokenizer_config.json says (`add_bos_token`, `add_eos_token`).
  /// - Throws: if the post-processor is not supported. Then only this function fails.
  package func tokensAround() throws(TokenizerError) -> TokensAround { try around.get() }

  /// One more than the highest token id. A model's embedding can have more rows than this.
  package var idBound: Int { max(model.vocabulary.idBound, (addedTokens.last.map { Int($0.id) } ?? -1) + 1) }

  /// The id of the token that is `text` in the file: "<|im_end|>", or "Ġthe" for " the".
  package func id(of text: String) -> Int32? {
    let content = Array(text.utf8)
    return addedTokens.first { $0.content == content }?.id ?? model.vocabulary.id(of: content)
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
        encodeUnmarked(normalizer.normalize(Array(raw[range])), isFirst: range.lowerBound == 0, &ids, &cache)
      }
    }
    return ids
  }

  private func encodeUnmarked(_ text: [UInt8], isFirst: Bool, _ ids: inout [Int32], _ cache: inout WordCache) {
    for segment in normalizedMatcher.segments(of: text) {
      switch segment {
      case .token(let id): ids.append(id)
      case .text(let range):
        var pieces = TextPieces(text[range])
        for step in splitting { step.apply(to: &pieces, isFirst: isFirst && range.lowerBound == 0) }
        for word in pieces.ranges { encodeWord(Array(pieces.text[word]), &ids, &cache) }
      }
    }
  }

  private func encodeWord(_ word: [UInt8], _ ids: inout [Int32], _ cache: inout WordCache) {
    if let known = cache.tokens(of: word) {
      ids.append(contentsOf: known)
      return
    }
    let tokens = model.tokens(of: word)
    cache.remember(word, tokens)
    ids.append(contentsOf: tokens)
  }
}
