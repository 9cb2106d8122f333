// RunDefaults: what the commands that begin a run share.

import Runs
package import Settings

extension Command {
  /// Settings that may shape a run's result.
  package static let runSettings = SettingTable.all.filter { $0.effect == .result }.map(\.name)

  @Sendable package static func runDefaults(isBuiltIn: Bool) -> Settings {
    isBuiltIn ? BuiltIn.defaults : Settings()
  }

  /// What is wrong if a model is given without questions.
  package static func needsData(_ settings: Settings) -> [String] {
    settings.model != "builtin" && settings.data.isEmpty
      ? ["--model is given without --data FILE: which questions should it get better at?"] : []
  }
}
