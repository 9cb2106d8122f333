// Settings are read from flags and files, checked all at once, and read again from what was saved.

import Base
import Records
import Settings
import Testing

/// Flags as a command that takes every setting of a run reads them.
private func parse(
  _ arguments: [String], file: [(name: String, value: String)] = []
) -> Result<RunSettings, SettingsError> {
  var parser = SettingsParser(allowed: SettingTable.all.map(\.name), defaults: RunSettings())
  let flags = parser.pairs(of: arguments)
  parser.apply(file, from: "run.json5")
  parser.apply(flags, from: "command line")
  return Result { () throws(SettingsError) in try parser.finish() }
}

private func problems(_ arguments: [String], file: [(name: String, value: String)] = []) -> [String] {
  if case .failure(let error) = parse(arguments, file: file) { error.problems } else { [] }
}

@Suite struct SettingsTests {
  @Test func `a value follows its flag, or an equals sign`() throws {
    let settings = try parse(["--steps", "7", "--lr=1e-4", "--labels", "truth", "--suffix=--no flag"]).get()
    #expect(settings.method.steps == 7 && settings.method.learningRate == 1e-4 && settings.method.labels == .truth)
    #expect(settings.suffix == "--no flag")
  }

  @Test func `a switch takes no value from the command line, and true or false from a file`() throws {
    #expect(try parse(["--ignore-eos", "--steps", "3"]).get().ignoreEOS)
    #expect(try !parse([], file: [("ignore-eos", "false")]).get().ignoreEOS)
    #expect(problems([], file: [("ignore-eos", "yes")]) == ["run.json5: ignore-eos is \"yes\", expected true or false"])
  }

  @Test func `flags win over the file, the file over the defaults`() throws {
    let settings = try parse(["--steps", "7"], file: [("steps", "5"), ("votes", "40")]).get()
    #expect(settings.method.steps == 7 && settings.method.votes == 40 && settings.method.trainSamples == 32)
  }

  @Test func `what was given is known, in the order it was given`() {
    var parser = SettingsParser(allowed: ["steps", "votes"], defaults: RunSettings())
    let flags = parser.pairs(of: ["--votes", "40", "--steps", "2"])
    parser.apply([("steps", "1")], from: "file")
    parser.apply(flags, from: "command line")
    #expect(parser.call.given == ["steps", "votes"])
  }

  @Test func `every problem is reported, each with its place`() {
    let found = problems(
      ["--stpes", "3", "--lr", "fast", "stray", "--votes"], file: [("labels", "gold"), ("seed", "-1")])
    #expect(
      found == [
        "\"stray\" is not a flag; flags begin with --",
        "--votes needs a value: N",
        "run.json5: labels is \"gold\", expected vote or truth or random",
        "run.json5: seed is \"-1\", expected an integer from 0 to 18446744073709551615",
        "command line: there is no setting \"stpes\"; did you mean \"steps\"?",
        "command line: lr is \"fast\", expected a number from 0.0 to 1.0",
      ])
  }

  @Test(arguments: [
    ("--top_p", "did you mean \"top-p\"?"), ("--Train_Samples", "did you mean \"train-samples\"?"),
    ("--nucleus", "did you mean \"top-p\" or \"eval-top-p\"?"), ("--frobnicate", "see --help"), ("--1", "see --help"),
  ])
  func `an unknown name is answered with suggestions`(_ flag: String, _ hint: String) {
    #expect(problems([flag, "1"]).first?.hasSuffix("; \(hint)") == true, "\(problems([flag, "1"]))")
  }

  @Test(arguments: [
    ("--gpu", "CPUs"), ("--device", "--threads N"), ("--n-gpus", "CPUs"), ("--batch-size", "--mini-batch"),
    ("--per_device_train_batch_size", "--prompts-per-step"), ("--output-dir", "--run DIR"), ("--output", "--run DIR"),
    ("--learning-rate", "--lr X"), ("--epochs", "--steps N"), ("--max-length", "--max-new-tokens N"),
    ("--num-generations", "--votes N"), ("--model_name_or_path", "--model DIR"), ("--dataset", "--data FILE"),
    ("--fp16", "--dtype"), ("--resume-from-checkpoint", "--run DIR"), ("--lora-rank", "--adapter-rank N"),
  ])
  func `a flag of another tool is answered with what it is called here`(_ flag: String, _ words: String) {
    let found = problems([flag, "1"])
    #expect(found.count == 1 && found[0].hasPrefix("command line: there is no setting"), "\(found)")
    #expect(found.first?.contains(words) == true, "\(found)")
  }

  @Test func `flags of other tools are none of ours, and their answers name only ours`() {
    let names = SettingTable.all.map(\.name)
    #expect(Set(ForeignNames.all).count == ForeignNames.all.count)
    for name in ForeignNames.all {
      #expect(!names.contains(name) && ForeignNames.spelled(name) == name, "\(name)")
      let answer = ForeignNames.answer(to: name) ?? ""
      #expect(!answer.isEmpty && ForeignNames.answer(to: name.replacing("-", with: "_")) == answer)
      for word in answer.split(whereSeparator: { " ,:;".contains($0) }) where word.hasPrefix("--") {
        #expect(names.contains(String(word.dropFirst(2))), "\(answer)")
      }
    }
  }

  @Test func `an empty suffix is not one that was not given`() throws {
    #expect(try parse(["--suffix", "", "--system="]).get().suffix == RunSettings.noText)
    #expect(try parse(["--system="]).get().system == RunSettings.noText && parse([]).get().suffix == "")
  }

  @Test func `a flag does not swallow the next one`() {
    #expect(problems(["--votes", "--steps", "3"]) == ["--votes needs a value: N"])
  }

  @Test func `contradictions are reported with the other problems`() {
    let found = problems(["--votes", "1", "--temperature", "0", "--lr", "x"])
    #expect(found.count == 3 && found[0].contains("lr"))
    #expect(found.contains { $0.contains("train-samples (32) is above votes (1)") })
    #expect(found.contains { $0.contains("at least 2") })
    #expect(problems(["--votes", "8", "--train-samples", "8", "--temperature", "0"]).count == 1)
  }

  @Test(arguments: [
    (["--estimator", "soft-vote", "--labels", "truth"], ["needs no label"]),
    (["--estimator", "entropy", "--early-stop", "on"], ["early-stop stops when a majority is certain"]),
    (
      ["--estimator", "soft-vote", "--min-share", "0.2", "--ties", "abstain"], ["ties abstain only", "min-share only"]
    ),
    (["--labels", "random", "--early-stop", "on"], ["labels is random and estimator is vote"]),
    (["--labels", "truth", "--early-stop", "on"], ["labels is truth and estimator is vote"]),
    (["--early-stop", "on", "--train-samples", "64"], ["nothing to save"]),
    (["--vote-entropy-low", "0.3"], ["belong to estimator soft-vote"]),
    (["--estimator", "soft-vote", "--vote-entropy-low", "2", "--vote-entropy-high", "1"], ["no group would train"]),
  ])
  func `a setting of the vote that has no effect is refused`(_ given: [String], _ said: [String]) {
    let found = problems(given)
    #expect(found.count == said.count, "\(found)")
    for (problem, part) in zip(found, said) { #expect(problem.contains(part), "\(problem)") }
  }

  @Test(arguments: [
    (["--estimator", "ettrl", "--labels", "random"], ["takes its label from the vote"]),
    (["--estimator", "scrl", "--ties", "abstain"], ["ties abstain only matters to a label that is voted on"]),
    (["--estimator", "ettrl", "--early-stop", "on"], ["needs all samples"]),
    (["--estimator", "ddrl"], ["is the vote with selection balanced and advantage fixed; leave out selection random"]),
    (["--estimator", "restrain", "--advantage", "reinforce++"], ["each has other labels"]),
    (["--estimator", "evol", "--advantage", "maxrl"], ["can be negative"]),
    (["--estimator", "dare", "--advantage", "fixed"], ["needs rewards of 0 and 1"]),
    (["--advantage", "fixed", "--kl-coefficient", "0.1", "--kl-in", "reward"], ["use kl-in loss"]),
    (["--estimator", "self-certainty", "--top-k", "9"], ["leaves tokens out"]),
    (["--selection", "balanced", "--early-stop", "on"], ["turn early-stop off"]),
    (["--prompt-weights", "flips", "--labels", "truth"], ["prompt-weights flips counts changes of voted labels"]),
    (["--prompt-weights", "flips", "--early-stop", "bayes"], ["prompt-weights flips needs the share"]),
    (["--early-stop", "on", "--early-stop-error", "0.1"], ["early-stop-error belongs to early-stop bayes"]),
    (
      [
        "--estimator", "dare", "--advantage", "fixed", "--min-share", "0.5", "--selection", "balanced", "--early-stop",
        "on",
      ],
      ["min-share only", "early-stop stops", "turn early-stop off", "needs rewards of 0 and 1"]
    ),
  ])
  func `a choice of the method that contradicts another is refused, all at once`(_ given: [String], _ said: [String]) {
    let found = problems(given)
    #expect(found.count == said.count, "\(found)")
    for (problem, part) in zip(found, said) { #expect(problem.contains(part), "\(problem)") }
  }

  @Test(arguments: [
    ["--train-samples", "1"], ["--train-samples", "1", "--advantage", "rloo"],
    ["--train-samples", "1", "--advantage", "dr-grpo", "--labels", "truth"],
    ["--train-samples", "1", "--advantage", "reinforce++-baseline", "--estimator", "entropy"],
    ["--train-samples", "1", "--zero-advantage-groups", "train"],
    ["--train-samples", "1", "--prompts-per-step", "1", "--advantage", "reinforce++"],
    ["--min-share", "1"], ["--min-share", "0.99"], ["--votes", "4", "--train-samples", "4", "--min-share", "0.8"],
    ["--estimator", "soft-vote", "--votes", "32", "--vote-entropy-low", "3.5"],
  ])
  func `settings with which no update can ever happen are refused`(_ given: [String]) {
    let found = problems(given)
    #expect(found.count == 1 && found[0].contains("there would be no update"), "\(found)")
    #expect(problems(given + ["--steps", "0"]).isEmpty)
  }

  @Test(arguments: [
    ["--train-samples", "2"], ["--train-samples", "1", "--advantage", "reinforce++"],
    ["--train-samples", "1", "--zero-advantage-groups", "train", "--entropy-coefficient", "0.01"],
    ["--train-samples", "1", "--advantage", "fixed"], ["--min-share", "1", "--advantage", "fixed"],
    ["--min-share", "0.98"], ["--min-share", "1", "--advantage", "reinforce++"],
    ["--estimator", "soft-vote", "--votes", "32", "--vote-entropy-low", "3.4"],
  ])
  func `settings that are close to them are taken`(_ given: [String]) { #expect(problems(given) == []) }

  @Test func `settings of the vote that go together are taken`() {
    #expect(problems(["--early-stop", "on", "--ties", "abstain", "--min-share", "0.3"]) == [])
    #expect(problems(["--estimator", "soft-vote", "--vote-entropy-low", "0.2", "--vote-entropy-high", "1"]) == [])
  }

  @Test func `a reward command contradicts what also decides votes and rewards, all at once`() {
    #expect(problems(["--reward-command", "python3 judge.py"]).isEmpty)
    let found = problems(["--reward-command", "[\"a\", 2]", "--early-stop", "on", "--labels", "random"])
    for part in ["expected a program and its arguments", "so all are needed", "gives rewards of its own"] {
      #expect(found.contains { $0.contains(part) }, "\(found)")
    }
    #expect(problems(["--reward-command", "a", "--steps", "0"]).contains { $0.contains("steps is 0") })
    var settings = RunSettings()
    #expect(settings.rewardWords == [] && settings.rewardsWithoutCommand == [])
    settings.operation.rewardProcesses = 2
    #expect(settings.rewardsWithoutCommand.count == 1)
    settings.rewardCommand = " a  b c "
    #expect(settings.rewardWords == ["a", "b", "c"] && settings.rewardsWithoutCommand == [])
    settings.rewardCommand = RunSettings.rewardCommand(of: ["a b", "", "\"c"])
    #expect(settings.rewardWords == ["a b", "", "\"c"])
  }

  @Test func `a KL penalty and a truncated distribution contradict each other`() {
    #expect(problems(["--kl-coefficient", "0.001", "--top-p", "0.9"]).count == 1)
    #expect(problems(["--kl-coefficient", "0.001", "--top-k", "20"]).count == 1)
    #expect(problems(["--kl-coefficient", "0.001"]).isEmpty && problems(["--top-p", "0.9"]).isEmpty)
  }

  @Test func `a caller's own findings join the others`() {
    var parser = SettingsParser(allowed: ["steps"], defaults: RunSettings())
    parser.note(["the weather is bad"])
    parser.apply([("steps", "-1")], from: "command line")
    #expect(throws: SettingsError.self) { try parser.finish() }
    do throws(SettingsError) { _ = try parser.finish() } catch { #expect(error.problems.count == 2) }
  }

  @Test func `a setting of another command is refused as such`() {
    var parser = SettingsParser(allowed: ["steps"], defaults: RunSettings())
    parser.apply([("votes", "3")], from: "command line")
    do throws(SettingsError) { _ = try parser.finish() } catch {
      #expect(error.problems == ["command line: this command does not take \"votes\""])
    }
  }

  @Test func `a setting that is given twice in one place is a problem`() {
    #expect(problems(["--seed", "1", "--seed", "1"]) == ["command line: \"seed\" is given twice"])
  }

  @Test(arguments: [
    ("stpes", "steps"), ("wokers", "workers"), ("trainSamples", "train-samples"), ("micro-batch", "micro-batch-tokens"),
    ("learnres", "learners"),
  ])
  func `a misspelled name finds the one that was meant`(_ typed: String, _ meant: String) {
    #expect(nearest(to: typed, in: SettingTable.all.map(\.name)) == meant)
  }

  @Test(arguments: ["bogus", "gpu", "x", "tensor-parallel"]) func `a strange name finds none`(_ typed: String) {
    #expect(nearest(to: typed, in: SettingTable.all.map(\.name)) == nil)
  }

  @Test(arguments: ["suffix", "system", "template", "stop", "model", "steps"])
  func `a value above the limit is refused, and not repeated in the message`(name: String) {
    let text = String(repeating: "{question}", count: Limits.settingBytes / 10 + 1)
    let expected = "command line: \(name) has \(text.utf8.count) bytes, expected at most \(Limits.settingBytes)"
    #expect(problems(["--\(name)", text]) == [expected])
  }

  @Test func `a value that is not valid is repeated only as far as it can be read`() {
    let found = problems(["--steps", String(repeating: "7", count: 5000)]).first ?? ""
    #expect(found.contains("7… (5000 bytes)\", expected an integer") && found.count < 300)
  }

  @Test func `more settings than there can be are refused before each is looked at`() {
    let pairs = (0..<400_000).map { (name: "key\($0)", value: "") }
    let found = problems([], file: pairs)
    #expect(found.count == 1 && found[0].hasPrefix("run.json5: it has 400000 settings, expected at most 1000"))
    let many = SettingsError(problems: problems([], file: Array(pairs.prefix(1000))))
    #expect(many.problems.count == 1000 && many.description.hasSuffix("  - and 950 more"))
  }

  @Test func `names are unique, words of lower case and hyphens, and explained`() {
    let names = SettingTable.all.map(\.name)
    #expect(Set(names).count == names.count)
    for setting in SettingTable.all {
      #expect(setting.name.allSatisfy { $0.isLowercase || $0.isNumber || $0 == "-" })
      #expect(!setting.help.isEmpty)
    }
  }

  /// Every group of settings.
  private static let groups: [any SettingGroup] = [
    RunSettings(), OperationSettings(), CallSettings(), EvaluationSettings(), GenerationSettings(), PromptSettings(),
    TokenizeSettings(), ImportSettings(), MergeSettings(), CacheSettings(), LookSettings(), ChaosSettings(),
    PretrainingSettings(), BenchmarkSettings(), BroadcastSettings(), LoadSettings(), GrowthSettings(), KeySettings(),
    ExportSettings(),
  ]

  /// Sets each of a group's settings to another value and reads it again from its own text.
  ///
  /// - Returns: the names of the group's settings.
  private func checkRoundTrips<Group: SettingGroup>(_ defaults: Group) throws -> [String] {
    let own = SettingTable.all.filter { $0.place(in: Group.self) != nil }
    for setting in own {
      let text = try #require(otherValues[setting.name], "no other value for \(setting.name)")
      let place = try #require(setting.place(in: Group.self))
      var settings = defaults
      #expect(place.set(&settings, text) == nil)
      #expect(settings != defaults, "\(setting.name) of \(Group.self) did not change")
      #expect(setting.value(in: settings) == text, "\(setting.name) of \(Group.self)")
      for other in own where other.name != setting.name {
        #expect(other.value(in: settings) == other.value(in: defaults), "\(setting.name) changed \(other.name)")
      }
      var again = defaults
      #expect(place.set(&again, setting.value(in: settings)) == nil)
      #expect(again == settings, "\(setting.name) of \(Group.self)")
    }
    return own.map(\.name)
  }

  @Test func `in every group, every setting comes back from its own text and changes no other`() throws {
    var names: Set<String> = []
    for group in Self.groups { names.formUnion(try checkRoundTrips(group)) }
    #expect(names == Set(SettingTable.all.map(\.name)), "every setting is in a group")
  }

  @Test func `a benchmark does not have the settings of training`() {
    let training = ["lr", "votes", "labels", "temperature", "steps", "mini-batch"].compactMap(SettingTable.named)
    for setting in training {
      #expect(setting.place(in: BenchmarkSettings.self) == nil && setting.place(in: LoadSettings.self) == nil)
      #expect(setting.effect == .result && setting.place(in: ChaosSettings.self) != nil)
    }
  }

  @Test func `samples and counts of an evaluation contradict each other`() {
    var settings = EvaluationSettings()
    (settings.samples, settings.counts) = (4, [2, 8])
    #expect(
      settings.problems(taking: ["counts"]) == ["counts has 8, which is above samples (4); lower it or sample more"])
    settings.samples = 8
    #expect(settings.problems(taking: ["counts"]) == [])
    settings.sampling.operation.run = "run"
    #expect(settings.problems(taking: ["run"]).first?.contains("give --workers N with it") == true)
  }

  @Test func `numbers come back from their text to the last bit`() throws {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<1000 {
      let rate = Double.random(in: 0...1, using: &random)
      #expect(try parse(["--lr", "\(rate)"]).get().method.learningRate == rate)
      let clip = Float.random(in: 0...1, using: &random)
      #expect(try parse(["--clip-low", "\(clip)"]).get().method.clipLow == clip)
    }
  }
}
