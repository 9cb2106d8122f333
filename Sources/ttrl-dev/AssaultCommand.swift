// AssaultCommand: `ttrl-dev assault HOST:PORT`: everything that a process without the key can do to a coordinator, and
// with --key, what a faulty process with the key can do; many times a second, for some seconds.
//
// It counts how often it gets in: a plain hello that is welcomed, or a handshake with another key that succeeds.
// Whether the run is disturbed has to be checked in the run. Not here: attacks on TLS itself, which is OpenSSL's.

import Base
import Commands
import Platform
import Records
import Wire

struct AssaultCommand: DeveloperTool {
  static let usage = "assault HOST:PORT [--seconds N] [--idle N] [--rate N] [--seed S] [--key FILE]"

  let target: HostPort
  private(set) var seconds: UInt64 = 10
  /// Connections that send nothing, kept up all the time.
  private(set) var idle = 1000
  /// Other attempts per second.
  private(set) var rate = 100
  private(set) var seed: UInt64 = 1
  private(set) var key = ""

  init?(_ arguments: inout ToolArguments) {
    guard let target = arguments.word().flatMap({ try? HostPort(parsing: $0) }) else { return nil }
    self.target = target
    arguments.read("--seconds", &seconds, in: 1...86_400)
    arguments.read("--idle", &idle)
    arguments.read("--rate", &rate, in: 1 ... .max)
    arguments.read("--seed", &seed)
    arguments.read("--key", &key)
  }

  /// - Returns: the exit status: 0 if no attempt got in, 1 if one did.
  func run() throws -> Int32 {
    Machine.raiseDescriptorLimit()
    let assault = try Assault(self)
    assault.run()
    print(assault.json)
    return assault.gotIn == 0 ? ExitStatus.done : ExitStatus.failed
  }
}

/// What is tried.
private enum Attack: String, CaseIterable {
  /// A connection that sends nothing.
  case idle
  /// A hello in plain TCP.
  case plain
  /// A handshake with a key of its own.
  case otherKey = "other_key"
  case randomBytes = "random_bytes"
  /// The first half of a handshake, then nothing.
  case halfOpen = "half_open"
  // The others need the key.
  /// A handshake, then bytes that are not a frame.
  case garbage = "garbage_after_handshake"
  /// A handshake, then the header of a frame of 16 MiB.
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

  /// The most open connections, besides the idle ones.
  private static let openMax = 500
  private static let interval = Instant.Span.milliseconds(20)

  init(_ options: AssaultCommand) throws {
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
    // Not all at once, so that the loop has time for the others.
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
      // A process without the key gets only TLS alerts. A frame means that it got in.
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
      // A TLS record of 512 bytes with a ClientHello of 508, of which the first 34 are sent.
      return [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3] + (0..<32).map { _ in randomByte() }
    case .longHello:
      var header = ByteWriter()
      header.append(Array("TTRL".utf8))
      for half in [Frame.version, 1, 0, 0] { header.write(half) }
      header.write(UInt32(16 << 20))
      header.write(UInt32(0))
      header.write(CRC32C.checksum(header.bytes))
      return header.bytes
    }
  }

  private func randomByte() -> UInt8 { UInt8(random.index(below: 256)) }
}
