// SplittingStep: the steps in which normalised text is split into words, before each word becomes tokens.
//
// Tokens never cross the border of a word. Each step splits the pieces of the one before; some also insert a space.

/// Text and its pieces, none of which is empty.
struct TextPieces {
  private(set) var text: [UInt8]
  /// Ascending, without overlap.
  var ranges: [Range<Int>]

  init(_ text: ArraySlice<UInt8>) {
    self.text = Array(text)
    ranges = text.isEmpty ? [] : [0..<text.count]
  }

  /// Replaces each piece by pieces of other text.
  mutating func rewrite(_ parts: (ArraySlice<UInt8>) -> [[UInt8]]) {
    var text: [UInt8] = []
    text.reserveCapacity(self.text.count + ranges.count)
    var ranges: [Range<Int>] = []
    for range in self.ranges {
      for part in parts(self.text[range]) where !part.isEmpty {
        ranges.append(text.count..<text.count + part.count)
        text.append(contentsOf: part)
      }
    }
    self.text = text
    self.ranges = ranges
  }
}

/// One step of splitting text.
enum SplittingStep: Sendable {
  case split(Pattern, Behavior, isInverted: Bool)
  /// A piece that does not begin with a space gets one.
  case spaceInFront
  case metaspace(Metaspace)

  enum Pattern: Sendable {
    case expression(SplitExpression)
    /// Not empty.
    case text([UInt8])
  }

  /// What becomes of a match. The names are those of tokenizer.json.
  enum Behavior: String, CaseIterable, Sendable {
    /// It is a piece of its own, like the text between two matches.
    case isolated = "Isolated"
    /// It is left out.
    case removed = "Removed"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
    /// Like `isolated`, but adjacent matches are one piece.
    case contiguous = "Contiguous"
  }

  /// SentencePiece's way to write spaces.
  struct Metaspace: Sendable {
    enum Scheme: String, CaseIterable, Sendable { case always, first, never }

    /// The character that stands for a space.
    var replacement: [UInt8]
    /// Which pieces get one in front, unless they begin with one.
    var scheme: Scheme
    /// Whether each of these characters begins a piece.
    var splits: Bool
  }

  /// - Parameter isFirst: whether the pieces are at the beginning of the whole text.
  func apply(to pieces: inout TextPieces, isFirst: Bool) {
    switch self {
    case .spaceInFront:
      pieces.rewrite { [$0.first == 0x20 ? Array($0) : [0x20] + $0] }
    case .split(let pattern, let behavior, let isInverted):
      var joined = JoinedPieces(behavior)
      pattern.forEachStretch(of: pieces) { joined.add($0, isMatch: $1 != isInverted, piece: $2) }
      pieces.ranges = joined.ranges
    case .metaspace(let metaspace):
      var isFirst = isFirst
      pieces.rewrite { piece in
        defer { isFirst = false }
        return metaspace.pieces(of: piece, isFirst: isFirst)
      }
    }
  }
}

extension SplittingStep.Pattern {
  func forEachStretch(of pieces: TextPieces, _ body: (_ range: Range<Int>, _ isMatch: Bool, _ piece: Int) -> Void) {
    switch self {
    case .expression(let expression): expression.forEachStretch(of: pieces.text, in: pieces.ranges, body)
    case .text(let pattern):
      for (index, range) in pieces.ranges.enumerated() {
        pattern.forEachStretch(of: pieces.text, in: range) { body($0, $1, index) }
      }
    }
  }
}

extension SplittingStep.Metaspace {
  fileprivate func pieces(of piece: ArraySlice<UInt8>, isFirst: Bool) -> [[UInt8]] {
    var text = Replacement(pattern: [0x20], content: replacement).applied(to: Array(piece))
    let isPrepended = scheme == .always || scheme == .first && isFirst
    if isPrepended, !text.starts(with: replacement) { text = replacement + text }
    guard splits else { return [text] }
    var joined = JoinedPieces(.mergedWithNext)
    replacement.forEachStretch(of: text, in: 0..<text.count) { joined.add($0, isMatch: $1, piece: 0) }
    return joined.ranges.map { Array(text[$0]) }
  }
}

/// Joins matches with their neighbours, as a behavior says.
private struct JoinedPieces {
  private let behavior: SplittingStep.Behavior
  private(set) var ranges: [Range<Int>] = []
  private var last: (isMatch: Bool, piece: Int)?

  init(_ behavior: SplittingStep.Behavior) { self.behavior = behavior }

  mutating func add(_ range: Range<Int>, isMatch: Bool, piece: Int) {
    let before = last?.piece == piece ? last : nil
    last = (isMatch, piece)
    let joins =
      switch behavior {
      case .isolated: false
      case .removed: false
      case .contiguous: before?.isMatch == isMatch
      case .mergedWithPrevious: isMatch && before?.isMatch == false
      // Of several matches in a row, the last one joins.
      case .mergedWithNext: !isMatch && before?.isMatch == true
      }
    if behavior == .removed, isMatch { return }
    if joins, let previous = ranges.popLast() {
      ranges.append(previous.lowerBound..<range.upperBound)
    } else {
      ranges.append(range)
    }
  }
}
