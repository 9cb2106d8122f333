// SupervisedProcess: one process that the supervisor keeps running; and ProcessPlan, which decides which processes
// those are.
//
// It is always a process on this machine. For a process on another machine, it is the `ttrl reach` that represents it.
// A plan is the list of processes besides the coordinator: on one machine (OneMachine), or on several
// (SeveralMachines), where the list can change during the run.

import Base
import Commands
import Platform
import Runs
import Settings

final class SupervisedProcess {
  /// What happens if it dies again and again.
  enum Patience {
    /// The supervisor gives up, because something on this machine is wrong.
    case limited
    /// It is started again for as long as the run lasts, because a machine can be away for a day.
    case endless
  }

  /// Also the name of its log.
  let name: String
  /// The command that it runs; its error begins with "ttrl ROLE: ".
  let role: String
  let patience: Patience
  var command: () throws -> ChildProcess.Command
  /// Called before each start; it calls back when the process can start, on a later turn of the loop or at once.
  var prepare: ((@escaping () -> Void) -> Void)?
  /// The size of its log before its latest start.
  var logBytes = 0
  /// Nil while it does not run.
  var child: ChildProcess?
  var isDone = false
  /// The plan no longer has it: it was told to leave, and is not started again.
  var isRetired = false
  /// When it died recently. After too many deaths in a short time the supervisor gives up.
  var deaths: [Instant] = []
  /// When it was started last, and since when its machine has been away.
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
  /// The processes besides the coordinator, as they should be now.
  func processes(in context: LaunchContext) throws -> [SupervisedProcess]
  /// Whether `processes` would return something else than before. Called every second.
  func hasChanged(say: (String) -> Void) -> Bool
}

/// What a plan needs to make the commands of a run's processes.
struct LaunchContext {
  let directory: RunDirectory
  let settings: RunSettings
  /// The coordinator's address for the other processes.
  let address: HostPort
  /// Path of the key, or `OperationSettings.plainTCP`.
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
    // Ctrl-C at the terminal reaches the whole group. The supervisor stops its processes itself, in order.
    command.ownGroup = true
    return command
  }

  /// The arguments of every role.
  static func words(key: String, _ operation: OperationSettings) -> [String] {
    ["--key", key, "--log-level", operation.logLevel.rawValue]
  }

  func worker(name: String, threads: Int, keyValueMemory: Int, log: String) throws -> ChildProcess.Command {
    try Self.ownCommand(
      [
        "worker", "--coordinator", "\(address)", "--name", name, "--threads", "\(threads)", "--kv-memory",
        "\(keyValueMemory)",
      ] + Self.words(key: key, settings.operation), log: log, in: directory)
  }

  /// The arguments of a learner rank.
  func learnerWords(threads: Int) -> [String] {
    let operation = settings.operation
    return [
      "learner", "--run", directory.path, "--coordinator", "\(address)", "--threads", "\(threads)",
      "--checkpoint-every", "\(operation.checkpointEvery)", "--keep-checkpoints", "\(operation.keepCheckpoints)",
      "--gradient", operation.gradient.rawValue, "--protect-mpi", operation.rankProtection.rawValue,
    ] + Self.words(key: key, operation)
  }
}

/// Workers and learner ranks on this machine, as many as the settings say.
final class OneMachine: ProcessPlan {
  /// nil if nothing is trained.
  private let launcher: MPILauncher?

  init(_ launcher: MPILauncher?) { self.launcher = launcher }

  func processes(in context: LaunchContext) throws -> [SupervisedProcess] {
    let operation = context.settings.operation
    func threads(sharedBy processes: Int) -> Int {
      operation.threads(sharedBy: processes, cores: Machine.coreCount)
    }
    var processes = (0..<operation.workers).map { index in
      let name = "worker-\(index + 1)"
      return SupervisedProcess("worker", name: name) {
        try context.worker(
          name: name, threads: threads(sharedBy: operation.workers), keyValueMemory: operation.keyValueMemory,
          log: name)
      }
    }
    if let launcher {
      processes.append(
        SupervisedProcess("learner", name: "learner") {
          var command = try LaunchContext.ownCommand(
            context.learnerWords(threads: threads(sharedBy: operation.learners)), log: "learner", in: context.directory)
          let call = launcher.local(ranks: operation.learners, [command.program] + command.arguments)
          (command.program, command.arguments, command.environment) = (
            launcher.program, call.arguments, call.environment
          )
          return command
        })
    }
    return processes
  }

  func hasChanged(say: (String) -> Void) -> Bool { false }
}
