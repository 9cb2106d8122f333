// GGUFFile: what a .gguf file says it has, checked before it is used.
//
// The format: "GGUF", a version, two counts; then metadata, each a key, a type and a value; then for each tensor its
// name, shape, type and place; then, from a multiple of the alignment on, the data. Every count and every length is
// compared with what is left of the file before anything is allocated for it, and every tensor's place with the file
// and with the other tensors, so any bytes give a file or a named error. A tensor of a type that has no decoder is an
// error here already, with the type's name.
//
// Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
// Not here: what the keys mean (LanguageModel/GGUF), the values of tensors (Dequantization.swift).

/// The metadata and the tensors of one file.
package struct GGUFFile: Sendable, Equatable {
  package struct Tensor: Sendable, Equatable {
    package var name: String
    package var type: BlockType
    /// The slowest dimension first, as in safetensors. (The file has it the other way round.)
    package var shape: [Int]
    /// Where the data is, counted from the beginning of the file.
    package var bytes: Range<Int>

    package var count: Int { shape.reduce(1, *) }
  }

  package let version: UInt32
  /// In the order of the file; no key comes twice.
  package let metadata: [(key: String, value: GGUFValue)]
  /// In the order of the file; no name comes twice.
  package let tensors: [Tensor]
  package let fileBytes: Int

  package static let magic = Array("GGUF".utf8)

  package static func == (left: Self, right: Self) -> Bool {
    left.version == right.version && left.tensors == right.tensors && left.fileBytes == right.fileBytes
      && left.metadata.elementsEqual(right.metadata, by: ==)
  }

  package subscript(key: String) -> GGUFValue? { metadata.first { $0.key == key }?.value }
}

/// One value of the metadata.
package enum GGUFValue: Sendable, Equatable {
  case integer(Int)
  /// An unsigned number of more than 63 bits. No known key has one.
  case large(UInt64)
  case float(Float)
  case double(Double)
  case bool(Bool)
  case string(String)
  case array([GGUFValue])

  package var int: Int? {
    guard case .integer(let value) = self else { return nil }
    return value
  }

  /// Also of an integer.
  package var number: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .float(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }

  package var bool: Bool? {
    guard case .bool(let value) = self else { return nil }
    return value
  }

  package var string: String? {
    guard case .string(let value) = self else { return nil }
    return value
  }

  package var elements: [GGUFValue]? {
    guard case .array(let values) = self else { return nil }
    return values
  }

  /// For messages.
  package var summary: String {
    switch self {
    case .integer(let value): "\(value)"
    case .large(let value): "\(value)"
    case .float(let value): "\(value)"
    case .double(let value): "\(value)"
    case .bool(let value): "\(value)"
    case .string(let value): "\"\(value.unicodeScalars.count <= 60 ? value : value.prefix(60) + "…")\""
    case .array(let values): "a list of \(values.count)"
    }
  }
}

/// Why a .gguf file cannot be read.
package enum GGUFError: Error, Equatable, Sendable {
  case notGGUF(beginning: [UInt8])
  case version(UInt32)
  /// The machine that wrote the file stores numbers the other way round.
  case bigEndian
  /// `what` needs more bytes than the file has left.
  case tooShort(what: String, needed: UInt64, left: Int)
  case tooMany(what: String, count: UInt64, limit: Int)
  case malformed(what: String, found: String, expected: String)
  case repeated(what: String, name: String)
  /// The type has no decoder: its name, or its number if it has no name.
  case unsupportedType(tensor: String, type: String)
  case outOfFile(tensor: String, end: UInt64, dataBytes: Int)
  case overlap(String, String)
}

extension GGUFError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .notGGUF(let beginning):
      "the file begins with the bytes \(beginning), expected \"GGUF\". Is it a GGUF file, and was it copied completely?"
    case .version(let version): "the file has version \(version) of GGUF, expected 2 or 3. Convert the model again"
    case .bigEndian: "the file is big-endian, expected little-endian. Convert the model again on a machine of this kind"
    case .tooShort(let what, let needed, let left):
      "\(what) needs \(needed) bytes, but the file has \(left) left. Was it copied completely?"
    case .tooMany(let what, let count, let limit): "\(what) is \(count), expected at most \(limit)"
    case .malformed(let what, let found, let expected): "\(what) is \(found), expected \(expected)"
    case .repeated(let what, let name): "\(what) \"\(name)\" is in the file twice"
    case .unsupportedType(let tensor, let type):
      "tensor \"\(tensor)\" is \(type), which ttrl does not read; read: \(BlockType.names). Make a file of one of "
        + "these types from the original model, for example with llama-quantize"
    case .outOfFile(let tensor, let end, let bytes):
      "tensor \"\(tensor)\" ends at byte \(end) of the data, which has \(bytes). Was the file copied completely?"
    case .overlap(let one, let other): "tensors \"\(one)\" and \"\(other)\" share bytes"
    }
  }
}

/// Bounds of what is read into memory. All are far above any file in use, and together they keep a made-up file from
/// using more memory than a real one.
enum GGUFLimits {
  /// The metadata and the list of tensors. The largest have 20 MB, nearly all of it the vocabulary and its merges.
  static let headerBytes = 256 << 20
  /// Values in the metadata, elements of lists included; each takes 24 bytes. The largest vocabularies have 260,000
  /// tokens, each with a type and a score, and 500,000 merges.
  static let values = 8 << 20
  /// Lists in lists. No known key has them.
  static let depth = 4
  /// The format's own limit.
  static let dimensions = 4
  /// 400 layers of 250 experts' tensors.
  static let tensors = 1 << 20
  /// `general.alignment`; 32 everywhere.
  static let alignment = 1 << 16
}

// MARK: - Reading

extension GGUFFile {
  /// - Parameter file: the whole file, in memory or mapped. Only its beginning is read.
  /// - Throws: the first problem.
  package init(_ file: UnsafeRawBufferPointer) throws(GGUFError) {
    var reader = GGUFReader(file)
    version = try Self.version(&reader)
    let tensorCount = try reader.count("the number of tensors", limit: GGUFLimits.tensors, elementBytes: 24)
    let valueCount = try reader.count("the number of metadata values", limit: GGUFLimits.values, elementBytes: 13)
    var metadata: [(key: String, value: GGUFValue)] = []
    var keys = Set<String>()
    for index in 0..<valueCount {
      let key = try reader.string("the key of metadata value \(index)")
      guard keys.insert(key).inserted else { throw .repeated(what: "the metadata key", name: key) }
      metadata.append((key, try reader.value(of: key)))
    }
    self.metadata = metadata
    var entries: [Entry] = []
    var names = Set<String>()
    for index in 0..<tensorCount {
      let entry = try Entry(&reader, index: index)
      guard names.insert(entry.name).inserted else { throw .repeated(what: "the tensor", name: entry.name) }
      entries.append(entry)
    }
    let alignment = try Self.alignment(metadata.first { $0.key == "general.alignment" }?.value)
    let dataStart = (reader.position + alignment - 1) / alignment * alignment
    var tensors: [Tensor] = []
    for entry in entries {
      tensors.append(try entry.tensor(dataStart: dataStart, alignment: alignment, fileBytes: file.count))
    }
    try Self.refuseOverlaps(tensors)
    self.tensors = tensors
    fileBytes = file.count
  }

  private static func version(_ reader: inout GGUFReader) throws(GGUFError) -> UInt32 {
    let beginning = reader.peek(magic.count)
    guard beginning == magic else { throw .notGGUF(beginning: beginning) }
    reader.position = magic.count
    let version = try reader.integer(UInt32.self, "the version")
    guard (2...3).contains(version) else {
      throw (2...3).contains(version.byteSwapped) ? .bigEndian : .version(version)
    }
    return version
  }

  private static func alignment(_ value: GGUFValue?) throws(GGUFError) -> Int {
    guard let value else { return 32 }
    guard let number = value.int, (1...GGUFLimits.alignment).contains(number), number & (number - 1) == 0 else {
      throw .malformed(
        what: "general.alignment", found: value.summary,
        expected: "a power of two, at most \(GGUFLimits.alignment)")
    }
    return number
  }

  private static func refuseOverlaps(_ tensors: [Tensor]) throws(GGUFError) {
    let inOrder = tensors.sorted { $0.bytes.lowerBound < $1.bytes.lowerBound }
    for (one, other) in zip(inOrder, inOrder.dropFirst()) where one.bytes.upperBound > other.bytes.lowerBound {
      throw .overlap(one.name, other.name)
    }
  }
}

/// A tensor as the file describes it.
private struct Entry {
  let name: String
  /// The fastest dimension first.
  private let dimensions: [UInt64]
  private let type: UInt32
  private let offset: UInt64

  init(_ reader: inout GGUFReader, index: Int) throws(GGUFError) {
    name = try reader.string("the name of tensor \(index)")
    let count = try reader.integer(UInt32.self, "the number of dimensions of tensor \"\(name)\"")
    guard count <= GGUFLimits.dimensions else {
      throw .tooMany(
        what: "the number of dimensions of tensor \"\(name)\"", count: UInt64(count), limit: GGUFLimits.dimensions)
    }
    var dimensions: [UInt64] = []
    for _ in 0..<count { dimensions.append(try reader.integer(UInt64.self, "the shape of tensor \"\(name)\"")) }
    self.dimensions = dimensions
    type = try reader.integer(UInt32.self, "the type of tensor \"\(name)\"")
    offset = try reader.integer(UInt64.self, "the place of tensor \"\(name)\"")
  }

  func tensor(dataStart: Int, alignment: Int, fileBytes: Int) throws(GGUFError) -> GGUFFile.Tensor {
    guard let known = BlockType(rawValue: type) else {
      throw .unsupportedType(tensor: name, type: BlockType.name(of: type))
    }
    let row = dimensions.first ?? 1
    guard row % UInt64(known.blockCount) == 0, !dimensions.contains(0) else {
      throw .malformed(
        what: "the shape of tensor \"\(name)\"", found: "\(dimensions)",
        expected: "dimensions above 0, the first a multiple of \(known.blockCount) for \(known.name)")
    }
    guard offset % UInt64(alignment) == 0 else {
      throw .malformed(
        what: "the place of tensor \"\(name)\"", found: "\(offset)", expected: "a multiple of \(alignment)")
    }
    let dataBytes = max(fileBytes - dataStart, 0)
    // A size that does not fit into 64 bits is beyond the end too.
    let blocks = product([row / UInt64(known.blockCount)] + dimensions.dropFirst())
    let end = sum(offset, product([blocks, UInt64(known.blockBytes)]))
    guard end <= UInt64(dataBytes) else { throw .outOfFile(tensor: name, end: end, dataBytes: dataBytes) }
    return GGUFFile.Tensor(
      name: name, type: known, shape: dimensions.reversed().map { Int($0) },
      bytes: dataStart + Int(offset)..<dataStart + Int(end))
  }

  /// `.max` if it does not fit.
  private func product(_ factors: [UInt64]) -> UInt64 {
    factors.reduce(1) { product, factor in
      let (result, overflows) = product.multipliedReportingOverflow(by: factor)
      return overflows ? .max : result
    }
  }

  private func sum(_ one: UInt64, _ other: UInt64) -> UInt64 {
    let (result, overflows) = one.addingReportingOverflow(other)
    return overflows ? .max : result
  }
}
