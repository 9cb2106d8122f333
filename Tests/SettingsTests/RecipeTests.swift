// Recipes and presets: defaults by name, which flags override, compared with the paper's.

import Base
import Records
import Settings
import Testing

/// Settings as `train` resolves them: the defaults under recipe and preset, then what is given.
private func resolved(
  _ given: [(name: String, value: String)], family: ModelFamily = .qwen25Math
) throws(SettingsError) -> RunSettings {
  let defaults = RunSettings().defaults(under: given, family: family)
  var parser = SettingsParser(allowed: SettingTable.all.map(\.name), defaults: defaults)
  parser.apply(given, from: "test")
  return try parser.finish()
}

@Suite struct RecipeTests {
  @Test func `every choice of every recipe and preset names a setting and a value that it takes`() {
    for family in ModelFamily.allCases {
      for choices in Preset.allCases.map({ $0.choices(for: family) }) + Recipe.allCases.map({ $0.choices(steps: 240) })
      {
        for choice in choices {
          var parser = SettingsParser(allowed: [choice.setting], defaults: RunSettings())
          parser.apply([(choice.setting, choice.value)], from: "test")
          #expect(parser.call.given == [choice.setting], "\(choice)")
        }
        #expect(Set(choices.map(\.setting)).count == choices.count, "a setting stands twice")
      }
    }
  }

  @Test func `the recipe ttrl is the defaults`() throws {
    #expect(try resolved([("recipe", "ttrl")], family: .other) == RunSettings())
  }

  @Test func `the reference's recipe has its semantics`() throws {
    let method = try resolved([("recipe", "ttrl-reference")]).method
    #expect(method.answers == .reference && method.selection == .first && method.lastBatch == .drop)
    #expect(
      method.denominator == .microBatch && method.denominatorSequences == 2 && method.zeroAdvantageGroups == .train)
    #expect(method.rateSchedule == .cosineFromZero && method.warmupSteps == 7 && method.dualClip == 3)
    #expect(method.beta1 == 0.9 && method.beta2 == 0.999 && method.weightDecay == 0.01)
    #expect(method.klCoefficient == 0.001 && method.klEstimator == .k3 && method.klPlace == .loss)
  }

  @Test func `the reference's warm-up is 3 % of the steps, whether a preset or a flag sets them`() throws {
    let preset = try resolved([("recipe", "ttrl-reference"), ("preset", "amc")])
    #expect(preset.method.steps == 300 && preset.method.warmupSteps == 9)
    let flags = try resolved([("recipe", "ttrl-reference"), ("preset", "amc"), ("steps", "20")])
    #expect(flags.method.steps == 20 && flags.method.warmupSteps == 0)
  }

  /// Table 1.6 of the specification.
  @Test(arguments: [
    (Preset.aime2024, 8, UInt32(240)), (.amc, 8, 300), (.math500, 32, 150),
  ])
  func `presets are the paper's numbers`(_ preset: Preset, _ prompts: Int, _ steps: UInt32) throws {
    for (family, temperature, tokens) in [
      (ModelFamily.qwen25Math, Float(1), Int32(3072)), (.other, 0.6, 3072), (.reasoning, 1, 32768),
    ] {
      let settings = try resolved([("preset", preset.rawValue)], family: family)
      #expect(settings.method.promptsPerStep == prompts && settings.method.steps == steps)
      #expect(settings.method.votes == 64 && settings.method.trainSamples == 32 && settings.method.miniBatch == 32)
      #expect(settings.temperature == temperature && settings.maxNewTokens == tokens)
      #expect(settings.method.learningRate == 5e-7)
      #expect(settings.suffix.contains("\\boxed{}") == (family == .other))
    }
  }

  @Test func `an estimator sets what its method consists of, also over a recipe, and says so`() throws {
    let settings = try resolved([("recipe", "ttrl-reference"), ("estimator", "ddrl")])
    #expect(settings.method.selection == .balanced && settings.method.advantage == .fixed)
    #expect(MethodNotes(settings).sets.map(\.setting) == ["selection", "advantage"])
    #expect(MethodNotes(settings).ignores == ["early-stop", "vote-entropy-low", "vote-entropy-high"])
    #expect(MethodNotes(RunSettings()).text.hasPrefix("estimator vote sets nothing; it ignores vote-entropy-low"))
    for estimator in RewardEstimator.allCases { _ = try resolved([("estimator", estimator.rawValue)]) }
  }

  @Test func `flags win over recipe and preset, and a family that is given over the model's`() throws {
    let settings = try resolved([
      ("recipe", "ttrl-reference"), ("preset", "math500"), ("family", "reasoning"), ("votes", "8"),
      ("train-samples", "4"), ("selection", "random"),
    ])
    #expect(settings.method.votes == 8 && settings.method.selection == .random && settings.maxNewTokens == 32768)
  }

  @Test func `an objective has defaults of its own, over those of a recipe, and flags win over them`() throws {
    let settings = try resolved([("recipe", "ttrl-reference"), ("objective", "gspo"), ("clip-high", "0.5")])
    let method = settings.method
    #expect(method.clipLow == 0.0003 && method.clipHigh == 0.5 && method.denominator == .sequenceMean)
    // Another objective takes them back.
    var next = settings
    next.adoptObjective(under: [("objective", "clip")])
    #expect(next.method.clipLow == Method().clipLow && next.method.denominator == Method().denominator)
    // Given again, it changes nothing.
    var same = settings
    same.adoptObjective(under: [("objective", "gspo")])
    #expect(same == settings)
  }

  @Test func `the critic of an adapter learns ten times faster, like the adapter`() throws {
    for (objective, rate) in [("ppo", \Method.criticLearningRate), ("prime", \Method.primeLearningRate)] {
      let all = try resolved([("objective", objective)]).method[keyPath: rate]
      let adapter = try resolved([("objective", objective), ("adapter", "lora")]).method[keyPath: rate]
      #expect(abs(adapter / all - 10) < 1e-9, "\(objective)")
    }
  }

  @Test func `given responses are learned at temperature 1, at the rate of supervised training`() throws {
    let sft = try resolved([("objective", "sft"), ("preset", "amc"), ("recipe", "ttrl")])
    #expect(sft.temperature == 1 && sft.method.learningRate == 2e-5 && sft.method.trainSamples == 1)
    #expect(sft.guardMode == .off && sft.responsesPerPrompt == 1)
    let adapter = try resolved([("objective", "sft"), ("adapter", "lora")])
    #expect(abs(adapter.method.learningRate - 2e-4) < 1e-18)
    // What an example sets about its sampling would have no effect.
    var like = RunSettings()
    (like.temperature, like.method.votes, like.method.earlyStop, like.rewardCommand) = (0.6, 16, .on, "judge")
    like.adoptObjective(under: [("objective", "sft")])
    #expect(like.temperature == 1 && like.method.votes == 64 && like.problems(taking: []).isEmpty)
    // Advantage-weighted regression has the distribution that was recorded.
    like.temperature = 0.6
    like.adoptObjective(under: [("objective", "awr")])
    #expect(like.temperature == 0.6 && like.method.trainSamples == 32)
    like.responses = "old"
    like.adoptObjective(under: [("objective", "clip")])
    #expect(like.responses.isEmpty && like.guardMode == .warn)
  }

  @Test func `every choice of every objective names a setting and a value that it takes, and so does what it ignores`()
  {
    for objective in PolicyObjective.allCases {
      for choice in objective.choices {
        var parser = SettingsParser(allowed: [choice.setting], defaults: RunSettings())
        parser.apply([(choice.setting, choice.value)], from: "test")
        #expect(parser.call.given == [choice.setting], "\(choice)")
      }
      #expect(objective.ignored.allSatisfy { SettingTable.named($0) != nil })
    }
  }

  @Test func `a recipe that is not there is a problem among the others`() {
    do throws(SettingsError) { _ = try resolved([("recipe", "best"), ("votes", "x")]) } catch {
      #expect(error.problems.count == 2 && error.problems[0].contains("ttrl or ttrl-reference"))
    }
  }

  @Test(arguments: [
    ("/models/Qwen2.5-Math-7B", "", ModelFamily.qwen25Math), ("/cache/DeepSeek-R1-Distill-Qwen-1.5B", "", .reasoning),
    ("/models/x", "… and put your final answer within \\boxed{}.", .qwen25Math), ("/models/QwQ-32B", "", .reasoning),
    ("/models/Llama-3.1-8B-Instruct", "", .other), ("/models/Qwen2.5-7B", "{{ messages }}", .other),
  ])
  func `a model's family shows in its name and template`(_ path: String, _ template: String, _ family: ModelFamily) {
    #expect(ModelFamily.guess(path: path, chatTemplate: template.isEmpty ? nil : template) == family)
  }
}

@Suite struct ComparisonTests {
  @Test func `what differs from the paper is marked, in one spelling`() throws {
    let settings = try resolved([("preset", "aime2024"), ("votes", "8"), ("train-samples", "4"), ("lr", "0.0000005")])
    let rows = Comparison(settings).rows
    #expect(Set(rows.map(\.setting)).count == rows.count)
    #expect(rows.contains { $0.setting == "votes" && $0.ours == "8" && $0.theirs.value == "64" && $0.differs })
    #expect(rows.contains { $0.setting == "lr" && !$0.differs })
    #expect(rows.contains { $0.setting == "answer-rule" && $0.differs })
    let text = Comparison(settings).text
    #expect(text.split(separator: "\n").contains { $0.hasPrefix("  *  votes ") && $0.contains("paper v3") })
    #expect(text.hasPrefix("recipe ttrl, preset aime2024 for qwen2.5-math; "))
  }

  @Test func `under the reference's recipe and a preset nothing differs`() throws {
    let settings = try resolved([("preset", "amc"), ("recipe", "ttrl-reference")])
    #expect(Comparison(settings).rows.allSatisfy { !$0.differs })
  }
}
