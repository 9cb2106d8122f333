// Dequantization: the numbers of a tensor of a .gguf file, as float32.
//
// Every product and every sum is rounded on its own and in the order of the format's reference, so the results are the
// same bits as those of the `gguf` Python package (quants.py), which agree with ggml's. scripts/check-gguf compares
// them. A legend: d and m are a block's scale and minimum (float16), q a number's few bits, s and n the scale and
// minimum of 16 or 32 numbers of a block.

extension BlockType {
  /// - Parameters:
  ///   - source: whole blocks.
  ///   - target: as many numbers as the blocks have.
  package func dequantize(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableBufferPointer<Float>) {
    let blocks = source.count / blockBytes
    precondition(
      source.count == blocks * blockBytes && target.count == blocks * blockCount,
      "\(source.count) bytes of \(name) for \(target.count) numbers")
    for block in 0..<blocks {
      let bytes = Block(bytes: source, start: block * blockBytes)
      let out = Numbers(values: target, start: block * blockCount)
      switch self {
      case .float32: out[0] = bytes.float32(0)
      case .float16: out[0] = bytes.float16(0)
      case .bfloat16: out[0] = Float(bitPattern: UInt32(bytes.uint16(0)) << 16)
      case .q40: decodeQ40(bytes, out)
      case .q41: decodeQ41(bytes, out)
      case .q50: decodeQ50(bytes, out)
      case .q51: decodeQ51(bytes, out)
      case .q80: decodeQ80(bytes, out)
      case .q2K: decodeQ2K(bytes, out)
      case .q3K: decodeQ3K(bytes, out)
      case .q4K: decodeQ4K(bytes, out)
      case .q5K: decodeQ5K(bytes, out)
      case .q6K: decodeQ6K(bytes, out)
      }
    }
  }
}

/// The bytes of one block. The file is not aligned.
private struct Block {
  let bytes: UnsafeRawBufferPointer
  let start: Int

  subscript(index: Int) -> UInt8 { bytes[start + index] }

  func uint16(_ index: Int) -> UInt16 { bytes.loadUnaligned(fromByteOffset: start + index, as: UInt16.self) }
  func uint32(_ index: Int) -> UInt32 { bytes.loadUnaligned(fromByteOffset: start + index, as: UInt32.self) }
  func float16(_ index: Int) -> Float { Float(Float16(bitPattern: uint16(index))) }
  func float32(_ index: Int) -> Float { Float(bitPattern: uint32(index)) }
}

/// Where the numbers of one block go.
private struct Numbers {
  let values: UnsafeMutableBufferPointer<Float>
  let start: Int

  subscript(index: Int) -> Float {
    get { values[start + index] }
    nonmutating set { values[start + index] = newValue }
  }
}

// MARK: - Blocks of 32

/// d, 16 bytes: the low halves are the first 16 numbers.
private func decodeQ40(_ block: Block, _ out: Numbers) {
  let d = block.float16(0)
  for index in 0..<16 {
    let q = block[2 + index]
    out[index] = d * Float(Int(q & 15) - 8)
    out[16 + index] = d * Float(Int(q >> 4) - 8)
  }
}

private func decodeQ41(_ block: Block, _ out: Numbers) {
  let (d, m) = (block.float16(0), block.float16(2))
  for index in 0..<16 {
    let q = block[4 + index]
    out[index] = d * Float(q & 15) + m
    out[16 + index] = d * Float(q >> 4) + m
  }
}

/// d, 32 fifth bits, 16 bytes.
private func decodeQ50(_ block: Block, _ out: Numbers) {
  let (d, high) = (block.float16(0), block.uint32(2))
  for index in 0..<16 {
    let q = block[6 + index]
    out[index] = d * Float(Int(q & 15) + fifthBit(high, index) - 16)
    out[16 + index] = d * Float(Int(q >> 4) + fifthBit(high, 16 + index) - 16)
  }
}

private func decodeQ51(_ block: Block, _ out: Numbers) {
  let (d, m, high) = (block.float16(0), block.float16(2), block.uint32(4))
  for index in 0..<16 {
    let q = block[8 + index]
    out[index] = d * Float(Int(q & 15) + fifthBit(high, index)) + m
    out[16 + index] = d * Float(Int(q >> 4) + fifthBit(high, 16 + index)) + m
  }
}

private func fifthBit(_ bits: UInt32, _ index: Int) -> Int { Int(bits >> UInt32(index) & 1) << 4 }

private func decodeQ80(_ block: Block, _ out: Numbers) {
  let d = block.float16(0)
  for index in 0..<32 { out[index] = d * Float(Int8(bitPattern: block[2 + index])) }
}

// MARK: - Blocks of 256

/// 16 scales and minima of 4 bits, 64 bytes of four numbers each, d, m.
private func decodeQ2K(_ block: Block, _ out: Numbers) {
  let (d, m) = (block.float16(80), block.float16(82))
  for group in 0..<16 {
    let (s, n) = (d * Float(block[group] & 15), m * Float(block[group] >> 4))
    // Eight groups use the same 32 bytes: four pairs of bits, two halves.
    let (bytes, shift) = (16 + 32 * (group / 8) + 16 * (group % 2), UInt8(2 * (group % 8 / 2)))
    for index in 0..<16 { out[16 * group + index] = s * Float(block[bytes + index] >> shift & 3) - n }
  }
}

/// 32 bytes of third bits, 64 bytes of four numbers each, 16 scales of 6 bits in 12 bytes, d.
private func decodeQ3K(_ block: Block, _ out: Numbers) {
  let d = block.float16(108)
  for group in 0..<16 {
    let low = block[96 + group % 8] >> UInt8(4 * (group / 8)) & 15
    let high = block[104 + group % 4] >> UInt8(2 * (group / 4)) & 3
    let s = d * Float(Int(low | high << 4) - 32)
    let (half, shift) = (16 * (group % 2), UInt8(2 * (group % 8 / 2)))
    for index in 0..<16 {
      let q = Int(block[32 + 32 * (group / 8) + half + index] >> shift & 3)
      // A third bit that is set means that 4 is not subtracted.
      let isHigh = block[half + index] >> UInt8(group / 2) & 1 == 1
      out[16 * group + index] = s * Float(isHigh ? q : q - 4)
    }
  }
}

/// d, m, 8 scales and minima of 6 bits in 12 bytes, 128 bytes of two numbers each.
private func decodeQ4K(_ block: Block, _ out: Numbers) {
  for group in 0..<8 {
    let (s, n) = scaleAndMinimum(block, group)
    let (bytes, shift) = (16 + 32 * (group / 2), UInt8(4 * (group % 2)))
    for index in 0..<32 { out[32 * group + index] = s * Float(block[bytes + index] >> shift & 15) - n }
  }
}

/// As q4K, with 32 bytes of fifth bits before the numbers.
private func decodeQ5K(_ block: Block, _ out: Numbers) {
  for group in 0..<8 {
    let (s, n) = scaleAndMinimum(block, group)
    let (bytes, shift) = (48 + 32 * (group / 2), UInt8(4 * (group % 2)))
    for index in 0..<32 {
      let high = block[16 + index] >> UInt8(group) & 1
      out[32 * group + index] = s * Float(block[bytes + index] >> shift & 15 | high << 4) - n
    }
  }
}

private func scaleAndMinimum(_ block: Block, _ group: Int) -> (scale: Float, minimum: Float) {
  let (d, m) = (block.float16(0), block.float16(2))
  guard group >= 4 else { return (d * Float(block[4 + group] & 63), m * Float(block[8 + group] & 63)) }
  // The upper two bits are in the bytes of the first four groups.
  let (both, first, second) = (block[8 + group], block[group], block[4 + group])
  return (d * Float(both & 15 | (first >> 6) << 4), m * Float(both >> 4 | (second >> 6) << 4))
}

/// 128 bytes of two low halves each, 64 bytes of four pairs of high bits each, 16 scales of 8 bits, d.
private func decodeQ6K(_ block: Block, _ out: Numbers) {
  let d = block.float16(208)
  for group in 0..<16 {
    let s = d * Float(Int8(bitPattern: block[192 + group]))
    // Of each half of the block: 64 bytes of low bits, first their lower halves; 32 bytes of high bits.
    let (half, part, offset) = (group / 8, group % 8 / 2, 16 * (group % 2))
    for index in 0..<16 {
      let low = block[64 * half + 32 * (part % 2) + offset + index] >> UInt8(4 * (part / 2)) & 15
      let high = block[128 + 32 * half + offset + index] >> UInt8(2 * part) & 3
      out[16 * group + index] = s * Float(Int(low | high << 4) - 32)
    }
  }
}
