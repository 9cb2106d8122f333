// Parallel: several threads for a stretch of work, and none left afterwards.
//
// Work is dealt out by index; which thread takes which index does not matter to any result, since every index has its
// own output and sums are made in an order of their own (or of integers). Threads are made per call: that costs some
// microseconds, and no pool has to be fed, stopped or fought over.

import Glibc
import Synchronization

/// Runs `body(index, thread)` for every index in 0..<count, on at most `threads` threads, and waits for all.
///
/// - Parameters:
///   - count: how many pieces of work.
///   - threads: how many at a time; 1 runs on the calling thread.
///   - body: must not touch what another index touches, unless it locks. `thread` is below `threads`.
/// - Throws: what the first failing body threw; no new indices are begun after it.
package func inParallel(
  _ count: Int, threads: Int, _ body: @escaping @Sendable (_ index: Int, _ thread: Int) throws -> Void
) throws {
  let width = min(threads, count)
  guard width > 1 else {
    for index in 0..<count { try body(index, 0) }
    return
  }
  let work = SharedWork(count: count, body: body)
  var handles: [pthread_t] = []
  for thread in 1..<width {
    var handle = pthread_t()
    let context = Unmanaged.passRetained(WorkContext(work: work, thread: thread))
    let code = pthread_create(
      &handle, nil,
      { argument in
        guard let argument else { return nil }
        let context = Unmanaged<WorkContext>.fromOpaque(argument).takeRetainedValue()
        context.work.run(on: context.thread)
        return nil
      }, context.toOpaque())
    // Without a thread the others do its share.
    if code == 0 { handles.append(handle) } else { context.release() }
  }
  work.run(on: 0)
  for handle in handles { pthread_join(handle, nil) }
  if let error = work.failure.withLock({ $0 }) { throw error }
}

private final class SharedWork: Sendable {
  private let next = Atomic<Int>(0)
  private let count: Int
  private let body: @Sendable (Int, Int) throws -> Void
  let failure = Mutex<(any Error)?>(nil)

  init(count: Int, body: @escaping @Sendable (Int, Int) throws -> Void) {
    self.count = count
    self.body = body
  }

  func run(on thread: Int) {
    while true {
      let index = next.add(1, ordering: .relaxed).oldValue
      guard index < count, failure.withLock({ $0 == nil }) else { return }
      do {
        try body(index, thread)
      } catch {
        failure.withLock { if $0 == nil { $0 = error } }
      }
    }
  }
}

private final class WorkContext {
  let work: SharedWork
  let thread: Int

  init(work: SharedWork, thread: Int) {
    self.work = work
    self.thread = thread
  }
}
