// Team: threads that compute the parts of one operation together, many times per millisecond.
//
// Several threads compute one micro-batch or one batch of samples. An operation is cut into parts, and the next one
// begins when all parts are done. An operation takes some microseconds, so the threads are kept, and a thread that has
// nothing to do stays awake for a moment before it sleeps. Callers make sure that a result does not depend on which
// thread computes a part, nor on the number of parts; tests check this.
// Not here: independent pieces of work (Parallel.swift).

import Glibc
import Synchronization

/// `size` threads, including the calling thread. It runs one operation at a time, for one calling thread.
package final class Team {
  package let size: Int
  private let state = TeamState()

  /// If a thread cannot be started, the team works without it.
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

  /// Runs `body` once for every part in 0..<parts and waits for all. A part must not use what another part writes.
  package func run(_ parts: Int, _ body: (_ part: Int) -> Void) {
    guard size > 1, parts > 1 else {
      for part in 0..<parts { body(part) }
      return
    }
    withoutActuallyEscaping(body) { state.run(parts, $0) }
  }

  /// Cuts 0..<count into one range per thread, at multiples of `unit`, and runs `body` for each.
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

/// Divides 0..<count among the threads of a team; without a team, the calling thread does all of it.
func share(
  _ count: Int, _ team: Team?, unit: Int = 1 << 14, _ body: (_ range: Range<Int>, _ part: Int) -> Void
) {
  if let team { team.share(count, unit: unit, body) } else if count > 0 { body(0..<count, 0) }
}

/// What the threads of a team share.
///
/// `@unchecked Sendable`: `body` and `parts` are written before `generation` is increased. A thread reads them only
/// after it has seen the new `generation`, and not after `busy` has become zero.
private final class TeamState: @unchecked Sendable {
  private var body: ((Int) -> Void)?
  private var parts = 0
  private var isEnding = false
  /// The number of threads besides the calling thread.
  let members = Atomic<Int>(0)
  /// The number of operations so far.
  private let generation = Atomic<Int>(0)
  private let next = Atomic<Int>(0)
  /// The number of threads that have not finished the operation.
  private let busy = Atomic<Int>(0)
  private let sleepers = Atomic<Int>(0)
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let raised = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  /// How often a thread reads `generation` before it sleeps. It yields its core after each time: some tens of µs.
  private static let readsBeforeSleep = 100

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
    generation.add(1, ordering: .sequentiallyConsistent)
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

  /// What a thread runs until the team ends.
  func serve() {
    var seen = 0
    while true {
      seen = waitForGeneration(after: seen)
      if isEnding { return }
      work()
      busy.subtract(1, ordering: .releasing)
    }
  }

  private func waitForGeneration(after seen: Int) -> Int {
    for _ in 0..<TeamState.readsBeforeSleep {
      let now = generation.load(ordering: .acquiring)
      if now != seen { return now }
      sched_yield()
    }
    pthread_mutex_lock(mutex)
    sleepers.add(1, ordering: .sequentiallyConsistent)
    while generation.load(ordering: .sequentiallyConsistent) == seen { pthread_cond_wait(raised, mutex) }
    sleepers.subtract(1, ordering: .sequentiallyConsistent)
    pthread_mutex_unlock(mutex)
    return generation.load(ordering: .acquiring)
  }
}
