// KeyValuePages: where keys and values live, sixteen positions to a page.
//
// The idea: a page is never bound to a sequence. A prompt's full pages are listed by all of its samples; the page in
// which the prompt ends is copied, because each sample goes on writing there. A page is free when nobody lists it.
// So memory follows what is being sampled, and a prompt's keys are read from the cache by all of its samples.
// Sampler and trainer use the same pages; the trainer works layer by layer and needs pages of one layer only.
// Not here: the layout within a page (CKernels.h), who lists what (Generator, Backpropagation).

import CKernels

/// A pool of pages for `layers` layers each. One per thread.
package final class KeyValuePages {
  fileprivate let heads: Heads
  /// Of one layer.
  let layerFloats: Int
  let pageFloats: Int
  private let pagesPerSlab: Int
  private var slabs: [Floats] = []
  private var free: [Int32] = []
  /// By page: how many tables list it.
  private var users: [Int32] = []

  package init(heads: Heads, layers: Int) {
    self.heads = heads
    layerFloats = heads.pageFloats
    pageFloats = heads.pageFloats * layers
    pagesPerSlab = max(1, (4 << 20) / (pageFloats * 4))
  }

  /// Of one key/value head of one layer.
  fileprivate var headFloats: Int { layerFloats / heads.keyValue }

  /// The most pages that were in use at once, in bytes.
  package var byteCount: Int { slabs.reduce(0) { $0 + $1.count * 4 } }

  package var pageBytes: Int { pageFloats * 4 }

  /// Pages that some table lists.
  package var inUse: Int { users.count - free.count }

  /// A page with one user. Its contents are whatever was there.
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

/// The pages of one sequence, in the order of positions. Lets go of them at the end of its life.
package final class PageTable {
  private let pages: KeyValuePages
  private var listed: [Int32] = []
  private let capacity: Int
  let base: UnsafeMutablePointer<UnsafeMutablePointer<Float>>

  /// An empty table with room for `positions` positions.
  package init(_ pages: KeyValuePages, positions: Int) {
    self.pages = pages
    capacity = (positions + 15) / 16
    base = .allocate(capacity: max(1, capacity))
  }

  /// A continuation of `prefix` after its first `count` positions, with room for `positions` in all: full pages are
  /// shared, a page that is partly filled becomes the continuation's own (`copyLastPage` fills it).
  package convenience init(continuing prefix: PageTable, after count: Int, positions: Int) {
    self.init(prefix.pages, positions: positions)
    for page in prefix.listed[0..<count / 16] {
      pages.share(page)
      append(page)
    }
    reserve(positions: count)
  }

  deinit {
    for page in listed { pages.release(page) }
    base.deallocate()
  }

  /// Pages that it may still come to list.
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

  /// Copies the first `count` positions of `prefix` as far as they lie in a page that they do not fill: the page that
  /// is not shared. All layers. Later positions in that page stay as they are.
  package func copyLastPage(of prefix: PageTable, count: Int) {
    let lanes = count % 16
    guard lanes != 0 else { return }
    let dimension = pages.heads.dimension
    let valueWidth = (dimension + 15) / 16 * 16
    for head in 0..<pages.pageFloats / pages.headFloats {
      let from = prefix.base[count / 16] + head * pages.headFloats
      let to = base[count / 16] + head * pages.headFloats
      for d in 0..<dimension { (to + d * 16).update(from: from + d * 16, count: lanes) }
      (to + dimension * 16).update(from: from + dimension * 16, count: lanes * valueWidth)
    }
  }
}

/// Rows on their way through the layers: each has a position and the table of its sequence.
package final class RowList {
  fileprivate(set) var base: UnsafeMutablePointer<ttrl_row>
  package private(set) var count = 0
  private var capacity: Int
  private var tables: [PageTable] = []
  let layerFloats: Int
  /// Of all rows.
  package private(set) var positionMax = 0

  package init(_ pages: KeyValuePages, capacity: Int) {
    self.capacity = max(1, capacity)
    base = .allocate(capacity: self.capacity)
    layerFloats = pages.layerFloats
  }

  deinit { base.deallocate() }

  package func removeAll() {
    count = 0
    positionMax = 0
    tables.removeAll(keepingCapacity: true)
  }

  /// Adds the token at `position` of a sequence. The table keeps its pages at least until the list is emptied.
  package func append(position: Int, table: PageTable) {
    if count == capacity { grow() }
    table.reserve(positions: position + 1)
    (base + count).initialize(
      to: ttrl_row(position: Int32(position), pages: UnsafePointer(table.base)))
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
