// AssaultCommand: `ttrl-dev assault HOST:PORT`: everything that a process without the key can do to a coordinator, and
// with --key, what a faulty process with the key can do; with --page, what a client can do to a page. Many times a
// second, for some seconds.
//
// It counts how often it gets in: a plain hello that is welcomed, or a handshake with another key that succeeds. All
// the time it also asks as an honest client does, and measures how long the answer takes, during the attack and after
// it. With --process it measures the memory of the process that it attacks. Whether a run is disturbed has to be
// checked in the run. Not here: the attacks (Attack.swift, Assault.swift); attacks on TLS itself, which is OpenSSL's.

import Base
import Commands
import Platform

struct AssaultCommand: DeveloperTool {
  static let usage =
    "assault HOST:PORT [--page] [--seconds N] [--idle N] [--rate N] [--seed S] [--key FILE] [--process PID]"

  let target: HostPort
  /// The target is a page, not a coordinator.
  let isPage: Bool
  private(set) var seconds: UInt64 = 10
  /// Connections that send nothing, kept up all the time.
  private(set) var idle = 1000
  /// Other attempts per second.
  private(set) var rate = 100
  private(set) var seed: UInt64 = 1
  private(set) var key = ""
  /// The attacked process, if it is on this machine; 0 for none.
  private(set) var process: Int32 = 0

  init?(_ arguments: inout ToolArguments) {
    guard let target = arguments.word().flatMap({ try? HostPort(parsing: $0) }) else { return nil }
    self.target = target
    isPage = arguments.has("--page")
    arguments.read("--seconds", &seconds, in: 1...86_400)
    arguments.read("--idle", &idle)
    arguments.read("--rate", &rate, in: 1 ... .max)
    arguments.read("--seed", &seed)
    arguments.read("--key", &key)
    arguments.read("--process", &process)
  }

  /// - Returns: the exit status: 0 if no attempt got in and the target answered after the attack, else 1.
  func run() throws -> Int32 {
    Machine.raiseDescriptorLimit()
    let assault = try Assault(self)
    assault.run()
    print(assault.json)
    return assault.gotIn == 0 && assault.isAnsweredAfter ? ExitStatus.done : ExitStatus.failed
  }
}
