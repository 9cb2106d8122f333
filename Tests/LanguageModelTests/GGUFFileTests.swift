// .gguf files: the numbers of every type of tensor against the `gguf` package, and files that cannot be true.

import Base
import Foundation
import GGUF
import Testing

/// Files that Tests/Fixtures/gguf/make.py wrote.
enum GGUFFixtures {
  static let models = ["llama", "qwen2", "qwen3", "sentencepiece"]

  static func bytes(_ name: String) throws -> [UInt8] { try TestFiles.fixture("gguf/" + name) }
}

func parse(_ bytes: [UInt8]) throws(GGUFError) -> GGUFFile {
  let result = bytes.withUnsafeBytes { bytes in Result { () throws(GGUFError) in try GGUFFile(bytes) } }
  return try result.get()
}

/// A small .gguf file, in which anything can be wrong.
struct GGUFBytes {
  var magic = "GGUF"
  var version: UInt32 = 3
  /// nil for the right ones.
  var tensorCount: UInt64?
  var valueCount: UInt64?
  /// Each a key, a type, and the bytes of the value.
  var values: [(key: String, type: UInt32, bytes: [UInt8])] = []
  var tensors: [(name: String, dimensions: [UInt64], type: UInt32, offset: UInt64)] = []
  var dataBytes = 0

  static func text(_ text: String, count: UInt64? = nil) -> [UInt8] {
    integer(count ?? UInt64(text.utf8.count)) + Array(text.utf8)
  }

  static func integer<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    var writer = ByteWriter()
    writer.write(value)
    return writer.bytes
  }

  var bytes: [UInt8] {
    var out = Array(magic.utf8) + Self.integer(version)
    out += Self.integer(tensorCount ?? UInt64(tensors.count)) + Self.integer(valueCount ?? UInt64(values.count))
    for value in values { out += Self.text(value.key) + Self.integer(value.type) + value.bytes }
    for tensor in tensors {
      out += Self.text(tensor.name) + Self.integer(UInt32(tensor.dimensions.count))
      for dimension in tensor.dimensions { out += Self.integer(dimension) }
      out += Self.integer(tensor.type) + Self.integer(tensor.offset)
    }
    out += Array(repeating: 0, count: (32 - out.count % 32) % 32)
    return out + Array(repeating: 0, count: dataBytes)
  }
}

@Suite struct GGUFFileTests {
  @Test func `every type of block means the numbers of the gguf package, bit for bit`() throws {
    let lines = try GGUFFixtures.bytes("blocks.jsonl").split(separator: UInt8(ascii: "\n"))
    let blocks = try lines.map { try JSON.parse(Array($0)) }
    #expect(Set(blocks.compactMap { $0["type"]?.string }) == Set(BlockType.allCases.map(\.name)))
    for line in blocks {
      let name = try #require(line["type"]?.string)
      let type = try #require(BlockType.allCases.first { $0.name == name })
      let bytes = Hexadecimal.bytes(try #require(line["bytes"]?.string))
      let bits = Hexadecimal.bytes(try #require(line["bits"]?.string))
      let count = bytes.count / type.blockBytes * type.blockCount
      #expect(count > 0 && bits.count == 4 * count)
      var found = Array(repeating: Float(0), count: count)
      bytes.withUnsafeBytes { bytes in found.withUnsafeMutableBufferPointer { type.dequantize(bytes, into: $0) } }
      #expect(found.flatMap { GGUFBytes.integer($0.bitPattern) } == bits, "\(name)")
    }
  }

  @Test(arguments: GGUFFixtures.models) func `a file of the gguf package is read`(_ name: String) throws {
    let file = try parse(try GGUFFixtures.bytes(name + ".gguf"))
    #expect(file.version == 3 && file.tensors.count > 11)
    #expect(file["general.alignment"] == nil && file["general.name"]?.string?.hasPrefix("a random") == true)
    let norm = try #require(file.tensors.first { $0.name == "output_norm.weight" })
    #expect(norm.shape == [64] && norm.type == .float32 && norm.bytes.count == 256)
    let gate = try #require(file.tensors.first { $0.name == "blk.0.ffn_gate.weight" })
    #expect(gate.shape == [96, 64])
  }

  /// A file with one tensor of 32 numbers, changed.
  private static func changed(_ change: (inout GGUFBytes) -> Void) -> [UInt8] {
    var file = GGUFBytes(tensors: [("a", [32], 8, 0)], dataBytes: 64)
    change(&file)
    return file.bytes
  }

  /// What is wrong, and the words of the refusal.
  static let refusals: [(change: @Sendable (inout GGUFBytes) -> Void, words: String)] = [
    ({ $0.magic = "GGML" }, "begins with the bytes [71, 71, 77, 76], expected \"GGUF\""),
    ({ $0.version = 1 }, "version 1 of GGUF, expected 2 or 3"),
    ({ $0.version = 0x0300_0000 }, "big-endian"),
    ({ $0.tensorCount = .max }, "the number of tensors is 18446744073709551615, expected at most"),
    ({ $0.tensorCount = 900_000 }, "the number of tensors, 900000, counts needs 21600000 bytes, but the file has"),
    ({ $0.valueCount = 1 << 40 }, "the number of metadata values is"),
    (
      { $0.values = [("k", 8, GGUFBytes.text("abc", count: 1 << 62))] },
      "\"k\" needs 4611686018427387904 bytes, but the file has"
    ),
    ({ $0.values = [("k", 8, [2, 0, 0, 0, 0, 0, 0, 0, 0xC3, 0x28])] }, "\"k\" is not valid UTF-8"),
    ({ $0.values = [("k", 13, [])] }, "the type of the metadata value \"k\" is 13"),
    (
      { $0.values = [("k", 9, GGUFBytes.integer(UInt32(4)) + GGUFBytes.integer(UInt64(1) << 60))] },
      "the number of elements of the metadata value \"k\" is 1152921504606846976"
    ),
    (
      { $0.values = [("k", 9, GGUFBytes.integer(UInt32(0)) + GGUFBytes.integer(UInt64(500)))] },
      "500, counts needs 500 bytes"
    ),
    ({ $0.values = [("k", 9, GGUFBytes.integer(UInt32(99)) + GGUFBytes.integer(UInt64(1)))] }, "the element type of"),
    (
      {
        let inner = GGUFBytes.integer(UInt32(9)) + GGUFBytes.integer(UInt64(1))
        $0.values = [("k", 9, inner + inner + inner + inner + inner)]
      }, "a list in more than 3 lists"
    ),
    ({ $0.values = [("k", 7, [1]), ("k", 7, [0])] }, "the metadata key \"k\" is in the file twice"),
    ({ $0.values = [("general.alignment", 4, GGUFBytes.integer(UInt32(24)))] }, "general.alignment is 24"),
    ({ $0.values = [("general.alignment", 4, GGUFBytes.integer(UInt32(0)))] }, "general.alignment is 0"),
    ({ $0.tensors.append($0.tensors[0]) }, "the tensor \"a\" is in the file twice"),
    ({ $0.tensors[0].type = 23 }, "tensor \"a\" is IQ4_XS, which ttrl does not read; read: F32, F16, Q4_0"),
    ({ $0.tensors[0].type = 4 }, "tensor \"a\" is Q4_2, which ttrl does not read"),
    ({ $0.tensors[0].type = 1000 }, "of type 1000, which has no name here"),
    ({ $0.tensors[0].dimensions = [1, 1, 1, 1, 1] }, "dimensions of tensor \"a\" is 5, expected at most 4"),
    ({ $0.tensors[0].dimensions = [33] }, "the first a multiple of 32 for Q8_0"),
    ({ $0.tensors[0].dimensions = [32, 0] }, "dimensions above 0"),
    ({ $0.tensors[0].dimensions = [64] }, "tensor \"a\" ends at byte 68 of the data, which has 64"),
    ({ $0.tensors[0].dimensions = [1 << 62, 1 << 62] }, "ends at byte 18446744073709551615 of the data"),
    ({ $0.tensors[0].offset = 32 }, "ends at byte 66"),
    ({ $0.tensors[0].offset = .max - 31 }, "ends at byte 18446744073709551615"),
    ({ $0.tensors[0].offset = 8 }, "the place of tensor \"a\" is 8, expected a multiple of 32"),
    ({ $0.tensors.append(("b", [4], 0, 32)) }, "tensors \"a\" and \"b\" share bytes"),
  ]

  @Test(arguments: refusals.indices) func `a file that cannot be true is refused by name`(_ index: Int) {
    let (change, words) = Self.refusals[index]
    let error = #expect(throws: GGUFError.self, "\(words)") { try parse(Self.changed(change)) }
    #expect(error?.description.contains(words) == true, "\(error.map(\.description) ?? "")")
  }

  @Test func `values of all types are read`() throws {
    let file = try parse(
      Self.changed { file in
        file.values = [
          ("u8", 0, [200]), ("i8", 1, [0xFF]), ("i16", 3, [0xFE, 0xFF]), ("u32", 4, [1, 0, 0, 0]),
          ("f32", 6, GGUFBytes.integer(Float(1.5).bitPattern)), ("bool", 7, [1]), ("text", 8, GGUFBytes.text("é")),
          ("list", 9, GGUFBytes.integer(UInt32(1)) + GGUFBytes.integer(UInt64(2)) + [1, 0xFF]),
          ("u64", 10, GGUFBytes.integer(UInt64.max)), ("f64", 12, GGUFBytes.integer((0.1).bitPattern)),
        ]
      })
    #expect(
      file.metadata.map(\.value) == [
        .integer(200), .integer(-1), .integer(-2), .integer(1), .float(1.5), .bool(true), .string("é"),
        .array([.integer(1), .integer(-1)]), .large(.max), .double(0.1),
      ])
  }

  @Test func `a file that is cut short anywhere is refused, and damage never traps`() throws {
    let whole = try GGUFFixtures.bytes("llama.gguf")
    for count in stride(from: 0, to: whole.count, by: 97) {
      #expect(throws: GGUFError.self, "\(count) bytes") { try parse(Array(whole[..<count])) }
    }
    var random = Damage(seed: 9)
    for _ in 0..<2000 { _ = try? parse(random.mutation(of: Array(whole.prefix(9000)))) }
  }
}
