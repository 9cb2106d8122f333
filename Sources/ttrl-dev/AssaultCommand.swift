// AssaultCommand: `ttrl-dev assault HOST:PORT`: attacks a coordinator in every way that is possible without the key
// and, with --key, in the ways of a broken peer that has it; many times a second, for some seconds.
//
// It counts the attacks that get in: a plain hello that is answered with a welcome, a handshake with another key that
// succeeds. Whether the run is disturbed must be checked on the run. Not here: attacks on TLS itself, which OpenSSL
// implements.

import Base
import Glibc
import Platform
import Records
import Wire

enum AssaultCommand {
  static let usage = "assault HOST:PORT [--seconds N] [--idle N] [--rate N] [--seed S] [--key FILE]"

  struct Options {
    var target = HostPort(host: "", port: 0)
    var seconds: UInt64 = 10
    /// Connections that send nothing and are kept open all the time.
    var idle = 1000
    /// Other attempts per second.
    var rate = 100
    var seed: UInt64 = 1
    var key = ""
  }

  /// - Returns: the exit status: 0 if no attack got in, 1 if one did or the attack failed to run, 2 for wrong usage.
  static func run(_ arguments: [String]) -> Int32 {
    guard let options = parse(arguments) else {
      SimulateCommand.print("usage: ttrl-dev \(usage)\n", to: STDERR_FILENO)
      return 2
    }
    do {
      Machine.raiseDescriptorLimit()
      let assault = try Assault(options)
      assault.run()
      SimulateCommand.print(assault.json + "\n", to: STDOUT_FILENO)
      return assault.gotIn == 0 ? 0 : 1
    } catch {
      SimulateCommand.print("ttrl-dev assault: \(error)\n", to: STDERR_FILENO)
      return 1
    }
  }

  private static func parse(_ arguments: [String]) -> Options? {
    var options = Options()
    guard let target = arguments.first.flatMap({ try? HostPort(parsing: $0) }) else { return nil }
    options.target = target
    var rest = arguments.dropFirst()
    while let flag = rest.popFirst() {
      guard let value = rest.popFirst() else { return nil }
      switch (flag, Int(value)) {
      case ("--seconds", let number?) where number > 0: options.seconds = UInt64(number)
      case ("--idle", let number?) where number >= 0: options.idle = number
      case ("--rate", let number?) where number > 0: options.rate = number
      case ("--seed", let number?) where number >= 0: options.seed = UInt64(number)
      case ("--key", _): options.key = value
      default: return nil
      }
    }
    return options
  }
}

/// The attacks.
private enum Attack: String, CaseIterable {
  /// Connects and sends nothing.
  case idle
  /// A hello in plain TCP.
  case plain
  /// A handshake with another key.
  case otherKey = "other_key"
  case randomBytes = "random_bytes"
  /// The first half of a handshake, then nothing.
  case halfOpen = "half_open"
  // These need the key.
  /// A handshake, then bytes that are not a frame.
  case garbage = "garbage_after_handshake"
  /// A handshake, then the header of a frame of `Limits.frameBytes`.
  case longHello = "long_hello_after_handshake"
  /// A handshake, then nothing.
  case silence = "silence_after_handshake"

  var needsKey: Bool { [.garbage, .longHello, .silence].contains(self) }
}

private final class Assault {
  private struct Tally {
    var attempts = 0
    /// Closed by the other side.
    var turnedAway = 0
    var unconnected = 0
    var gotIn = 0
  }

  private let options: AssaultCommand.Options
  private let loop: EventLoop
  private let stranger: TLSContext
  private let member: TLSContext?
  private let attacks: [Attack]
  private var tallies: [Tally]
  private var random: RandomSequence
  private var open = 0
  private var idle = 0
  private var turn = 0

  /// The largest number of attempts at once, in addition to the idle ones.
  private static let openMax = 500
  private static let interval = Instant.Span.milliseconds(20)

  init(_ options: AssaultCommand.Options) throws {
    self.options = options
    loop = try EventLoop()
    stranger = try TLSContext(ClusterKey())
    member = options.key.isEmpty ? nil : try TLSContext(try ClusterKey(reading: options.key))
    attacks = Attack.allCases.filter { $0 != .idle && (!$0.needsKey || !options.key.isEmpty) }
    tallies = Attack.allCases.map { _ in Tally() }
    random = RandomSequence(seed: options.seed, purpose: .backoff)
  }

  var gotIn: Int { tallies.reduce(0) { $0 + $1.gotIn } }

  var json: String {
    let kinds: [JSON.Member] = zip(Attack.allCases, tallies).filter { $1.attempts > 0 }.map { attack, tally in
      JSON.Member(
        attack.rawValue,
        [
          "attempts": .int(tally.attempts), "turned_away": .int(tally.turnedAway),
          "unconnected": .int(tally.unconnected), "got_in": .int(tally.gotIn),
        ])
    }
    let json: JSON = [
      "got_in": .int(gotIn), "attempts": .int(tallies.reduce(0) { $0 + $1.attempts }),
      "turned_away": .int(tallies.reduce(0) { $0 + $1.turnedAway }), "kinds": .object(kinds),
    ]
    return json.text()
  }

  func run() {
    tick()
    loop.run(until: MonotonicClock.now() + .seconds(options.seconds))
  }

  private func tick() {
    // Not all at once: the attack itself must not use all processor time.
    for _ in 0..<100 where idle < options.idle { start(.idle) }
    let count = max(1, Int(Double(options.rate) * Self.interval.seconds))
    for _ in 0..<count where open < Self.openMax {
      start(attacks[turn % attacks.count])
      turn += 1
    }
    loop.schedule(at: MonotonicClock.now() + Self.interval) { self.tick() }
  }

  private func start(_ attack: Attack) {
    let context: TLSContext? = attack.needsKey ? member : attack == .otherKey ? stranger : nil
    let connection = Connection(to: options.target, tls: context, by: MonotonicClock.now() + .seconds(30), loop: loop)
    count(attack, +1)
    tally(attack) { $0.attempts += 1 }
    connection.onBytes = { bytes in
      // The other side sends only TLS alerts to strangers; a frame means that the attack got in.
      guard !attack.needsKey, bytes.starts(with: Array("TTRL".utf8)), bytes.count > 6, bytes[6] == 2 else { return }
      self.tally(attack) { $0.gotIn += 1 }
    }
    connection.onOpen = {
      if attack == .otherKey { self.tally(attack) { $0.gotIn += 1 } }
      let words = self.words(of: attack)
      if !words.isEmpty { connection.send(words) }
    }
    connection.onClose = { reason in
      self.count(attack, -1)
      self.tally(attack) {
        if case .failed("connect", _) = reason { $0.unconnected += 1 } else { $0.turnedAway += 1 }
      }
    }
  }

  private func count(_ attack: Attack, _ change: Int) { if attack == .idle { idle += change } else { open += change } }

  private func tally(_ attack: Attack, _ change: (inout Tally) -> Void) {
    guard let index = Attack.allCases.firstIndex(of: attack) else { return }
    change(&tallies[index])
  }

  private func words(of attack: Attack) -> [UInt8] {
    switch attack {
    case .idle, .otherKey, .silence: return []
    case .plain:
      return Frame.encode(
        .hello(Hello(role: .worker, name: "stranger", arithmetic: "none", processID: 1, threads: 1)))
    case .randomBytes, .garbage: return (0..<1 + random.index(below: 4096)).map { _ in randomByte() }
    case .halfOpen:
      // A TLS record of 512 bytes with a ClientHello of 508, of which the first 34 come.
      return [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3] + (0..<32).map { _ in randomByte() }
    case .longHello:
      var header = ByteWriter()
      header.append(Array("TTRL".utf8))
      for half in [Frame.version, 1, 0, 0] { header.write(half) }
      header.write(UInt32(Limits.frameBytes))
      header.write(UInt32(0))
      header.write(CRC32C.checksum(header.bytes))
      return header.bytes
    }
  }

  private func randomByte() -> UInt8 { UInt8(random.index(below: 256)) }
}
