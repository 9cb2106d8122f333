// BytePairMerges: from the bytes of a word to its tokens.
//
// Of all adjacent pairs that the table can merge, the pair that was learned first is merged first; among equal pairs,
// the leftmost. This is repeated until no pair can be merged. Searching all pairs each time would be quadratic, and a
// "word" can be a megabyte of one letter. So the pairs are in a heap and the symbols in a linked list: n log n.

/// The merge table of a tokenizer.
struct BytePairMerges: Sendable {
  private struct Rule {
    var rank: UInt32
    var result: Int32
  }

  /// Looked up, never iterated.
  private var rules: [UInt64: UInt64] = [:]

  init(reserving capacity: Int) { rules.reserveCapacity(capacity) }

  /// Adds a rule. A pair that was added before gets the new rank, as in the `tokenizers` library.
  mutating func add(_ left: Int32, _ right: Int32, rank: Int, result: Int32) {
    rules[Self.key(left, right)] = UInt64(UInt32(truncatingIfNeeded: rank)) << 32 | UInt64(UInt32(bitPattern: result))
  }

  /// The tokens that remain when no pair can be merged any more.
  func merge(_ symbols: [Int32]) -> [Int32] {
    var word = Word(symbols)
    var queue = PriorityQueue()
    for index in symbols.indices.dropLast() { push(index, of: word, to: &queue) }
    while let (rank, left) = queue.popMin() {
      // The pair can have changed since it was queued; then its rank is different.
      guard let rule = rule(at: left, of: word), rule.rank == rank else { continue }
      word.mergeNext(into: left, as: rule.result)
      if let before = word.index(before: left) { push(before, of: word, to: &queue) }
      push(left, of: word, to: &queue)
    }
    return word.symbols.filter { $0 >= 0 }
  }

  private func push(_ left: Int, of word: Word, to queue: inout PriorityQueue) {
    if let rule = rule(at: left, of: word) { queue.insert(rank: rule.rank, index: left) }
  }

  private func rule(at left: Int, of word: Word) -> Rule? {
    guard word.symbols[left] >= 0, let right = word.index(after: left),
      let packed = rules[Self.key(word.symbols[left], word.symbols[right])]
    else { return nil }
    return Rule(rank: UInt32(packed >> 32), result: Int32(truncatingIfNeeded: packed))
  }

  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }
}

/// The symbols of a word as a doubly linked list in arrays. A symbol that was merged away is -1.
private struct Word {
  private(set) var symbols: [Int32]
  private var previous: [Int]
  private var next: [Int]

  init(_ symbols: [Int32]) {
    self.symbols = symbols
    previous = symbols.indices.map { $0 - 1 }
    next = symbols.indices.map { $0 + 1 }
  }

  func index(after index: Int) -> Int? { next[index] < symbols.count ? next[index] : nil }
  func index(before index: Int) -> Int? { previous[index] >= 0 ? previous[index] : nil }

  /// `left` becomes the merged symbol, and its right neighbour is removed.
  mutating func mergeNext(into left: Int, as result: Int32) {
    let right = next[left]
    symbols[left] = result
    symbols[right] = -1
    next[left] = next[right]
    if next[right] < symbols.count { previous[next[right]] = left }
  }
}

/// A binary heap of (rank, index), smallest first.
private struct PriorityQueue {
  private var heap: [UInt64] = []

  mutating func insert(rank: UInt32, index: Int) {
    heap.append(UInt64(rank) << 32 | UInt64(index))
    var child = heap.count - 1
    while child > 0, heap[child] < heap[(child - 1) / 2] {
      heap.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func popMin() -> (rank: UInt32, index: Int)? {
    guard let top = heap.first, let last = heap.popLast() else { return nil }
    if !heap.isEmpty {
      heap[0] = last
      siftDown()
    }
    return (UInt32(top >> 32), Int(top & 0xFFFF_FFFF))
  }

  private mutating func siftDown() {
    var parent = 0
    while 2 * parent + 1 < heap.count {
      var child = 2 * parent + 1
      if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
      guard heap[child] < heap[parent] else { return }
      heap.swapAt(child, parent)
      parent = child
    }
  }
}
