// LoadCommand: `ttrl bench coordinator`: one coordinator, a thousand workers or ten, real sockets, a real ledger. With
// `--listen` the workers are other processes, which are this command with `--coordinator`.

import Base
import Commands
import Glibc
import Load
import Platform
import Settings

extension Command {
  @Sendable static func loadDefaults(isBuiltIn: Bool) -> Settings {
    var settings = Settings()
    settings.workers = 1000
    settings.prompts = 1000
    settings.samples = 64
    settings.maxNewTokens = 48
    (settings.run, settings.listen) = ("", "")
    return settings
  }

  @Sendable static func loadProblems(_ settings: Settings) -> [String] {
    var problems: [String] = []
    let address = settings.coordinator.isEmpty ? settings.listen : settings.coordinator
    if address.isEmpty, !["", Settings.plainTCP].contains(settings.key) {
      problems.append("--key: the benchmark makes a key of its own; give none for plain TCP, or leave it out")
    }
    if !settings.coordinator.isEmpty, !settings.listen.isEmpty {
      problems.append("--listen waits for workers, --coordinator is some; give one of them")
    }
    if !address.isEmpty { problems += ClusterAccess.problems(address, key: settings.key) }
    if settings.workers < 1 { problems.append("--workers is 0, and somebody has to be the load") }
    if settings.maxNewTokens > 4000 {
      problems.append("--max-new-tokens is more than the 4000 of the benchmark's model")
    }
    return problems
  }

  private static var temporaryDirectory: String {
    let place = getenv("TMPDIR").map { String(cString: $0) } ?? ""
    return "\(place.isEmpty ? "/tmp" : place)/ttrl-load-\(ThisProcess.id)"
  }

  @Sendable static func benchCoordinator(_ settings: Settings, given: [String]) throws -> Int32 {
    let isHere = settings.coordinator.isEmpty && settings.listen.isEmpty
    let key =
      isHere ? settings.key == Settings.plainTCP ? nil : ClusterKey() : try ClusterAccess.key(settings.key)
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
    let directory = isKept ? ThisProcess.absolute(settings.run) : temporaryDirectory
    guard !Files.exists(directory) else {
      throw UserError("\(directory) is there already; the benchmark makes its own --run", status: ExitStatus.usage)
    }
    try Files.createDirectory(directory)
    defer { if !isKept { try? Files.removeTree(directory) } }
    let figures = try LoadedCoordinator(load, in: directory, say: complain).run()
    print(settings.isJSON ? figures.json.text() : figures.text)
    return ExitStatus.done
  }
}
