// SupervisedProcess: one process that the supervisor keeps running, and who decides which processes those are.
//
// It is always a child of this machine; one that works elsewhere is a `ttrl reach` that stands for it. A plan is
// the list of them beside the coordinator: those of one machine (OneMachine), or of several (SeveralMachines), where
// the list may change during the run.

import Base
import Commands
import Platform
import Runs
import Settings

final class SupervisedProcess {
  /// What happens when it dies again and again.
  enum Patience {
    /// The supervisor gives up: something here is wrong.
    case limited
    /// It is tried for as long as the run lasts: a machine may be away for a day.
    case endless
  }

  /// Also the name of its log.
  let name: String
  /// The command that it runs; its error begins with "ttrl ROLE: ".
  let role: String
  let patience: Patience
  var command: () throws -> ChildProcess.Command
  /// Done before each start; calls back when it may start, on a later turn of the loop or at once.
  var prepare: ((@escaping () -> Void) -> Void)?
  /// Bytes of its log that were there before it was started last.
  var logBytes = 0
  var process: ChildProcess?
  var isDone = false
  /// The plan no longer has it: it is told to leave, and is not started again.
  var isRetired = false
  /// When it died lately; too many in a short time and the supervisor gives up.
  var deaths: [Instant] = []
  /// When it was started last, and since when it has been away.
  var started = Instant.zero
  var awaySince: Instant?

  init(
    _ role: String, name: String, patience: Patience = .limited, command: @escaping () throws -> ChildProcess.Command
  ) {
    self.role = role
    self.name = name
    self.patience = patience
    self.command = command
  }
}

protocol ProcessPlan: AnyObject {
  /// The processes beside the coordinator, as they should be now.
  ///
  /// - Parameter context: where they find what they need.
  func processes(in context: LaunchContext) throws -> [SupervisedProcess]
  /// Whether `processes` would answer otherwise than before; asked every second.
  func hasChanged(say: (String) -> Void) -> Bool
}

/// What every process of a run has to be told.
struct LaunchContext {
  let directory: RunDirectory
  let settings: Settings
  /// Where they find the coordinator.
  let address: HostPort
  /// Path of the key, or `Settings.plainTCP`.
  let key: String
  let loop: EventLoop
  let say: (String) -> Void

  /// A process of this program on this machine, with its log.
  static func ownCommand(
    _ arguments: [String], log: String, in directory: RunDirectory
  ) throws -> ChildProcess.Command {
    var command = ChildProcess.Command(try ThisProcess.executablePath(), arguments)
    command.output = .file("\(directory.logs)/\(log).log")
    command.errors = .file("\(directory.logs)/\(log).log")
    // Ctrl-C at the terminal reaches the whole group; ours are told by us, in order.
    command.ownGroup = true
    return command
  }

  /// What every role is told.
  static func words(key: String, _ settings: Settings) -> [String] {
    ["--key", key, "--log-level", settings.logLevel.rawValue]
  }

  func worker(name: String, threads: Int, log: String) throws -> ChildProcess.Command {
    try Self.ownCommand(
      [
        "worker", "--coordinator", "\(address)", "--name", name, "--threads", "\(threads)", "--kv-memory",
        "\(settings.keyValueMemory)",
      ] + Self.words(key: key, settings), log: log, in: directory)
  }

  /// The words of a learner rank, after the program's name.
  func learnerWords(threads: Int) -> [String] {
    [
      "learner", "--run", directory.path, "--coordinator", "\(address)", "--threads", "\(threads)",
      "--checkpoint-every", "\(settings.checkpointEvery)", "--keep-checkpoints", "\(settings.keepCheckpoints)",
    ] + Self.words(key: key, settings)
  }
}

/// Workers and learner ranks on this machine, as many as the settings say.
final class OneMachine: ProcessPlan {
  /// nil where nothing is trained.
  private let launcher: MPILauncher?

  init(_ launcher: MPILauncher?) { self.launcher = launcher }

  func processes(in context: LaunchContext) throws -> [SupervisedProcess] {
    let settings = context.settings
    func threads(sharedBy processes: Int) -> Int {
      settings.threads > 0 ? settings.threads : max(1, Machine.coreCount / max(processes, 1))
    }
    var processes = (0..<settings.workers).map { index in
      let name = "worker-\(index + 1)"
      return SupervisedProcess("worker", name: name) {
        try context.worker(name: name, threads: threads(sharedBy: settings.workers), log: name)
      }
    }
    if let launcher {
      processes.append(
        SupervisedProcess("learner", name: "learner") {
          var command = try LaunchContext.ownCommand(
            context.learnerWords(threads: threads(sharedBy: settings.learners)), log: "learner", in: context.directory)
          command.arguments =
            launcher.arguments(ranks: settings.learners) + [command.program] + command.arguments
          command.program = launcher.program
          command.environment = launcher.environment
          return command
        })
    }
    return processes
  }

  func hasChanged(say: (String) -> Void) -> Bool { false }
}
