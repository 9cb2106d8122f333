// Fingerprint: 64 bits that show whether two machines have the same floats. It is fast and not cryptographic: it finds
// broken memory and bugs, but an attacker can make two arrays with the same fingerprint. SHA-256 would prevent that,
// and is slower.

extension Floats {
  /// A function of every bit and its position. Four chains, so that the processor can overlap the multiplications.
  package var fingerprint: UInt64 {
    withUnsafeBuffer { Tensors.fingerprint(of: UnsafeRawBufferPointer($0)) }
  }
}

extension PackedWeights {
  /// The same of weights as they are packed.
  package var fingerprint: UInt64 { memory.withBytes { Tensors.fingerprint(of: $0) } }
}

private func fingerprint(of bytes: UnsafeRawBufferPointer) -> UInt64 {
  let factor: UInt64 = 0x9E37_79B9_7F4A_7C15
  var chains: (UInt64, UInt64, UInt64, UInt64) = (1, 2, 3, 4)
  func mixed(_ chain: UInt64, _ word: UInt64) -> UInt64 {
    let product = (chain ^ word) &* factor
    return product ^ product >> 29
  }
  var offset = 0
  while offset + 32 <= bytes.count {
    chains.0 = mixed(chains.0, bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    chains.1 = mixed(chains.1, bytes.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self))
    chains.2 = mixed(chains.2, bytes.loadUnaligned(fromByteOffset: offset + 16, as: UInt64.self))
    chains.3 = mixed(chains.3, bytes.loadUnaligned(fromByteOffset: offset + 24, as: UInt64.self))
    offset += 32
  }
  while offset < bytes.count {
    chains.0 = mixed(chains.0, UInt64(bytes[offset]))
    offset += 1
  }
  return [chains.1, chains.2, chains.3, UInt64(bytes.count)].reduce(chains.0, mixed)
}
