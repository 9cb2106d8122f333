// The tokenizer against the library that every model was trained with, and against what must hold for any text.

import Base
import Foundation
import LanguageModel
import Testing

/// One text, and what the `tokenizers` library makes of it.
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
  func `small tokenizers agree with the library on awkward text`(name: String) throws {
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
  func `the Qwen2.5 vocabulary gives the library's ids and texts, all 400 of them, and loads within a second`() throws {
    let file = try TestFiles.shared("tokenizer/tokenizer.json")
    let clock = ContinuousClock()
    let start = clock.now
    let tokenizer = try Tokenizer(file: file)
    let elapsed = clock.now - start
    print("tokenizer.json, \(file.count) bytes, loaded in \(elapsed)")
    #expect(elapsed < .seconds(1))
    let vectors = try TokenizerVector.parse(TestFiles.shared("tokenizer/vectors.jsonl"))
    #expect(vectors.count == 400)
    for vector in vectors {
      #expect(tokenizer.encode(vector.text) == vector.ids, "text \(vector.text.debugDescription)")
      let decoded = tokenizer.decode(vector.ids, skipSpecial: false)
      #expect(decoded.isSameBytes(as: vector.decoded), "text \(vector.text.debugDescription)")
    }
  }
}
