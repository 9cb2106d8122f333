// Reach: a process on another machine that behaves like a child process of this one.
//
// Two small programs are connected by one ssh (or one srun, within a Slurm job). `ttrl reach NAME COMMAND` runs here,
// as a child of the process that wants the command: it starts ssh, passes on the command's output and exit status, and
// sends a beat over the connection every two seconds. `ttrl attend COMMAND` runs there: it starts the command, and ends
// it when the beats stop, for example after Ctrl-C here, a killed launch, or an unplugged cable. So no process is left
// on a machine that is no longer reachable. mpirun also uses `reach`, instead of ssh, for its daemons.
//
// A command that needs the cluster's key finds it in $TTRL_FILES/cluster.key. The key file is sent over the connection
// and written to a private directory, which is removed when the process ends. If the file changes here, it is sent
// again.

import Base
import Commands
import Foundation
import Platform
import Settings

enum Reach {
  /// The line that begins a connection. Its number changes when the two programs become incompatible.
  fileprivate static let greeting = "ttrl-attend 1 "
  /// What follows the greeting and the key: beats, and, after this byte, the size and the content of a new key file.
  fileprivate static let beat = UInt8(ascii: ".")
  fileprivate static let newKey = UInt8(ascii: "K")

  /// The arguments of a `reach`, before the host's name and the command.
  ///
  /// - Parameters:
  ///   - hosts: path of the hosts file.
  ///   - key: path of the key to send along, if any.
  static func words(hosts: String, key: String? = nil) -> [String] {
    ["reach", "--hosts", hosts] + (key.map { ["--send-key", $0] } ?? [])
  }

  /// The variable that has the private directory of a process that `attend` has started.
  static let filesVariable = "TTRL_FILES"

  /// The key file in such a directory.
  static func keyFile(in directory: String) -> String { directory + "/cluster.key" }

  /// A word of a command for people: quoted only if it has to be.
  static func word(_ word: String) -> String {
    word.allSatisfy { $0.isLetter || $0.isNumber || "-_./:=,+".contains($0) } ? word : ShellWord.quoted(word)
  }

  /// What `attend` prints when it has started the command.
  fileprivate static let arrived = "ttrl attend: started on "

  /// Whether a log has that line after its first bytes.
  static func hasArrived(log path: String, from offset: Int) -> Bool {
    let bytes = ((try? Files.read(path)) ?? []).dropFirst(offset)
    return String(decoding: bytes, as: UTF8.self).contains(arrived)
  }

  /// `ttrl reach --hosts FILE [--send-key FILE] NAME COMMAND…`: the command's words are joined by blanks and
  /// interpreted by a shell there, as by ssh.
  static func main(_ arguments: [String]) -> Int32 {
    var rest = arguments[...]
    var values = ["--hosts": "", "--send-key": ""]
    while let flag = rest.first, values[flag] != nil, rest.count > 1 {
      values[flag] = rest[rest.startIndex + 1]
      rest = rest.dropFirst(2)
    }
    guard let name = rest.first, rest.count > 1, let hosts = values["--hosts"], !hosts.isEmpty else {
      Command.complain(
        "ttrl reach: expected --hosts FILE NAME COMMAND…; ttrl launch and its mpirun start it in this way")
      return ExitStatus.usage
    }
    do {
      let list = try HostList(try Files.readText(hosts, limit: Limits.hostsFileBytes), path: hosts)
      guard let host = list[name] else { throw UserError("\(hosts) does not list a machine \"\(name)\"") }
      return try Caller(
        host, command: rest.dropFirst().joined(separator: " "), keyFile: values["--send-key"] ?? ""
      ).run()
    } catch {
      Command.complain("ttrl reach: \(error)")
      return ExitStatus.failed
    }
  }

  /// The command that starts `attend` on a host. The host's own options come first, because ssh uses the first of two
  /// equal options.
  static func carrier(_ host: ListedHost, _ command: String) throws -> ChildProcess.Command {
    let program = try host.program.isEmpty ? ThisProcess.executablePath() : host.program
    guard host.way == .ssh else {
      // With overlap, the processes share the job's cores, as on one machine.
      let step = ["--nodes=1", "--ntasks=1", "--overlap", "--mpi=none", "--unbuffered", "--quiet"]
      return ChildProcess.Command(
        "srun", host.options + step + ["--nodelist=\(host.target)", program, "attend", command])
    }
    let arguments =
      host.options
      + [
        "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o",
        "ServerAliveInterval=\(Int(Limits.attendBeat.seconds) * 2)", "-o", "ServerAliveCountMax=3", host.target,
        "exec \(ShellWord.quoted(program)) attend \(ShellWord.quoted(command))",
      ]
    return ChildProcess.Command("ssh", arguments)
  }
}

/// The side of `reach`.
private final class Caller {
  private let loop: EventLoop
  private let carrier: ChildProcess.Command
  /// The path of the key file; empty for none.
  private let keyFile: String
  /// The content that was sent last.
  private var key: [UInt8]
  private var process: ChildProcess?
  private var status: Int32?

  init(_ host: ListedHost, command: String, keyFile: String) throws {
    loop = try EventLoop()
    self.keyFile = keyFile
    key = try keyFile.isEmpty ? [] : Files.read(keyFile, limit: PlatformLimits.keyFileBytes)
    var carrier = try Reach.carrier(host, command)
    carrier.hasInput = true
    self.carrier = carrier
  }

  func run() throws -> Int32 {
    // mpirun can be killed before it ends its agents. When ssh ends, its exit status is reported, so a broken pipe need
    // not be.
    _ = ThisProcess.dieWithParent()
    ThisProcess.ignoreBrokenPipes()
    try loop.onSignals([Signal.terminate, Signal.interrupt, Signal.hangup]) { _ in self.hangUp() }
    let process = try ChildProcess(carrier, loop: loop) { ended in
      self.status = ended.asShell
      self.loop.stop()
    }
    self.process = process
    process.write(Array("\(Reach.greeting)\(key.count)\n".utf8) + key)
    beat()
    while status == nil { loop.run() }
    return status ?? ExitStatus.failed
  }

  private func beat() {
    process?.write([Reach.beat])
    sendNewKey()
    loop.schedule(at: MonotonicClock.now() + Limits.attendBeat) { self.beat() }
  }

  /// A file that is being copied, or is damaged, is not sent.
  private func sendNewKey() {
    guard !keyFile.isEmpty, let bytes = try? Files.read(keyFile, limit: PlatformLimits.keyFileBytes), bytes != key,
      (try? KeyRing(reading: keyFile)) != nil
    else { return }
    key = bytes
    process?.write([Reach.newKey] + Array("\(bytes.count)\n".utf8) + bytes)
  }

  /// The other side ends its command when the connection ends, or when it gets no beats.
  private func hangUp() {
    process?.closeInput()
    loop.schedule(at: MonotonicClock.now() + Limits.attendGrace + .milliseconds(500)) {
      self.process?.signal(Signal.kill)
    }
  }
}

/// The side of `attend`.
final class Attendant {
  private let loop: EventLoop
  private let command: String
  private var received: [UInt8] = []
  private var lastBeat = MonotonicClock.now()
  private var process: ChildProcess?
  private var files: String?
  private var status: Int32?
  private var isEnding = false

  /// `ttrl attend COMMAND`, started by `reach`, which writes to its standard input.
  static func main(_ arguments: [String]) -> Int32 {
    do {
      return try Attendant(arguments.joined(separator: " ")).run()
    } catch {
      Command.complain("ttrl attend on \(Machine.hostName): \(error)")
      return ExitStatus.failed
    }
  }

  private init(_ command: String) throws {
    self.command = command
    loop = try EventLoop()
  }

  private func run() throws -> Int32 {
    try loop.onSignals([Signal.terminate, Signal.interrupt, Signal.hangup]) { _ in self.end("asked to") }
    try loop.watch(STDIN_FILENO, for: .readable) { _ in self.read() }
    watchBeats()
    while status == nil { loop.run() }
    if let files { try? Files.removeTree(files) }
    return status ?? ExitStatus.failed
  }

  private func read() {
    var chunk = [UInt8](repeating: 0, count: 4096)
    let count = Glibc.read(STDIN_FILENO, &chunk, chunk.count)
    guard count > 0 else {
      loop.unwatch(STDIN_FILENO)
      return end("the connection ended")
    }
    lastBeat = MonotonicClock.now()
    received += chunk[..<count]
    do {
      if process == nil { try begin() } else { try takeKeys() }
    } catch {
      Command.complain("ttrl attend on \(Machine.hostName): \(error)")
      guard process == nil else { return end("\(error)") }
      status = ExitStatus.usage
      loop.stop()
    }
  }

  /// Starts the command when the greeting and the key have arrived.
  private func begin() throws {
    guard let end = received.firstIndex(of: UInt8(ascii: "\n")) else { return }
    let line = String(decoding: received[..<end], as: UTF8.self)
    guard line.hasPrefix(Reach.greeting), let keyBytes = Int(line.dropFirst(Reach.greeting.count)),
      (0...PlatformLimits.keyFileBytes).contains(keyBytes)
    else {
      throw UserError("\"\(line.prefix(40))\" is not a greeting of this version of ttrl reach; is it another version?")
    }
    guard received.count >= end + 1 + keyBytes else { return }
    let key = received[(end + 1)..<(end + 1 + keyBytes)]
    received.removeFirst(end + 1 + keyBytes)
    var child = ChildProcess.Command("/bin/sh", ["-c", command])
    child.ownGroup = true
    if !key.isEmpty {
      let directory = try OwnedDirectory.temporary(prefix: "ttrl-attend")
      files = directory
      try Files.write(Array(key), to: Reach.keyFile(in: directory), mode: 0o600)
      child.environment[Reach.filesVariable] = directory
    }
    process = try ChildProcess(child, loop: loop) { ended in
      self.status = ended.asShell
      self.loop.stop()
    }
    Command.complain(Reach.arrived + Machine.hostName)
  }

  /// Writes the key files that have arrived; the command reads its file again.
  private func takeKeys() throws {
    while let first = received.first {
      guard first == Reach.newKey else {
        received.removeFirst()
        continue
      }
      guard let end = received.firstIndex(of: UInt8(ascii: "\n")) else { return }
      guard let count = Int(String(decoding: received[1..<end], as: UTF8.self)),
        (1...PlatformLimits.keyFileBytes).contains(count)
      else { throw UserError("ttrl reach sent something else than beats and keys; is it another version?") }
      guard received.count > end + count else { return }
      if let files {
        try SecretFile.replace(Array(received[(end + 1)...(end + count)]), at: Reach.keyFile(in: files), "the key")
      }
      received.removeFirst(end + 1 + count)
    }
  }

  private func watchBeats() {
    let silence = MonotonicClock.now().since(lastBeat)
    if silence > Limits.attendSilence { return end("nothing was heard for \(Int(silence.seconds)) s") }
    loop.schedule(at: MonotonicClock.now() + .milliseconds(500)) { if !self.isEnding { self.watchBeats() } }
  }

  private func end(_ reason: String) {
    guard !isEnding else { return }
    isEnding = true
    guard let process else {
      status = ExitStatus.failed
      return loop.stop()
    }
    process.signal(Signal.terminate)
    loop.schedule(at: MonotonicClock.now() + Limits.attendGrace) { process.signal(Signal.kill) }
  }
}

extension ChildProcess.ExitStatus {
  /// As a shell reports it.
  fileprivate var asShell: Int32 {
    switch self {
    case .exited(let code): code
    case .killed(let signal): 128 + signal
    }
  }
}
