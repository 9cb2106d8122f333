// Vocabulary: tokens by id and ids by token, for 150,000 tokens that must load quickly.
//
// Tokens are compared by their bytes, because Swift's strings treat "é" and "e" with an accent as equal, and as tokens
// they differ. All tokens are in one array of bytes, and are found through a hash table with open addressing. Swift's
// hash has a random key, so that a file cannot be made to cause collisions. No result depends on the hash, because the
// table is never iterated.
//
// Byte-level vocabularies write each byte as one printable character (a space is "Ġ"); see ByteAlphabet.

/// Tokens and their ids.
struct Vocabulary: Sendable {
  private struct Entry: Sendable {
    var start: UInt32
    /// -1 for an id that no token has.
    var length: Int32
  }

  /// Why a token could not be added.
  enum Refusal: Error, Equatable {
    case idOutOfRange(limit: Int)
    case idTaken(by: String)
    case repeated
  }

  /// Far above any tokenizer in use (the largest have 260,000 tokens). With this limit, a wrong id cannot allocate
  /// gigabytes.
  static let idLimit = 1 << 22

  private var bytes: [UInt8] = []
  private var entries: [Entry] = []
  private var slots: [Int32]
  private(set) var count = 0

  init(reserving capacity: Int) {
    slots = Array(repeating: -1, count: Self.slotCount(for: capacity))
    entries.reserveCapacity(capacity)
    bytes.reserveCapacity(8 * capacity)
  }

  /// One more than the highest id.
  var idBound: Int { entries.count }

  func contains(_ id: Int32) -> Bool { id >= 0 && id < entries.count && entries[Int(id)].length >= 0 }

  /// The token as it is in the file; nil if no token has that id.
  func token(_ id: Int32) -> ArraySlice<UInt8>? {
    guard contains(id) else { return nil }
    let entry = entries[Int(id)]
    return bytes[Int(entry.start)..<Int(entry.start) + Int(entry.length)]
  }

  func id(of token: some Sequence<UInt8>) -> Int32? {
    let direct: Int32?? = token.withContiguousStorageIfAvailable { find(UnsafeRawBufferPointer($0)).id }
    if let direct { return direct }
    return Array(token).withUnsafeBytes { find($0).id }
  }

  mutating func add(_ token: String, id: Int) throws(Refusal) {
    guard id >= 0, id < Self.idLimit else { throw .idOutOfRange(limit: Self.idLimit) }
    let utf8 = Array(token.utf8)
    if let taken = self.token(Int32(id)) { throw .idTaken(by: String(decoding: taken, as: UTF8.self)) }
    if 2 * (count + 1) > slots.count { grow() }
    let place = utf8.withUnsafeBytes { find($0) }
    guard place.id == nil else { throw .repeated }
    slots[place.slot] = Int32(id)
    if id >= entries.count {
      entries.append(contentsOf: repeatElement(Entry(start: 0, length: -1), count: id + 1 - entries.count))
    }
    entries[id] = Entry(start: UInt32(bytes.count), length: Int32(utf8.count))
    bytes.append(contentsOf: utf8)
    count += 1
  }

  /// The slot of the token, or the empty slot where it would be added. At least half of the slots are empty.
  private func find(_ token: UnsafeRawBufferPointer) -> (slot: Int, id: Int32?) {
    var hasher = Hasher()
    hasher.combine(bytes: token)
    let mask = slots.count - 1
    var slot = hasher.finalize() & mask
    while slots[slot] >= 0 {
      let entry = entries[Int(slots[slot])]
      if Int(entry.length) == token.count, bytes[Int(entry.start)...].prefix(token.count).elementsEqual(token) {
        return (slot, slots[slot])
      }
      slot = (slot + 1) & mask
    }
    return (slot, nil)
  }

  private mutating func grow() {
    let old = slots
    slots = Array(repeating: -1, count: 2 * old.count)
    for id in old where id >= 0 {
      guard let token = token(id) else { continue }
      let place = token.withUnsafeBytes { find($0) }
      slots[place.slot] = id
    }
  }

  private static func slotCount(for capacity: Int) -> Int {
    var count = 16
    while count < 2 * capacity { count *= 2 }
    return count
  }
}

/// How byte-level vocabularies write bytes. A printable Latin-1 character stands for itself; the other 68 bytes are
/// U+0100 and up, in order. A space is U+0120.
package enum ByteAlphabet {
  /// [256] the character of each byte, as UTF-8.
  package static let spellings: [[UInt8]] = scalars.map { Array(String(Character($0)).utf8) }

  /// The bytes that a token stands for: each character's byte. If a character has no byte, the token's own UTF-8.
  static func bytes(of token: ArraySlice<UInt8>) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(token.count)
    for scalar in String(decoding: token, as: UTF8.self).unicodeScalars {
      guard let byte = byte(of: scalar) else { return Array(token) }
      out.append(byte)
    }
    return out
  }

  private static let scalars: [Unicode.Scalar] = {
    var others: UInt32 = 0
    return (0..<256).compactMap { byte in
      if isPrintable(UInt8(byte)) { return Unicode.Scalar(UInt8(byte)) }
      others += 1
      return Unicode.Scalar(0xFF + others)
    }
  }()

  /// [324] the byte of each character below U+0144; -1 if there is none.
  private static let bytes: [Int16] = {
    var bytes = Array(repeating: Int16(-1), count: 0x144)
    for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar.value)] = Int16(byte) }
    return bytes
  }()

  private static func byte(of scalar: Unicode.Scalar) -> UInt8? {
    guard scalar.value < bytes.count else { return nil }
    return UInt8(exactly: bytes[Int(scalar.value)])
  }

  private static func isPrintable(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: true
    default: false
    }
  }
}
