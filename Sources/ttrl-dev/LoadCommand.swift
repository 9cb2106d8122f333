// LoadCommand: `ttrl-dev bench coordinator`: one coordinator and many workers, with real sockets and a real ledger.
// With `--listen` the workers are other processes: this command with `--coordinator`.

import Base
import Commands
import Load
import Platform
import Settings

extension Command {
  @Sendable static func loadProblems(_ settings: LoadSettings) -> [String] {
    var problems: [String] = []
    let address = settings.coordinator.isEmpty ? settings.listen : settings.coordinator
    if address.isEmpty, !["", OperationSettings.plainTCP].contains(settings.key) {
      problems.append(
        "--key is given, but the benchmark makes its own key; give --key none for plain TCP, or leave it out")
    }
    if !settings.coordinator.isEmpty, !settings.listen.isEmpty {
      problems.append("--listen waits for workers, and --coordinator makes this process some of them; give only one")
    }
    if !address.isEmpty { problems += ClusterAccess.problems(address, key: settings.key) }
    if settings.workers < 1 { problems.append("--workers is 0; at least one has to be the load") }
    if settings.samples < 2 { problems.append("--samples is \(settings.samples); a vote needs at least 2") }
    if settings.maxNewTokens > 4000 {
      problems.append("--max-new-tokens is more than the 4000 of the benchmark's model")
    }
    return problems
  }

  @Sendable static func benchCoordinator(_ settings: LoadSettings, _ call: CallSettings) throws -> Int32 {
    let isHere = settings.coordinator.isEmpty && settings.listen.isEmpty
    let key =
      isHere
      ? settings.key == OperationSettings.plainTCP ? nil : ClusterKeys(ClusterKey())
      : try ClusterAccess.key(settings.key)
    let load = CoordinatorLoad(
      workers: settings.workers, prompts: settings.prompts, samples: Int(settings.samples),
      responseTokens: Int(settings.maxNewTokens), tokensPerSecond: settings.workerTokens, seconds: settings.seconds,
      key: key, listen: settings.listen.isEmpty ? nil : try HostPort(parsing: settings.listen))
    guard settings.coordinator.isEmpty else {
      let name = settings.name.isEmpty ? "\(Machine.hostName)-\(ThisProcess.id)" : settings.name
      try joinLoad(load, named: name, at: try HostPort(parsing: settings.coordinator))
      return ExitStatus.done
    }
    let isKept = !settings.run.isEmpty
    let directory =
      isKept ? ThisProcess.absolute(settings.run) : try OwnedDirectory.temporary(prefix: "ttrl-load")
    guard try !isKept || !Files.exists(directory) else {
      throw UserError("\(directory) exists already; the benchmark makes its own --run", status: ExitStatus.usage)
    }
    try OwnedDirectory.make(directory)
    defer { if !isKept { try? Files.removeTree(directory) } }
    let figures = try LoadedCoordinator(load, in: directory, say: complain).run()
    print(call.isJSON ? figures.json.text() : figures.text)
    return ExitStatus.done
  }
}
