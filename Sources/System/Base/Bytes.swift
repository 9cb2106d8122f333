// Bytes: writing numbers into a byte array and reading them back, little-endian, without ever trapping.
//
// Everything binary in ttrl (frames, ledger blobs, checkpoints) goes through these two types. A reader never crashes on
// hostile bytes: it throws an error, and it checks a length before it allocates memory for it.

/// Appends little-endian values to a byte array.
package struct ByteWriter: Sendable {
  package private(set) var bytes: [UInt8] = []

  package init(reserving capacity: Int = 0) { bytes.reserveCapacity(capacity) }

  package mutating func write<Value: FixedWidthInteger>(_ value: Value) {
    var rest = value.littleEndian
    for _ in 0..<(Value.bitWidth / 8) {
      bytes.append(UInt8(truncatingIfNeeded: rest))
      rest = rest >> 8
    }
  }

  package mutating func write(_ value: Bool) { bytes.append(value ? 1 : 0) }
  package mutating func write(_ value: Float) { write(value.bitPattern) }
  package mutating func write(_ value: Double) { write(value.bitPattern) }

  /// A 32-bit count, then the bytes.
  package mutating func write(_ value: [UInt8]) {
    write(UInt32(value.count))
    bytes.append(contentsOf: value)
  }

  /// The bytes alone, without a count.
  package mutating func append(_ raw: [UInt8]) { bytes.append(contentsOf: raw) }

  /// A 32-bit count of UTF-8 bytes, then the bytes.
  package mutating func write(_ value: String) { write(Array(value.utf8)) }

  /// A 32-bit count, then the values.
  package mutating func write(_ values: [Int32]) {
    write(UInt32(values.count))
    for value in values { write(value) }
  }

  package mutating func write(_ values: [Float]) {
    write(UInt32(values.count))
    for value in values { write(value) }
  }
}

/// Why bytes could not be read.
package enum ByteError: Error, Equatable, Sendable {
  /// `needed` more bytes were expected, and `left` bytes remained.
  case truncated(needed: Int, left: Int)
  /// A count is above what its field allows.
  case tooLong(field: String, count: Int, limit: Int)
  /// A field holds a value that has no meaning.
  case invalid(field: String, value: UInt64)
  case notUTF8(field: String)
  /// The message ended before its bytes did.
  case trailing(count: Int)
}

/// Reads little-endian values from a byte array, front to back.
package struct ByteReader: Sendable {
  private let bytes: [UInt8]
  package private(set) var position: Int
  private let end: Int

  package init(_ bytes: [UInt8]) { self.init(bytes, in: 0..<bytes.count) }

  package init(_ bytes: [UInt8], in range: Range<Int>) {
    self.bytes = bytes
    position = range.lowerBound
    end = range.upperBound
  }

  package var remaining: Int { end - position }

  package mutating func read<Value: FixedWidthInteger>(
    _ type: Value.Type = Value.self
  ) throws(ByteError) -> Value {
    let size = Value.bitWidth / 8
    guard remaining >= size else { throw .truncated(needed: size, left: remaining) }
    var value: Value = 0
    for offset in (0..<size).reversed() { value = value << 8 | Value(truncatingIfNeeded: bytes[position + offset]) }
    position += size
    return value
  }

  package mutating func readBool(_ field: String) throws(ByteError) -> Bool {
    let value = try read(UInt8.self)
    guard value <= 1 else { throw .invalid(field: field, value: UInt64(value)) }
    return value == 1
  }

  package mutating func readFloat() throws(ByteError) -> Float { Float(bitPattern: try read(UInt32.self)) }

  /// A 32-bit count. It must be at most `limit`, and the remaining bytes must be able to hold that many elements.
  package mutating func readCount(
    _ field: String, limit: Int, elementBytes: Int
  ) throws(ByteError) -> Int {
    let count = Int(try read(UInt32.self))
    guard count <= limit else { throw .tooLong(field: field, count: count, limit: limit) }
    let needed = count * elementBytes
    guard needed <= remaining else { throw .truncated(needed: needed, left: remaining) }
    return count
  }

  package mutating func readBytes(_ field: String, limit: Int) throws(ByteError) -> [UInt8] {
    try readRaw(count: try readCount(field, limit: limit, elementBytes: 1))
  }

  package mutating func readRaw(count: Int) throws(ByteError) -> [UInt8] {
    guard remaining >= count else { throw .truncated(needed: count, left: remaining) }
    defer { position += count }
    return Array(bytes[position..<position + count])
  }

  package mutating func readString(_ field: String, limit: Int) throws(ByteError) -> String {
    let raw = try readBytes(field, limit: limit)
    guard let text = String(validating: raw, as: UTF8.self) else { throw .notUTF8(field: field) }
    return text
  }

  package mutating func readInt32s(_ field: String, limit: Int) throws(ByteError) -> [Int32] {
    let count = try readCount(field, limit: limit, elementBytes: 4)
    var values: [Int32] = []
    values.reserveCapacity(count)
    for _ in 0..<count { values.append(try read()) }
    return values
  }

  package mutating func readFloats(_ field: String, limit: Int) throws(ByteError) -> [Float] {
    let count = try readCount(field, limit: limit, elementBytes: 4)
    var values: [Float] = []
    values.reserveCapacity(count)
    for _ in 0..<count { values.append(try readFloat()) }
    return values
  }

  /// Call this last: bytes that are left over are an error.
  package func finish() throws(ByteError) {
    guard remaining == 0 else { throw .trailing(count: remaining) }
  }
}
