// Doctor: the checks of `ttrl doctor`: what prevents a machine from taking part in a run, and how to fix it.
//
// Each check does the thing that it checks: it starts two MPI ranks, connects to a port, reads the key file. A warning
// is about something that makes a run slow or fragile. A problem prevents a run and makes the exit status 1.

import Base
import Collectives
import Commands
import Foundation
import LanguageModel
import Platform
import Runs
import Settings
import Tensors

struct Finding {
  enum Grade: String { case ok, warning, problem }

  let check: String
  let grade: Grade
  let seen: String
  /// What to do; empty if nothing has to be done.
  var remedy = ""

  var json: JSON {
    ["check": .string(check), "grade": .string(grade.rawValue), "seen": .string(seen), "remedy": .string(remedy)]
  }

  init(_ check: String, _ grade: Grade, _ seen: String, remedy: String = "") {
    (self.check, self.grade, self.seen, self.remedy) = (check, grade, seen, remedy)
  }

  init?(_ json: JSON) {
    guard let check = json["check"]?.string, let grade = json["grade"]?.string.flatMap(Grade.init(rawValue:)),
      let seen = json["seen"]?.string
    else { return nil }
    self.init(check, grade, seen, remedy: json["remedy"]?.string ?? "")
  }

  var text: String {
    let mark = grade == .ok ? "  " : grade == .warning ? "? " : "! "
    return "  \(mark)\(check.visible): \(seen.visible)" + (remedy.isEmpty ? "" : "\n      → \(remedy.visible)")
  }
}

/// A machine's checks of itself.
struct SelfExamination {
  private let settings: OperationSettings

  init(_ settings: OperationSettings) { self.settings = settings }

  func findings() throws -> [Finding] {
    [libraries, processor, memory, descriptors, disk, confinement] + run + (try ranks()) + key + (try coordinator())
      + running
  }

  private var libraries: Finding {
    Finding(
      "libraries", .ok, "ttrl \(Program.version), \(Arithmetic.description), \(MPICollectives.libraryVersion)")
  }

  private var processor: Finding {
    if let problem = Arithmetic.problem {
      return Finding("processor", .problem, problem, remedy: "use another machine, or a ttrl built for this one")
    }
    return Finding("processor", .ok, "\(counted(Machine.coreCount, "core")), \(Machine.instructionSet)")
  }

  private var memory: Finding {
    let mebibytes = Machine.memoryLimit >> 20
    return mebibytes >= 1024
      ? Finding("memory", .ok, "\(mebibytes) MiB")
      : Finding(
        "memory", .warning, "\(mebibytes) MiB",
        remedy: "ttrl launch --dry-run prints what each machine needs; a control group or ulimit -v can be the limit")
  }

  private var descriptors: Finding {
    Machine.raiseDescriptorLimit()
    let limit = Machine.descriptorLimit
    return limit >= 1024
      ? Finding("open files", .ok, "\(limit)")
      : Finding(
        "open files", .problem, "\(limit), but a coordinator needs one per worker",
        remedy: "raise \"nofile\" in /etc/security/limits.conf, or LimitNOFILE of the unit, to 4096 or more")
  }

  private var disk: Finding {
    var path = settings.run.isEmpty ? OwnedDirectory.temporaryPlace : settings.run
    while (try? Files.exists(path)) != true, path.contains("/"), path != "/" { path = Files.directory(of: path) }
    let attributes = try? FileManager.default.attributesOfFileSystem(forPath: path)
    let free = (attributes?[.systemFreeSize] as? NSNumber)?.intValue ?? 0
    let need = settings.run.isEmpty ? 64 << 20 : 1 << 30
    return free >= need
      ? Finding("disk", .ok, "\(free >> 20) MiB free in \(path)")
      : Finding(
        "disk", .warning, "\(free >> 20) MiB free in \(path)",
        remedy:
          "a run needs about 14 bytes per parameter and checkpoint, and 8 bytes per sampled token: use a --run on "
          + "another disk, or a smaller --keep-checkpoints")
  }

  /// What a reward command on this machine cannot do.
  private var confinement: Finding {
    let isolation = Confinement.Isolation.here
    let network = isolation.noNetwork ? "no network" : "the network as every process has it"
    let processes = isolation.ownProcesses ? "sees only its own processes" : "sees the processes of this user"
    return Finding("reward command", .ok, "one would have \(network); it \(processes)")
  }

  /// What an existing run needs, with all its processes on this machine.
  private var run: [Finding] {
    guard !settings.run.isEmpty, (try? Files.exists(RunDirectory(settings.run).settings)) == true else { return [] }
    var asked = RunSettings()
    asked.operation = settings
    do {
      let found = try RunBeginning.begin(asked, given: [])
      let trained = found.adapter.map { "an adapter of \(counted($0.tensors.count, "parameter"))" } ?? "all weights"
      return [
        Finding(
          "the run", .ok,
          "trains \(trained); \(counted(settings.workers, "worker")) and \(counted(settings.learners, "learner rank")) "
            + "need about \(MemoryPlan.mebibytes(found.memory.plan.bytes)) of memory, "
            + "gradient \(found.memory.gradient.rawValue); \(found.disk.text)")
      ]
    } catch {
      return [Finding("the run", .problem, "\(error)", remedy: "the message says what would help")]
    }
  }

  /// Starts two ranks that communicate.
  private func ranks() throws -> [Finding] {
    let launcher: MPILauncher
    do {
      launcher = try MPILauncher.find()
    } catch {
      return [
        Finding(
          "mpirun", .problem, "\(error)",
          remedy: "install Open MPI 4.1 or 5.0 (apt-get install openmpi-bin), and build ttrl with it")
      ]
    }
    let call = launcher.local(ranks: 2, [try ThisProcess.executablePath(), "two-ranks"])
    var command = ChildProcess.Command(launcher.program, call.arguments)
    command.environment = call.environment
    let outcome = try Waiting.run(command, within: .seconds(30))
    guard outcome.status == .exited(0), outcome.output.contains("2 ranks agree") else {
      let words = outcome.errors.split(separator: "\n").prefix(4).joined(separator: " / ")
      return [
        Finding(
          "mpirun", .problem, "two ranks did not meet: \(words)",
          remedy:
            "try \(launcher.program) -n 2 hostname; mpirun must belong to the MPI library that ttrl was built with")
      ]
    }
    let scope = launcher.implementation.reachesOtherMachines ? "here and on other machines" : "on this machine only"
    return [
      Finding(
        "mpirun", .ok, "\(launcher.program), \(MPICollectives.libraryVersion), supported \(scope); two ranks met"),
      listening(outcome.output),
    ]
  }

  /// Whether other machines can connect to what two ranks on this machine need.
  private func listening(_ output: String) -> Finding {
    let lines = output.split(separator: "\n").filter { $0.hasPrefix(Self.listens) }
    let open = lines.filter { $0.hasSuffix(RunListener.isOpen) }
    return open.isEmpty
      ? Finding("ranks here", .ok, "they listen only at loopback addresses (\(lines.count))")
      : Finding(
        "ranks here", .warning, open.map { $0.dropFirst(Self.listens.count) }.joined(separator: "; "),
        remedy:
          "put \(MPILauncher.loopbackName) beside ttrl (scripts/bundle copies both), or let a firewall refuse "
          + "connections from other machines")
  }

  /// Where the processes of runs on this machine listen.
  private var running: [Finding] { RunListener.all.map { Finding("listens", .ok, $0.text) } }

  /// Begins the lines of `two-ranks` about its sockets.
  private static let listens = "listens: "

  private var key: [Finding] {
    guard !settings.key.isEmpty, settings.key != OperationSettings.plainTCP else { return [] }
    do throws(PlatformError) {
      let ids = try KeyRing(reading: settings.key).keys.map(\.id)
      return [Finding("key", .ok, "\(settings.key), \(ids.joined(separator: ", and until it is retired "))")]
    } catch {
      return [Finding("key", .problem, "\(error)", remedy: "ttrl key makes one; its file needs mode 600")]
    }
  }

  /// Whether a process answers at the coordinator's address.
  private func coordinator() throws -> [Finding] {
    guard !settings.coordinator.isEmpty else { return [] }
    let address = try HostPort(parsing: settings.coordinator)
    let loop = try EventLoop()
    var problem: String? = "no answer within 10 s"
    let connection = Connection(to: address, tls: nil, by: MonotonicClock.now() + .seconds(10), loop: loop)
    connection.onOpen = {
      problem = nil
      loop.stop()
    }
    connection.onClose = { reason in
      problem = "\(reason)"
      loop.stop()
    }
    loop.run(until: MonotonicClock.now() + .seconds(11))
    connection.close()
    guard let problem else { return [Finding("coordinator", .ok, "\(address) answers")] }
    return [
      Finding(
        "coordinator", .problem, "cannot connect to \(address): \(problem)",
        remedy: "is it an address of the coordinator's machine that this machine can reach, and does a firewall allow "
          + "the port? ttrl launch --listen ADDRESS:PORT chooses the port")
    ]
  }

  /// `ttrl two-ranks`, under mpirun.
  static func twoRanks() -> Int32 {
    do {
      let ranks = try MPICollectives()
      let sum = try ranks.sum([1.0])
      if ranks.rank == 0 {
        Command.show("\(Int(sum[0])) ranks agree")
        for listener in RunListener.ofThisJob { Command.show(Self.listens + listener.text) }
      }
      try ranks.finish()
      return ExitStatus.done
    } catch {
      Command.complain("\(error)")
      return ExitStatus.failed
    }
  }
}

/// Runs a program and waits for it.
enum Waiting {
  struct Outcome {
    var status: ChildProcess.ExitStatus?
    var output = ""
    var errors = ""
  }

  /// Runs it to its end, or kills it; then the status is nil.
  static func run(_ command: ChildProcess.Command, within span: Instant.Span) throws -> Outcome {
    let loop = try EventLoop()
    var outcome = Outcome()
    var (output, errors): ([UInt8], [UInt8]) = ([], [])
    var command = command
    command.output = .pipe { output += $0 }
    command.errors = .pipe { errors += $0 }
    let process = try ChildProcess(command, loop: loop) { status in
      outcome.status = status
      loop.stop()
    }
    loop.run(until: MonotonicClock.now() + span)
    process.signal(Signal.kill)
    outcome.output = String(decoding: output, as: UTF8.self)
    outcome.errors = String(decoding: errors, as: UTF8.self)
    return outcome
  }
}
