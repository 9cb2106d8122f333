// Node: an answer as a tree. The parser makes it; the evaluators and the writer of keys read it.

indirect enum Node {
  // Scalars. The evaluator turns them into images.
  case number(Image)
  case symbol(String)
  case sum([Node])
  case product([Node])
  case quotient(Node, Node)
  case negated(Node)
  /// `\pm` (`isFlipped` is false) or `\mp` before a node. All signs in one element change together.
  case eitherSign(Node, isFlipped: Bool)
  case power(Node, Node)
  case root(Node, degree: Node)
  /// A function's name, and its arguments.
  case call(String, [Node])

  // Structures. The writer of keys processes them element by element.
  case words(String)
  /// Tuples, intervals and vectors: the order matters.
  case enclosed(open: Character, close: Character, [Node])
  /// Braces: order and repetition do not matter.
  case set([Node])
  /// A bare list, or nodes joined by `or` and `and`: the order does not matter.
  case list([Node], Separator)
  case combined(SetOperation, [Node])
  case matrix(environment: String, rows: [[Node]])
  /// `nodes[0] relations[0] nodes[1] ...`, without the name of the unknown in front (the `x =` of `x = 5`).
  case related([Node], [Relation])
}

/// What joins a list. If it has several separators, `or` or `and`, not the comma.
enum Separator { case comma, or, and }

enum SetOperation: String { case union = "∪", intersection = "∩", difference = "∖" }

enum Relation { case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual }

extension Relation {
  /// The relation read from right to left.
  var reversed: Relation {
    switch self {
    case .equal, .notEqual: self
    case .less: .greater
    case .lessOrEqual: .greaterOrEqual
    case .greater: .less
    case .greaterOrEqual: .lessOrEqual
    }
  }
}

extension Node {
  /// Whether a scalar contains a number, so that it can have a unit. π and roots of numbers do; a bare symbol does not.
  var hasNumber: Bool {
    switch self {
    case .number: true
    case .symbol(let name): name == "pi"
    case .negated(let inner), .eitherSign(let inner, _), .root(let inner, _): inner.hasNumber
    case .power(let base, _): base.hasNumber
    case .quotient(let left, let right): left.hasNumber || right.hasNumber
    case .sum(let nodes), .product(let nodes), .call(_, let nodes): nodes.contains { $0.hasNumber }
    case .words, .enclosed, .set, .list, .combined, .matrix, .related: false
    }
  }

  /// Whether the value depends on a symbol.
  var hasUnknown: Bool {
    switch self {
    case .number, .words: false
    case .symbol: isUnknown
    case .negated(let inner), .eitherSign(let inner, _): inner.hasUnknown
    case .quotient(let left, let right), .power(let left, let right): left.hasUnknown || right.hasUnknown
    case .root(let inner, let degree): inner.hasUnknown || degree.hasUnknown
    case .sum(let nodes), .product(let nodes), .call(_, let nodes), .enclosed(_, _, let nodes), .set(let nodes),
      .list(let nodes, _), .combined(_, let nodes), .related(let nodes, _):
      nodes.contains { $0.hasUnknown }
    case .matrix(_, let rows): rows.contains { $0.contains { $0.hasUnknown } }
    }
  }

  /// Whether it is a symbol and not a constant.
  var isUnknown: Bool {
    if case .symbol(let name) = self { !["∞", "pi", "e", "i"].contains(name) } else { false }
  }

  /// Whether the value can be a rational number although tier 2 does not see it. Only functions, nested roots and
  /// irrational exponents have identities that tier 2 does not know.
  var hidesRational: Bool {
    switch self {
    case .call: true
    case .root(let inner, _): !inner.isRadicalFree
    case .power(let base, let exponent): !exponent.isRadicalFree || base.hidesRational
    case .negated(let inner), .eitherSign(let inner, _): inner.hidesRational
    case .quotient(let left, let right): left.hidesRational || right.hidesRational
    case .sum(let nodes), .product(let nodes): nodes.contains { $0.hidesRational }
    case .number, .symbol, .words, .enclosed, .set, .list, .combined, .matrix, .related: false
    }
  }

  /// Whether the operations alone show that the value is a quotient of integers. Then tier 2 is exact, however large it
  /// is.
  var isRadicalFree: Bool {
    switch self {
    case .number: true
    case .negated(let inner): inner.isRadicalFree
    case .quotient(let left, let right): left.isRadicalFree && right.isRadicalFree
    case .power(let base, let exponent): base.isRadicalFree && exponent.isInteger
    case .sum(let nodes), .product(let nodes): nodes.allSatisfy { $0.isRadicalFree }
    case .call(let name, let nodes): ["!", "binom"].contains(name) && nodes.allSatisfy { $0.isRadicalFree }
    default: false
    }
  }

  private var isInteger: Bool {
    switch self {
    case .number(let image): image.integer != nil
    case .negated(let inner): inner.isInteger
    default: false
    }
  }

  var isNumber: Bool { if case .number = self { true } else { false } }

  var isAbsolute: Bool { if case .call("abs", _) = self { true } else { false } }

  var isInequality: Bool {
    if case .related(_, let relations) = self { !relations.contains { $0 == .equal } } else { false }
  }

  /// Whether the node contains `\pm` or `\mp`, so that it stands for two values.
  var hasEitherSign: Bool {
    switch self {
    case .number, .symbol, .words: false
    case .eitherSign: true
    case .negated(let inner): inner.hasEitherSign
    case .quotient(let left, let right), .power(let left, let right): left.hasEitherSign || right.hasEitherSign
    case .root(let inner, let degree): inner.hasEitherSign || degree.hasEitherSign
    case .sum(let nodes), .product(let nodes), .call(_, let nodes), .enclosed(_, _, let nodes), .set(let nodes),
      .list(let nodes, _), .combined(_, let nodes), .related(let nodes, _):
      nodes.contains { $0.hasEitherSign }
    case .matrix(_, let rows): rows.contains { $0.contains { $0.hasEitherSign } }
    }
  }
}
