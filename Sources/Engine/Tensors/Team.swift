// Team: threads that work on the parts of one thing together, many times a millisecond.
//
// One micro-batch, or one batch of samples, is worked on by several threads: a stretch of work is cut into parts, and
// the next stretch begins when all parts are done. A stretch takes some microseconds, so the threads are kept, and wait
// awake for a moment before they sleep. What a part computes does not depend on who computes it or on how many parts
// there are; that is the callers' promise, and tests hold them to it.
// Not here: independent pieces of work (Parallel.swift).

import Glibc
import Synchronization

/// A number of threads, the caller's included. One stretch of work at a time; used by one thread.
package final class Team {
  package let size: Int
  private let state = TeamState()

  /// Threads that cannot be started are done without.
  package init(_ size: Int) {
    precondition(size > 0, "a team has at least 1 thread, got \(size)")
    self.size = size
    for _ in 1..<max(size, 1) {
      var handle = pthread_t()
      let context = Unmanaged.passRetained(state)
      state.members.add(1, ordering: .relaxed)
      let code = pthread_create(
        &handle, nil,
        { argument in
          if let argument { Unmanaged<TeamState>.fromOpaque(argument).takeRetainedValue().serve() }
          return nil
        }, context.toOpaque())
      if code == 0 {
        pthread_detach(handle)
      } else {
        state.members.subtract(1, ordering: .relaxed)
        context.release()
      }
    }
  }

  deinit { state.end() }

  /// Runs `body` once for every part in 0..<parts and waits for all. Parts must not touch what another part touches.
  package func run(_ parts: Int, _ body: (_ part: Int) -> Void) {
    guard size > 1, parts > 1 else {
      for part in 0..<parts { body(part) }
      return
    }
    withoutActuallyEscaping(body) { state.run(parts, $0) }
  }

  /// Cuts 0..<count into one range per thread, even to a multiple of `unit`, and runs `body` for each.
  package func share(_ count: Int, unit: Int = 1, _ body: (_ range: Range<Int>, _ part: Int) -> Void) {
    let units = (count + unit - 1) / unit
    let parts = min(size, units)
    run(parts) { part in
      let start = units * part / parts * unit
      let end = min(count, units * (part + 1) / parts * unit)
      if start < end { body(start..<end, part) }
    }
  }
}

/// Shares 0..<count out over the threads of a team, or does all of it where there is none.
func share(
  _ count: Int, _ team: Team?, unit: Int = 1 << 14, _ body: (_ range: Range<Int>, _ part: Int) -> Void
) {
  if let team { team.share(count, unit: unit, body) } else if count > 0 { body(0..<count, 0) }
}

/// What the threads of a team share.
///
/// `@unchecked Sendable`: `body` and `parts` are written before `stretch` is raised and read after it was seen raised;
/// nobody reads them after `busy` has fallen to zero.
private final class TeamState: @unchecked Sendable {
  private var body: ((Int) -> Void)?
  private var parts = 0
  private var isEnding = false
  /// Threads beside the caller.
  let members = Atomic<Int>(0)
  /// Counts stretches of work.
  private let stretch = Atomic<Int>(0)
  private let next = Atomic<Int>(0)
  /// Threads that have not finished the stretch.
  private let busy = Atomic<Int>(0)
  private let sleepers = Atomic<Int>(0)
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let raised = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  /// Looks at `stretch` before a thread goes to sleep, each after offering its core to others: some tens of µs.
  private static let looks = 100

  init() {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(raised, nil)
  }

  deinit {
    pthread_cond_destroy(raised)
    pthread_mutex_destroy(mutex)
    raised.deallocate()
    mutex.deallocate()
  }

  func run(_ parts: Int, _ body: @escaping (Int) -> Void) {
    self.body = body
    self.parts = parts
    begin()
    work()
    while busy.load(ordering: .acquiring) > 0 { sched_yield() }
    self.body = nil
  }

  func end() {
    isEnding = true
    begin()
  }

  private func begin() {
    next.store(0, ordering: .relaxed)
    busy.store(members.load(ordering: .relaxed), ordering: .relaxed)
    stretch.add(1, ordering: .sequentiallyConsistent)
    guard sleepers.load(ordering: .sequentiallyConsistent) > 0 else { return }
    pthread_mutex_lock(mutex)
    pthread_cond_broadcast(raised)
    pthread_mutex_unlock(mutex)
  }

  private func work() {
    guard let body else { return }
    while true {
      let part = next.add(1, ordering: .relaxed).oldValue
      guard part < parts else { return }
      body(part)
    }
  }

  /// A thread's life.
  func serve() {
    var seen = 0
    while true {
      seen = waitForStretch(after: seen)
      if isEnding { return }
      work()
      busy.subtract(1, ordering: .releasing)
    }
  }

  private func waitForStretch(after seen: Int) -> Int {
    for _ in 0..<TeamState.looks {
      let now = stretch.load(ordering: .acquiring)
      if now != seen { return now }
      sched_yield()
    }
    pthread_mutex_lock(mutex)
    sleepers.add(1, ordering: .sequentiallyConsistent)
    while stretch.load(ordering: .sequentiallyConsistent) == seen { pthread_cond_wait(raised, mutex) }
    sleepers.subtract(1, ordering: .sequentiallyConsistent)
    pthread_mutex_unlock(mutex)
    return stretch.load(ordering: .acquiring)
  }
}
