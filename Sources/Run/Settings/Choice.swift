// Choice: a setting, the value that the paper or the reference gives it, and where that is written. Recipes and presets
// are lists of choices.

import Records

package struct Choice: Sendable, Equatable {
  /// A name in SettingTable.
  package let setting: String
  /// As it would be given to the flag.
  package let value: String
  /// Where the value comes from.
  package let source: String

  package init(_ setting: String, _ value: String, _ source: String) {
    self.setting = setting
    self.value = value
    self.source = source
  }
}

extension RunSettings {
  /// Makes choices of others the defaults.
  ///
  /// - Precondition: each names a setting and has a value that the setting takes; a test checks all of them.
  package mutating func adopt(_ choices: [Choice]) {
    for choice in choices {
      guard let place = SettingTable.named(choice.setting)?.place(in: Self.self) else {
        preconditionFailure("a run has no setting \(choice.setting)")
      }
      let problem = place.set(&self, choice.value)
      precondition(problem == nil, "\(choice.setting) \(problem ?? "")")
    }
  }

  /// How much higher the default learning rate of an adapter is than that of all weights, whatever its rank.
  /// Source: Schulman et al., "LoRA Without Regret", Thinking Machines Lab, 2025.
  static let adapterRateFactor = 10.0

  /// These settings as defaults under the recipe, the preset and the adapter that are given, if any.
  ///
  /// - Parameters:
  ///   - given: from the file and the flags; a later pair overrides an earlier one. Wrong values are ignored here.
  ///   - family: the model's, unless it is given too.
  package func defaults(under given: [(name: String, value: String)], family: ModelFamily) -> RunSettings {
    var settings = self
    settings.family = family
    func take(_ names: [String]) {
      for (name, value) in given where names.contains(name) {
        _ = SettingTable.named(name)?.place(in: Self.self)?.set(&settings, value)
      }
    }
    take(["recipe", "preset", "family"])
    settings.adopt(settings.preset.choices(for: settings.family))
    // The recipe's warm-up is a share of all steps.
    let presetSteps = settings.method.steps
    take(["steps"])
    settings.adopt(settings.recipe.choices(steps: settings.method.steps))
    settings.method.steps = presetSteps
    settings.adoptEstimator(of: given)
    settings.adoptObjective(under: given)
    take(["adapter"])
    // The learning rate of a run that is taken as an example is its own.
    if settings.hasAdapter, !hasAdapter || settings.preset != .none {
      settings.method.learningRate *= Self.adapterRateFactor
      // With an adapter, a critic is one too.
      switch settings.method.objective {
      case .clip, .gspo, .nft, .sft, .awr: break
      case .ppo: settings.method.criticLearningRate *= Self.adapterRateFactor
      case .prime: settings.method.primeLearningRate *= Self.adapterRateFactor
      }
    }
    return settings
  }
}
