// JSON: what is read, what is refused and where, and that no input makes the parser trap or slow.

import Base
import Testing

@Suite struct JSONReadingTests {
  @Test func `members keep their order and numbers their spelling`() throws {
    let text = #"{"z":1.50,"a":[123456789012345678901234567890,-0,1E+2],"m":{"é":null},"":true}"#
    let json = try JSON.parse(text)
    #expect(json.text() == text)
    #expect(json.members?.map(\.key) == ["z", "a", "m", ""])
    #expect(json["z"]?.double == 1.5)
    #expect(json["a"]?.elements?[0].int == nil)
    #expect(json["m"]?["é"]?.isNull == true)
  }

  @Test(arguments: [
    (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"), (#""é\u00e9\u0065""#, "\u{e9}\u{e9}e"),
    (#""\ud83d\ude00""#, "😀"), (#""\u0000""#, "\0"), (#""""#, ""), (" \t\r\n\"x\" ", "x"),
  ])
  func `escapes in strings are decoded`(text: String, expected: String) throws {
    #expect(try JSON.parse(text).string?.isSameBytes(as: expected) == true)
  }

  @Test func `keys with the same glyphs but different bytes are different keys`() throws {
    let json = try JSON.parse("{\"e\u{301}\":1,\"\u{e9}\":2}")
    #expect(json["\u{e9}"]?.int == 2)
    #expect(json["e\u{301}"]?.int == 1)
  }

  @Test(arguments: ["1.0", "-0.0", "1e-06", "3.4028235e+38", "5e-324", "0.1"])
  func `doubles read back as written`(text: String) throws {
    let value = try #require(Double(text))
    #expect(try JSON.parse(JSON.double(value).text()).double == value)
  }

  @Test func `a number outside the range of doubles has no double value, and infinities are written as null`() throws {
    #expect(try JSON.parse("1e999").double == nil)
    #expect(JSON.double(.infinity).isNull)
    #expect(JSON.float(.nan).isNull)
  }

  @Test func `each element of an array has its line`() throws {
    var lines: [Int] = []
    var values: [JSON] = []
    try JSON.parseElements(Array("[\n  1,\n\n  {\"a\":\n2}, 3\n]".utf8), limit: 8) { line, value in
      lines.append(line)
      values.append(value)
    }
    #expect(lines == [2, 4, 5] && values == [1, ["a": 2], 3])
  }

  @Test(arguments: ["\"12345678\"", "123456789", "[[[[]]]]  ", "{\"a\":false}", "\"\\u00e900\""])
  func `an element above the limit is refused, whatever it is, and one at the limit is not`(text: String) {
    let element = text.filter { $0 != " " }
    func problem(limit: Int) -> JSONError.Problem? {
      do throws(JSONError) {
        try JSON.parseElements(Array("[1,\n \(text), 2]".utf8), limit: limit) { _, _ in }
        return nil
      } catch { return error.problem }
    }
    for limit in 1..<element.utf8.count { #expect(problem(limit: limit) == .tooLong(limit: limit)) }
    #expect(problem(limit: element.utf8.count) == nil)
  }
}

@Suite struct JSONRefusalTests {
  private static func refusal(of bytes: [UInt8]) -> JSONError? {
    do {
      _ = try JSON.parse(bytes)
      return nil
    } catch { return error }
  }

  @Test(arguments: [
    ("", 1, 1), ("  ", 1, 3), ("[1,]", 1, 4), ("[1 2]", 1, 4), ("{\"a\" 1}", 1, 6), ("{a:1}", 1, 2),
    ("{\"a\":1,}", 1, 8), ("[1", 1, 3), ("\"x", 1, 3), ("01", 1, 2), ("-", 1, 2), ("1.", 1, 3), (".5", 1, 1),
    ("1e", 1, 3), ("+1", 1, 1), ("NaN", 1, 1), ("tru", 1, 1), ("\"\\x\"", 1, 3), ("\"\\u12g4\"", 1, 6),
    ("[\n\n  é]", 3, 3), ("\"a\nb\"", 1, 3), ("'x'", 1, 1), ("{\"é\":1,\n \"é\" 2}", 2, 6),
  ])
  func `malformed text is refused at the place of the error`(text: String, line: Int, column: Int) throws {
    let error = try #require(Self.refusal(of: Array(text.utf8)))
    guard case .unexpected = error.problem else {
      Issue.record("\(error)")
      return
    }
    #expect([error.line, error.column] == [line, column], "\(error)")
  }

  @Test func `duplicate keys, lone surrogates and trailing bytes have their own errors`() throws {
    func problem(_ text: String) -> JSONError.Problem? { Self.refusal(of: Array(text.utf8))?.problem }
    #expect(problem(#"{"a":1,"b":2,"a":3}"#) == .duplicateKey("a"))
    #expect(problem(#"{"a":1,"\u0061":3}"#) == .duplicateKey("a"))
    #expect(problem(#""\ud83d""#) == .loneSurrogate(0xD83D))
    #expect(problem(#""\ude00\ud83d""#) == .loneSurrogate(0xDE00))
    #expect(problem(#""\ud83dA""#) == .loneSurrogate(0xD83D))
    #expect(problem("1 2") == .trailingBytes(found: "\"2\""))
    #expect(problem("{}\0") == .trailingBytes(found: "byte 0x00"))
  }

  @Test(arguments: [[0xFF], [0x80], [0xC0, 0xAF], [0xE2, 0x82], [0xED, 0xA0, 0x80], [0xF5, 0x80, 0x80, 0x80]])
  func `bytes that are not UTF-8 are refused at the first bad byte`(bad: [UInt8]) {
    for escape in ["", "\\n"] {
      let text = Array("\n\"é".utf8) + Array(escape.utf8) + bad + Array("\"".utf8)
      let expected = JSONError(line: 2, column: 3 + escape.count, problem: .invalidUTF8)
      #expect(Self.refusal(of: text) == expected)
    }
  }

  @Test func `nesting is bounded, in arrays and in objects`() throws {
    let limit = JSON.depthMax
    #expect(try JSON.parse(String(repeating: "[", count: limit) + String(repeating: "]", count: limit)).elements != nil)
    for bracket in ["[", "{\"a\":"] {
      let text = String(repeating: bracket, count: 100_000)
      #expect(Self.refusal(of: Array(text.utf8))?.problem == .tooDeep(limit: limit))
    }
  }

  @Test func `a repeated key is also found in a large object, and the first repetition is reported`() throws {
    let members = (0..<5000).map { "\"k\($0)\":\($0)" } + ["\"k17\":0", "\"k3\":0"]
    let error = try #require(Self.refusal(of: Array("{\(members.joined(separator: ",\n"))}".utf8)))
    #expect(error == JSONError(line: 5001, column: 1, problem: .duplicateKey("k17")))
  }
}

@Suite struct JSONWritingTests {
  @Test func `pretty text has one member per line`() {
    let json: JSON = ["a": [1, [], "x\"\u{1}"], "b": [:]]
    let expected = """
      {
        "a": [
          1,
          [],
          "x\\"\\u0001"
        ],
        "b": {}
      }
      """
    #expect(json.text(.pretty) == expected)
    #expect(json.text() == #"{"a":[1,[],"x\"\u0001"],"b":{}}"#)
  }

  @Test(arguments: 0..<200)
  func `any value is the same after it is written and read, in both layouts`(seed: UInt64) throws {
    var random = Random(seed: seed)
    let json = random.json(depth: 5)
    for layout in [JSON.Layout.compact, .pretty] {
      let bytes = json.bytes(layout)
      let copy = try JSON.parse(bytes)
      #expect(copy == json && copy.bytes(layout) == bytes, "seed \(seed)")
    }
  }
}

@Suite struct JSONRobustnessTests {
  @Test
  func `no mutation of a document makes the parser trap, and accepted values are the same after writing and reading`()
    throws
  {
    let document = Array(
      #"{"id":"17","a":[1,-2.5e-3,true,null,"é\ud83d\ude00\n"],"b":{"c":{},"d":[[[]]]},"é":"日本"}"#.utf8)
    var random = Random(seed: 1)
    var accepted = 0
    for _ in 0..<20_000 {
      let bytes = random.mutation(of: document)
      guard let json = try? JSON.parse(bytes) else { continue }
      accepted += 1
      #expect(try JSON.parse(json.bytes()) == json, "bytes \(bytes)")
    }
    #expect(accepted > 100)
  }

  @Test func `five megabytes of vocabulary parse in less than three seconds`() throws {
    var text = "{\"vocab\":{"
    for id in 0..<150_000 { text += "\(id == 0 ? "" : ",")\"Ġtoken\(id)\":\(id)" }
    text += "},\"merges\":["
    for id in 0..<100_000 { text += "\(id == 0 ? "" : ",")[\"Ġtok\(id)\",\"é\"]" }
    let bytes = Array((text + "]}").utf8)
    let clock = ContinuousClock()
    var json = JSON.null
    let elapsed = try clock.measure { json = try JSON.parse(bytes) }
    print("JSON: \(bytes.count) bytes in \(elapsed)")
    #expect(json["vocab"]?.members?.count == 150_000)
    // The aim is 0.3 s; 0.1 s was measured; the rest is for a busy machine. Quadratic time would take minutes.
    #expect(elapsed < .seconds(3))
  }
}

/// A small generator of documents and of damage. The seed determines every value.
struct Random {
  private var state: UInt64

  init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1 }

  /// splitmix64.
  mutating func below(_ bound: Int) -> Int {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return Int((z ^ z >> 31) % UInt64(bound))
  }

  mutating func json(depth: Int) -> JSON {
    switch below(depth > 0 ? 7 : 5) {
    case 0: .null
    case 1: .bool(below(2) == 0)
    case 2: .int(below(1 << 40) - 1 << 39)
    case 3: .double(Double(below(1 << 40)) / 1024 / 1024 - 1000)
    case 4: .string(string())
    case 5: .array((0..<below(5)).map { _ in json(depth: depth - 1) })
    default: .object((0..<below(12)).map { .init("\($0)" + string(), json(depth: depth - 1)) })
    }
  }

  mutating func string() -> String {
    let scalars: [Unicode.Scalar] = ["a", "\"", "\\", "\0", "\u{1F}", "é", "日", "😀", "\u{301}", "\u{7F}", "/", "\n"]
    var text = String.UnicodeScalarView()
    for _ in 0..<below(8) { text.append(scalars[below(scalars.count)]) }
    return String(text)
  }

  /// One to four changes: a byte changed, removed or doubled, or the end cut off.
  mutating func mutation(of document: [UInt8]) -> [UInt8] {
    var bytes = document
    for _ in 0...below(3) where !bytes.isEmpty {
      let place = below(bytes.count)
      switch below(5) {
      case 0: bytes[place] = UInt8(below(256))
      case 1: bytes.remove(at: place)
      case 2: bytes.insert(bytes[below(bytes.count)], at: place)
      case 3: bytes[place] = bytes[below(bytes.count)]
      default: if below(8) == 0 { bytes.removeLast(bytes.count - place) }
      }
    }
    return bytes
  }
}
