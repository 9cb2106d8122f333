// Team: threads that compute the parts of one operation together, many times per millisecond.
//
// Several threads compute one micro-batch or one batch of samples. An operation is cut into parts, each thread takes
// the next part, and the next operation begins when all parts are done. An operation takes some microseconds, so
// threads are kept, and a thread that has nothing to do stays awake for a moment before it sleeps. A thread that has no
// part is not waited for: where other processes need the cores, a team is not slower than one thread. Callers make sure
// that a result does not depend on which thread computes a part, nor on the number of parts; tests check this.
// Not here: independent pieces of work (Parallel.swift).

import Glibc
import Synchronization

/// Up to `size` threads, including the calling thread. It runs one operation at a time, for one calling thread.
package final class Team: Sendable {
  package let size: Int
  private let state = TeamState()

  /// A team that keeps its own threads. If a thread cannot be started, the team works without it.
  package convenience init(_ size: Int) {
    self.init(size: size)
    for _ in 1..<size {
      var handle = pthread_t()
      let context = Unmanaged.passRetained(state)
      state.present.add(1, ordering: .relaxed)
      let code = pthread_create(
        &handle, nil,
        { argument in
          if let argument {
            let state = Unmanaged<TeamState>.fromOpaque(argument).takeRetainedValue()
            state.serve { !state.isEnding.load(ordering: .acquiring) }
          }
          return nil
        }, context.toOpaque())
      if code == 0 {
        pthread_detach(handle)
      } else {
        state.present.subtract(1, ordering: .relaxed)
        context.release()
      }
    }
  }

  /// A team without threads of its own. Threads that have nothing else to do can join it as guests.
  package static func ofGuests(_ count: Int) -> Team { Team(size: 1 + count) }

  private init(size: Int) {
    precondition(size > 0, "a team has at least 1 thread, got \(size)")
    self.size = size
  }

  deinit {
    state.isEnding.store(true, ordering: .releasing)
    state.wake()
  }

  /// The calling thread is a guest and computes parts of the team's operations as long as `stays` is true. That is
  /// asked after every operation and after `wakeGuests`.
  package func join(while stays: () -> Bool) {
    state.present.add(1, ordering: .relaxed)
    state.serve(while: stays)
    state.present.subtract(1, ordering: .relaxed)
  }

  /// Lets guests that are waiting for an operation ask whether they stay.
  package func wakeGuests() { state.wake() }

  /// Runs `body` once for every part in 0..<parts and waits for all. A part must not use what another part writes.
  package func run(_ parts: Int, _ body: (_ part: Int) -> Void) {
    guard parts > 1, state.present.load(ordering: .relaxed) > 0 else {
      for part in 0..<parts { body(part) }
      return
    }
    withoutActuallyEscaping(body) { state.run(parts, $0) }
  }

  /// Cuts 0..<count into one range per thread, at multiples of `unit`, and runs `body` for each.
  package func share(_ count: Int, unit: Int = 1, _ body: (_ range: Range<Int>, _ part: Int) -> Void) {
    let units = (count + unit - 1) / unit
    let parts = min(size, 1 + state.present.load(ordering: .relaxed), units)
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

/// The parts of one operation that no thread has taken yet, in the order of their numbers.
private struct Parts {
  /// Counts operations, so that a thread sees that there is a new one.
  var operation: UInt32
  var count: UInt16
  var next: UInt16

  init(operation: UInt32, count: UInt16) { (self.operation, self.count, next) = (operation, count, 0) }

  init(bits: UInt64) {
    operation = UInt32(bits >> 32)
    count = UInt16(truncatingIfNeeded: bits >> 16)
    next = UInt16(truncatingIfNeeded: bits)
  }

  var bits: UInt64 { UInt64(operation) << 32 | UInt64(count) << 16 | UInt64(next) }
}

/// What the threads of a team share.
///
/// `@unchecked Sendable`: `body` is written before `parts` offers an operation. A thread reads it only after it has
/// taken a part, and the operation does not end before that part is done.
private final class TeamState: @unchecked Sendable {
  private var body: ((Int) -> Void)?
  private let parts = Atomic<UInt64>(0)
  /// Parts of the operation that are done.
  private let done = Atomic<Int>(0)
  /// The number of threads besides the calling one.
  let present = Atomic<Int>(0)
  let isEnding = Atomic<Bool>(false)
  private let sleepers = Atomic<Int>(0)
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let raised = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  /// How often a thread looks for an operation before it sleeps. It yields its core after each time: some tens of µs.
  private static let looksBeforeSleep = 100

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

  func run(_ count: Int, _ body: @escaping (Int) -> Void) {
    precondition(count <= Int(UInt16.max), "an operation of \(count) parts")
    self.body = body
    done.store(0, ordering: .relaxed)
    let last = Parts(bits: parts.load(ordering: .relaxed))
    parts.store(
      Parts(operation: last.operation &+ 1, count: UInt16(count)).bits, ordering: .sequentiallyConsistent)
    if sleepers.load(ordering: .sequentiallyConsistent) > 0 { wake() }
    work()
    while done.load(ordering: .acquiring) < count { sched_yield() }
    self.body = nil
  }

  func wake() {
    pthread_mutex_lock(mutex)
    pthread_cond_broadcast(raised)
    pthread_mutex_unlock(mutex)
  }

  /// Computes parts until there are no more.
  private func work() {
    while let part = takePart() {
      body?(part)
      done.add(1, ordering: .releasing)
    }
  }

  private func takePart() -> Int? {
    var bits = parts.load(ordering: .acquiring)
    while true {
      var rest = Parts(bits: bits)
      guard rest.next < rest.count else { return nil }
      let part = Int(rest.next)
      rest.next += 1
      let (isTaken, found) = parts.weakCompareExchange(
        expected: bits, desired: rest.bits, successOrdering: .acquiring, failureOrdering: .acquiring)
      if isTaken { return part }
      bits = found
    }
  }

  /// What a thread besides the calling one runs.
  func serve(while stays: () -> Bool) {
    var seen = operation
    work()
    while stays() {
      waitForOperation(after: seen, while: stays)
      seen = operation
      work()
    }
  }

  private var operation: UInt32 { Parts(bits: parts.load(ordering: .sequentiallyConsistent)).operation }

  private func waitForOperation(after seen: UInt32, while stays: () -> Bool) {
    for _ in 0..<TeamState.looksBeforeSleep {
      if operation != seen { return }
      sched_yield()
    }
    pthread_mutex_lock(mutex)
    sleepers.add(1, ordering: .sequentiallyConsistent)
    while operation == seen, stays() { pthread_cond_wait(raised, mutex) }
    sleepers.subtract(1, ordering: .sequentiallyConsistent)
    pthread_mutex_unlock(mutex)
  }
}
