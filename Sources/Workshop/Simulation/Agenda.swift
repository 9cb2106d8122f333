// Agenda: the events that are still to happen, ordered by time. Events at the same time are in the order in which they
// were scheduled.

import Base

/// A priority queue of future events.
struct Agenda<Happening> {
  private struct Entry {
    var at: Instant
    var order: UInt64
    var happening: Happening

    func isBefore(_ other: Entry) -> Bool { (at, order) < (other.at, other.order) }
  }

  /// A binary heap: no entry is before its parent.
  private var heap: [Entry] = []
  private var nextOrder: UInt64 = 0

  mutating func add(_ happening: Happening, at: Instant) {
    heap.append(Entry(at: at, order: nextOrder, happening: happening))
    nextOrder += 1
    var child = heap.count - 1
    while child > 0, heap[child].isBefore(heap[(child - 1) / 2]) {
      heap.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  /// Removes the next event and returns it.
  mutating func next() -> (at: Instant, happening: Happening)? {
    guard let first = heap.first, let last = heap.popLast() else { return nil }
    guard !heap.isEmpty else { return (first.at, first.happening) }
    heap[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child].isBefore(heap[least]) {
        least = child
      }
      guard least != parent else { return (first.at, first.happening) }
      heap.swapAt(parent, least)
      parent = least
    }
  }
}
