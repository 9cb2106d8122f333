// Checksum: CRC-32C (Castagnoli), the checksum of a frame.
//
// It finds damage that TCP's 16-bit checksum misses, and damage by a broken relay. It does not protect against an
// attacker; TLS does. The code uses eight tables and takes eight bytes per step.

package enum CRC32C {
  /// The checksum of `bytes[range]`, starting from `seed` (the checksum of what came before, or 0).
  package static func checksum(_ bytes: [UInt8], in range: Range<Int>? = nil, seed: UInt32 = 0) -> UInt32 {
    let range = range ?? 0..<bytes.count
    var crc = ~seed
    var index = range.lowerBound
    while index + 8 <= range.upperBound {
      let low = crc ^ word(bytes, index)
      let high = word(bytes, index + 4)
      crc =
        table[7 * 256 + Int(low & 0xFF)] ^ table[6 * 256 + Int(low >> 8 & 0xFF)]
        ^ table[5 * 256 + Int(low >> 16 & 0xFF)] ^ table[4 * 256 + Int(low >> 24)]
        ^ table[3 * 256 + Int(high & 0xFF)] ^ table[2 * 256 + Int(high >> 8 & 0xFF)]
        ^ table[256 + Int(high >> 16 & 0xFF)] ^ table[Int(high >> 24)]
      index += 8
    }
    while index < range.upperBound {
      crc = crc >> 8 ^ table[Int((crc ^ UInt32(bytes[index])) & 0xFF)]
      index += 1
    }
    return ~crc
  }

  private static func word(_ bytes: [UInt8], _ at: Int) -> UInt32 {
    UInt32(bytes[at]) | UInt32(bytes[at + 1]) << 8 | UInt32(bytes[at + 2]) << 16 | UInt32(bytes[at + 3]) << 24
  }

  /// [8 × 256]: row r advances a byte that is r bytes before the end of the eight.
  private static let table: [UInt32] = {
    var rows = [UInt32](repeating: 0, count: 8 * 256)
    for byte in 0..<256 {
      var value = UInt32(byte)
      for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0x82F6_3B78 : value >> 1 }
      rows[byte] = value
    }
    for row in 1..<8 {
      for byte in 0..<256 {
        let previous = rows[(row - 1) * 256 + byte]
        rows[row * 256 + byte] = previous >> 8 ^ rows[Int(previous & 0xFF)]
      }
    }
    return rows
  }()
}
