// ScalarSet: a set of characters, as regular expressions write it: \p{L}, \s, [^\r\n0-9].
//
// Categories and white space are those of Unicode 16.0, the version of the `tokenizers` library. Characters that a
// later version assigned count as unassigned, even if the Swift toolchain knows them.

/// Every character has exactly one kind: its general category, or "white space among the controls".
enum ScalarKind {
  /// By the name that `\p{…}` uses.
  static let names = [
    "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm",
    "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn",
  ]
  /// Tabs, line ends, U+0085. All other white space is in Zs, Zl and Zp, which have nothing else.
  static let spaceControl: UInt8 = 30
  static let count = 31

  /// The kinds whose names begin with `name`: "L" has five.
  /// - Returns: a bit for each kind; nil if there is no such name.
  static func kinds(named name: String) -> UInt32? {
    guard name.utf8.count <= 2 else { return nil }
    var kinds: UInt32 = 0
    for (kind, known) in names.enumerated() where known.hasPrefix(name) { kinds |= 1 << UInt32(kind) }
    if "Cc".hasPrefix(name) { kinds |= 1 << UInt32(spaceControl) }
    return kinds == 0 || name.isEmpty ? nil : kinds
  }

  static let all: UInt32 = 1 << UInt32(count) - 1
  /// `\s`
  static let space: UInt32 = 0b111 << 22 | 1 << UInt32(spaceControl)

  static func of(_ value: UInt32) -> UInt8 {
    if value < firstKinds.count { return firstKinds[Int(value)] }
    return Unicode.Scalar(value).map(classify) ?? unassigned
  }

  private static let unassigned: UInt8 = 29
  private static let version = 16

  /// The kinds of plane 0, where almost all text is. Looking them up in the toolchain's tables takes ten times as long.
  private static let firstKinds: [UInt8] = (0..<UInt32(0x10000)).map { Unicode.Scalar($0).map(classify) ?? 27 }

  private static func classify(_ scalar: Unicode.Scalar) -> UInt8 {
    // Half of plane 0 needs no look-up: ideographs and Korean syllables.
    if case 0x4E00...0x9FFF = scalar.value { return 4 }
    if case 0xAC00...0xD7A3 = scalar.value { return 4 }
    let properties = scalar.properties
    if properties.generalCategory == .control { return properties.isWhitespace ? spaceControl : 25 }
    guard let age = properties.age, age.major <= version else { return unassigned }
    return number(of: properties.generalCategory)
  }

  private static func number(of category: Unicode.GeneralCategory) -> UInt8 {
    switch category {
    case .uppercaseLetter: 0
    case .lowercaseLetter: 1
    case .titlecaseLetter: 2
    case .modifierLetter: 3
    case .otherLetter: 4
    case .nonspacingMark: 5
    case .spacingMark: 6
    case .enclosingMark: 7
    case .decimalNumber: 8
    case .letterNumber: 9
    case .otherNumber: 10
    case .connectorPunctuation: 11
    case .dashPunctuation: 12
    case .openPunctuation: 13
    case .closePunctuation: 14
    case .initialPunctuation: 15
    case .finalPunctuation: 16
    case .otherPunctuation: 17
    case .mathSymbol: 18
    case .currencySymbol: 19
    case .modifierSymbol: 20
    case .otherSymbol: 21
    case .spaceSeparator: 22
    case .lineSeparator: 23
    case .paragraphSeparator: 24
    case .control: 25
    case .format: 26
    case .surrogate: 27
    case .privateUse: 28
    case .unassigned: unassigned
    @unknown default: unassigned
    }
  }
}

/// A set of characters.
struct ScalarSet: Equatable, Sendable {
  /// A bit for each kind that is in the set as a whole.
  var kinds: UInt32 = 0
  /// Characters that are in the set whatever their kind is.
  var ranges: [ClosedRange<UInt32>] = []
  /// The set is everything else.
  var isNegated = false

  init(kinds: UInt32) { self.kinds = kinds }
  init(_ values: UInt32...) { ranges = values.map { $0...$0 } }

  func contains(_ value: UInt32, kind: UInt8) -> Bool {
    (kinds >> UInt32(kind) & 1 == 1 || ranges.contains { $0.contains(value) }) != isNegated
  }

  mutating func formUnion(_ other: ScalarSet) {
    kinds |= other.kinds
    ranges += other.ranges
  }
}
