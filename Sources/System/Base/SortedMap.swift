// SortedMap: a dictionary whose order is the order of its keys.
//
// Swift's Dictionary and Set iterate in an order that changes from process to process; one such loop in a state machine
// would make two runs differ. So state that is iterated is kept in this type. It is a sorted array: a lookup is a
// binary search, an insertion shifts the entries behind it. The machines hold thousands of entries, not millions, and
// mostly append.

package struct SortedMap<Key: Comparable & Sendable, Value: Sendable>: Sendable {
  package private(set) var keys: [Key] = []
  package private(set) var values: [Value] = []

  package init() {}

  package var count: Int { keys.count }
  package var isEmpty: Bool { keys.isEmpty }
  package var first: (key: Key, value: Value)? { keys.isEmpty ? nil : (keys[0], values[0]) }

  /// The value of a key; assigning nil removes the entry.
  package subscript(key: Key) -> Value? {
    get {
      let position = lowerBound(of: key)
      return position < keys.count && keys[position] == key ? values[position] : nil
    }
    set {
      let position = lowerBound(of: key)
      let isPresent = position < keys.count && keys[position] == key
      switch (isPresent, newValue) {
      case (true, .some(let value)): values[position] = value
      case (true, .none):
        keys.remove(at: position)
        values.remove(at: position)
      case (false, .some(let value)):
        keys.insert(key, at: position)
        values.insert(value, at: position)
      case (false, .none): break
      }
    }
  }

  /// Changes a value in place. Returns what `change` returns, or nil if the key is absent.
  package mutating func update<Result>(_ key: Key, _ change: (inout Value) -> Result) -> Result? {
    let position = lowerBound(of: key)
    guard position < keys.count, keys[position] == key else { return nil }
    return change(&values[position])
  }

  package func contains(_ key: Key) -> Bool {
    let position = lowerBound(of: key)
    return position < keys.count && keys[position] == key
  }

  /// Removes and returns the value, if there is one.
  package mutating func remove(_ key: Key) -> Value? {
    defer { self[key] = nil }
    return self[key]
  }

  /// The index of the first key that is not below `key`.
  private func lowerBound(of key: Key) -> Int {
    var low = 0
    var high = keys.count
    // Appending in order is the common case; skip the search.
    if let last = keys.last, last < key { return keys.count }
    while low < high {
      let middle = (low + high) / 2
      if keys[middle] < key { low = middle + 1 } else { high = middle }
    }
    return low
  }
}

extension SortedMap: Sequence {
  package func makeIterator() -> Zip2Sequence<[Key], [Value]>.Iterator { zip(keys, values).makeIterator() }
}
