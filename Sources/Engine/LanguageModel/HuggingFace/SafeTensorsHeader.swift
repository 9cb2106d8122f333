// SafeTensorsHeader: the tensors that a .safetensors file says it has, checked before they are used.
//
// The format: 8 bytes with the length of the JSON, the JSON with each tensor's type, shape and byte range, then the
// data. No offset is used before it is known to be inside the file, so any bytes give a header or a named error. Gaps
// between tensors are allowed, overlaps are not.
//
// Source: https://github.com/huggingface/safetensors, README, "Format".

package import Base

/// The tensors of one file.
package struct SafeTensorsHeader: Sendable, Equatable {
  package struct Entry: Sendable, Equatable {
    package var name: String
    /// "BF16", "F32", …: one of the format's types. Not every one of them can be a type of weights (`WeightType`).
    package var type: String
    package var shape: [Int]
    /// Where the data is, counted from the beginning of the file.
    package var bytes: Range<Int>
  }

  /// In the order of the header.
  package let entries: [Entry]
  package let fileBytes: Int

  /// The reference implementation's limit.
  package static let headerBytesMax = 100_000_000

  /// The bytes of each type's elements.
  private static let typeBytes: [(name: String, bytes: Int)] = [
    ("BOOL", 1), ("U8", 1), ("I8", 1), ("F8_E5M2", 1), ("F8_E4M3", 1), ("I16", 2), ("U16", 2), ("F16", 2), ("BF16", 2),
    ("I32", 4), ("U32", 4), ("F32", 4), ("F64", 8), ("I64", 8), ("U64", 8),
  ]
}

/// Why a .safetensors file cannot be read.
package enum SafeTensorsError: Error, Equatable, Sendable {
  case tooShort(fileBytes: Int)
  case headerTooLong(headerBytes: UInt64, limit: Int)
  case notJSON(JSONError)
  case malformed(tensor: String, found: String, expected: String)
  case unknownType(tensor: String, type: String)
  /// Shape and type do not give the number of bytes of the range.
  case sizeMismatch(tensor: String, shape: [Int], type: String, bytes: Int)
  case outOfRange(tensor: String, end: Int, dataBytes: Int)
  case overlap(String, String)
}

extension SafeTensorsError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .tooShort(let bytes):
      "the file has \(bytes) bytes, too few for its header; was it copied completely?"
    case .headerTooLong(let bytes, let limit):
      "the header says that it has \(bytes) bytes, but at most \(limit) fit; is this a complete .safetensors file?"
    case .notJSON(let error): "the header is not JSON: \(error)"
    case .malformed(let tensor, let found, let expected): "tensor \"\(tensor)\": found \(found), expected \(expected)"
    case .unknownType(let tensor, let type): "tensor \"\(tensor)\" has the unknown type \"\(type)\""
    case .sizeMismatch(let tensor, let shape, let type, let bytes):
      "tensor \"\(tensor)\" is \(shape) \(type), but its range has \(bytes) bytes"
    case .outOfRange(let tensor, let end, let bytes):
      "tensor \"\(tensor)\" ends at byte \(end), but there are \(bytes) bytes of data; was the file copied completely?"
    case .overlap(let one, let other): "tensors \"\(one)\" and \"\(other)\" share bytes"
    }
  }
}

extension SafeTensorsHeader {
  /// How many bytes of the beginning of the file `init(_:fileBytes:)` needs.
  /// - Parameters:
  ///   - beginning: at least the first 8 bytes of the file.
  ///   - fileBytes: the size of the file.
  /// - Returns: at most `fileBytes`.
  /// - Throws: if the file is shorter than its header says.
  package static func size(_ beginning: [UInt8], fileBytes: Int) throws(SafeTensorsError) -> Int {
    guard fileBytes >= 8, beginning.count >= 8 else { throw .tooShort(fileBytes: min(fileBytes, beginning.count)) }
    let length = beginning.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    let limit = min(fileBytes - 8, headerBytesMax)
    guard length <= UInt64(limit) else { throw .headerTooLong(headerBytes: length, limit: limit) }
    return 8 + Int(length)
  }

  /// - Parameters:
  ///   - beginning: the first bytes of the file, at least as many as `size` returns.
  ///   - fileBytes: the size of the file.
  /// - Throws: the problem of the first tensor whose entry cannot be true.
  package init(_ beginning: [UInt8], fileBytes: Int) throws(SafeTensorsError) {
    let dataStart = try Self.size(beginning, fileBytes: fileBytes)
    guard beginning.count >= dataStart else { throw .tooShort(fileBytes: beginning.count) }
    let json: JSON
    do { json = try JSON.parse(beginning, in: 8..<dataStart) } catch { throw .notJSON(error) }
    guard let members = json.members else {
      throw .malformed(tensor: "", found: json.summary, expected: "an object of tensors")
    }
    var entries: [Entry] = []
    for member in members where member.key != "__metadata__" {
      entries.append(try Self.entry(member.key, member.value, dataStart: dataStart, fileBytes: fileBytes))
    }
    try Self.refuseOverlaps(entries)
    self.entries = entries
    self.fileBytes = fileBytes
  }

  /// The header of a whole file, in memory or mapped.
  package init(_ file: UnsafeRawBufferPointer) throws(SafeTensorsError) {
    let size = try Self.size(Array(file.prefix(8)), fileBytes: file.count)
    try self.init(Array(file.prefix(size)), fileBytes: file.count)
  }

  private static func entry(
    _ name: String, _ json: JSON, dataStart: Int, fileBytes: Int
  ) throws(SafeTensorsError) -> Entry {
    guard let type = json["dtype"]?.string else {
      throw .malformed(tensor: name, found: json["dtype"]?.summary ?? "no dtype", expected: "a dtype")
    }
    guard let elementBytes = typeBytes.first(where: { $0.name == type })?.bytes else {
      throw .unknownType(tensor: name, type: type)
    }
    let shape = try naturals(json["shape"], "shape", of: name)
    let range = try naturals(json["data_offsets"], "data_offsets", of: name)
    guard range.count == 2, range[0] <= range[1] else {
      throw .malformed(tensor: name, found: "data_offsets \(range)", expected: "a beginning and an end")
    }
    guard range[1] <= fileBytes - dataStart else {
      throw .outOfRange(tensor: name, end: range[1], dataBytes: fileBytes - dataStart)
    }
    guard byteCount(shape, elementBytes) == range[1] - range[0] else {
      throw .sizeMismatch(tensor: name, shape: shape, type: type, bytes: range[1] - range[0])
    }
    return Entry(name: name, type: type, shape: shape, bytes: dataStart + range[0]..<dataStart + range[1])
  }

  private static func naturals(_ json: JSON?, _ key: String, of name: String) throws(SafeTensorsError) -> [Int] {
    let values = json?.elements?.map { $0.int ?? -1 }
    guard let values, values.allSatisfy({ $0 >= 0 }) else {
      throw .malformed(
        tensor: name, found: "\(key) \(json?.text() ?? "missing")", expected: "a list of integers from 0")
    }
    return values
  }

  /// nil if the number does not fit in 64 bits.
  private static func byteCount(_ shape: [Int], _ elementBytes: Int) -> Int? {
    var count = elementBytes
    for size in shape {
      let (product, overflows) = count.multipliedReportingOverflow(by: size)
      if overflows { return nil }
      count = product
    }
    return count
  }

  private static func refuseOverlaps(_ entries: [Entry]) throws(SafeTensorsError) {
    let inOrder = entries.filter { !$0.bytes.isEmpty }.sorted { $0.bytes.lowerBound < $1.bytes.lowerBound }
    for (one, other) in zip(inOrder, inOrder.dropFirst()) where one.bytes.upperBound > other.bytes.lowerBound {
      throw .overlap(one.name, other.name)
    }
  }
}

/// model.safetensors.index.json: which file has which tensor.
package struct SafeTensorsIndex: Sendable, Equatable {
  /// The files, each once, sorted by name.
  package let files: [String]
  /// In the order of the index.
  package let places: [(tensor: String, file: String)]

  package static func == (left: Self, right: Self) -> Bool {
    left.files == right.files && left.places.elementsEqual(right.places, by: ==)
  }

  /// - Throws: also if a file name leads out of the model's folder.
  package init(_ bytes: [UInt8]) throws(SafeTensorsError) {
    let json: JSON
    do { json = try JSON.parse(bytes) } catch { throw .notJSON(error) }
    guard let members = json["weight_map"]?.members else {
      throw .malformed(tensor: "", found: json.summary, expected: "an index with a weight_map")
    }
    var places: [(tensor: String, file: String)] = []
    for member in members {
      guard let file = member.value.string, Self.isPlainName(file) else {
        throw .malformed(tensor: member.key, found: member.value.summary, expected: "the name of a file in this folder")
      }
      places.append((member.key, file))
    }
    self.places = places
    files = places.map(\.file).sorted().reduce(into: []) { if $0.last != $1 { $0.append($1) } }
  }

  private static func isPlainName(_ name: String) -> Bool {
    !name.isEmpty && !name.hasPrefix(".") && !name.utf8.contains { $0 == UInt8(ascii: "/") || $0 < 0x20 }
  }
}
