// A run's settings as people read them: in the order of their table, each with whether it is a default.

package import Observatory
import Runs
package import Settings

extension RunSettings {
  /// Whether the model is the built-in one. Its path is where it was unpacked.
  private var hasBuiltInModel: Bool { model == "builtin" || model.contains("/ttrl/base-") }

  /// The model's name for people: the last part of its path, or `builtin`.
  package var shownModel: String {
    hasBuiltInModel ? "builtin" : model.split(separator: "/").last.map(String.init) ?? model
  }

  /// The settings of a run. A default is what `ttrl train` takes for this model, the built-in one or another, if the
  /// setting is not given.
  package var shown: [ShownSetting] {
    let isBuiltIn = hasBuiltInModel
    let defaults = isBuiltIn ? BuiltIn.defaults : RunSettings()
    return SettingTable.all.filter { $0.effect != .command }.map { setting in
      let value = setting.value(in: self)
      let isDefault =
        setting.name == "run" || isBuiltIn && setting.name == "model" || value == setting.value(in: defaults)
      return ShownSetting(name: setting.name, value: value, isDefault: isDefault)
    }
  }
}
