// The event loop: timers in order, messages from threads, signals as events, and no event for the wrong owner.

import Base
import Glibc
import Platform
import Testing

@Suite(.timeLimit(.minutes(1))) struct EventLoopTests {
  @Test func `timers fire in the order of their instants, and equal ones in the order in which they were set`() throws {
    let loop = try EventLoop()
    let now = MonotonicClock.now()
    var fired: [String] = []
    loop.schedule(at: now + .milliseconds(2)) {
      fired.append("last")
      loop.stop()
    }
    loop.schedule(at: now + .milliseconds(1)) { fired.append("first") }
    loop.schedule(at: now + .milliseconds(1)) { fired.append("second") }
    #expect(loop.run(until: soon()) == .stopped)
    #expect(fired == ["first", "second", "last"])
  }

  @Test func `a timer never fires early`() throws {
    let loop = try EventLoop()
    let due = MonotonicClock.now() + .milliseconds(3)
    var fired = Instant.zero
    loop.schedule(at: due) {
      fired = MonotonicClock.now()
      loop.stop()
    }
    loop.run(until: soon())
    #expect(fired >= due)
  }

  @Test func `a cancelled timer does not fire, even when another timer of the same turn cancels it`() throws {
    let loop = try EventLoop()
    var fired: [Int] = []
    let second = loop.schedule(at: Instant(nanoseconds: 2)) { fired.append(2) }
    loop.schedule(at: Instant(nanoseconds: 1)) {
      fired.append(1)
      loop.cancel(second)
    }
    loop.schedule(at: Instant(nanoseconds: 3)) { loop.stop() }
    #expect(loop.run(until: soon()) == .stopped)
    #expect(fired == [1])
  }

  @Test func `a chain of immediate timers does not block descriptors`() throws {
    let loop = try EventLoop()
    let inbox = try loop.inbox { (_: Int) in loop.stop() }
    func again() { loop.soon { again() } }
    again()
    inbox.post(1)
    #expect(loop.run(until: soon()) == .stopped)
  }

  @Test func `a run whose deadline has passed handles what is ready and returns`() throws {
    let loop = try EventLoop()
    var received: [Int] = []
    let inbox = try loop.inbox { received.append($0) }
    inbox.post(7)
    #expect(loop.run(until: .zero) == .deadline)
    #expect(received == [7])
  }

  @Test func `a stop before a run makes only that run return at once`() throws {
    let loop = try EventLoop()
    loop.stop()
    #expect(loop.run(until: soon()) == .stopped)
    #expect(loop.run(until: .zero) == .deadline)
  }

  @Test func `messages from threads all arrive, and those of one thread in order`() throws {
    let loop = try EventLoop()
    var received: [Int: [Int]] = [:]
    var count = 0
    let inbox = try loop.inbox { (message: [Int]) in
      received[message[0], default: []].append(message[1])
      count += 1
      if count == 3000 { loop.stop() }
    }
    for thread in 0..<3 {
      try startThread(named: "sender") {
        for number in 0..<1000 { inbox.post([thread, number]) }
      }
    }
    #expect(loop.run(until: soon()) == .stopped)
    for thread in 0..<3 { #expect(received[thread] == Array(0..<1000)) }
  }

  @Test func `a descriptor's events do not reach a later owner of its number`() throws {
    let loop = try EventLoop()
    var pipes: [[Int32]] = []
    for _ in 0..<2 {
      var ends: [Int32] = [0, 0]
      #expect(pipe(&ends) == 0)
      pipes.append(ends)
    }
    defer { for fd in pipes.joined() { close(fd) } }
    var strays = 0
    // Both are ready in one turn. The handler that runs first gives the other's number to a new owner.
    func handle(_ mine: Int, _ other: Int) {
      loop.unwatch(pipes[mine][0])
      loop.unwatch(pipes[other][0])
      try? loop.watch(pipes[other][0], for: .readable) { _ in strays += 1 }
      loop.unwatch(pipes[other][0])
      try? loop.watch(pipes[other][0], for: []) { _ in strays += 1 }
      loop.soon { loop.stop() }
    }
    try loop.watch(pipes[0][0], for: .readable) { _ in handle(0, 1) }
    try loop.watch(pipes[1][0], for: .readable) { _ in handle(1, 0) }
    for ends in pipes { #expect(write(ends[1], "x", 1) == 1) }
    #expect(loop.run(until: soon()) == .stopped)
    #expect(strays == 0)
  }

  @Test func `a signal becomes an event`() throws {
    let loop = try EventLoop()
    var seen: [Int32] = []
    try loop.onSignals([SIGUSR1, SIGUSR2]) {
      seen.append($0)
      loop.stop()
    }
    raise(SIGUSR2)
    #expect(loop.run(until: soon()) == .stopped)
    #expect(seen == [SIGUSR2])
  }
}
