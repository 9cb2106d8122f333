// GGUFReader: numbers, strings and values from the beginning of a .gguf file, front to back, never beyond its end.

/// A place in a file. It reads at most `GGUFLimits.headerBytes`.
struct GGUFReader {
  private let bytes: UnsafeRawBufferPointer
  var position = 0
  /// Values of the metadata that were read, elements of lists included.
  private var valueCount = 0

  init(_ file: UnsafeRawBufferPointer) {
    bytes = UnsafeRawBufferPointer(rebasing: file.prefix(GGUFLimits.headerBytes))
  }

  private var left: Int { bytes.count - position }

  func peek(_ count: Int) -> [UInt8] { Array(bytes[position...].prefix(count)) }

  mutating func integer<Value: FixedWidthInteger>(_ type: Value.Type, _ what: String) throws(GGUFError) -> Value {
    let size = MemoryLayout<Value>.size
    try require(UInt64(size), for: what)
    defer { position += size }
    // The format is little-endian, like all machines that ttrl runs on.
    return bytes.loadUnaligned(fromByteOffset: position, as: type)
  }

  /// A 64-bit count of things that take at least `elementBytes` each.
  mutating func count(_ what: String, limit: Int, elementBytes: Int) throws(GGUFError) -> Int {
    let count = try integer(UInt64.self, what)
    guard count <= UInt64(limit) else { throw .tooMany(what: what, count: count, limit: limit) }
    try require(count * UInt64(elementBytes), for: "what \(what), \(count), counts")
    return Int(count)
  }

  /// A 64-bit count of bytes, then as many bytes of UTF-8.
  mutating func string(_ what: String) throws(GGUFError) -> String {
    let count = try integer(UInt64.self, what)
    try require(count, for: what)
    let text = UnsafeRawBufferPointer(rebasing: bytes[position..<position + Int(count)])
    position += Int(count)
    guard let string = String(validating: text, as: UTF8.self) else {
      throw .malformed(what: what, found: "not valid UTF-8", expected: "UTF-8")
    }
    return string
  }

  private func require(_ count: UInt64, for what: String) throws(GGUFError) {
    guard count <= UInt64(left) else { throw .tooShort(what: what, needed: count, left: left) }
  }

  // MARK: Values

  /// A 32-bit type, then the value.
  mutating func value(of key: String) throws(GGUFError) -> GGUFValue {
    let what = "the metadata value \"\(key)\""
    return try value(type: try integer(UInt32.self, what), what, depth: 0)
  }

  /// Bytes of the types that have a fixed size, in the order of their numbers: the integers of 8, 16 and 32 bits,
  /// float, bool; strings and lists, whose counts take 8 and 12 bytes; then the types of 64 bits.
  private static let typeBytes = [1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8]

  private mutating func value(type: UInt32, _ what: String, depth: Int) throws(GGUFError) -> GGUFValue {
    valueCount += 1
    guard valueCount <= GGUFLimits.values else {
      throw .tooMany(what: "the number of values in lists", count: UInt64(valueCount), limit: GGUFLimits.values)
    }
    switch type {
    case 0: return .integer(Int(try integer(UInt8.self, what)))
    case 1: return .integer(Int(try integer(Int8.self, what)))
    case 2: return .integer(Int(try integer(UInt16.self, what)))
    case 3: return .integer(Int(try integer(Int16.self, what)))
    case 4: return .integer(Int(try integer(UInt32.self, what)))
    case 5: return .integer(Int(try integer(Int32.self, what)))
    case 6: return .float(Float(bitPattern: try integer(UInt32.self, what)))
    case 7: return .bool(try integer(UInt8.self, what) != 0)
    case 8: return .string(try string(what))
    case 9: return .array(try list(what, depth: depth + 1))
    case 10:
      let value = try integer(UInt64.self, what)
      return Int(exactly: value).map(GGUFValue.integer) ?? .large(value)
    case 11: return .integer(Int(try integer(Int64.self, what)))
    case 12: return .double(Double(bitPattern: try integer(UInt64.self, what)))
    default: throw .malformed(what: "the type of \(what)", found: "\(type)", expected: "a type from 0 to 12")
    }
  }

  /// A 32-bit type and a 64-bit count, then the elements.
  private mutating func list(_ what: String, depth: Int) throws(GGUFError) -> [GGUFValue] {
    guard depth <= GGUFLimits.depth else {
      throw .malformed(
        what: what, found: "a list in more than \(GGUFLimits.depth - 1) lists", expected: "a list of plain values")
    }
    let type = try integer(UInt32.self, what)
    guard type < Self.typeBytes.count else {
      throw .malformed(what: "the element type of \(what)", found: "\(type)", expected: "a type from 0 to 12")
    }
    let count = try count(
      "the number of elements of \(what)", limit: GGUFLimits.values, elementBytes: Self.typeBytes[Int(type)])
    var values: [GGUFValue] = []
    values.reserveCapacity(count)
    for _ in 0..<count { values.append(try value(type: type, what, depth: depth)) }
    return values
  }
}
