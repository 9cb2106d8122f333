// Confinement: runs a program of a user with bounds, so that it cannot harm the machine that it runs on.
//
// `ttrl confine …` is a process between this one and the program (CLinux/Confined.c). It bounds the memory and the
// number of the program's processes, takes the network from it where the kernel allows, and leaves none of its
// processes behind. Not here: what the program is asked, and how long it may take (CoordinatorRole's RewardPool).

import CLinux
import Glibc

package enum Confinement {
  /// How a program is bounded.
  package struct Bounds: Sendable {
    /// Bytes of the address space of each of its processes; 0 means no limit.
    package var memoryBytes: Int
    /// The most processes that it may have at a time, itself included.
    package var processes: Int

    package init(memoryBytes: Int, processes: Int) {
      self.memoryBytes = memoryBytes
      self.processes = processes
    }
  }

  /// What the kernel of this machine allows.
  package struct Isolation: Sendable, Equatable {
    /// The program has no network.
    package var noNetwork: Bool
    /// The program sees only its own processes.
    package var ownProcesses: Bool

    /// Finds it out, by trying it in a child process.
    package static var here: Isolation {
      let held = ttrl_isolation()
      return Isolation(
        noNetwork: held & Int32(TTRL_NO_NETWORK) != 0, ownProcesses: held & Int32(TTRL_OWN_PROCESSES) != 0)
    }
  }

  /// The program could not be started.
  package static let notStarted = ChildProcess.ExitStatus.exited(Int32(TTRL_NOT_STARTED))
  /// The program had too many processes.
  package static let crowded = ChildProcess.ExitStatus.exited(Int32(TTRL_CROWDED))

  /// The name of the tool of `ttrl`.
  package static let toolName = "confine"
  /// How often a program's processes are counted. A program that only forks has some dozens of them by then.
  private static let lookMilliseconds: Int32 = 20

  /// A command that runs a program with bounds.
  ///
  /// - Parameters:
  ///   - words: the program, as a path, and its arguments.
  ///   - bounds: what it may use.
  ///   - directory: its working directory, and where it puts temporary files.
  ///   - launcher: the path of `ttrl`.
  package static func command(
    _ words: [String], _ bounds: Bounds, in directory: String, launcher: String
  ) -> ChildProcess.Command {
    var command = ChildProcess.Command(
      launcher, [toolName, directory, "\(bounds.memoryBytes)", "\(bounds.processes)"] + words)
    command.environment = ["TMPDIR": directory, "PWD": directory]
    return command
  }

  /// The tool: what `command` starts.
  ///
  /// - Returns: only if its arguments are not those that `command` makes.
  package static func run(_ arguments: [String]) -> Int32 {
    guard arguments.count >= 4, let memory = UInt64(arguments[1]), let processes = Int32(arguments[2]),
      chdir(arguments[0]) == 0
    else { return Int32(TTRL_NOT_STARTED) }
    var words = arguments.dropFirst(3).map { strdup($0) } + [nil]
    words.withUnsafeMutableBufferPointer { words in
      guard let argv = words.baseAddress else { return }
      var confinement = ttrl_confinement(
        argv: argv, memory_bytes: memory, processes: processes, look_ms: lookMilliseconds)
      ttrl_run_confined(&confinement)
    }
    return Int32(TTRL_NOT_STARTED)
  }
}
