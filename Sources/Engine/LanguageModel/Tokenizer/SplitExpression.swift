// SplitExpression: a regular expression, compiled, and the search for its matches.
//
// Oniguruma's rule: the first alternative that leads to a match, and the longest repetition that does. That takes
// backtracking. Text and expression can both come from outside, so the search remembers which instruction failed at
// which character and never tries that again, not even for a match that begins elsewhere: whether it fails depends on
// the text behind that character only. So the time is proportional to the characters times the instructions.
//
// Each different set of the expression gets one bit. A character's mask says in which sets it is, so an instruction
// tests one bit. Bit 63 is in every mask: "whatever the next character is".

import Base

/// A compiled regular expression. It never matches the empty text.
struct SplitExpression: Sendable {
  /// Sets of one expression: one bit each, besides bit 63. Real expressions have 20.
  static let setsMax = 63
  /// Forks: one bit each.
  static let forksMax = 64
  /// The time of a search is proportional to them. Real expressions have 100.
  static let instructionsMax = 1024
  private static let always: UInt64 = 1 << 63

  struct Instruction {
    enum Kind {
      /// A character of the set, then `next`.
      case one
      /// As many characters of the set as possible, at least `min` and at most `max`, then `next`. Never gives one
      /// back.
      case run
      /// `next`, and if that fails, `other`.
      case fork
      /// A fork of an unbounded repetition.
      case loop
      /// `next` if the next character is in the set; `aheadNot`: if it is not.
      case ahead, aheadNot
      case match
    }

    var kind: Kind
    var set: UInt64 = 0
    var next = 0
    var other = 0
    var min = 0
    var max = Int.max
    /// For forks: the sets with which `next` and `other` can begin, and the bit of this fork among all forks.
    var nextFirst: UInt64 = 0
    var otherFirst: UInt64 = 0
    var slot: UInt64 = 0
  }

  private(set) var instructions: [Instruction] = []
  private(set) var sets: [ScalarSet] = []
  private var start = 0
  private var forkCount = 0
  private(set) var startFirst: UInt64 = 0

  /// - Throws: the first part that is not supported.
  init(_ regex: String) throws(ExpressionRefusal) {
    let expression = try ExpressionParser.parse(regex)
    let whole = ExpressionRefusal(place: 0, part: regex.excerpt)
    // Oniguruma would also report matches of no length.
    guard !expression.canBeEmpty else { throw whole }
    let match = add(Instruction(kind: .match))
    guard let start = compile(expression, then: match), sets.count <= Self.setsMax, forkCount <= Self.forksMax else {
      throw whole
    }
    self.start = start
    findFirsts()
    startFirst = first(start)
    makeMasks()
  }

  // MARK: Masks

  private var asciiMasks: [UInt64] = []
  private var kindMasks: [UInt64] = []
  /// The sets in which single characters beyond ASCII matter.
  private var irregular: [Int] = []

  private mutating func makeMasks() {
    irregular = sets.indices.filter { sets[$0].ranges.contains { $0.upperBound >= 0x80 } }
    func mask(_ contains: (ScalarSet) -> Bool) -> UInt64 {
      sets.indices.reduce(Self.always) { contains(sets[$1]) ? $0 | 1 << UInt64($1) : $0 }
    }
    asciiMasks = (0..<0x80).map { value in mask { $0.contains(value, kind: ScalarKind.of(value)) } }
    kindMasks = (0..<UInt32(ScalarKind.count)).map { kind in mask { ($0.kinds >> kind & 1 == 1) != $0.isNegated } }
  }

  func mask(of value: UInt32) -> UInt64 {
    if value < 0x80 { return asciiMasks[Int(value)] }
    let kind = ScalarKind.of(value)
    var mask = kindMasks[Int(kind)]
    for index in irregular {
      let bit: UInt64 = 1 << UInt64(index)
      mask = sets[index].contains(value, kind: kind) ? mask | bit : mask & ~bit
    }
    return mask
  }
}

// MARK: - Compiling

extension SplitExpression {
  private mutating func add(_ instruction: Instruction) -> Int {
    instructions.append(instruction)
    return instructions.count - 1
  }

  private mutating func bit(of set: ScalarSet) -> UInt64? {
    let index = sets.firstIndex(of: set) ?? sets.count
    if index == sets.count { sets.append(set) }
    return index < Self.setsMax ? 1 << UInt64(index) : nil
  }

  /// Instructions that match `expression` and continue with `next`.
  /// - Returns: the first of them; nil if the expression is too large.
  private mutating func compile(_ expression: Expression, then next: Int) -> Int? {
    guard instructions.count <= Self.instructionsMax else { return nil }
    switch expression {
    case .one(let set):
      guard let bit = bit(of: set) else { return nil }
      return add(Instruction(kind: .one, set: bit, next: next))
    case .ahead(let set, let isNegated):
      guard let bit = bit(of: set) else { return nil }
      return add(Instruction(kind: isNegated ? .aheadNot : .ahead, set: bit, next: next))
    case .sequence(let parts):
      var next = next
      for part in parts.reversed() {
        guard let start = compile(part, then: next) else { return nil }
        next = start
      }
      return next
    case .alternatives(let parts):
      var starts: [Int] = []
      for part in parts {
        guard let start = compile(part, then: next) else { return nil }
        starts.append(start)
      }
      return starts.dropLast().reversed().reduce(starts[starts.count - 1]) { fork($1, else: $0) }
    case .repeated(let part, let min, let max, let isPossessive):
      if case .one(let set) = part, isPossessive || cannotFail(next) {
        // A search that fails behind a long run would repeat the run from each of its characters.
        guard let bit = bit(of: set), max != nil || cannotFail(next) else { return nil }
        return add(Instruction(kind: .run, set: bit, next: next, min: min, max: max ?? .max))
      }
      return compileRepeated(part, min: min, max: max, then: next)
    }
  }

  /// A repetition that can give characters back.
  private mutating func compileRepeated(_ part: Expression, min: Int, max: Int?, then next: Int) -> Int? {
    var start = next
    if let max {
      for _ in min..<max {
        guard let one = compile(part, then: start) else { return nil }
        start = fork(one, else: next)
      }
    } else {
      let loop = addFork(.loop, else: next)
      guard let body = compile(part, then: loop) else { return nil }
      instructions[loop].next = body
      start = loop
    }
    for _ in 0..<min {
      guard let one = compile(part, then: start) else { return nil }
      start = one
    }
    return start
  }

  private mutating func fork(_ next: Int, else other: Int) -> Int {
    let fork = addFork(.fork, else: other)
    instructions[fork].next = next
    return fork
  }

  private mutating func addFork(_ kind: Instruction.Kind, else other: Int) -> Int {
    // More forks than `forksMax` are refused in the end.
    let slot: UInt64 = 1 << UInt64(forkCount % Self.forksMax)
    forkCount += 1
    return add(Instruction(kind: kind, other: other, slot: slot))
  }

  /// A loop leads back to itself, so the sets are added until nothing changes.
  private mutating func findFirsts() {
    var isDone = false
    while !isDone {
      isDone = true
      for index in instructions.indices where [.fork, .loop].contains(instructions[index].kind) {
        let firsts = (first(instructions[index].next), first(instructions[index].other))
        if firsts == (instructions[index].nextFirst, instructions[index].otherFirst) { continue }
        (instructions[index].nextFirst, instructions[index].otherFirst) = firsts
        isDone = false
      }
    }
  }

  /// Whether `instruction` leads to a match whatever the text is. Then a repetition before it never has to give
  /// characters back.
  private func cannotFail(_ instruction: Int) -> Bool {
    let found = instructions[instruction]
    switch found.kind {
    case .match: return true
    case .run: return found.min == 0 && cannotFail(found.next)
    case .fork: return cannotFail(found.other)
    case .one, .loop, .ahead, .aheadNot: return false
    }
  }

  /// The sets in which the next character must be for `instruction` to lead to a match.
  private func first(_ instruction: Int) -> UInt64 {
    let found = instructions[instruction]
    switch found.kind {
    case .one: return found.set
    case .run: return found.min > 0 ? found.set : found.set | first(found.next)
    case .fork, .loop: return found.nextFirst | found.otherFirst
    case .ahead, .aheadNot, .match: return Self.always
    }
  }
}

// MARK: - Searching

extension SplitExpression {
  /// Calls `body` for each match in `pieces` of a text, in order, and for each stretch without a match.
  /// - Parameter pieces: ranges of bytes, ascending. A match lies in one piece, and sees nothing outside of it.
  func forEachStretch(
    of text: [UInt8], in pieces: [Range<Int>], _ body: (_ range: Range<Int>, _ isMatch: Bool, _ piece: Int) -> Void
  ) {
    var search = Search(self, text)
    var scalar = 0
    for (index, piece) in pieces.enumerated() {
      while search.offsets[scalar] < piece.lowerBound { scalar += 1 }
      var unmatched = scalar
      let first = scalar
      var end = first
      while search.offsets[end] < piece.upperBound { end += 1 }
      while scalar < end {
        guard let matchEnd = search.matchEnd(from: scalar, to: end) else {
          scalar += 1
          continue
        }
        if unmatched < scalar { body(search.offsets[unmatched]..<search.offsets[scalar], false, index) }
        body(search.offsets[scalar]..<search.offsets[matchEnd], true, index)
        scalar = matchEnd
        unmatched = scalar
      }
      if unmatched < end { body(search.offsets[unmatched]..<search.offsets[end], false, index) }
    }
  }

  private struct Search {
    private let instructions: [Instruction]
    private let start: Int
    private let startFirst: UInt64
    private var masks: [UInt64] = []
    /// [count + 1] the byte where each character begins.
    private(set) var offsets: [Int] = []
    /// By character: the forks that were taken there. A fork that is taken a second time failed the first time.
    private var taken: [UInt64]
    private var alternatives: [(instruction: Int, position: Int)] = []

    init(_ expression: SplitExpression, _ text: [UInt8]) {
      instructions = expression.instructions
      start = expression.start
      startFirst = expression.startFirst
      masks.reserveCapacity(text.count)
      offsets.reserveCapacity(text.count + 1)
      var position = 0
      while position < text.count {
        offsets.append(position)
        let byte = text[position]
        if byte < 0x80 {
          masks.append(expression.asciiMasks[Int(byte)])
          position += 1
        } else {
          let width = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2
          var value = UInt32(byte) & (0x7F >> UInt32(width))
          for byte in text[position...].dropFirst().prefix(width - 1) { value = value << 6 | UInt32(byte & 0x3F) }
          masks.append(expression.mask(of: value))
          position += width
        }
      }
      offsets.append(text.count)
      taken = Array(repeating: 0, count: masks.count + 1)
    }

    /// The end of the match that begins at `start`.
    mutating func matchEnd(from start: Int, to end: Int) -> Int? {
      guard masks[start] & startFirst != 0 else { return nil }
      // Forks taken at this place belong to the match that ended here. Those behind it all failed.
      taken[start] = 0
      alternatives.removeAll(keepingCapacity: true)
      var instruction = self.start
      var position = start
      while true {
        let found = instructions[instruction]
        let mask = position < end ? masks[position] : SplitExpression.always
        var fails = false
        switch found.kind {
        case .one:
          fails = mask & found.set == 0
          position += 1
          instruction = found.next
        case .run:
          let limit = found.max < end - position ? position + found.max : end
          let first = position
          while position < limit, masks[position] & found.set != 0 { position += 1 }
          fails = position - first < found.min
          instruction = found.next
        case .fork, .loop:
          let canNext = mask & found.nextFirst != 0
          let canOther = mask & found.otherFirst != 0
          if canNext == canOther || found.kind == .loop {
            fails = !canNext && !canOther || taken[position] & found.slot != 0
            taken[position] |= found.slot
            if !fails, canNext, canOther { alternatives.append((found.other, position)) }
          }
          instruction = canNext ? found.next : found.other
        case .ahead:
          fails = mask & found.set == 0
          instruction = found.next
        case .aheadNot:
          fails = mask & found.set != 0
          instruction = found.next
        case .match: return position
        }
        if fails {
          guard let alternative = alternatives.popLast() else { return nil }
          (instruction, position) = alternative
        }
      }
    }
  }
}
