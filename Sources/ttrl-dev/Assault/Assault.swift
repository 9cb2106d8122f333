// Assault: attempts on one coordinator or page, on one loop, with honest clients between them.
//
// The honest client's times include this process's own delays, so they are upper bounds.

import Base
import Platform

final class Assault {
  private struct Tally {
    var attempts = 0
    /// Closed by the other side.
    var turnedAway = 0
    var unconnected = 0
    var gotIn = 0
  }

  private let options: AssaultCommand
  private let loop: EventLoop
  private let stranger: TLSContext
  private let member: TLSContext?
  private let attacks: [Attack]
  private var tallies: [Tally]
  private var random: RandomSequence
  private var open = 0
  private var idle = 0
  private var turn = 0
  /// What is open, by number, and the numbers of those that get one byte more, now and then.
  private var connections: [Int: Connection] = [:]
  private var slow: [Int] = []
  private var made = 0
  private var isOver = false

  /// The seconds of each answer to an honest client; nil where there was none in time.
  private var answers: [Double?] = []
  /// How often one was turned away and tried again.
  private var retries = 0
  private var answerAfter: Double?
  private var memoryBefore = 0
  private var memoryMost = 0

  /// The most open connections, besides the idle ones.
  private static let openMax = 500
  /// Between two rounds of attempts, and before an honest client tries again.
  private static let interval = Instant.Span.milliseconds(20)
  private static let slowness = Instant.Span.milliseconds(500)
  /// Between an honest client's answer and the next honest client, and how long one waits.
  private static let pause = Instant.Span.milliseconds(100)
  private static let patience = Instant.Span.seconds(10)

  init(_ options: AssaultCommand) throws {
    self.options = options
    loop = try EventLoop()
    stranger = try TLSContext(ClusterKey())
    member = options.key.isEmpty ? nil : try TLSContext(try ClusterKey(reading: options.key))
    attacks = Attack.attacks(onPage: options.isPage, withKey: member != nil).filter { $0 != .idle }
    tallies = Attack.allCases.map { _ in Tally() }
    random = RandomSequence(seed: options.seed, purpose: .backoff)
  }

  var gotIn: Int { tallies.reduce(0) { $0 + $1.gotIn } }
  var isAnsweredAfter: Bool { answerAfter != nil }

  func run() {
    measureMemory()
    memoryBefore = memoryMost
    keepAsking()
    tick()
    drip()
    loop.run(until: MonotonicClock.now() + .seconds(options.seconds))
    isOver = true
    for connection in connections.values { connection.reset() }
    ask {
      self.answerAfter = $0
      self.loop.stop()
    }
    loop.run()
    measureMemory()
  }

  // MARK: Attempts

  private func tick() {
    guard !isOver else { return }
    // Not all at once, so that the loop has time for the others.
    for _ in 0..<100 where idle < options.idle { start(.idle) }
    let count = max(1, Int(Double(options.rate) * Self.interval.seconds))
    for _ in 0..<count where open < Self.openMax {
      start(attacks[turn % attacks.count])
      turn += 1
    }
    measureMemory()
    loop.schedule(at: MonotonicClock.now() + Self.interval) { self.tick() }
  }

  private func drip() {
    for number in slow { connections[number]?.send([UInt8(ascii: "a")]) }
    if !isOver { loop.schedule(at: MonotonicClock.now() + Self.slowness) { self.drip() } }
  }

  private func start(_ attack: Attack) {
    let context: TLSContext? = attack.needsKey ? member : attack == .otherKey ? stranger : nil
    let connection = Connection(to: options.target, tls: context, by: MonotonicClock.now() + .seconds(30), loop: loop)
    made += 1
    let number = made
    connections[number] = connection
    count(attack, +1)
    tally(attack) { $0.attempts += 1 }
    connection.onBytes = { bytes in
      // A process without the key gets only TLS alerts. A frame means that it got in.
      guard !attack.needsKey, bytes.starts(with: Array("TTRL".utf8)), bytes.count > 6, bytes[6] == 2 else { return }
      self.tally(attack) { $0.gotIn += 1 }
    }
    connection.onOpen = {
      if attack == .otherKey { self.tally(attack) { $0.gotIn += 1 } }
      connection.send(attack.words(onPage: self.options.isPage, &self.random))
      if attack.isSlow { self.slow.append(number) }
      guard attack.isDropped else { return }
      self.loop.soon {
        connection.reset()
        self.forget(number, attack)
      }
    }
    connection.onClose = { reason in
      self.forget(number, attack)
      self.tally(attack) {
        if case .failed("connect", _) = reason { $0.unconnected += 1 } else { $0.turnedAway += 1 }
      }
    }
  }

  private func forget(_ number: Int, _ attack: Attack) {
    connections[number] = nil
    if attack.isSlow { slow.removeAll { $0 == number } }
    count(attack, -1)
  }

  private func count(_ attack: Attack, _ change: Int) { if attack == .idle { idle += change } else { open += change } }

  private func tally(_ attack: Attack, _ change: (inout Tally) -> Void) {
    guard let index = Attack.allCases.firstIndex(of: attack) else { return }
    change(&tallies[index])
  }

  // MARK: Honest clients

  private func keepAsking() {
    guard !isOver else { return }
    ask {
      self.answers.append($0)
      self.loop.schedule(at: MonotonicClock.now() + Self.pause) { self.keepAsking() }
    }
  }

  /// Asks as an honest client does: for the run's state, or for a handshake; without the key, for the refusal of one.
  /// A client that is turned away tries again, as browsers and workers do.
  private func ask(
    since begun: Instant = MonotonicClock.now(), _ answered: @escaping (_ seconds: Double?) -> Void
  ) {
    let deadline = begun + Self.patience
    let connection = Connection(
      to: options.target, tls: options.isPage ? nil : member ?? stranger, by: deadline, loop: loop)
    var isOpen = true
    func end(_ isAnswer: Bool) {
      guard isOpen else { return }
      isOpen = false
      connection.close()
      let now = MonotonicClock.now()
      if isAnswer { return answered(now.since(begun).seconds) }
      if now >= deadline { return answered(nil) }
      retries += 1
      loop.schedule(at: now + Self.interval) { self.ask(since: begun, answered) }
    }
    loop.schedule(at: deadline) { end(false) }
    connection.onOpen = {
      guard self.options.isPage else { return end(true) }
      connection.send(Array("GET /api/run HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".utf8))
    }
    connection.onBytes = { bytes in end(bytes.starts(with: Array("HTTP/1.1 ".utf8))) }
    connection.onClose = { reason in
      if case .insecure = reason { end(!self.options.isPage && self.member == nil) } else { end(false) }
    }
  }

  // MARK: Figures

  private func measureMemory() {
    guard options.process > 0, let usage = ProcessUsage(of: options.process) else { return }
    memoryMost = max(memoryMost, usage.residentBytes)
  }

  var json: String {
    let kinds: [JSON.Member] = zip(Attack.allCases, tallies).filter { $1.attempts > 0 }.map { attack, tally in
      JSON.Member(
        attack.rawValue,
        [
          "attempts": .int(tally.attempts), "turned_away": .int(tally.turnedAway),
          "unconnected": .int(tally.unconnected), "got_in": .int(tally.gotIn),
        ])
    }
    let times = answers.compactMap { $0 }.sorted()
    var members: [JSON.Member] = [
      .init("got_in", .int(gotIn)), .init("attempts", .int(tallies.reduce(0) { $0 + $1.attempts })),
      .init("turned_away", .int(tallies.reduce(0) { $0 + $1.turnedAway })),
      .init("answers", .int(times.count)), .init("unanswered", .int(answers.count - times.count)),
      .init("retries", .int(retries)),
      .init("answer_seconds_median", times.isEmpty ? .null : .double(times[times.count / 2])),
      .init("answer_seconds_worst", times.last.map { .double($0) } ?? .null),
      .init("answer_seconds_after", answerAfter.map { .double($0) } ?? .null),
    ]
    if options.process > 0 {
      members += [
        .init("memory_bytes_before", .int(memoryBefore)), .init("memory_bytes_growth", .int(memoryMost - memoryBefore)),
      ]
    }
    return JSON.object(members + [.init("kinds", .object(kinds))]).text()
  }
}
