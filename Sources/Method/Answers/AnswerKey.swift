// AnswerKey: two answers are the same answer if their keys are equal.
//
// A key is computed from one answer alone. So the relation is reflexive, symmetric and transitive by construction, and
// the vote, the reward and the metrics can use the same relation. This excludes tolerances, and rules like "40% is 40
// and also 0.4". The price is that 0.333 is not 1/3; this is intended.
//
// A key is made in three tiers. Tier 1 (Lexer) removes the differences of spelling. Tier 2 (Parser, Evaluator) reads
// the answer and writes a canonical text: scalars as their image in two finite fields, structures element by element,
// unordered structures sorted. Tier 3 (NumericEvaluator) computes real constants that are not rational. If an answer
// cannot be read, its key is its tier-1 form, and the key says so (``isLexical``). The same is true for an answer that
// would take too many steps (``isExhausted``).
//
// The rules, in short. Ignored: units, percent, degree and currency marks, `\text`, the name of the unknown (`x =`).
// Ordered: round and square brackets. Unordered: braces and bare lists. `\pm` is two answers. An inequality for one
// symbol is an interval. Other equations are compared up to a constant factor, and never equal a solved one. `(C) 12`
// and `C) 12` are the letter C, so all answers of this form with the same letter are equal.
//
// Not here: finding the answer in a response (Extraction).

package import Base

/// The class of an answer. Answers are equivalent if, and only if, their keys are equal.
package struct AnswerKey: Hashable, Comparable, Sendable {
  /// `q:1/2` for small rationals, `v:...` (an image, hexadecimal) for other values, `(q:3,q:-5)` and similar for
  /// structures, `r:...` for constants, `choice:C`, `words:east`, `string:...`, `text:...` for an answer that could not
  /// be read, and `budget:...` for an answer that would have taken too many steps. `0.01*314` is a number on a grid.
  package let text: String

  /// Whether the answer could not be read as mathematics, so that only its spelling (tier 1) is compared.
  package var isLexical: Bool { text.hasPrefix("text:") || isExhausted }

  /// Whether the reason is that reading it would have taken more steps than the budget has.
  package var isExhausted: Bool { text.hasPrefix("budget:") }

  fileprivate init(text: String) { self.text = text }

  /// A key that was made before, from its text in a record.
  package init(recorded text: String) { self.text = text }

  /// The answer's text, if the key was made by the reference's rule (AnswerRule); else nil.
  var referenceText: String? {
    text.hasPrefix(Self.referenceMark) ? String(text.dropFirst(Self.referenceMark.count)) : nil
  }

  /// The key of an answer by the reference's rule.
  init(referenceText: String) { text = Self.referenceMark + referenceText }

  private static let referenceMark = "reference:"

  package static func < (left: AnswerKey, right: AnswerKey) -> Bool { left.text < right.text }
}

extension AnswerKey {
  fileprivate static let choiceMark = "choice:"
  private static let choiceLetters = Array("ABCDEFGHIJ")

  /// The place of the option that the answer chooses, from 0; nil if it is not a letter.
  package var choicePlace: Int? {
    guard text.hasPrefix(Self.choiceMark), let letter = text.dropFirst(Self.choiceMark.count).first else { return nil }
    return Self.choiceLetters.firstIndex(of: letter)
  }

  /// The same option with the letter that the question's file gives it.
  ///
  /// - Parameter order: by place in the prompt, the option's place in the file; empty if the orders are the same.
  /// - Returns: the answer itself if it is not the letter of an option.
  package func inFileOrder(_ order: [UInt8]) -> AnswerKey {
    guard let place = choicePlace, place < order.count, order[place] < Self.choiceLetters.count else { return self }
    return AnswerKey(text: Self.choiceMark + String(Self.choiceLetters[Int(order[place])]))
  }
}

/// The key of an answer. Every text has a key. The time is at most linear in the length of the text.
/// - Parameters:
///   - answer: the text in the box or after the phrase, without these.
///   - kind: how answers to the question are read. Keys of different kinds cannot be compared.
/// - Returns: the class of the answer.
package func answerKey(_ answer: String, kind: AnswerKind) -> AnswerKey { readAnswer(answer, kind: kind).key }

/// A key, and the steps that it took.
package struct AnswerReading: Sendable {
  package var key: AnswerKey
  /// At most ``stepsMax``, for every text.
  package var steps: Int
  package static let stepsMax = StepBudget.stepsMax
}

/// The key of an answer and the steps that it took; see ``answerKey(_:kind:)``.
package func readAnswer(_ answer: String, kind: AnswerKind) -> AnswerReading {
  let budget = StepBudget()
  let key =
    switch kind {
    case .math: mathKey(answer, budget)
    case .number(let grid): mathKey(answer, budget, grid: grid)
    case .choice: choiceKey(answer)
    case .string: AnswerKey(text: "string:" + lexicalForm(Lexer.tokens(of: answer, asProse: true)))
    case .exact: AnswerKey(text: "exact:" + trimmedText(answer))
    case .code: AnswerKey(text: "code:" + codeForm(answer))
    }
  return AnswerReading(key: key, steps: budget.used)
}

/// Whether two answers are the same answer: equality of their keys.
package func areEquivalent(_ left: String, _ right: String, kind: AnswerKind) -> Bool {
  answerKey(left, kind: kind) == answerKey(right, kind: kind)
}

/// More tokens than any usual answer has. With more, only the spelling is compared.
private let parsedTokensMax = 400

/// - Parameter grid: real numbers count as the nearest multiple of it; nil for exact numbers.
private func mathKey(_ answer: String, _ budget: StepBudget, grid: AnswerKind.Grid? = nil) -> AnswerKey {
  let tokens = Lexer.tokens(of: statedValue(in: answer))
  if let letter = labelledChoice(tokens) { return mathKey(letter, budget) }
  if tokens.count > parsedTokensMax { budget.exhaust() }
  if budget.spend(tokens.count), let node = try? Parser.parse(tokens, budget) {
    if let grid, let key = gridKey(node, grid, budget) { return key }
    if let text = try? KeyWriter(budget: budget).text(of: node) { return AnswerKey(text: text) }
  }
  return AnswerKey(text: (budget.isExhausted ? "budget:" : "text:") + lexicalForm(tokens))
}

/// The key of a number's nearest multiple of the grid; halfway, the greater one. The evaluators compute it exactly:
/// ⌊x / grid + 1/2⌋.
///
/// - Returns: nil if the answer is not a real number, or is too large.
private func gridKey(_ node: Node, _ grid: AnswerKind.Grid, _ budget: StepBudget) -> AnswerKey? {
  guard !node.hasUnknown, !node.hasEitherSign, let unit = try? Parser.parse(Lexer.tokens(of: grid.text), budget) else {
    return nil
  }
  let half = Node.quotient(.number(Image(1)), .number(Image(2)))
  let multiple = Node.call("floor", [.sum([.quotient(node, unit), half])])
  guard let text = try? KeyWriter(budget: budget).text(of: multiple), text.hasPrefix("q:") else { return nil }
  return AnswerKey(text: "\(grid.text)*" + text.dropFirst(2))
}

private func choiceKey(_ answer: String) -> AnswerKey {
  if let letter = choiceLetter(in: answer) { return AnswerKey(text: AnswerKey.choiceMark + String(letter)) }
  return AnswerKey(text: "text:" + lexicalForm(Lexer.tokens(of: answer)))
}

/// The letter of an answer that begins with its choice: `(C) 12`, `\textbf{(C)}\ 12`, `C) 12`.
///
/// If the letter is in brackets, a space must follow, and not a sign: `(A)(B)` and `(A) + 1` are products and sums.
private func labelledChoice(_ tokens: [Token]) -> String? {
  let isBracketed = tokens.first?.isMark("(") ?? false
  let rest = tokens.dropFirst(isBracketed ? 1 : 0)
  guard let letter = rest.first?.choiceLetter, rest.dropFirst().first?.isMark(")") == true else { return nil }
  guard let next = rest.dropFirst(2).first else { return isBracketed ? nil : letter }
  guard next.isSpaced || !isBracketed else { return nil }
  return switch next.kind {
  case .word(let word, _): ["and", "or"].contains(word.lowercased()) ? nil : letter
  case .numeral, .letter: letter
  case .command(let name): !isBracketed || ["frac", "sqrt"].contains(name) ? letter : nil
  case .mark: isBracketed ? nil : letter
  }
}

extension Token {
  /// The token's letter, if it is a choice from A to J.
  fileprivate var choiceLetter: String? {
    switch kind {
    case .letter(let name), .word(let name, _): ("A"..."J").contains(name) && name.count == 1 ? name : nil
    default: nil
    }
  }
}

// MARK: Writing keys

/// Turns a tree into canonical text. `\pm` is read as `sign`.
private struct KeyWriter {
  let budget: StepBudget
  var sign = 1

  /// The text of an answer, or of an element of an unordered collection. With `\pm` it is a set of two.
  func text(of node: Node) throws -> String {
    let texts = try alternatives(node)
    return texts.count == 1 ? texts[0] : braces(texts)
  }

  /// The texts of the values that a node stands for: one, two if there is a `\pm`, or the elements of a collection.
  private func alternatives(_ node: Node) throws -> [String] {
    switch node {
    case .set(let elements): return distinct(try elements.flatMap { try self.elements($0) })
    case .list(let elements, let separator):
      // `x > 2 or x < -1` is one set of numbers. So is `x > 2, x < 5`.
      if elements.allSatisfy({ $0.isInequality }) {
        return [try combined(separator == .or ? .union : .intersection, elements.map { try definite($0) })]
      }
      return try elements.flatMap { try self.elements($0) }
    default:
      guard node.hasEitherSign else { return [try definite(node)] }
      return distinct([
        try KeyWriter(budget: budget, sign: 1).definite(node), try KeyWriter(budget: budget, sign: -1).definite(node),
      ])
    }
  }

  /// What one element adds to its collection: its text, or two texts if it has a `\pm`.
  private func elements(_ node: Node) throws -> [String] {
    if case .set = node { [try definite(node)] } else { try alternatives(node) }
  }

  private func distinct(_ texts: [String]) -> [String] {
    var result: [String] = []
    for text in texts.sorted() where result.last != text { result.append(text) }
    return result
  }

  private func braces(_ texts: [String]) -> String { "{" + texts.sorted().joined(separator: ";") + "}" }

  /// The text of a node in which every `\pm` has the sign `sign`.
  private func definite(_ node: Node) throws -> String {
    switch node {
    case .words(let words): return "words:" + words
    case .enclosed(let open, let close, let elements):
      return String(open) + (try elements.map { try definite($0) }).joined(separator: ",") + String(close)
    case .set(let elements): return braces(distinct(try elements.map { try definite($0) }))
    case .list(let elements, _): return braces(try elements.map { try definite($0) })
    case .combined(let operation, let operands): return try combined(operation, operands.map { try definite($0) })
    case .matrix(let environment, let rows):
      let lines = try rows.map { row in try row.map { try definite($0) }.joined(separator: ",") }
      return environment + "[" + lines.joined(separator: ";") + "]"
    case .related(let nodes, let relations): return try related(nodes, relations)
    default: return try scalar(of: node)
    }
  }

  private func value(_ node: Node, assignment: UInt64 = 0) throws -> Image {
    var evaluator = Evaluator(budget: budget, assignment: assignment, sign: sign)
    return try evaluator.value(node)
  }

  /// The text of one expression: by tier 2 if it is rational or has symbols; else by tier 3, or by tier 2 if tier 3
  /// does not resolve it.
  private func scalar(of node: Node) throws -> String {
    let image = try value(node)
    if image.rational != nil || node.hasUnknown || node.isRadicalFree { return scalar(image) }
    var numeric = NumericEvaluator(budget: budget, sign: sign)
    guard let verdict = try? numeric.verdict(on: node) else { return scalar(image) }
    return switch verdict {
    case .rational(let rational): scalar(rational.image)
    case .places(let places): "r:" + places
    }
  }

  private func scalar(_ image: Image) -> String {
    if let rational = image.rational {
      return rational.denominator == 1 ? "q:\(rational.numerator)" : "q:\(rational.numerator)/\(rational.denominator)"
    }
    return "v:" + image.words.map { String($0, radix: 16) }.joined(separator: ".")
  }

  private func combined(_ operation: SetOperation, _ texts: [String]) throws -> String {
    let operands = operation == .difference ? texts : distinct(texts)
    return operands.count == 1 ? operands[0] : operation.rawValue + "{" + operands.joined(separator: ";") + "}"
  }
}

// MARK: Equations and inequalities

extension KeyWriter {
  private func related(_ nodes: [Node], _ relations: [Relation]) throws -> String {
    if relations.allSatisfy({ $0 == .equal }) { return try equation(nodes) }
    if relations == [.notEqual] { return "≠" + (try upToFactor(nodes[0], nodes[1])) }
    if let interval = try interval(nodes, relations) { return interval }
    guard relations.count == 1, relations[0] != .notEqual else { throw Unparsed() }
    // The greater side minus the other. A constant factor is kept, because the sign of a factor cannot be determined.
    let isLess = relations[0] == .less || relations[0] == .lessOrEqual
    let difference = try value(isLess ? nodes[1] : nodes[0]) - value(isLess ? nodes[0] : nodes[1])
    let isStrict = relations[0] == .less || relations[0] == .greater
    return (isStrict ? "positive:" : "nonnegative:") + scalar(difference)
  }

  private func equation(_ nodes: [Node]) throws -> String {
    // `5 = x` is a solved equation too.
    if nodes.count == 2, case .symbol = nodes[1] { return try definite(nodes[0]) }
    let texts = try nodes.map { try definite($0) }
    // `2 + 3 = 5` states a value. `1 = 2` states nothing that can be compared.
    if texts.allSatisfy({ $0 == texts[0] }) { return texts[0] }
    guard nodes.count == 2 else { throw Unparsed() }
    return "=" + (try upToFactor(nodes[0], nodes[1]))
  }

  /// The difference of the two sides at one evaluation point, divided by the difference at another point. A constant
  /// factor cancels.
  private func upToFactor(_ left: Node, _ right: Node) throws -> String {
    let here = try value(left, assignment: 1) - value(right, assignment: 1)
    let there = try value(left, assignment: 2) - value(right, assignment: 2)
    guard let below = there.inverse, here != there else { throw Unparsed() }
    return scalar(here * below)
  }

  /// `a < x ≤ b`, `x < b` and `a < x` as intervals, if x is a single symbol.
  private func interval(_ nodes: [Node], _ relations: [Relation]) throws -> String? {
    guard let place = nodes.firstIndex(where: { $0.isUnknown }),
      place <= 1, nodes.count <= place + 2, relations.allSatisfy({ $0 != .equal && $0 != .notEqual })
    else { return nil }
    var lower: String?
    var upper: String?
    // Relations as seen from the symbol: if the symbol is less than a bound, that is its upper bound.
    for index in relations.indices {
      let seen = index < place ? relations[index].reversed : relations[index]
      let bound = try definite(index < place ? nodes[index] : nodes[index + 1])
      switch seen {
      case .less where upper == nil: upper = bound + ")"
      case .lessOrEqual where upper == nil: upper = bound + "]"
      case .greater where lower == nil: lower = "(" + bound
      case .greaterOrEqual where lower == nil: lower = "[" + bound
      default: return nil
      }
    }
    let infinity = Node.symbol("∞")
    let below = try lower ?? "(" + definite(.negated(infinity))
    let above = try upper ?? definite(infinity) + ")"
    return below + "," + above
  }
}
