// JSON: a value tree for RFC 8259 text, with members in the order of the file.
//
// Foundation is kept out of the pure targets, and its JSON would not do anyway: members must keep their order (a config
// written back should look like itself), numbers must keep their spelling (an answer "142.0" is not "142"), and a
// vocabulary of 300,000 strings must load in a moment. So a number here is its literal, and an object is a list.
//
// JSONParser.swift makes these from bytes, JSONWriter.swift makes bytes from these.
// Not here: mapping to Swift types (each reader takes the members it knows), comments, trailing commas.

package enum JSON: Sendable, Equatable {
  case null
  case bool(Bool)
  case number(Number)
  case string(String)
  case array([JSON])
  case object([Member])

  /// A number as it was spelled. Big integers and exact decimals survive; arithmetic is the reader's business.
  package struct Number: Sendable, Equatable {
    /// Follows the grammar of RFC 8259, section 6.
    package let literal: String

    /// - Parameter literal: must follow the JSON grammar; only the parser and the initialisers below call this.
    init(literal: String) { self.literal = literal }

    package init(_ value: Int) { literal = String(value) }

    /// - Returns: the integer, or nil for a literal with a fraction or an exponent, or one beyond 64 bits.
    package var int: Int? { Int(literal) }
    /// - Returns: the nearest double, or nil beyond the range of doubles.
    package var double: Double? { Double(literal).flatMap { $0.isFinite ? $0 : nil } }
  }

  /// A key and its value, in the place where the file has them.
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
  /// The member's value; nil if there is none or this is no object. Takes time in proportion to the members: walk
  /// `members` once to read many.
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
    case .string(let value): "the string \"\(value.prefix(60))\""
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
  /// Equal byte for byte. Swift's `==` holds "é" equal to "e" with an accent; two JSON keys or tokens are not.
  package func isSameBytes(as other: String) -> Bool { self == other && utf8.elementsEqual(other.utf8) }
}
