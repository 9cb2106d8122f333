// The tokenizer, compared with the library with which the models were trained, and checked on random text.

import Base
import Foundation
import LanguageModel
import Testing

/// One text, and the results of the `tokenizers` library for it.
struct TokenizerVector {
  var text: String
  var ids: [Int32]
  var decoded: String
  var broken: [Int32]
  var decodedBroken: String?

  static func parse(_ lines: [UInt8]) throws -> [TokenizerVector] {
    try lines.split(separator: UInt8(ascii: "\n")).map { line in
      let json = try JSON.parse(Array(line))
      func ids(_ key: String) -> [Int32] { (json[key]?.elements ?? []).compactMap { $0.int.map(Int32.init) } }
      return TokenizerVector(
        text: try #require(json["text"]?.string), ids: ids("ids"), decoded: try #require(json["decoded"]?.string),
        broken: ids("broken"), decodedBroken: json["decoded_broken"]?.string)
    }
  }
}

@Suite struct TokenizerTests {
  private static func fixture(_ name: String) throws -> Tokenizer {
    try Tokenizer(file: TestFiles.fixture("tokenizers/\(name).json"))
  }

  @Test(arguments: ["qwen2", "llama3", "gpt2"])
  func `small tokenizers agree with the library on difficult text`(name: String) throws {
    let tokenizer = try Self.fixture(name)
    for vector in try TokenizerVector.parse(TestFiles.fixture("tokenizers/\(name).vectors.jsonl")) {
      #expect(tokenizer.encode(vector.text) == vector.ids, "text \(vector.text.debugDescription)")
      let decoded = tokenizer.decode(vector.ids, skipSpecial: false)
      #expect(decoded.isSameBytes(as: vector.decoded), "text \(vector.text.debugDescription)")
      let broken = tokenizer.decode(vector.broken, skipSpecial: true)
      #expect(broken.isSameBytes(as: vector.decodedBroken ?? ""), "ids \(vector.broken)")
    }
  }

  @Test(.enabled(if: TestFiles.hasShared, "needs TTRL_SHARED: a real vocabulary"))
  func `the Qwen2.5 vocabulary gives the library's ids and texts for all 400 texts`() throws {
    let file = try TestFiles.shared("tokenizer/tokenizer.json")
    var loaded: Tokenizer?
    let seconds = try processorSeconds { loaded = try Tokenizer(file: file) }
    print("tokenizer.json, \(file.count) bytes, loaded in \(seconds) s of a processor")
    let tokenizer = try #require(loaded)
    let vectors = try TokenizerVector.parse(TestFiles.shared("tokenizer/vectors.jsonl"))
    #expect(vectors.count == 400)
    for vector in vectors {
      #expect(tokenizer.encode(vector.text) == vector.ids, "text \(vector.text.debugDescription)")
      let decoded = tokenizer.decode(vector.ids, skipSpecial: false)
      #expect(decoded.isSameBytes(as: vector.decoded), "text \(vector.text.debugDescription)")
    }
  }

  @Test(arguments: ["qwen2", "llama3", "gpt2"])
  func `tokens that are decoded one at a time give the same text`(name: String) throws {
    let tokenizer = try Self.fixture(name)
    for vector in try TokenizerVector.parse(TestFiles.fixture("tokenizers/\(name).vectors.jsonl")) {
      for ids in [vector.ids, vector.broken] {
        var decoder = StreamingDecoder(tokenizer, skipSpecial: true)
        let pieces = ids.map { decoder.append($0) } + [decoder.finish()]
        #expect(pieces.joined().isSameBytes(as: tokenizer.decode(ids, skipSpecial: true)), "ids \(ids)")
      }
    }
  }

  @Test func `a character in two tokens appears when it is complete`() throws {
    let tokenizer = try Self.fixture("qwen2")
    let ids = tokenizer.encode("😀")
    var decoder = StreamingDecoder(tokenizer, skipSpecial: false)
    #expect(ids.map { decoder.append($0) } == Array(repeating: "", count: ids.count - 1) + ["😀"])
    #expect(decoder.append(ids[0]) == "" && decoder.finish() == "\u{FFFD}" && decoder.finish() == "")
  }

  @Test func `special tokens are left out if requested, unknown ids always`() throws {
    let tokenizer = try Self.fixture("qwen2")
    let end = try #require(tokenizer.id(of: "<|end|>"))
    let think = try #require(tokenizer.id(of: "<think>"))
    #expect(tokenizer.isSpecial(end) && !tokenizer.isSpecial(think) && !tokenizer.isSpecial(-1))
    let ids = [think, end] + tokenizer.encode("x") + [Int32(tokenizer.idBound), -5, .max]
    #expect(tokenizer.decode(ids, skipSpecial: false) == "<think><|end|>x")
    #expect(tokenizer.decode(ids, skipSpecial: true) == "<think>x")
  }

  @Test func `a cache changes nothing`() throws {
    let tokenizer = try Self.fixture("llama3")
    var cache = WordCache()
    for vector in try TokenizerVector.parse(TestFiles.fixture("tokenizers/llama3.vectors.jsonl")) {
      #expect(tokenizer.encode(vector.text, cache: &cache) == vector.ids)
    }
  }

  @Test func `a word of a million letters does not take quadratic time`() throws {
    let tokenizer = try Self.fixture("qwen2")
    let text = String(repeating: "answer", count: 170_000)
    var ids: [Int32] = []
    let seconds = processorSeconds { ids = tokenizer.encode(text) }
    print("one word of \(text.utf8.count) bytes: \(ids.count) tokens in \(seconds) s")
    #expect(tokenizer.decode(ids, skipSpecial: false) == text)
    // Measured 0.1 to 0.4 s; a quadratic merge takes hours.
    #expect(seconds < 10)
  }

  @Test(arguments: ["qwen2", "llama3", "gpt2"], ["7", " ", "\n", " \n", "e\u{301}", "<", "a1 ", "'s"])
  func `a long text of one pattern does not take quadratic time`(name: String, pattern: String) throws {
    let tokenizer = try Self.fixture(name)
    let text = String(repeating: pattern, count: 500_000)
    var ids: [Int32] = []
    let seconds = processorSeconds { ids = tokenizer.encode(text) }
    #expect(ids.count > 0)
    // Measured below 1 s. The first was quadratic for Llama and Qwen.
    #expect(seconds < 10, "\(seconds) s")
  }

  @Test func `added tokens that take the white space around them do not take quadratic time`() throws {
    let json = try JSON.parse(try TestFiles.fixture("tokenizers/qwen2.json"))
    let added: JSON = [
      [
        "id": 436, "content": "\u{2003}", "lstrip": true, "rstrip": true, "normalized": false, "special": true,
        "single_word": false,
      ]
    ]
    let members = (json.members ?? []).map { $0.key == "added_tokens" ? JSON.Member($0.key, added) : $0 }
    let tokenizer = try Tokenizer(file: JSON.object(members).bytes())
    #expect(tokenizer.encode("a \u{2003} \u{2003} b") == tokenizer.encode("a") + [436, 436] + tokenizer.encode("b"))
    let text = String(repeating: "\u{2003} ", count: 200_000)
    var ids: [Int32] = []
    let seconds = processorSeconds { ids = tokenizer.encode(text) }
    #expect(ids == Array(repeating: 436, count: 200_000))
    #expect(seconds < 10, "\(seconds) s")
  }

  @Test func `decoding a text's tokens gives the text`() throws {
    // Llama's file does not normalise, so the text must not change.
    let tokenizer = try Self.fixture("llama3")
    var random = Damage(seed: 11)
    for _ in 0..<3000 {
      var text = String.UnicodeScalarView()
      for _ in 0..<random.below(12) {
        let limit = [0x80, 0x250, 0x3000, 0x110000][random.below(4)]
        if let scalar = Unicode.Scalar(UInt32(random.below(limit))) { text.append(scalar) }
      }
      let ids = tokenizer.encode(String(text))
      #expect(tokenizer.decode(ids, skipSpecial: false).isSameBytes(as: String(text)), "\(Array(text))")
    }
  }
}

@Suite struct TokenizerFileTests {
  private static let file = Result { try TestFiles.fixture("tokenizers/qwen2.json") }

  /// The small Qwen tokenizer with one part of its file replaced.
  private static func edited(_ path: [String], to value: JSON) throws -> [UInt8] {
    func edit(_ json: JSON, _ path: ArraySlice<String>) -> JSON {
      guard let key = path.first, let members = json.members else { return value }
      let edited = JSON.Member(key, edit(json[key] ?? [:], path.dropFirst()))
      let others = members.filter { $0.key != key }
      return .object(others + [edited])
    }
    return edit(try JSON.parse(file.get()), path[...]).bytes()
  }

  @Test func `a vocabulary of 300,000 tokens is read, and quickly`() throws {
    let small = try JSON.parse(Self.file.get())
    let known = small["model"]?["vocab"]?.members ?? []
    let more = (0..<300_000).map { JSON.Member("token\($0)", .int(10_000 + $0)) }
    let vocabulary = try JSON.parse(Self.edited(["model", "vocab"], to: .object(known + more)))
    let file = JSON.object((vocabulary.members ?? []).filter { $0.key != "added_tokens" }).bytes()
    #expect(file.count < Limits.tokenizerBytes)
    var tokenizer: Tokenizer?
    let seconds = try processorSeconds { tokenizer = try Tokenizer(file: file) }
    #expect(tokenizer?.idBound == 310_000)
    #expect(seconds < 10, "\(seconds) s")
  }

  /// A path, the value that is put there, and the words that the refusal must contain.
  static let refusals: [(path: [String], value: JSON, words: String)] = [
    (["model", "type"], "Unigram", "model.type is the string \"Unigram\""),
    (["model", "byte_fallback"], 1, "model.byte_fallback"),
    (["model", "dropout"], .double(0.1), "model.dropout"),
    (["model", "end_of_word_suffix"], "</w>", "model.end_of_word_suffix"),
    (["model", "vocab"], [1], "model.vocab is an array"),
    (["model", "vocab"], ["a": -1], "an id from 0"),
    (["model", "vocab"], ["a": 0, "b": 0], "\"a\" has this one"),
    (["model", "vocab"], ["a": "b"], "expected an id"),
    (["model", "vocab"], ["a": 99_999_999], "an id from 0"),
    (["model", "merges"], ["a"], "model.merges[0]"),
    (
      ["added_tokens"], [["id": 5000, "content": .string(String(repeating: "x", count: Limits.addedTokenBytes + 1))]],
      "added_tokens[0].content is 1025 bytes"
    ),
    (["model", "merges"], [["a", "no such token"]], "model.merges[0]"),
    (["model", "merges"], ["a b c"], "two tokens that together are a token"),
    (["normalizer"], ["type": "Lowercase"], "normalizer is Lowercase"),
    (["normalizer"], ["type": "Sequence", "normalizers": [["type": "NFKC"]]], "normalizer.normalizers[0] is NFKC"),
    (["pre_tokenizer"], ["type": "UnicodeScripts"], "pre_tokenizer is UnicodeScripts"),
    (["pre_tokenizer"], .null, "ByteLevel without the pre-tokenizer ByteLevel"),
    (["pre_tokenizer", "pretokenizers"], [], "ByteLevel without the pre-tokenizer ByteLevel"),
    (
      ["pre_tokenizer", "pretokenizers"], [["type": "Split", "pattern": ["Regex": "\\w+"], "behavior": "Isolated"]],
      #"an expression with "\w" at character 1"#
    ),
    (["decoder"], .null, "decoder is null"),
    (["decoder"], ["type": "WordPiece"], "decoder is WordPiece"),
    (["added_tokens"], [["id": 0, "content": "<x>"]], "added_tokens[0].id is 0, expected 436"),
    (["added_tokens"], [["id": 436, "content": ""]], "added_tokens[0].content"),
    (["added_tokens"], [["id": -1, "content": "<x>"]], "added_tokens[0].id"),
    (["added_tokens"], [["id": 436, "content": "<x>"], ["id": 437, "content": "<x>"]], "occur once"),
    (["added_tokens"], [["id": 436, "content": "<x>"], ["id": 436, "content": "<y>"]], "expected 437"),
  ]

  @Test(arguments: refusals.indices)
  func `what is not supported is refused by name`(index: Int) throws {
    let (path, value, words) = Self.refusals[index]
    let file = try Self.edited(path, to: value)
    let error = #expect(throws: TokenizerError.self) { try Tokenizer(file: file) }
    #expect(error?.description.contains(words) == true, "\(error.map(\.description) ?? "accepted")")
  }

  @Test func `loading a damaged file, and encoding with it, never traps`() throws {
    let file = try Self.file.get()
    var random = Damage(seed: 9)
    var loaded = 0
    for _ in 0..<1500 {
      guard let tokenizer = try? Tokenizer(file: random.mutation(of: file)) else { continue }
      loaded += 1
      _ = tokenizer.decode(tokenizer.encode("We've <think>12 \u{e9}e\u{301}</think>\n"), skipSpecial: true)
    }
    #expect(loaded > 10)
  }
}

@Suite struct CanonicalCompositionTests {
  /// Canonical equivalence by Swift, for characters that both versions of Unicode have: strings are equal exactly if
  /// their normal forms are.
  private static func isEquivalent(_ one: [Unicode.Scalar], _ other: [Unicode.Scalar]) -> Bool {
    func string(_ scalars: [Unicode.Scalar]) -> String {
      var view = String.UnicodeScalarView()
      view.append(contentsOf: scalars)
      return String(view)
    }
    return string(one) == string(other)
  }

  @Test func `every character is equivalent to its normal form, which is stable and has no excluded character`() {
    for value in UInt32(0)..<0x110000 {
      guard let scalar = Unicode.Scalar(value), let age = scalar.properties.age, age.major <= 9 else { continue }
      let composed = CanonicalComposition.compose([scalar])
      let isSound =
        composed == [scalar]
        || Self.isEquivalent(composed, [scalar]) && CanonicalComposition.compose(composed) == composed
      let hasExcluded = composed.contains { $0.properties.isFullCompositionExclusion }
      if !isSound || hasExcluded { Issue.record("U+\(String(value, radix: 16)) becomes \(composed)") }
    }
  }

  @Test func `two sequences have the same normal form exactly if they are equal in Swift`() {
    let scalars: [Unicode.Scalar] = [
      "a", "o", "\u{e2}", "\u{1ea1}", "\u{301}", "\u{302}", "\u{323}", "\u{327}", "\u{34f}", "\u{1100}", "\u{1161}",
      "\u{11a8}", "\u{ac00}", "\u{212b}", "\u{958}", "\u{93c}", "\u{915}", "\u{344}", "\u{1d15e}", "\u{f900}",
    ]
    var random = Damage(seed: 2)
    for _ in 0..<20_000 {
      let one = (0...random.below(5)).map { _ in scalars[random.below(scalars.count)] }
      var other = one
      other.swapAt(random.below(other.count), random.below(other.count))
      let (first, second) = (CanonicalComposition.compose(one), CanonicalComposition.compose(other))
      let isSound =
        Self.isEquivalent(first, one) && CanonicalComposition.compose(first) == first
        && (first == second) == Self.isEquivalent(one, other)
      if !isSound { Issue.record("\(one) becomes \(first), \(other) becomes \(second)") }
    }
  }
}
