// BackgroundDigest: SHA-256 on a thread of its own, while the caller does something else with the same bytes.
//
// For bytes that are written to a file or received: then the digest costs no time, if a core is free.

import Glibc
import Synchronization

/// One thread calls `update` as bytes come, and `digest` once at the end.
package final class BackgroundDigest {
  /// What the two threads share.
  private final class Work: Sendable {
    /// nil means the end.
    let pieces = Mutex<[[UInt8]?]>([])
    let result = Mutex<[UInt8]>([])
    /// Signalled for every piece, for every piece that is done, and at the end.
    let (filled, room, ended) = (Wakeup(), Wakeup(), Wakeup())
  }

  private let work = Work()
  private var isEnded = false

  /// Pieces that wait at most. They are copies of a part of the caller's memory, a few megabytes each.
  private static let piecesMax = 4

  /// - Throws: if no thread can be started.
  package init() throws(PlatformError) {
    for _ in 0..<Self.piecesMax { work.room.signal() }
    try startThread(named: "digest") { [work] in
      var hash = SHA256()
      while true {
        work.filled.wait()
        guard let piece = work.pieces.withLock({ $0.removeFirst() }) else { break }
        hash.update(piece)
        work.room.signal()
      }
      let digest = hash.digest()
      work.result.withLock { $0 = digest }
      work.ended.signal()
    }
  }

  deinit { end() }

  /// Waits only if several pieces are waiting.
  package func update(_ bytes: [UInt8]) {
    work.room.wait()
    put(bytes)
  }

  /// The digest of all bytes so far. Call this once, and `update` not again.
  package func digest() -> [UInt8] {
    end()
    work.ended.wait()
    return work.result.withLock { $0 }
  }

  private func end() {
    guard !isEnded else { return }
    isEnded = true
    put(nil)
  }

  private func put(_ piece: [UInt8]?) {
    work.pieces.withLock { $0.append(piece) }
    work.filled.signal()
  }
}

/// A value that a thread of its own computes.
package final class BackgroundResult<Value: Sendable>: Sendable {
  private let result = Mutex<Value?>(nil)
  private let ended = Wakeup()

  /// If no thread can be started, the value is computed at once.
  package init(_ compute: @escaping @Sendable () -> Value) {
    do {
      try startThread(named: "background") { self.end(compute()) }
    } catch {
      end(compute())
    }
  }

  private func end(_ value: Value) {
    result.withLock { $0 = value }
    ended.signal()
  }

  /// Waits for the value.
  package func value() -> Value {
    while true {
      if let value = result.withLock({ $0 }) { return value }
      ended.wait()
    }
  }
}
