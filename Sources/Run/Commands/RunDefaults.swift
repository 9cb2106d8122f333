// RunDefaults: what the commands that begin a run share.

import Platform
import Runs
package import Settings

extension Command {
  /// Settings that can change a run's result.
  package static let resultSettings = SettingTable.all.filter { $0.effect == .result }.map(\.name)

  @Sendable package static func runDefaults(isBuiltIn: Bool) -> RunSettings {
    isBuiltIn ? BuiltIn.defaults : RunSettings()
  }

  /// The problem of a model that is given without questions.
  package static func needsData(_ settings: RunSettings) -> [String] {
    settings.model != "builtin" && settings.data.isEmpty
      ? ["--model is given without --data FILE: which questions should it be trained on?"] : []
  }
}

extension OperationSettings {
  /// Makes paths absolute, so that they mean the same to a process in another directory.
  package mutating func makePathsAbsolute() {
    run = ThisProcess.absolute(run)
    key = ClusterAccess.absolute(key)
    if !hosts.isEmpty { hosts = ThisProcess.absolute(hosts) }
  }
}
