// Parallel: runs independent pieces of work on several threads.
//
// Each thread takes the next index. No result depends on which thread takes which index, because every index has its
// own output, and sums are made in a fixed order or of integers. Threads are started for each call. That takes some
// microseconds, and there is no pool that has to be stopped or shared.

import Glibc
import Synchronization

/// Runs `body(index, thread)` for every index in 0..<count, on at most `threads` threads, and waits for all.
///
/// - Parameters:
///   - count: the number of pieces of work.
///   - threads: how many run at the same time; 1 is the calling thread.
///   - body: must not use what another index uses, unless with a lock. `thread` is below `threads`.
/// - Throws: the error of the first body that failed. No new index is begun after it.
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
    // If a thread cannot be started, the others do its work.
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
