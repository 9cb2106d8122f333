// Tokenizers of every kind, compared with the library: digits, regular expressions, SentencePiece's spaces and bytes.
//
// The fixtures have small vocabularies, with normalizer, pre-tokenizer and decoder as in the files of real models.
// scripts/tokenizers-differential compares many more texts.

import Base
import Foundation
import LanguageModel
import Records
import Testing

@Suite struct TokenizerKindsTests {
  static let kinds = [
    "cl100k", "command-r", "deepseek-llm", "deepseek-v3", "digit-runs", "dropped", "few-bytes", "gemma", "llama2",
    "llama2-digits", "merged", "metaspace-always", "metaspace-never", "mistral", "o200k", "olmo2", "qwen3.5", "seed",
    "smollm2", "tekken", "unknown",
  ]

  static func fixture(_ name: String) throws -> Tokenizer {
    try Tokenizer(file: TestFiles.fixture("tokenizers/kinds/\(name).json"))
  }

  @Test func `every fixture is tested`() throws {
    let folder = TestFiles.fixtures.appendingPathComponent("tokenizers/kinds").path
    let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".json") }
    #expect(Set(names) == Set(Self.kinds.map { $0 + ".json" }))
  }

  @Test(arguments: kinds)
  func `every kind agrees with the library, also one token at a time`(kind: String) throws {
    let tokenizer = try Self.fixture(kind)
    let vectors = try TokenizerVector.parse(TestFiles.fixture("tokenizers/kinds/\(kind).vectors.jsonl"))
    #expect(vectors.count == 48)
    var cache = WordCache()
    for vector in vectors {
      #expect(tokenizer.encode(vector.text, cache: &cache) == vector.ids, "text \(vector.text.debugDescription)")
      for (ids, text, skip) in [(vector.ids, vector.decoded, false), (vector.broken, vector.decodedBroken, true)] {
        let text = try #require(text)
        #expect(tokenizer.decode(ids, skipSpecial: skip).isSameBytes(as: text), "ids \(ids)")
        var decoder = StreamingDecoder(tokenizer, skipSpecial: skip)
        let pieces = ids.map { decoder.append($0) } + [decoder.finish()]
        #expect(pieces.joined().isSameBytes(as: text), "pieces \(pieces) of ids \(ids)")
      }
    }
  }

  @Test(arguments: kinds)
  func `a long text of one pattern does not take quadratic time`(kind: String) throws {
    let tokenizer = try Self.fixture(kind)
    for pattern in ["answer", " ", "A7", "\u{FFFD}", "\n "] {
      var ids: [Int32] = []
      let text = String(repeating: pattern, count: 40_000)
      let seconds = processorSeconds { ids = tokenizer.encode(text) }
      // Measured below 0.3 s on a busy machine; a quadratic merge takes minutes.
      #expect(seconds < 10, "\(seconds) s for \(pattern.debugDescription)")
      var decoder = StreamingDecoder(tokenizer, skipSpecial: false)
      let decoding = processorSeconds {
        let pieces = ids.map { decoder.append($0) } + [decoder.finish()]
        #expect(pieces.joined().isSameBytes(as: tokenizer.decode(ids, skipSpecial: false)))
      }
      #expect(decoding < 10, "\(decoding) s for \(pattern.debugDescription)")
    }
  }

  // MARK: - Byte fallback

  @Test func `fallback bytes appear when their run ends, as text or as one U+FFFD each`() throws {
    let tokenizer = try Self.fixture("llama2")
    func id(_ text: String) throws -> Int32 { try #require(tokenizer.id(of: text)) }
    let (first, second, letter) = (try id("<0xE2>"), try id("<0x82>"), try id("a"))
    let euro = [first, second, try id("<0xAC>")]
    func pieces(_ ids: [Int32]) -> [String] {
      var decoder = StreamingDecoder(tokenizer, skipSpecial: true)
      return ids.map { decoder.append($0) } + [decoder.finish()]
    }
    #expect(pieces([letter] + euro + [letter]) == ["a", "", "", "", "€a", ""])
    #expect(pieces([first, second, letter]) == ["", "", "\u{FFFD}\u{FFFD}a", ""])
    // A run is text as a whole or not at all.
    #expect(pieces(euro + [first]) == ["", "", "", "", "\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}"])
    #expect(tokenizer.decode(euro, skipSpecial: true) == "€")
    // Only the first space is dropped, and a token of it may come late.
    let space = try id("▁")
    #expect(pieces([space, space, letter]) == ["", " ", "a", ""])
    #expect(pieces([letter, space, letter]) == ["a", " ", "a", ""])
    #expect(pieces([try id("<0x20>"), letter]) == ["", "a", ""])
  }

  @Test func `a stop string is found in the bytes of tokens, also if a character is in several`() throws {
    let tokenizer = try Self.fixture("llama2")
    let ids = tokenizer.encode("7 €.\nnext")
    let texts = tokenizer.tokenTexts
    #expect(String(decoding: ids.flatMap { texts[$0] }, as: UTF8.self) == " 7 €.\nnext")
    let stops = StopStrings(["€.\n"], texts: texts)
    var progress = stops.beginning
    let end = try #require(ids.firstIndex { stops.isCompleted(by: $0, &progress) })
    #expect(tokenizer.decode(Array(ids[...end]), skipSpecial: true) == "7 €.\n")
  }

  // MARK: - Added tokens

  private static func edited(_ name: String, _ key: String, _ value: JSON) throws -> [UInt8] {
    let file = try JSON.parse(TestFiles.fixture("tokenizers/kinds/\(name).json"))
    return JSON.object((file.members ?? []).map { $0.key == key ? JSON.Member(key, value) : $0 }).bytes()
  }

  @Test func `an added token that is in the vocabulary has the vocabulary's id, whatever the file says`() throws {
    let plain = try Tokenizer(file: Self.edited("smollm2", "added_tokens", []))
    let known = try #require(plain.id(of: "sum"))
    let added: JSON = [["id": 9999, "content": "sum", "special": true], ["id": 556, "content": "<new>"]]
    let tokenizer = try Tokenizer(file: Self.edited("smollm2", "added_tokens", added))
    #expect(tokenizer.id(of: "sum") == known && tokenizer.isSpecial(known))
    #expect(tokenizer.encode("xsums<new>") == plain.encode("x") + [known] + plain.encode("s") + [556])
    #expect(tokenizer.decode([known, 556], skipSpecial: true) == "<new>")
    #expect(tokenizer.idBound == 557)
  }

  @Test func `an added token with an id that the library would not give is refused`() throws {
    let added: JSON = [["id": 556, "content": "<one>"], ["id": 560, "content": "<other>"]]
    let file = try Self.edited("smollm2", "added_tokens", added)
    let error = #expect(throws: TokenizerError.self) { try Tokenizer(file: file) }
    #expect(error?.description.contains("added_tokens[1].id is 560, expected 557") == true)
  }

  @Test func `the post-processor says which tokens the library adds`() throws {
    func around(_ tokenizer: Tokenizer) throws -> [[Int32]] {
      let around = try tokenizer.tokensAround()
      return [around.before, around.after]
    }
    let one = try Self.fixture("smollm2")
    #expect(try around(one) == [[556], [557]])
    let two = try Self.fixture("llama2")
    #expect(try around(two) == [[1], []])
    #expect(two.encode("a").first != 1)
    let none = try Tokenizer(file: Self.edited("llama2", "post_processor", .null))
    #expect(try around(none) == [[], []])
    // Text can still be encoded.
    let other = try Tokenizer(file: Self.edited("llama2", "post_processor", ["type": "BertProcessing"]))
    #expect(other.encode("a") == two.encode("a"))
    let error = #expect(throws: TokenizerError.self) { try other.tokensAround() }
    #expect(error?.description.contains("post_processor is BertProcessing") == true)
  }

  // MARK: - Regular expressions

  private static func splitting(with regex: String) throws -> Tokenizer {
    let split: JSON = ["type": "Split", "pattern": ["Regex": .string(regex)], "behavior": "Isolated", "invert": false]
    let byteLevel: JSON = ["type": "ByteLevel", "add_prefix_space": false, "use_regex": false]
    return try Tokenizer(
      file: edited("smollm2", "pre_tokenizer", ["type": "Sequence", "pretokenizers": [split, byteLevel]]))
  }

  /// An expression, and the part that the refusal must name.
  static let refusedExpressions: [(regex: String, part: String)] = {
    let nested = String(repeating: "(", count: 20) + "a" + String(repeating: ")", count: 20)
    let manySets = (0..<70).map { "\\p{L}[\($0)]" }.joined(separator: "|")
    let largeSet = "[" + String(repeating: "é", count: 300) + "]"
    let manyForks = (0..<70).map { "x\($0)" }.joined(separator: "|")
    return [
      (#"\w+"#, #"\w"#), ("a.b", "."), ("^a", "^"), (#"a$|b"#, "$"), (#"a(?<=b)"#, "(?<="), (#"a(?<!b)"#, "(?<!"),
      (#"a(?!bc)"#, "(?!bc"), ("a+?", "+?"), ("a{2}+", "{2}+"), ("(?:ab)++", "(?:ab)++"), (#"[a&&b]"#, "&&"),
      ("[[:alpha:]]", "[:"), ("[a-z-9]", "-9"), ("[z-a]", "z-a"), (#"\p{Han}+"#, #"\p{Han}"#), (#"\bx"#, #"\b"#),
      ("a*", "a*"), ("(?:a?)+", "(?:a?)+"), ("(?i:é)", "é"), ("(?i:kiss)", "ss"), (#"(?i:\p{Lu})"#, #"\p{Lu}"#),
      ("(?i:[^a])", "[^a]"), ("(?i:a+)", "a+"), ("(?s:a)", "(?s:"), ("(a", "(a"), ("a)", ")"), ("[a", "[a"),
      ("a\\", "\\"), (#"\x41"#, #"\x"#), ("a{,3}", "{,3"), ("a{1,999}", "{1,999}"), ("*a", "*"), ("a++b", "a++b"),
      (nested, "((("), (manySets, #"\p{L}[0]"#), (manyForks, "x0|x1"),
      (largeSet, "[éé"),
    ]
  }()

  @Test(arguments: refusedExpressions.indices)
  func `an expression that could be read in another way is refused, and its part is named`(index: Int) throws {
    let (regex, part) = Self.refusedExpressions[index]
    let error = #expect(throws: TokenizerError.self) { try Self.splitting(with: regex) }
    let text = error?.description ?? "accepted"
    #expect(text.contains("an expression with \"\(part)"), "\(regex): \(text)")
  }

  @Test(arguments: [
    "a*b|a", "(?:a|aa)+b|a", "(?:a+)+b|a", "[ab]*[bc]+d|[ab]", #"a(?!b)a*c|a"#, "a{1,64}b|a", "(?:a?a?a?a?)b|a",
    #"\s*[\r\n]+|\s+(?!\S)|\s+|[^b]"#, "(?:ab?)*c|[ab]",
  ])
  func `no expression takes quadratic time`(regex: String) throws {
    let tokenizer = try Self.splitting(with: regex)
    for text in ["a", " ", "ab", "\n "].map({ String(repeating: $0, count: 200_000) }) {
      var count = 0
      let seconds = processorSeconds { count = tokenizer.encode(text).count }
      #expect(count > 0)
      // Measured below 2 s on a busy machine; a search that starts anew at each character takes minutes.
      #expect(seconds < 20, "\(seconds) s")
    }
  }

  // MARK: - What is not supported

  static let refusals: [(kind: String, key: String, value: JSON, words: String)] = [
    ("llama2", "pre_tokenizer", ["type": "Whitespace"], "pre_tokenizer is Whitespace"),
    ("llama2", "pre_tokenizer", ["type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"], "first, after"),
    ("mistral", "pre_tokenizer", ["type": "Metaspace", "replacement": "__"], "expected one character"),
    (
      "mistral", "pre_tokenizer", ["type": "Metaspace", "replacement": "▁", "prepend_scheme": "x"],
      "always, first, never"
    ),
    (
      "mistral", "pre_tokenizer", ["type": "Metaspace", "replacement": "▁", "add_prefix_space": false],
      "add_prefix_space is false"
    ),
    ("mistral", "pre_tokenizer", ["type": "Digits"], "individual_digits is missing"),
    ("mistral", "pre_tokenizer", ["type": "ByteLevel"], "with the pre-tokenizer ByteLevel"),
    (
      "gemma", "pre_tokenizer", ["type": "Split", "pattern": ["String": ""], "behavior": "Isolated"],
      "pattern.String is empty"
    ),
    ("gemma", "pre_tokenizer", ["type": "Split", "pattern": ["String": " "], "behavior": "Merged"], "MergedWithNext"),
    ("smollm2", "pre_tokenizer", ["type": "Digits", "individual_digits": true], "without the pre-tokenizer ByteLevel"),
    ("llama2", "decoder", ["type": "Metaspace"], "decoder is Metaspace"),
    ("llama2", "decoder", ["type": "Sequence", "decoders": [["type": "Fuse"], ["type": "ByteFallback"]]], "[1]"),
    (
      "llama2", "decoder",
      ["type": "Sequence", "decoders": [["type": "Strip", "content": " ", "start": 1, "stop": 0]]], "after Fuse"
    ),
    (
      "llama2", "decoder",
      [
        "type": "Sequence",
        "decoders": [["type": "Fuse"], ["type": "Strip", "content": " ", "start": 1, "stop": 1]],
      ], "with the stop 0"
    ),
    ("llama2", "normalizer", ["type": "Replace", "pattern": ["Regex": " "], "content": "▁"], "normalizer.pattern"),
    ("llama2", "normalizer", ["type": "Replace", "pattern": ["String": ""], "content": "▁"], "is empty"),
    ("llama2", "normalizer", ["type": "Prepend", "prepend": "a long text of many bytes"], "at most 16 bytes"),
    (
      "llama2", "normalizer",
      [
        "type": "Sequence",
        "normalizers": .array(
          Array(repeating: ["type": "Replace", "pattern": ["String": "a"], "content": "aaaa"], count: 3)),
      ], "at most 16 times as long"
    ),
    ("llama2", "normalizer", ["type": "Replace", "pattern": ["String": "<think>"], "content": ""], "some text after"),
  ]

  @Test(arguments: refusals.indices)
  func `what is not supported is refused by name`(index: Int) throws {
    let (kind, key, value, words) = Self.refusals[index]
    let file = try Self.edited(kind, key, value)
    let error = #expect(throws: TokenizerError.self) { try Tokenizer(file: file) }
    #expect(error?.description.contains(words) == true, "\(error.map(\.description) ?? "accepted")")
  }

  @Test func `loading a damaged file, and using it, never traps`() throws {
    var random = Damage(seed: 12)
    for kind in ["llama2", "mistral", "deepseek-v3", "merged", "few-bytes"] {
      let file = try TestFiles.fixture("tokenizers/kinds/\(kind).json")
      var loaded = 0
      for _ in 0..<600 {
        guard let tokenizer = try? Tokenizer(file: random.mutation(of: file)) else { continue }
        loaded += 1
        let ids = tokenizer.encode("We've <think>12 \u{e9}e\u{301}</think>\n 数と。▁<0x41>")
        _ = tokenizer.decode(ids + [0, 300, -1], skipSpecial: true)
      }
      #expect(loaded > 10, "\(kind)")
    }
  }
}
