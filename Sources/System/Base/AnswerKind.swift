// AnswerKind: what sort of answer a question has. It decides how the answer is found and compared (Answers).

package enum AnswerKind: Sendable, Hashable {
  /// Mathematics: LaTeX, numbers, expressions, words.
  case math
  /// A letter from a list of choices.
  case choice
  /// Text, compared without regard to case and spacing.
  case string
  /// Text, compared character by character.
  case exact
  /// A program: the last fenced block. Equal are only equal texts, so its judge is a reward command.
  case code
  /// As `math`, but a number counts as the nearest multiple of the grid.
  case number(Grid)

  /// The distance between numbers that are different answers.
  package struct Grid: Sendable, Hashable {
    /// A positive decimal number, "0.01".
    package let text: String

    /// Longer ones have no use.
    private static let lengthMax = 12

    /// - Returns: nil if it is not a positive decimal number in digits.
    package init?(_ text: String) {
      let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
      let areDigits = parts.allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }
      guard areDigits, text.utf8.count <= Self.lengthMax, text.utf8.contains(where: { (0x31...0x39).contains($0) })
      else { return nil }
      self.text = text
    }
  }

  /// Whether answers are read as mathematics.
  package var isMathematical: Bool {
    switch self {
    case .math, .number: true
    case .choice, .string, .exact, .code: false
    }
  }
}

extension AnswerKind: RawRepresentable {
  private static let numberPrefix = "number:"
  /// What a file or a flag can say, for messages.
  package static let names = "math, choice, string, exact, code, or number:GRID as in number:0.01"

  package init?(rawValue: String) {
    switch rawValue {
    case "math": self = .math
    case "choice": self = .choice
    case "string": self = .string
    case "exact": self = .exact
    case "code": self = .code
    default:
      guard rawValue.hasPrefix(Self.numberPrefix), let grid = Grid(String(rawValue.dropFirst(Self.numberPrefix.count)))
      else { return nil }
      self = .number(grid)
    }
  }

  package var rawValue: String {
    switch self {
    case .math: "math"
    case .choice: "choice"
    case .string: "string"
    case .exact: "exact"
    case .code: "code"
    case .number(let grid): Self.numberPrefix + grid.text
    }
  }
}

extension AnswerKind: CaseIterable {
  /// With one grid of all.
  package static let allCases: [AnswerKind] =
    [.math, .choice, .string, .exact, .code] + (Grid("0.01").map { [.number($0)] } ?? [])
}
