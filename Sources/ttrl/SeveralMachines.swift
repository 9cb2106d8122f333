// SeveralMachines: workers and learner ranks on the machines of a hosts file.
//
// Processes on this machine are started as by `train`; for a process elsewhere, a `ttrl reach` is started
// (Reach.swift). The learner is one MPI job on all machines that have ranks. Before each start, these machines are
// asked whether they are reachable, and the job consists of those that answer: with `--reduction exact` any number of
// ranks gives the same bits. Workers of an unreachable machine are tried again for as long as the run lasts. The file
// is read again when it changes: machines and workers can be added and removed during the run; a change of the ranks
// takes effect at the job's next start.

import Base
import Collectives
import Commands
import Foundation
import Platform
import Runs
import Settings

final class SeveralMachines: ProcessPlan {
  private let path: String
  private(set) var list: HostList
  /// nil if nothing is trained.
  private let launcher: MPILauncher?
  private var modified: Date?
  /// Machines with ranks that did not answer at the last start of the job.
  private var away: Set<String> = []
  private var probes: [ChildProcess] = []
  /// MiB of keys and values per sampling thread of a machine; 0 means no limit.
  var keyValueMemory: (ListedHost, HostList) -> Int = { _, _ in 0 }

  /// - Throws: what is wrong with the file, or if this MPI cannot be used on several machines.
  init(reading path: String, launcher: MPILauncher?) throws {
    self.path = path
    self.launcher = launcher
    list = try HostList(try Files.readText(path, limit: Limits.hostsFileBytes), path: path)
    modified = Self.modified(path)
    if let launcher, !launcher.implementation.reachesOtherMachines,
      list.hosts.contains(where: { !$0.isHere && $0.learners > 0 })
    {
      throw UserError(
        "this ttrl was built with \(MPICollectives.libraryVersion), and launch starts ranks on other machines only "
          + "with Open MPI. Give these machines only workers, or build ttrl with Open MPI")
    }
  }

  private static func modified(_ path: String) -> Date? {
    (try? FileManager.default.attributesOfItem(atPath: path))?[.modificationDate] as? Date
  }

  /// A wrong file is reported once; until it is corrected, the former list is used.
  func hasChanged(say: (String) -> Void) -> Bool {
    let now = Self.modified(path)
    guard now != nil, now != modified else { return false }
    modified = now
    do {
      let new = try HostList(try Files.readText(path, limit: Limits.hostsFileBytes), path: path)
      guard new != list else { return false }
      list = new
      say("\(path) has changed: \(summary)")
      return true
    } catch {
      say("\(path) has changed and is not used: \(error)")
      return false
    }
  }

  var summary: String {
    list.hosts.map { host in
      let parts = [(host.workers, "worker"), (host.learners, "learner rank")].filter { $0.0 > 0 }
      let what = parts.map { counted($0.0, $0.1) }.joined(separator: ", ")
      return "\(host.name)\(host.isHere ? " (here)" : ""): \(what.isEmpty ? "nothing" : what)"
    }.joined(separator: "; ")
  }

  func processes(in context: LaunchContext) throws -> [SupervisedProcess] {
    var processes: [SupervisedProcess] = []
    for host in list.hosts {
      for index in 0..<host.workers {
        let name = host.isHere ? "worker-\(index + 1)" : "\(host.name)-worker-\(index + 1)"
        processes.append(
          SupervisedProcess("worker", name: name, patience: host.isHere ? .limited : .endless) {
            try self.worker(host, name: name, in: context)
          })
      }
    }
    guard launcher != nil, list.learners > 0 else { return processes }
    let learner = SupervisedProcess("learner", name: "learner") { try self.learner(in: context) }
    learner.prepare = { self.probe(in: context, then: $0) }
    return processes + [learner]
  }

  // MARK: Workers

  private func worker(_ host: ListedHost, name: String, in context: LaunchContext) throws -> ChildProcess.Command {
    guard !host.isHere else {
      let threads = host.threads > 0 ? host.threads : max(1, Machine.coreCount / max(host.workers, 1))
      let worker = try context.worker(
        name: name, threads: threads, keyValueMemory: keyValueMemory(host, list), log: name)
      return bound(worker, to: host)
    }
    let words = Reach.words(hosts: path, key: sentKey(in: context))
    let text = try workerText(host, name: name, in: context)
    return try LaunchContext.ownCommand(words + [host.name, text], log: name, in: context.directory)
  }

  /// The path of the key that processes on other machines need.
  private func sentKey(in context: LaunchContext) -> String? {
    context.key == OperationSettings.plainTCP ? nil : context.key
  }

  /// The shell command on the other machine. The shell there finds out how many cores the machine has.
  private func workerText(_ host: ListedHost, name: String, in context: LaunchContext) throws -> String {
    let workers = max(host.workers, 1)
    let share = "$(( $(nproc) > \(workers) ? $(nproc) / \(workers) : 1 ))"
    let threads = host.threads > 0 ? "\(host.threads)" : share
    let program = try host.program.isEmpty ? ThisProcess.executablePath() : host.program
    let words = (binding(host) + [program]).map(ShellWord.quoted).joined(separator: " ")
    let work = "worker --coordinator \(context.address) --name \(ShellWord.quoted(name)) --threads \(threads)"
    let key = context.key == OperationSettings.plainTCP ? OperationSettings.plainTCP : "\"$TTRL_FILES/cluster.key\""
    let operation = context.settings.operation
    let rest =
      "--kv-memory \(keyValueMemory(host, list)) --key \(key) --log-level \(operation.logLevel.rawValue)"
    return "exec \(words) \(work) \(rest)"
  }

  private func binding(_ host: ListedHost) -> [String] {
    host.numaNode.map { ["numactl", "--cpunodebind=\($0)", "--membind=\($0)"] } ?? []
  }

  private func bound(_ command: ChildProcess.Command, to host: ListedHost) -> ChildProcess.Command {
    guard let program = binding(host).first else { return command }
    var command = command
    command.arguments = binding(host).dropFirst() + [command.program] + command.arguments
    command.program = program
    return command
  }

  // MARK: The learner

  /// Asks every other machine with ranks whether it is reachable.
  private func probe(in context: LaunchContext, then start: @escaping () -> Void) {
    let others = list.hosts.filter { !$0.isHere && $0.learners > 0 }
    let before = away
    away = []
    var open = others.count
    let settle = {
      self.probes = []
      self.report(before, in: context)
      // With float sums the number of ranks determines the bits, so all of them are needed.
      guard context.settings.reduction == .fast, !self.away.isEmpty else { return start() }
      context.loop.schedule(at: MonotonicClock.now() + Limits.reachAgainLongest) {
        self.probe(in: context, then: start)
      }
    }
    guard open > 0 else { return settle() }
    for host in others {
      let finish = { (isThere: Bool) in
        if !isThere { self.away.insert(host.name) }
        open -= 1
        if open == 0 { settle() }
      }
      do {
        let words = Reach.words(hosts: path) + [host.name, "true"]
        let probe = try ChildProcess(
          try LaunchContext.ownCommand(words, log: "learner", in: context.directory), loop: context.loop
        ) { finish($0 == .exited(0)) }
        probes.append(probe)
        context.loop.schedule(at: MonotonicClock.now() + Limits.probe) { probe.signal(Signal.kill) }
      } catch {
        finish(false)
      }
    }
  }

  private func report(_ before: Set<String>, in context: LaunchContext) {
    guard away != before else { return }
    let wait = context.settings.reduction == .fast ? "it waits for them (--reduction fast)" : "it starts without them"
    let ranks = list.hosts.reduce(0) { $0 + (away.contains($1.name) ? 0 : $1.learners) }
    context.say(
      away.isEmpty
        ? "the learner has all its machines again, \(counted(ranks, "rank"))"
        : "the learner cannot reach \(away.sorted().joined(separator: ", ")): \(wait); \(counted(ranks, "rank")) left")
  }

  private func learner(in context: LaunchContext) throws -> ChildProcess.Command {
    guard let launcher else { throw UserError("nothing is trained") }
    var command = try LaunchContext.ownCommand([], log: "learner", in: context.directory)
    let own = command.program
    let parts = list.hosts.filter { $0.learners > 0 && !away.contains($0.name) }.map { host in
      MPILauncher.Part(
        host: host.isHere ? nil : host.name, ranks: host.learners,
        words: binding(host) + [host.program.isEmpty ? own : host.program]
          + context.learnerWords(threads: host.threads))
    }
    let call =
      if parts.count == 1, let part = parts.first, part.host == nil {
        launcher.local(ranks: part.ranks, part.words, extra: list.mpiArguments)
      } else {
        launcher.job(
          parts, agent: ([own] + Reach.words(hosts: path, key: sentKey(in: context))).joined(separator: " "),
          extra: list.mpiArguments)
      }
    (command.program, command.arguments, command.environment) = (launcher.program, call.arguments, call.environment)
    return command
  }

  // MARK: The plan

  /// The commands of all processes, for `--dry-run`.
  func commands(in context: LaunchContext) throws -> [(name: String, command: String)] {
    try processes(in: context).map { process in
      let command = try process.command()
      return (process.name, ([command.program] + command.arguments).map(Reach.word).joined(separator: " "))
    }
  }
}
