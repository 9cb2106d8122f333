// JSON: a value tree for RFC 8259 text, with members in the order of the file.
//
// Pure targets do not import Foundation, and its JSON would not be enough: members must keep their order (a
// configuration that is read and written must stay the same), numbers must keep their spelling (the answer "142.0" is
// not "142"), and a vocabulary of 300,000 strings must load fast. So a number here is its literal, and an object is a
// list.
//
// JSONParser.swift turns bytes into JSON values, JSONWriter.swift turns them into bytes. Not here: mapping to Swift
// types (each reader takes the members it knows), comments, trailing commas.

package enum JSON: Sendable, Equatable {
  case null
  case bool(Bool)
  case number(Number)
  case string(String)
  case array([JSON])
  case object([Member])

  /// A number as it was spelled. Large integers and exact decimals are kept; the reader does the arithmetic.
  package struct Number: Sendable, Equatable {
    /// Follows the grammar of RFC 8259, section 6.
    package let literal: String

    /// - Parameter literal: must follow the JSON grammar; only the parser and the initialisers below call this.
    init(literal: String) { self.literal = literal }

    package init(_ value: Int) { literal = String(value) }

    /// - Returns: the integer, or nil for a literal that has a fraction or an exponent, or that needs more than 64
    ///   bits.
    package var int: Int? { Int(literal) }
    /// - Returns: the nearest double, or nil outside the range of doubles.
    package var double: Double? { Double(literal).flatMap { $0.isFinite ? $0 : nil } }
  }

  /// A key and its value.
  package struct Member: Sendable, Equatable {
    package var key: String
    package var value: JSON

    package init(_ key: String, _ value: JSON) {
      self.key = key
      self.value = value
    }
  }
}

// MARK: - Reading a tree

extension JSON {
  /// The member's value; nil if there is none or this is not an object. The time grows with the number of members: to
  /// read many, walk `members` once.
  package subscript(key: String) -> JSON? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.key.isSameBytes(as: key) }?.value
  }

  package var string: String? {
    guard case .string(let value) = self else { return nil }
    return value
  }

  package var bool: Bool? {
    guard case .bool(let value) = self else { return nil }
    return value
  }

  package var int: Int? {
    guard case .number(let value) = self else { return nil }
    return value.int
  }

  package var double: Double? {
    guard case .number(let value) = self else { return nil }
    return value.double
  }

  package var elements: [JSON]? {
    guard case .array(let values) = self else { return nil }
    return values
  }

  package var members: [Member]? {
    guard case .object(let members) = self else { return nil }
    return members
  }

  package var isNull: Bool { self == .null }

  /// What this is, for messages: "an object", "the number 3", "the string \"x\"".
  package var summary: String {
    switch self {
    case .null: "null"
    case .bool(let value): "\(value)"
    case .number(let value): "the number \(value.literal.prefix(40))"
    case .string(let value): "the string \"\(value.prefix(60).visible)\""
    case .array(let values): "an array of \(values.count)"
    case .object: "an object"
    }
  }
}

// MARK: - Building a tree

extension JSON {
  package static func int(_ value: Int) -> JSON { .number(Number(value)) }

  /// The shortest decimal that reads back as the same double. JSON has no infinities and no NaN: those become null.
  package static func double(_ value: Double) -> JSON {
    value.isFinite ? .number(Number(literal: "\(value)")) : .null
  }

  /// The shortest decimal that reads back as the same float; null where it is not finite.
  package static func float(_ value: Float) -> JSON {
    value.isFinite ? .number(Number(literal: "\(value)")) : .null
  }

  package static func optional(_ value: String?) -> JSON { value.map { .string($0) } ?? .null }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  package init(stringLiteral value: String) { self = .string(value) }
  package init(integerLiteral value: Int) { self = .int(value) }
  package init(booleanLiteral value: Bool) { self = .bool(value) }
  package init(arrayLiteral elements: JSON...) { self = .array(elements) }

  /// Members in the order written.
  package init(dictionaryLiteral elements: (String, JSON)...) { self = .object(elements.map { Member($0.0, $0.1) }) }
}

extension String {
  /// Equal byte for byte. For Swift's `==`, "é" equals "e" followed by a combining accent; as JSON keys or tokens they
  /// differ.
  package func isSameBytes(as other: String) -> Bool { self == other && utf8.elementsEqual(other.utf8) }
}
