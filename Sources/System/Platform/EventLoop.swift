// EventLoop: one thread that waits for all events of a role.
//
// A role is one loop with file descriptors (epoll), one-shot timers, signals (as readable descriptors) and messages
// from the role's own threads (Inbox). All handlers run on the thread that calls `run`, one at a time, so the role's
// state needs no lock. The compiler enforces this: a loop and what its handlers capture are not Sendable. Handlers must
// not block: slow work runs on a separate thread, and its result comes back through an inbox.
//
// Not here: sockets (Connection, Listener), children (ChildProcess), and the meaning of the events.

package import Base
import CLinux
import Glibc

package final class EventLoop {
  /// What a descriptor is ready for, or what it is watched for. A hangup is always reported.
  package struct Readiness: OptionSet, Sendable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }

    package static let readable = Readiness(rawValue: UInt32(TTRL_READABLE))
    package static let writable = Readiness(rawValue: UInt32(TTRL_WRITABLE))
    package static let hangup = Readiness(rawValue: UInt32(TTRL_HANGUP))
  }

  /// Identifies a timer, to cancel it. Timers fire in the order of their instants; timers with the same instant fire in
  /// the order in which they were set.
  package struct TimerID: Comparable, Sendable {
    fileprivate let due: Instant
    fileprivate let number: UInt64

    package static func < (left: Self, right: Self) -> Bool {
      (left.due, left.number) < (right.due, right.number)
    }
  }

  /// Why `run` returned.
  package enum Outcome: Equatable, Sendable {
    case stopped, deadline
  }

  private struct Watch {
    let generation: UInt32
    let handler: (Readiness) -> Void
  }

  private let epoll: Int32
  private var signalDescriptor: Int32 = -1
  /// Looked up by descriptor, never iterated.
  private var watches: [Int32: Watch] = [:]
  private var generation: UInt32 = 0
  /// Sorted, latest first: the next timer to fire is the last element.
  private var timers: [(id: TimerID, action: () -> Void)] = []
  private var timerNumber: UInt64 = 0
  private var isStopped = false
  private var events = [ttrl_event](repeating: ttrl_event(), count: TTRL_EVENTS_MAX)

  /// - Throws: `.system` if the process has no descriptor left.
  package init() throws(PlatformError) {
    epoll = ttrl_epoll_create()
    guard epoll >= 0 else { throw .system(call: "epoll_create1", code: -epoll) }
  }

  deinit {
    close(epoll)
    if signalDescriptor >= 0 { close(signalDescriptor) }
  }

  // MARK: Running

  /// Handles events until `stop()` or the deadline. With a deadline in the past it handles what is ready now and
  /// returns: so a thread that computes can serve its connections between two pieces of work.
  @discardableResult
  package func run(until deadline: Instant = Instant(nanoseconds: .max)) -> Outcome {
    defer { isStopped = false }
    repeat {
      if isStopped { return .stopped }
      dispatchReady(timeout: millisecondsToWait(until: deadline))
      fireDueTimers()
    } while !isStopped && MonotonicClock.now() < deadline
    return isStopped ? .stopped : .deadline
  }

  /// Makes `run` return after the current turn. If the loop is not running, the next `run` returns at once.
  package func stop() { isStopped = true }

  // MARK: Descriptors

  /// Calls `handler` whenever `fd` is ready, until `unwatch`. After `unwatch` the owner closes the descriptor.
  /// - Throws: `.system` if the kernel cannot watch it (it is a regular file, or there is no memory).
  package func watch(
    _ fd: Int32, for interest: Readiness, _ handler: @escaping (Readiness) -> Void
  ) throws(PlatformError) {
    precondition(watches[fd] == nil, "descriptor \(fd) is watched already; its events would go to the wrong owner")
    generation &+= 1
    let code = ttrl_epoll_add(epoll, fd, interest.rawValue, tag(fd, generation))
    guard code == 0 else { throw .system(call: "epoll_ctl", code: -code) }
    watches[fd] = Watch(generation: generation, handler: handler)
  }

  /// Changes what the descriptor is watched for.
  package func change(_ fd: Int32, to interest: Readiness) {
    guard let watch = watches[fd] else { preconditionFailure("descriptor \(fd) is not watched") }
    let code = ttrl_epoll_change(epoll, fd, interest.rawValue, tag(fd, watch.generation))
    precondition(code == 0, "epoll_ctl refused a watched descriptor: \(systemErrorText(-code))")
  }

  /// Stops watching the descriptor. Its events of the current turn are dropped.
  package func unwatch(_ fd: Int32) {
    guard watches.removeValue(forKey: fd) != nil else { return }
    _ = ttrl_epoll_remove(epoll, fd)
  }

  /// A descriptor's number can be reused within one turn; the generation separates the old owner's events from those of
  /// the new owner.
  private func tag(_ fd: Int32, _ generation: UInt32) -> UInt64 {
    UInt64(generation) << 32 | UInt64(UInt32(bitPattern: fd))
  }

  private func dispatchReady(timeout: Int32) {
    let count = ttrl_epoll_wait(epoll, &events, Int32(events.count), timeout)
    precondition(count >= 0 || count == -EINTR, "epoll_wait failed: \(systemErrorText(-count))")
    for index in 0..<max(0, Int(count)) {
      let fd = Int32(truncatingIfNeeded: events[index].tag)
      guard let watch = watches[fd], watch.generation == events[index].tag >> 32 else { continue }
      watch.handler(Readiness(rawValue: events[index].readiness))
    }
  }

  // MARK: Timers

  /// Runs `action` once, on the first turn at or after `due`.
  @discardableResult
  package func schedule(at due: Instant, _ action: @escaping () -> Void) -> TimerID {
    timerNumber += 1
    let id = TimerID(due: due, number: timerNumber)
    timers.insert((id, action), at: position(of: id))
    return id
  }

  /// Runs `action` on the next turn: for work that must not happen inside the current call.
  package func soon(_ action: @escaping () -> Void) { schedule(at: .zero, action) }

  /// Does nothing if the timer has fired or was cancelled.
  package func cancel(_ timer: TimerID) {
    let position = position(of: timer)
    guard position < timers.count, timers[position].id == timer else { return }
    timers.remove(at: position)
  }

  /// The index of the first timer that is not after `id`.
  private func position(of id: TimerID) -> Int {
    var low = 0
    var high = timers.count
    while low < high {
      let middle = (low + high) / 2
      if timers[middle].id > id { low = middle + 1 } else { high = middle }
    }
    return low
  }

  private func fireDueTimers() {
    let now = MonotonicClock.now()
    // A timer that is set by a timer waits for the next turn. Otherwise a chain of timers would never let descriptors
    // be handled.
    let newest = timerNumber
    while let next = timers.last(where: { $0.id.number <= newest }), next.id.due <= now, !isStopped {
      cancel(next.id)
      next.action()
    }
  }

  /// Rounded up: rounded down, the loop would spin during a timer's last millisecond. −1 means no limit.
  private func millisecondsToWait(until deadline: Instant) -> Int32 {
    let end = min(deadline, timers.last?.id.due ?? deadline)
    guard end.nanoseconds < .max else { return -1 }
    let nanoseconds = end.since(MonotonicClock.now()).nanoseconds
    return Int32(clamping: nanoseconds / 1_000_000 + (nanoseconds % 1_000_000 == 0 ? 0 : 1))
  }

  // MARK: Signals

  /// Delivers these signals as events; their usual action does not happen. Call this once, at the start, before any
  /// thread exists: a signal would still act on a thread that does not block it.
  /// - Throws: `.system` if the process has no descriptor left.
  package func onSignals(_ numbers: [Int32], _ handler: @escaping (Int32) -> Void) throws(PlatformError) {
    precondition(signalDescriptor < 0, "onSignals was called twice on one loop")
    let fd = ttrl_signalfd(numbers, Int32(numbers.count))
    guard fd >= 0 else { throw .system(call: "signalfd", code: -fd) }
    signalDescriptor = fd
    try watch(fd, for: .readable) { _ in
      while true {
        let number = ttrl_signalfd_read(fd)
        guard number > 0 else { return }
        handler(number)
      }
    }
  }
}

/// The signals that ttrl's processes send or handle, by name.
package enum Signal {
  package static let hangup = SIGHUP
  package static let interrupt = SIGINT
  package static let terminate = SIGTERM
  package static let kill = SIGKILL
}
