// KeyValuePages: memory for keys and values, in pages of 16 positions.
//
// A page does not belong to one sequence. The page tables of all samples of a prompt list the prompt's full pages. The
// page in which the prompt ends is copied for each sample, because each sample writes there. A page is free when no
// table lists it. So memory use follows what is being sampled, and a prompt's keys stay in the processor's cache for
// all its samples. Sampler and trainer use the same pages; the trainer computes layer by layer and needs pages of one
// layer only.
// A layer of linear attention has no pages but a state of fixed size for each sequence. The states of all such layers
// stand beside a sequence's pages, in one piece, and are copied where the last page is copied.
// Not here: the layout within a page (CKernels.h), which tables list what (Generator, TrainingBatch).

import CKernels

/// A pool of pages for `layers` layers each. One per thread.
package final class KeyValuePages {
  fileprivate let heads: Heads
  /// Floats per page and layer.
  let layerFloats: Int
  let pageFloats: Int
  private let pagesPerSlab: Int
  private var slabs: [Floats] = []
  private var free: [Int32] = []
  /// Floats of one sequence's states; 0 if the model has none.
  package let stateFloats: Int
  private var freeStates: [Floats] = []
  package private(set) var statesInUse = 0
  /// By page: how many tables list it.
  private var users: [Int32] = []

  package init(heads: Heads, layers: Int, stateFloats: Int = 0) {
    self.heads = heads
    self.stateFloats = stateFloats
    layerFloats = heads.pageFloats
    pageFloats = heads.pageFloats * layers
    pagesPerSlab = max(1, (4 << 20) / max(4, pageFloats * 4))
  }

  /// Floats per page, layer and key/value head.
  fileprivate var headFloats: Int { layerFloats / heads.keyValue }

  /// Bytes of the memory that is allocated for pages. It never shrinks.
  package var byteCount: Int { slabs.reduce(0) { $0 + $1.count * 4 } }

  package var pageBytes: Int { pageFloats * 4 }

  /// How many pages are listed by a table.
  package var inUse: Int { users.count - free.count }

  /// A page with one user. Its contents are undefined.
  func take() -> Int32 {
    if free.isEmpty {
      let first = Int32(users.count)
      slabs.append(Floats(count: pagesPerSlab * pageFloats))
      users.append(contentsOf: repeatElement(0, count: pagesPerSlab))
      free.append(contentsOf: (first..<first + Int32(pagesPerSlab)).reversed())
    }
    let page = free.removeLast()
    users[Int(page)] = 1
    return page
  }

  /// Memory for one sequence's states, whose contents are undefined; nil if the model has none.
  func takeState() -> Floats? {
    guard stateFloats > 0 else { return nil }
    statesInUse += 1
    return freeStates.popLast() ?? Floats(count: stateFloats)
  }

  func release(state: Floats) {
    statesInUse -= 1
    freeStates.append(state)
  }

  package var stateBytes: Int { stateFloats * 4 }

  func share(_ page: Int32) { users[Int(page)] += 1 }

  func release(_ page: Int32) {
    users[Int(page)] -= 1
    precondition(users[Int(page)] >= 0, "page \(page) was released more often than it was taken")
    if users[Int(page)] == 0 { free.append(page) }
  }

  func address(_ page: Int32) -> UnsafeMutablePointer<Float> {
    slabs[Int(page) / pagesPerSlab].base + Int(page) % pagesPerSlab * pageFloats
  }
}

/// The pages of one sequence, in the order of positions. They are released when the table is freed.
package final class PageTable {
  private let pages: KeyValuePages
  private var listed: [Int32] = []
  private let capacity: Int
  /// After the sequence's last row; nil if the model has no such layers.
  let state: Floats?
  let base: UnsafeMutablePointer<UnsafeMutablePointer<Float>>

  /// An empty table with room for `positions` positions.
  package convenience init(_ pages: KeyValuePages, positions: Int) {
    self.init(pages, room: positions)
    state?.fill(0)
  }

  /// The state is undefined.
  private init(_ pages: KeyValuePages, room positions: Int) {
    self.pages = pages
    state = pages.takeState()
    capacity = (positions + 15) / 16
    base = .allocate(capacity: max(1, capacity))
  }

  /// A continuation of `prefix` after its first `count` positions, with room for `positions` in total. Full pages are
  /// shared. For a page that is only partly filled, the continuation gets a page of its own (`copyEnd` fills it).
  package convenience init(continuing prefix: PageTable, after count: Int, positions: Int) {
    self.init(prefix.pages, room: positions)
    for page in prefix.listed[0..<count / 16] {
      pages.share(page)
      append(page)
    }
    reserve(positions: count)
  }

  deinit {
    for page in listed { pages.release(page) }
    if let state { pages.release(state: state) }
    base.deallocate()
  }

  /// How many more pages it can list.
  package var unlisted: Int { capacity - listed.count }

  /// Adds pages until the first `positions` positions have one.
  package func reserve(positions: Int) {
    while listed.count * 16 < positions { append(pages.take()) }
  }

  private func append(_ page: Int32) {
    precondition(listed.count < capacity, "a table of \(capacity) pages is full")
    base[listed.count] = pages.address(page)
    listed.append(page)
  }

  /// Copies what a continuation of `prefix` after its first `count` positions does not share with it, for all layers:
  /// the positions in the page that they do not fill, and the states, for which `count` is all of the prefix. Later
  /// positions in that page are not changed.
  package func copyEnd(of prefix: PageTable, count: Int) {
    if let state, let end = prefix.state { state.copy(from: end) }
    let lanes = count % 16
    guard lanes != 0 else { return }
    let (keyRows, valueStride) = (pages.heads.pageKeyRows, pages.heads.pageValueStride)
    for head in 0..<pages.pageFloats / pages.headFloats {
      let from = prefix.base[count / 16] + head * pages.headFloats
      let to = base[count / 16] + head * pages.headFloats
      for row in 0..<keyRows { (to + row * 16).update(from: from + row * 16, count: lanes) }
      (to + keyRows * 16).update(from: from + keyRows * 16, count: lanes * valueStride)
    }
  }
}

/// The rows that go through the layers together: each has a position and the page table of its sequence.
package final class RowList {
  fileprivate(set) var base: UnsafeMutablePointer<ttrl_row>
  package private(set) var count = 0
  private var capacity: Int
  private var tables: [PageTable] = []
  /// The adjacent rows of one sequence; empty if there are no states.
  private(set) var runs: [ttrl_delta_run] = []
  let layerFloats: Int
  let stateFloats: Int
  /// The largest position of all rows.
  package private(set) var positionMax = 0

  package init(_ pages: KeyValuePages, capacity: Int) {
    self.capacity = max(1, capacity)
    base = .allocate(capacity: self.capacity)
    layerFloats = pages.layerFloats
    stateFloats = pages.stateFloats
  }

  deinit { base.deallocate() }

  package func removeAll() {
    count = 0
    positionMax = 0
    tables.removeAll(keepingCapacity: true)
    runs.removeAll(keepingCapacity: true)
  }

  /// Adds the token at `position` of a sequence. The list keeps the table alive until it is emptied.
  package func append(position: Int, table: PageTable) {
    if count == capacity { grow() }
    table.reserve(positions: position + 1)
    (base + count).initialize(
      to: ttrl_row(position: Int32(position), pages: UnsafePointer(table.base)))
    if let state = table.state {
      if tables.last !== table {
        runs.append(ttrl_delta_run(start: Int64(count), count: 0, state: state.base, initial: nil))
      }
      runs[runs.count - 1].count += 1
    }
    if tables.last !== table { tables.append(table) }
    positionMax = max(positionMax, position)
    count += 1
  }

  private func grow() {
    let larger = UnsafeMutablePointer<ttrl_row>.allocate(capacity: 2 * capacity)
    larger.moveInitialize(from: base, count: count)
    base.deallocate()
    base = larger
    capacity *= 2
  }

  func layerOffset(_ layer: Int) -> Int64 { Int64(layer * layerFloats) }
}
