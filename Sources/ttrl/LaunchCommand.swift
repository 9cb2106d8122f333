// LaunchCommand: `ttrl launch`, a run on several machines, started from this one; and `ttrl stop`, which ends all
// processes of a run.
//
// Launch is `train` with a hosts file: the coordinator and learner rank 0 are here, with the run directory; workers and
// further ranks are on the machines of the file. Those machines need only the program and the C libraries.

import Base
import Commands
import Foundation
import LanguageModel
import Platform
import Records
import Runs
import Settings

extension Command {
  @Sendable static func launch(_ settings: RunSettings, _ call: CallSettings) throws -> Int32 {
    if let course = call.course {
      return try follow(course, call, here: MachineShare(workers: 0, ranks: 0..<0, of: 1), launch)
    }
    var settings = settings
    settings.operation.makePathsAbsolute()
    let hosts = settings.operation.hosts
    let launcher = settings.method.steps > 0 ? try MPILauncher.find() : nil
    let plan = try SeveralMachines(reading: hosts, launcher: launcher)
    try requireReachable(settings.operation.listen, plan.list)
    guard plan.list.learners > 0 || settings.method.steps == 0 else {
      throw SettingsError(problems: ["\(hosts) has no learner ranks; give this machine learners=1"])
    }
    (settings.operation.workers, settings.operation.learners) = (plan.list.workers, max(1, plan.list.learners))
    var operation = settings.operation
    operation.threads = plan.list.here?.threads ?? 0
    let share =
      plan.list.here.map { MachineShare($0, of: plan.list, settings) } ?? MachineShare(workers: 0, ranks: 0..<0, of: 1)
    settings.operation = operation
    let beginning = try RunBeginning.begin(
      settings, given: call.given + ["learners"], isDryRun: call.isDryRun, here: share, note: { complain($0) })
    if try isFinished(beginning.directory, call) { return ExitStatus.done }
    let model = try ModelDirectory(beginning.settings.model).configuration.model
    plan.keyValueMemory = { host, list in
      memory(of: host, in: list, beginning, operation, model).fitted?.keyValueMemory ?? operation.keyValueMemory
    }
    // One rank that streams makes all of them stream.
    let forms = plan.list.hosts.filter { $0.learners > 0 }.map { host in
      memory(of: host, in: plan.list, beginning, operation, model).fitted?.gradient ?? operation.gradient
    }
    settings.operation.gradient = forms.contains(.streamed) ? .streamed : forms.first ?? operation.gradient
    announce(beginning, settings, call, processes: "1 coordinator (here); \(plan.summary)")
    if plan.list.hosts.allSatisfy({ $0.isHere || $0.learners == 0 }), let exposure = launcher?.exposure {
      complain(exposure)
    }
    if call.isDryRun {
      try printPlan(plan, beginning, settings, call)
      return ExitStatus.done
    }
    return try supervise(beginning, settings, call, plan)
  }

  /// Processes on other machines must be able to connect to the coordinator.
  private static func requireReachable(_ listen: String, _ list: HostList) throws {
    guard list.hosts.contains(where: { !$0.isHere }) else { return }
    let address = try HostPort(parsing: listen)
    guard address.isLoopback || ["0.0.0.0", "::", "[::]"].contains(address.host) else { return }
    throw SettingsError(
      problems: [
        "--listen is \(listen), but the other machines connect to the coordinator at that address. Give an address of "
          + "this machine that they can reach: --listen 10.0.0.1:0 (port 0 picks a free port)"
      ])
  }

  @Sendable static func launchProblems(_ settings: RunSettings) -> [String] {
    // The run's own key is made here and sent along, so an address beyond this machine needs no --key.
    let (listen, key) = (settings.operation.listen, settings.operation.key)
    return inputProblems(settings) + (key.isEmpty ? [] : ClusterAccess.problems(listen, key: key))
      + pageProblems(settings.operation) + directoryProblems(settings.operation)
  }

  /// The memory that a machine of the hosts file needs. How much another machine has is not known: it is taken to be as
  /// much as here.
  ///
  /// - Returns: also the fitted plan, if it fits.
  private static func memory(
    of host: ListedHost, in list: HostList, _ beginning: RunBeginning.Outcome, _ operation: OperationSettings,
    _ model: ModelConfiguration
  ) -> (plan: MemoryPlan, fitted: RunMemory.Fitted?) {
    var planned = beginning.settings
    planned.operation = operation
    planned.operation.threads = host.threads
    let memory = RunMemory(
      planned, model: model, adapter: beginning.adapter, questions: beginning.questions,
      share: MachineShare(host, of: list, beginning.settings))
    let fitted = try? memory.fit()
    return (fitted?.plan ?? memory.least, fitted)
  }

  private static func printPlan(
    _ plan: SeveralMachines, _ beginning: RunBeginning.Outcome, _ settings: RunSettings, _ call: CallSettings
  ) throws {
    let model = try ModelDirectory(beginning.settings.model).configuration.model
    var hosts: [JSON] = []
    for host in plan.list.hosts {
      let found = memory(of: host, in: plan.list, beginning, settings.operation, model)
      complain("\(host.name): about \(MemoryPlan.mebibytes(found.plan.bytes))")
      complain(found.plan.text)
      // This machine's note has been printed.
      if !host.isHere, let note = found.fitted?.note { complain("  \(note), if its memory is that of this machine") }
      hosts.append([
        "name": .string(host.name), "bytes": .int(found.plan.bytes), "parts": DryRun.parts(found.plan.items),
        "kv_memory": .int(found.fitted?.keyValueMemory ?? settings.operation.keyValueMemory),
        "gradient": .string((found.fitted?.gradient ?? settings.operation.gradient).rawValue),
      ])
    }
    func threads(_ processes: KeyPath<ListedHost, Int>) -> Int {
      plan.list.hosts.reduce(0) { sum, host in
        let count = host[keyPath: processes]
        return sum + (host.threads > 0 ? host.threads * count : count > 0 ? Machine.coreCount : 0)
      }
    }
    let estimate = try RunEstimate(
      beginning, on: (threads(\.workers), threads(\.learners)), ranks: max(1, plan.list.learners),
      machines: plan.list.hosts.count)
    if let estimate { complain(estimate.text) }
    var address = try HostPort(parsing: settings.operation.listen)
    if address.port == 0 { address = try HostPort(parsing: "\(address.host):1") }
    let context = LaunchContext(
      directory: beginning.directory, settings: settings, address: address,
      key: ClusterAccess.path(settings.operation, beginning.directory), loop: try EventLoop(), say: complain)
    let commands = try plan.commands(in: context)
    guard call.isJSON else { return show(commands.map { "\($0.name):\n  \($0.command)" }.joined(separator: "\n")) }
    showJSON(DryRun(beginning, settings.operation, estimate: estimate, hosts: hosts, commands: commands).json.text())
  }

  // MARK: Stopping

  @Sendable static func stop(_ settings: OperationSettings, _ call: CallSettings) throws -> Int32 {
    let directory = RunDirectory(ThisProcess.absolute(settings.run))
    guard try Files.exists(directory.settings) || course(in: directory) != nil else {
      throw RunError.notARun(path: directory.path)
    }
    for (name, who) in [(RunDirectory.supervisorLock, "train or launch"), ("lock", "coordinator")] {
      guard let pid = try holder(of: name, directory) else { continue }
      complain("stopping the \(who) of \(directory.path), process \(pid)")
      kill(pid, SIGTERM)
      let deadline = MonotonicClock.now() + .seconds(20)
      while try holder(of: name, directory) == pid {
        guard MonotonicClock.now() < deadline else {
          throw UserError("process \(pid) has not ended 20 s after SIGTERM; is it stopped (SIGSTOP)?")
        }
        usleep(50_000)
      }
      complain("stopped; finished work is kept, and the same command continues the run")
      if call.isJSON { showJSON((["stopped": .int(Int(pid))] as JSON).text()) }
      return ExitStatus.done
    }
    complain("no process on this machine runs the run in \(directory.path)")
    if call.isJSON { showJSON((["stopped": .null] as JSON).text()) }
    return ExitStatus.done
  }

  /// The process that holds a lock of the run, if there is one.
  private static func holder(of name: String, _ directory: RunDirectory) throws -> Int32? {
    try RunLock.holder(directory: directory.path, name: name)
  }
}
