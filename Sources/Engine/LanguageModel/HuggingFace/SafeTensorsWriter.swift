// SafeTensorsWriter: the flat parameter array as a .safetensors file. Equal weights give equal files.
//
// The tensors are written in the order of the layout, which is the order of the flat array. So the file's data is the
// array itself, rounded. A caller writes the header and then the array, in pieces of any size, one after the other; it
// never needs a second copy of the model. The header has no dates and no paths.

import Base

/// Writes models, or adapters, of one layout.
package struct SafeTensorsWriter: Sendable {
  package let type: WeightType
  /// The first bytes of the file; the data begins on a multiple of 8.
  package let header: [UInt8]
  /// The size of the whole file.
  package let fileBytes: Int

  package init(_ model: ParameterLayout, type: WeightType) { self.init(model.flat, type: type) }

  package init(_ layout: TensorLayout, type: WeightType) {
    var members = [JSON.Member("__metadata__", ["format": "pt"])]
    for tensor in layout.stored {
      let range = tensor.range.lowerBound * type.byteCount..<tensor.range.upperBound * type.byteCount
      let entry: JSON = [
        "dtype": .string(type.rawValue), "shape": .array(tensor.shape.map { .int($0) }),
        "data_offsets": [.int(range.lowerBound), .int(range.upperBound)],
      ]
      members.append(JSON.Member(tensor.name, entry))
    }
    var json = JSON.object(members).bytes()
    json += Array(repeating: UInt8(ascii: " "), count: (8 - json.count % 8) % 8)
    var writer = ByteWriter(reserving: 8 + json.count)
    writer.write(UInt64(json.count))
    writer.append(json)
    self.type = type
    header = writer.bytes
    fileBytes = writer.bytes.count + layout.count * type.byteCount
  }

  /// The bytes of a piece of the array. The header and then all pieces in order make the file.
  /// - Parameter values: any piece of the flat array, rounded to nearest, ties to even.
  /// - Returns: `type.byteCount` bytes for each value.
  package func data(_ values: UnsafeBufferPointer<Float>) -> [UInt8] {
    let byteCount = values.count * type.byteCount
    return [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, initialized in
      let out = UnsafeMutableRawBufferPointer(buffer)
      switch type {
      case .float32: out.copyMemory(from: UnsafeRawBufferPointer(values))
      case .bfloat16:
        // Without checks of bounds and branches, the compiler vectorises the loop.
        if let from = values.baseAddress, let to = out.baseAddress {
          for index in 0..<values.count {
            to.storeBytes(of: bfloat16Bits(of: from[index]), toByteOffset: 2 &* index, as: UInt16.self)
          }
        }
      case .float16:
        for (index, value) in values.enumerated() {
          out.storeBytes(of: Float16(value).bitPattern, toByteOffset: 2 * index, as: UInt16.self)
        }
      }
      initialized = byteCount
    }
  }

  /// The whole file, for a model that fits in memory twice.
  package func file(_ parameters: [Float]) -> [UInt8] {
    header + parameters.withUnsafeBufferPointer { data($0) }
  }
}

/// The nearest bfloat16, ties to even. A NaN is not rounded, because the carry could make it an infinity.
@inline(__always)
func bfloat16Bits(of value: Float) -> UInt16 {
  let bits = value.bitPattern
  let isNaN = bits & 0x7FFF_FFFF > 0x7F80_0000
  let rounded = (bits &+ 0x7FFF &+ (bits >> 16 & 1)) >> 16
  return UInt16(truncatingIfNeeded: isNaN ? bits >> 16 | 0x40 : rounded)
}
