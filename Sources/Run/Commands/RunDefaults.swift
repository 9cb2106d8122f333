// RunDefaults: what the commands that begin a run share.

import Platform
import Records
import Runs
package import Settings

extension Command {
  /// Settings that can change a run's result.
  package static let resultSettings = SettingTable.all.filter { $0.effect == .result }.map(\.name)

  @Sendable package static func runDefaults(isBuiltIn: Bool) -> RunSettings {
    isBuiltIn ? BuiltIn.defaults : RunSettings()
  }

  /// What is wrong with the directory of a run that is to begin or to continue.
  package static func directoryProblems(_ settings: OperationSettings) -> [String] {
    guard !settings.run.isEmpty else { return [] }
    let directory = RunDirectory(ThisProcess.absolute(settings.run))
    do throws(PlatformError) {
      // Of a finished run only the results are shown.
      if try Files.exists(directory.summary) { return [] }
      if try Files.exists(directory.settings) { try OwnedDirectory.require(directory.path) }
      try OwnedDirectory.rehearse(directory.path)
      return []
    } catch {
      return ["\(error)"]
    }
  }

  /// What is wrong with the input of a run, beyond single values.
  package static func inputProblems(_ settings: RunSettings) -> [String] {
    var found: [String] = []
    if settings.model != "builtin", settings.data.isEmpty, settings.responses.isEmpty {
      found.append("--model is given without --data FILE: which questions should it be trained on?")
    }
    let run = RunDirectory(ThisProcess.absolute(settings.operation.run))
    if (try? Files.exists(run.settings)) != true {
      found += settings.adapterProblems + settings.rewardsWithoutCommand
    }
    if settings.evaluatedAs != nil, settings.method.steps > 0 {
      found.append(
        "eval-as is for an evaluation without training, and steps is \(settings.method.steps); leave it out, or set "
          + "steps to 0")
    }
    return found
  }
}

extension OperationSettings {
  /// Processes of the reward command on this machine. The workers need the cores too.
  package var rewardProcessCount: Int { rewardProcesses > 0 ? rewardProcesses : max(1, Machine.coreCount / 2) }

  /// Makes paths absolute, so that they mean the same to a process in another directory.
  package mutating func makePathsAbsolute() {
    run = ThisProcess.absolute(run)
    key = ClusterAccess.absolute(key)
    if !hosts.isEmpty { hosts = ThisProcess.absolute(hosts) }
  }
}
