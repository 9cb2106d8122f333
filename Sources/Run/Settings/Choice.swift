// Choice: a setting, what somebody else has it at, and where that is written. Recipes and presets are lists of these.

import Records

package struct Choice: Sendable, Equatable {
  /// A name of SettingTable.
  package let setting: String
  /// As it would be given to the flag.
  package let value: String
  /// Who has it so.
  package let source: String

  package init(_ setting: String, _ value: String, _ source: String) {
    self.setting = setting
    self.value = value
    self.source = source
  }
}

extension Settings {
  /// Makes others' choices the defaults.
  ///
  /// - Precondition: each names a setting and has a value that it takes; a test goes through all of them.
  package mutating func adopt(_ choices: [Choice]) {
    for choice in choices {
      guard let setting = SettingTable.named(choice.setting) else {
        preconditionFailure("there is no setting \(choice.setting)")
      }
      let problem = setting.set(&self, choice.value)
      precondition(problem == nil, "\(choice.setting) \(problem ?? "")")
    }
  }

  /// These settings as defaults under the recipe and the preset that are given, if any.
  ///
  /// - Parameters:
  ///   - given: what flags and file say, the later the stronger. What is wrong with it is passed over here.
  ///   - family: the model's, unless it is given too.
  package func defaults(under given: [(name: String, value: String)], family: ModelFamily) -> Settings {
    var settings = self
    settings.family = family
    func take(_ names: [String]) {
      for (name, value) in given where names.contains(name) { _ = SettingTable.named(name)?.set(&settings, value) }
    }
    take(["recipe", "preset", "family"])
    settings.adopt(settings.preset.choices(for: settings.family))
    // The recipe's warm-up is a share of all steps.
    let presetSteps = settings.method.steps
    take(["steps"])
    settings.adopt(settings.recipe.choices(steps: settings.method.steps))
    settings.method.steps = presetSteps
    return settings
  }
}
