// Node: an answer as a tree, the common ground of the parser, the evaluator and the writer of keys.

indirect enum Node {
  // Scalars: the evaluator turns them into images.
  case number(Image)
  case symbol(String)
  case sum([Node])
  case product([Node])
  case quotient(Node, Node)
  case negated(Node)
  /// `\pm` (`isFlipped` false) or `\mp` before a node. All of them in one element flip together.
  case eitherSign(Node, isFlipped: Bool)
  case power(Node, Node)
  case root(Node, degree: Node)
  /// A function of the name, and what it is applied to.
  case call(String, [Node])

  // Structure: the writer of keys works through it element by element.
  case words(String)
  /// Tuples, intervals and vectors: the order counts.
  case enclosed(open: Character, close: Character, [Node])
  /// Braces: order and repetition do not count.
  case set([Node])
  /// A bare list, or what `or` and `and` join: the order does not count.
  case list([Node], Separator)
  case combined(SetOperation, [Node])
  case matrix(environment: String, rows: [[Node]])
  /// `nodes[0] relations[0] nodes[1] ...`, without the name that was solved for.
  case related([Node], [Relation])
}

/// What joins a list: the strongest of its separators.
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
  /// Whether a scalar contains a number that can carry a unit; a bare symbol does not, π and roots of numbers do.
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

  /// A symbol that a relation may be about: not a constant.
  var isUnknown: Bool {
    if case .symbol(let name) = self { !["∞", "pi", "e", "i"].contains(name) } else { false }
  }

  /// Whether a value that tier 2 takes for irrational may still be a rational number: only functions, nested roots and
  /// irrational exponents know identities that it does not.
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

  /// Whether the value is a quotient of integers by the way it is made: tier 2 is exact then, however large it is.
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

  var isAbsolute: Bool { if case .call("abs", _) = self { true } else { false } }

  var isInequality: Bool {
    if case .related(_, let relations) = self { !relations.contains { $0 == .equal } } else { false }
  }

  /// Whether a sign is still open in here, so that the node stands for two values.
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
