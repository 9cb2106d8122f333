// JSON5: what users write by hand is read as Foundation reads it, and every mistake has its place.

import Base
import Foundation
import Testing

@Suite struct JSON5Tests {
  /// A value without places, as Foundation decodes it.
  private enum Plain: Decodable, Equatable {
    case null
    case bool(Bool)
    case number(Double)
    case text(String)
    case list([Plain])
    case object([String: Plain])

    init(from decoder: any Decoder) throws {
      let value = try decoder.singleValueContainer()
      if value.decodeNil() {
        self = .null
      } else if let found = try? value.decode(Bool.self) {
        self = .bool(found)
      } else if let found = try? value.decode(Double.self) {
        self = .number(found)
      } else if let found = try? value.decode(String.self) {
        self = .text(found)
      } else if let found = try? value.decode([Plain].self) {
        self = .list(found)
      } else {
        self = .object(try value.decode([String: Plain].self))
      }
    }

    init(_ json: JSON5) {
      switch json.value {
      case .null: self = .null
      case .bool(let value): self = .bool(value)
      case .number(let text): self = .number(Double(text) ?? .nan)
      case .text(let text): self = .text(text)
      case .list(let elements): self = .list(elements.map { Plain($0) })
      case .object(let members):
        self = .object(Dictionary(uniqueKeysWithValues: members.map { ($0.name, Plain($0.value)) }))
      }
    }
  }

  @Test(arguments: [
    "{}", "[]", "{ a: 1 }", "{ a: 1, }", "[1, 2,]", "{ 'it is': \"quoted\", plain: 'single' }",
    "/* a comment */ { a: 1, // to the end of the line\n b: [ true, false, null ] }",
    "{ n: [0, -1, +1, .5, 5., -.25, 1e3, 1E-4, 0x1F, -0x10, 1.5e+2] }",
    "{ t: 'a\\n\\t\\u00e9\\x41\\'\\\"\\\\ b' }", "\u{FEFF}{ $a_1: '😀\\ud83d\\ude00' }",
    "{\r\n  deep: { er: { st: [ [ [] ] ] } },\r\n}",
  ])
  func `a value is what Foundation reads`(_ text: String) throws {
    let decoder = JSONDecoder()
    decoder.allowsJSON5 = true
    #expect(Plain(try JSON5.parse(Array(text.utf8))) == (try decoder.decode(Plain.self, from: Data(text.utf8))))
  }

  @Test func `integers stay integers, up to 64 bits`() throws {
    let text = "[18446744073709551615, -9223372036854775808, 1e3, 0x10, 1e-4, 5e-7, -0]"
    guard case .list(let elements) = try JSON5.parse(Array(text.utf8)).value else { return #expect(Bool(false)) }
    let numbers = elements.map { if case .number(let number) = $0.value { number } else { "" } }
    #expect(
      numbers == ["18446744073709551615", "-9223372036854775808", "1000", "16", "0.0001", "5e-07", "0"], "\(numbers)")
  }

  /// Foundation keeps the line break, and does not take \v and \0.
  @Test func `a text goes on in the next line, and has the escapes of the specification`() throws {
    #expect(try JSON5.parse(Array("'a \\\n b\\v\\0'".utf8)).value == .text("a  b\u{B}\0"))
  }

  @Test func `every name and value has its place`() throws {
    let json = try JSON5.parse(Array("// first\n{ a: 'é', bb: [\n    { c: 1 } ] }".utf8))
    guard case .object(let members) = json.value, case .list(let elements) = members[1].value.value,
      case .object(let inner) = elements[0].value
    else { return #expect(Bool(false)) }
    #expect(json.line == 2 && json.column == 1)
    #expect(members.map(\.line) == [2, 2] && members.map(\.column) == [3, 11])
    #expect(elements[0].line == 3 && elements[0].column == 5)
    #expect(inner[0].value.line == 3 && inner[0].value.column == 10)
  }

  @Test(arguments: [
    ("", 1, 1, "the end of the file"), ("{ a: ", 1, 6, "the end of the file"), ("{\n  a 1 }", 2, 5, "expected \":\""),
    ("{ a: 1\n  b: 2 }", 2, 3, "expected \",\" or \"}\""), ("{ a: 1, a: 2 }", 1, 9, "occurs twice"),
    ("{ a: 'x\n' }", 1, 6, "the closing quote"), ("{ a: 1.2.3 }", 1, 6, "expected a number"),
    ("{ a: NaN }", 1, 6, "a finite number"), ("{ a: 1e999 }", 1, 6, "expected a number"),
    ("{ a: yes }", 1, 6, "true or false"), ("{} {}", 1, 4, "after the end"), ("/* { a: 1 }", 1, 1, "without its end"),
    ("{ a: '\\ud83d' }", 1, 13, "surrogate"), ("{ , }", 1, 3, "a name"), ("[1, , 2]", 1, 5, "a value"),
  ])
  func `a mistake is reported with its place`(_ text: String, _ line: Int, _ column: Int, _ words: String) {
    do {
      let value = try JSON5.parse(Array(text.utf8))
      Issue.record("\(text) was read as \(value)")
    } catch {
      #expect(error.line == line && error.column == column && "\(error)".contains(words), "\(text): \(error)")
    }
  }

  @Test func `deep and long input is refused, and does not trap`() {
    #expect(throws: JSONError.self) { try JSON5.parse(Array(repeating: UInt8(ascii: "["), count: 1 << 20)) }
    #expect(throws: JSONError.self) { try JSON5.parse([0xFF, 0xFE]) }
    let names = (0..<100_000).map { "a\($0): 1" }.joined(separator: ", ")
    #expect((try? JSON5.parse(Array("{ \(names) }".utf8))) != nil)
  }
}
