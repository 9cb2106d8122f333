// DoctorCommand: `ttrl doctor`: the checks of this machine, or with a hosts file, of every machine in it.
//
// Every machine checks itself, through the connection that a launch would use, and this one compares clocks and
// versions.

import Base
import Commands
import Foundation
import Platform
import Settings

extension Command {
  @Sendable static func doctor(_ settings: OperationSettings, _ call: CallSettings) throws -> Int32 {
    let own = try SelfExamination(settings).findings()
    var hosts: [(name: String, findings: [Finding])] = []
    if settings.hosts.isEmpty {
      hosts = [(Machine.hostName, own)]
    } else {
      let path = ThisProcess.absolute(settings.hosts)
      let list = try HostList(try Files.readText(path, limit: Limits.hostsFileBytes), path: path)
      let listener = try DoorBell(settings.listen)
      for host in list.hosts {
        hosts.append((host.name, host.isHere ? own : try examine(host, path, own, listener)))
      }
    }
    let problems = hosts.flatMap(\.findings).count { $0.grade == .problem }
    if call.isJSON {
      let json: JSON = [
        "time": .double(WallClock.seconds()), "problems": .int(problems),
        "hosts": .array(hosts.map { ["name": .string($0.name), "findings": .array($0.findings.map(\.json))] }),
      ]
      showJSON(json.text())
    } else {
      for host in hosts { show(([host.name] + host.findings.map(\.text)).joined(separator: "\n")) }
      show(problems == 0 ? "nothing prevents a run" : "\(problems) of these prevent a run")
    }
    return problems == 0 ? ExitStatus.done : ExitStatus.failed
  }

  /// Makes a machine check itself, through the connection that a launch would use.
  private static func examine(
    _ host: ListedHost, _ path: String, _ own: [Finding], _ listener: DoorBell
  ) throws -> [Finding] {
    let program = try host.program.isEmpty ? ThisProcess.executablePath() : host.program
    let door = listener.address.isLoopback ? "" : " --coordinator \(listener.address)"
    let words = Reach.words(hosts: path) + [host.name, "exec \(ShellWord.quoted(program)) doctor --json\(door)"]
    let begun = WallClock.seconds()
    let outcome = try listener.whileOpen {
      try Waiting.run(ChildProcess.Command(try ThisProcess.executablePath(), words), within: .seconds(60))
    }
    let ended = WallClock.seconds()
    let line = outcome.output.split(separator: "\n").last.map { Array($0.utf8) } ?? []
    guard let json = try? JSON.parse(line), let said = json["hosts"]?.elements?.first?["findings"]?.elements else {
      let words = outcome.errors.split(whereSeparator: \.isNewline).suffix(3).joined(separator: " / ")
      return [
        Finding(
          "reach", .problem, words.isEmpty ? "no answer within 60 s" : words,
          remedy: "try: ssh \(host.target) \(program) --version. It must work without a password (ssh-copy-id), and "
            + "the program must be there (scripts/bundle makes one that runs everywhere)")
      ]
    }
    var findings = [Finding("reach", .ok, "\(host.way.rawValue) \(host.target)")] + said.compactMap(Finding.init)
    findings.append(clock(json["time"]?.double ?? 0, between: begun, and: ended))
    if let other = findings.first(where: { $0.check == "libraries" }), other.seen != own.first?.seen {
      findings.append(
        Finding(
          "same libraries", .warning, "other than on this machine (\(own.first?.seen ?? ""))",
          remedy:
            "bits can differ if only one has AMX, or if the versions of oneDNN differ: see \"Mixed processors\" in "
            + "docs/operating.md"))
    }
    return findings
  }

  /// Clocks are used in logs only. Logs are easier to compare if the clocks agree.
  private static func clock(_ there: Double, between begun: Double, and ended: Double) -> Finding {
    let off = max(begun - there, there - ended, 0)
    let text = String(format: "%.1f s from this machine's, measured within %.1f s", off, ended - begun)
    return off < 2
      ? Finding("clock", .ok, text)
      : Finding("clock", .warning, text, remedy: "run chrony or systemd-timesyncd on both; logs are hard to compare")
  }
}

/// A port of this machine that answers while other machines try to connect to it.
private final class DoorBell {
  let address: HostPort
  private let listener: Listener
  private let loop: EventLoop

  init(_ listen: String) throws {
    loop = try EventLoop()
    listener = try Listener(on: try HostPort(parsing: listen), tls: nil, loop: loop) { $0.close() }
    address = listener.address
  }

  /// The kernel accepts connections meanwhile; they are closed afterwards.
  func whileOpen<Result>(_ body: () throws -> Result) rethrows -> Result {
    defer { loop.run(until: MonotonicClock.now() + .milliseconds(1)) }
    return try body()
  }
}
