// A run's settings as people read them: in the order of their table, each with whether it is a default.

package import Observatory
import Runs
package import Settings

extension RunSettings {
  /// The settings of a run. A default is what `ttrl train` takes for this model, the built-in one or another, if the
  /// setting is not given.
  package var shown: [ShownSetting] {
    // The built-in model's path is where it was unpacked.
    let isBuiltIn = model == "builtin" || model.contains("/ttrl/base-")
    let defaults = isBuiltIn ? BuiltIn.defaults : RunSettings()
    return SettingTable.all.filter { $0.effect != .command }.map { setting in
      let value = setting.value(in: self)
      let isDefault =
        setting.name == "run" || isBuiltIn && setting.name == "model" || value == setting.value(in: defaults)
      return ShownSetting(name: setting.name, value: value, isDefault: isDefault)
    }
  }
}
