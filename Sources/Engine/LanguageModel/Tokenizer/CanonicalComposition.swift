// CanonicalComposition: Unicode's normal form C, in which "e" and a combining accent become "é".
//
// Qwen's tokenizers normalise to NFC before they split. Swift's strings can do this, but only through underscored names
// that a later toolchain can remove, and with the toolchain's version of Unicode. The `tokenizers` library, with which
// the models were trained, uses Unicode 9.0 here; with another version, text with newer characters would get other
// tokens. So this file has its own table of Unicode 9.0 decompositions. It takes combining classes from Swift, and the
// algorithm from Unicode Annex 15: decompose everything, order the marks, compose what has a composed form.

/// Normal form C of Unicode 9.0, as in version 0.23 of the `tokenizers` library.
package enum CanonicalComposition {
  /// The normal form of valid UTF-8. The time is linear, except that sorting the n marks of one letter takes n log n.
  package static func compose(_ utf8: [UInt8]) -> [UInt8] {
    // Nothing changes in text whose characters are all below U+0300, whose first byte is 0xCC.
    guard utf8.contains(where: { $0 >= 0xCC }) else { return utf8 }
    let scalars = String(decoding: utf8, as: UTF8.self).unicodeScalars
    var text = String.UnicodeScalarView()
    text.append(contentsOf: compose(Array(scalars)))
    return Array(String(text).utf8)
  }

  package static func compose(_ scalars: [Unicode.Scalar]) -> [Unicode.Scalar] {
    let forms = CanonicalForms.shared
    var apart: [Unicode.Scalar] = []
    apart.reserveCapacity(scalars.count)
    for scalar in scalars { forms.decompose(scalar, into: &apart) }
    orderMarks(&apart)
    return joined(apart, forms)
  }

  /// Sorts each run of combining marks by class; marks of one class keep their order.
  private static func orderMarks(_ scalars: inout [Unicode.Scalar]) {
    var start = 0
    while start < scalars.count {
      guard combiningClass(scalars[start]) > 0 else {
        start += 1
        continue
      }
      let end = scalars[start...].firstIndex { combiningClass($0) == 0 } ?? scalars.count
      if end - start > 1 {
        let order = (start..<end).map { (combiningClass(scalars[$0]), $0) }.sorted { $0 < $1 }
        scalars.replaceSubrange(start..<end, with: order.map { [scalars] in scalars[$0.1] })
      }
      start = end
    }
  }

  private static func joined(_ apart: [Unicode.Scalar], _ forms: CanonicalForms) -> [Unicode.Scalar] {
    var out: [Unicode.Scalar] = []
    out.reserveCapacity(apart.count)
    var starter: Int?
    var lastClass: UInt8 = 0
    for scalar in apart {
      let combining = combiningClass(scalar)
      // A mark combines with its letter, unless a mark of the same or a higher class is between them.
      if let starter, starter == out.count - 1 || lastClass < combining,
        let composite = forms.composite(out[starter], scalar)
      {
        out[starter] = composite
        continue
      }
      if combining == 0 { starter = out.count }
      lastClass = combining
      out.append(scalar)
    }
    return out
  }

  private static func combiningClass(_ scalar: Unicode.Scalar) -> UInt8 {
    guard scalar.value >= 0x300 else { return 0 }
    let value = scalar.properties.canonicalCombiningClass.rawValue
    guard value > 0, let age = scalar.properties.age, age.major <= 9 else { return 0 }
    return value
  }
}

/// The decomposition table, for look-ups in both directions. Made once, at first use.
struct CanonicalForms: Sendable {
  static let shared = CanonicalForms()

  /// Sorted. `decompositions[i]` belongs to `composed[i]`.
  private var composed: [UInt32] = []
  private var decompositions: [[Unicode.Scalar]] = []
  /// Sorted: a letter in the high half, the scalar after it in the low half. `composites[i]` belongs to `pairs[i]`.
  private var pairs: [UInt64] = []
  private var composites: [Unicode.Scalar] = []

  private init() {
    for entry in canonicalDecompositionsText.split(whereSeparator: { $0 == ";" || $0 == "\n" }) {
      let scalars = entry.split(separator: " ").compactMap { UInt32($0, radix: 16).flatMap(Unicode.Scalar.init) }
      guard let first = scalars.first else { continue }
      composed.append(first.value)
      decompositions.append(Array(scalars.dropFirst()))
    }
    addPairs()
  }

  /// A composite consists of the composite of all scalars before the last one, and the last one. Shorter decompositions
  /// are added first, so that the former is known.
  private mutating func addPairs() {
    var entries: [(pair: UInt64, composite: Unicode.Scalar)] = []
    let byLength = composed.indices.sorted { (decompositions[$0].count, $0) < (decompositions[$1].count, $1) }
    for index in byLength {
      let parts = decompositions[index]
      guard let composite = Unicode.Scalar(composed[index]), parts.count > 1, let last = parts.last,
        !composite.properties.isFullCompositionExclusion
      else { continue }
      var letter = parts[0]
      for mark in parts.dropFirst().dropLast() {
        let pair = Self.pair(letter, mark)
        letter = entries.first { $0.pair == pair }?.composite ?? letter
      }
      entries.append((Self.pair(letter, last), composite))
    }
    entries.sort { $0.pair < $1.pair }
    pairs = entries.map(\.pair)
    composites = entries.map(\.composite)
  }

  func decompose(_ scalar: Unicode.Scalar, into out: inout [Unicode.Scalar]) {
    if scalar.value < 0xC0 {
      out.append(scalar)
    } else if let syllable = Hangul.decompose(scalar) {
      out.append(contentsOf: syllable)
    } else if let index = Self.find(scalar.value, in: composed) {
      out.append(contentsOf: decompositions[index])
    } else {
      out.append(scalar)
    }
  }

  func composite(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
    if let syllable = Hangul.compose(first, second) { return syllable }
    return Self.find(Self.pair(first, second), in: pairs).map { composites[$0] }
  }

  private static func pair(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> UInt64 {
    UInt64(first.value) << 32 | UInt64(second.value)
  }

  private static func find<Value: Comparable>(_ value: Value, in sorted: [Value]) -> Int? {
    var low = 0
    var high = sorted.count
    while low < high {
      let middle = (low + high) / 2
      if sorted[middle] < value { low = middle + 1 } else { high = middle }
    }
    return low < sorted.count && sorted[low] == value ? low : nil
  }
}

/// The number of a Korean syllable follows from its letters: 19 leading consonants, 21 vowels, and 27 trailing
/// consonants or none.
private enum Hangul {
  static let syllables: UInt32 = 0xAC00
  static let leading: UInt32 = 0x1100
  static let vowels: UInt32 = 0x1161
  /// One before the first trailing consonant, because "none" has the number 0.
  static let trailing: UInt32 = 0x11A7

  static func decompose(_ scalar: Unicode.Scalar) -> [Unicode.Scalar]? {
    guard scalar.value >= syllables, scalar.value < syllables + 19 * 21 * 28 else { return nil }
    let index = scalar.value - syllables
    let letters = [leading + index / (21 * 28), vowels + index / 28 % 21]
    return (index % 28 == 0 ? letters : letters + [trailing + index % 28]).compactMap(Unicode.Scalar.init)
  }

  static func compose(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
    let (a, b) = (first.value, second.value)
    if (leading..<leading + 19).contains(a), (vowels..<vowels + 21).contains(b) {
      return Unicode.Scalar(syllables + ((a - leading) * 21 + (b - vowels)) * 28)
    }
    let isOpenSyllable = a >= syllables && a < syllables + 19 * 21 * 28 && (a - syllables) % 28 == 0
    guard isOpenSyllable, b > trailing, b < trailing + 28 else { return nil }
    return Unicode.Scalar(a + (b - trailing))
  }
}
