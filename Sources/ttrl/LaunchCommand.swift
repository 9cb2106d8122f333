// LaunchCommand: `ttrl launch`, a run on several machines from this one, and `ttrl stop`, which ends whatever was
// started for a run.
//
// Launch is `train` with a hosts file: the coordinator and learner rank 0 are here, with the run directory; workers and
// further ranks are wherever the file says. The other machines need the program and the C libraries, nothing else.

import Base
import Commands
import Foundation
import LanguageModel
import Platform
import Records
import Runs
import Settings

extension Command {
  @Sendable static func launch(_ settings: Settings, given: [String]) throws -> Int32 {
    var settings = settings
    settings.run = ThisProcess.absolute(settings.run)
    settings.key = ClusterAccess.absolute(settings.key)
    settings.hosts = ThisProcess.absolute(settings.hosts)
    let launcher = settings.method.steps > 0 ? try MPILauncher.find() : nil
    let plan = try SeveralMachines(reading: settings.hosts, launcher: launcher)
    try requireReachable(settings, plan.list)
    guard plan.list.learners > 0 || settings.method.steps == 0 else {
      throw SettingsError(problems: ["\(settings.hosts) has no learner ranks; give this machine learners=1"])
    }
    (settings.workers, settings.learners) = (plan.list.workers, max(1, plan.list.learners))
    let here = (plan.list.here?.workers ?? 0, plan.list.here?.learners ?? 0)
    let beginning = try RunBeginning.begin(
      settings, given: given + ["learners"], isDryRun: settings.isDryRun, here: here)
    if try isFinished(beginning.directory, settings) { return ExitStatus.done }
    announce(beginning, settings, processes: "1 coordinator (here); \(plan.summary)")
    if settings.isDryRun {
      try printPlan(plan, beginning, settings)
      return ExitStatus.done
    }
    return try supervise(beginning, settings, plan)
  }

  /// Machines that are not this one must be able to call back.
  private static func requireReachable(_ settings: Settings, _ list: HostList) throws {
    guard list.hosts.contains(where: { !$0.isHere }) else { return }
    let address = try HostPort(parsing: settings.listen)
    guard address.isLoopback || ["0.0.0.0", "::", "[::]"].contains(address.host) else { return }
    throw SettingsError(
      problems: [
        "--listen is \(settings.listen), and the other machines call the coordinator by that name. Give the address of "
          + "this machine that they reach: --listen 10.0.0.1:0 (port 0 picks a free one)"
      ])
  }

  @Sendable static func launchProblems(_ settings: Settings) -> [String] {
    // The run's own key is made here and taken along, so an address beyond this machine needs no --key.
    let key = settings.key.isEmpty ? [] : ClusterAccess.problems(settings.listen, key: settings.key)
    return needsData(settings) + key + pageProblems(settings)
  }

  private static func printPlan(
    _ plan: SeveralMachines, _ beginning: RunBeginning.Outcome, _ settings: Settings
  ) throws {
    let model = try ModelDirectory(beginning.settings.model).configuration.model
    var firstRank = 0
    for host in plan.list.hosts {
      var planned = beginning.settings
      (planned.workers, planned.learners) = (host.workers, host.learners)
      (planned.threads, planned.keyValueMemory) = (host.threads, settings.keyValueMemory)
      let plan = RunMemory.plan(
        planned, model: model, ranks: (firstRank..<firstRank + host.learners, max(1, plan.list.learners)))
      firstRank += host.learners
      // A coordinator is here only.
      let items = plan.items.filter { $0.bytes > 0 && (host.isHere || $0.name != "coordinator") }
      complain("\(host.name): about \(MemoryPlan.mebibytes(items.reduce(0) { $0 + $1.bytes }))")
      for item in items { complain("  \(item.name): \(MemoryPlan.mebibytes(item.bytes))") }
    }
    func threads(_ processes: KeyPath<ListedHost, Int>) -> Int {
      plan.list.hosts.reduce(0) { sum, host in
        let count = host[keyPath: processes]
        return sum + (host.threads > 0 ? host.threads * count : count > 0 ? Machine.coreCount : 0)
      }
    }
    try sayStepTime(
      beginning.settings, on: (threads(\.workers), threads(\.learners)), ranks: max(1, plan.list.learners),
      machines: plan.list.hosts.count)
    var address = try HostPort(parsing: settings.listen)
    if address.port == 0 { address = try HostPort(parsing: "\(address.host):1") }
    let context = LaunchContext(
      directory: beginning.directory, settings: settings, address: address,
      key: ClusterAccess.path(settings, beginning.directory), loop: try EventLoop(), say: complain)
    print(try plan.commands(in: context))
  }

  // MARK: Stopping

  @Sendable static func stop(_ settings: Settings, given: [String]) throws -> Int32 {
    let directory = RunDirectory(ThisProcess.absolute(settings.run))
    guard Files.exists(directory.settings) else { throw RunError.notARun(path: directory.path) }
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
      complain("stopped; what is done is kept, and the same command continues")
      return ExitStatus.done
    }
    complain("nothing runs the run in \(directory.path) on this machine")
    return ExitStatus.done
  }

  /// The process that holds a lock of the run, if any does.
  private static func holder(of name: String, _ directory: RunDirectory) throws -> Int32? {
    try RunLock.holder(directory: directory.path, name: name)
  }
}
