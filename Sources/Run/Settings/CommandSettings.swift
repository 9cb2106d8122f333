// CommandSettings: what commands read that is not part of a run, one group per command or family of commands.
//
// A flag that several groups have means the same everywhere and has its own default in each:
//
//   samples             samples per prompt. `generate` prints one; a benchmark's 0 is what its model's shape suggests
//   prompts             how many prompts a benchmark makes up
//   max-new-tokens      tokens of a response: the most for a model that can stop, the exact number in a benchmark
//   workers, learners   how many to start on this machine
//   listen, coordinator where the coordinator is, seen from itself and from the others. Empty for benchmarks that are
//                       one process
//   seed                what every random choice follows from. Only `chaos` has two: the run's, and `chaos-seed`
//   run                 a directory that the command reads or writes

package import Base
import Records

/// How a command was called. It is the same for every command.
package struct CallSettings: SettingGroup {
  /// Names of the settings that flags or the file gave; the others have their defaults.
  package var given: [String] = []
  /// A path.
  package var config = ""
  /// A run's directory.
  package var like = ""
  /// A path.
  package var stages = ""
  /// What the file of stages says, or the course that continues; nil for a single run.
  package var course: Course?
  package var isJSON = false
  package var isDryRun = false
  package var isHelp = false

  package init() {}
}

/// `eval` samples as a run's evaluation does; with workers it is a run without steps. Its temperature and top-p are
/// those of a run's evaluation.
package struct EvaluationSettings: SettingGroup {
  package var sampling = RunSettings()
  package var samples: UInt32 = 64
  /// The k of pass@k, pass^k and maj@k; empty for the usual ones.
  package var counts: [Int] = []

  package static var runPath: Path<Self, RunSettings>? { \Self.sampling }

  package init() {
    sampling.temperature = sampling.evaluationTemperature
    sampling.topP = sampling.evaluationTopP
    sampling.operation.workers = 0
  }

  /// Samples as the run's evaluations do. Which model is evaluated has to be said.
  package mutating func adopt(run: RunSettings) {
    let (model, adapter, operation) = (sampling.model, sampling.adapter, sampling.operation)
    sampling = run
    (sampling.model, sampling.adapter, sampling.operation) = (model, adapter, operation)
    samples = run.evaluationSamples
    sampling.temperature = run.evaluationTemperature
    (sampling.topP, sampling.topK) = (run.evaluationTopP, run.evaluationTopK)
  }

  package func problems(taking names: [String]) -> [String] {
    var found = sampling.problems(taking: names)
    if let k = counts.last, k > samples {
      found.append("counts has \(k), which is above samples (\(samples)); lower it or sample more")
    }
    if sampling.operation.workers == 0, !sampling.operation.run.isEmpty {
      found.append(
        "--run is where workers evaluate; give --workers N with it, or leave it out to evaluate in this process")
    }
    return found
  }
}

/// `grow` samples as `eval` does, with SeRL's temperature and top-p.
package struct GrowthSettings: SettingGroup {
  package var sampled = EvaluationSettings()
  package var samples: UInt32 = 4
  /// The file that is made.
  package var out = ""
  package var writing = QuestionWritingSettings()

  package static var runPath: Path<Self, RunSettings>? { \Self.sampled.sampling }

  package init() {
    sampled.sampling.temperature = 0.8
    sampled.sampling.topP = 0.95
    sampled.sampling.maxNewTokens = 256
  }

  /// What is asked is not a question of the run, so only the model's prompts are the run's. Which model is asked, and
  /// about which set, has to be said.
  package mutating func adopt(run: RunSettings) {
    (sampled.sampling.template, sampled.sampling.system) = (run.template, run.system)
    sampled.sampling.templateArguments = run.templateArguments
    (sampled.sampling.dtype, sampled.sampling.products) = (run.dtype, run.products)
  }

  package func problems(taking names: [String]) -> [String] {
    var found = sampled.problems(taking: names)
    if writing.mostWords < writing.fewestWords {
      found.append("words-most (\(writing.mostWords)) is below words-least (\(writing.fewestWords))")
    }
    return found
  }
}

/// Which new questions a model is asked for, and which are kept.
package struct QuestionWritingSettings: Sendable, Equatable {
  package var count = 64
  package var examples = 8
  package var fewestWords = 4
  package var mostWords = 150
  package var likeness = 0.7
  /// Words and phrases, separated by commas; empty for the usual ones.
  package var banned = ""
}

/// `generate` samples as a run's training does.
package struct GenerationSettings: SettingGroup {
  package var sampling = RunSettings()
  package var samples: UInt32 = 1
  /// A question; empty reads questions from standard input.
  package var prompt = ""

  package static var runPath: Path<Self, RunSettings>? { \Self.sampling }

  package init() {}

  /// Which model is sampled has to be said.
  package mutating func adopt(run: RunSettings) {
    let (model, adapter, operation) = (sampling.model, sampling.adapter, sampling.operation)
    sampling = run
    (sampling.model, sampling.adapter, sampling.operation) = (model, adapter, operation)
  }

  package func problems(taking names: [String]) -> [String] { sampling.problems(taking: names) }
}

/// `prompt` renders questions as a run does.
package struct PromptSettings: SettingGroup {
  package var rendering = RunSettings()
  package var isShowingIDs = false

  package static var runPath: Path<Self, RunSettings>? { \Self.rendering }

  package init() {}

  package func problems(taking names: [String]) -> [String] { rendering.problems(taking: names) }
}

/// `tokenize`.
package struct TokenizeSettings: SettingGroup {
  package var model = ""
  package var isDecoding = false

  package init() {}
}

/// `import`.
package struct ImportSettings: SettingGroup {
  /// A .gguf file.
  package var model = ""
  /// The directory that is made.
  package var out = ""
  package var weights = Weights.exact

  /// How the weights are stored.
  package enum Weights: String, Sendable, CaseIterable {
    /// The smallest type that has every value of the file.
    case exact
    case float32, bfloat16
  }

  package init() {}
}

/// `merge`.
package struct MergeSettings: SettingGroup {
  /// The base.
  package var model = ""
  /// The directory of an adapter.
  package var adapter = ""
  /// The directory that is made.
  package var out = ""
  package var weights = ImportSettings.Weights.exact

  package init() {}

  package func problems(taking names: [String]) -> [String] {
    switch adapter {
    case RunSettings.newAdapter: [RunSettings.newAdapterProblem]
    case RunSettings.noAdapter: ["adapter is none, so there is nothing to merge; give the directory of an adapter"]
    default: []
    }
  }
}

/// `key`.
package struct KeySettings: SettingGroup {
  package var key = ""
  package var action = Action.make

  package enum Action: String, Sendable, CaseIterable {
    /// A new file.
    case make
    /// A new key beside the one that the file has; both are accepted.
    case rotate
    /// Removes the older of two keys.
    case retire
    /// A new key in place of all.
    case revoke
  }

  package init() {}
}

/// `cache`.
package struct CacheSettings: SettingGroup {
  package var isCleaning = false

  package init() {}
}

/// `status`, `report`, `explain` and `diff`: commands that look at runs.
package struct LookSettings: SettingGroup {
  /// Directories of runs, one per line.
  package var run = ""
  package var isWatching = false
  /// Where `report` writes the page of several runs.
  package var out = "ttrl-report.html"
  /// A prompt's id, or its index as "#12".
  package var prompt = ""
  /// From 0, as in the ledger; nil is the prompt's last visit.
  package var step: Int?

  package init() {}
}

/// `export`: a run as an archive, or a check of an archive.
package struct ExportSettings: SettingGroup {
  package var run = ""
  /// The archive that is written.
  package var out = ""
  /// Under which terms others can use the archive.
  package var license = "unknown: state it"
  /// An archive to check; empty writes one.
  package var verified = ""

  /// The end of an archive's name.
  package static let suffix = ".jsonl.zst"

  package init() {}

  package func problems(taking names: [String]) -> [String] {
    guard verified.isEmpty else {
      return run.isEmpty && out.isEmpty ? [] : ["--verify checks an archive; give it without a run to export"]
    }
    guard !run.isEmpty, !out.isEmpty else {
      return ["expected a run's directory and the archive to write, or --verify and the archive to check"]
    }
    return out.hasSuffix(Self.suffix)
      ? [] : ["out is \"\(out)\", expected a name that ends in \(Self.suffix): programs find the format by it"]
  }
}

// MARK: - ttrl-dev

/// `chaos`: a run, and what is done to it.
package struct ChaosSettings: SettingGroup {
  package var disturbed = RunSettings()
  package var runs = 1
  package var kills = 12
  package var seed: UInt64 = 0

  package static var runPath: Path<Self, RunSettings>? { \Self.disturbed }

  package init() {}

  package func problems(taking names: [String]) -> [String] { disturbed.problems(taking: names) }
}

/// `pretrain`.
package struct PretrainingSettings: SettingGroup {
  package var run = ""
  /// The built-in model was made from this one.
  package var seed: UInt64 = 1
  package var threads = 0

  package init() {}
}

/// `bench gemm`, `rollout`, `learner`, `growth`, `ranks` and `allreduce`: the engine. An amount of 0 is what the
/// model's shape suggests.
package struct BenchmarkSettings: SettingGroup {
  /// A directory, or the name of a shape.
  package var model = "tiny"
  package var dtype = DataType.bfloat16
  package var products = Products.auto
  package var seed: UInt64 = 0
  package var threads = 0
  package var learners = 2
  package var prompts = 0
  package var promptTokens = 0
  package var samples: UInt32 = 0
  package var maxNewTokens: Int32 = 0
  package var microBatchTokens = 4096
  package var gradient = GradientForm.auto
  package var adapter = RunSettings.noAdapter
  package var runs = 3
  /// A path: ranks encrypt what they send to each other; `OperationSettings.plainTCP`: they do not.
  package var key = OperationSettings.plainTCP
  /// A path; empty writes no timeline.
  package var trace = ""

  package init() {}
}

/// `bench broadcast`: a version's way to the workers.
package struct BroadcastSettings: SettingGroup {
  package var model = "small"
  /// The version before `model`; empty makes one up.
  package var base = ""
  package var dtype = DataType.bfloat16
  package var workers = 4
  package var runs = 3
  /// Mbit/s that a link carries; 0 measures it.
  package var linkRate: Float = 0
  package var listen = ""
  package var coordinator = ""
  package var key = OperationSettings.plainTCP
  package var name = ""

  package init() {}
}

/// `bench coordinator`: many synthetic workers.
package struct LoadSettings: SettingGroup {
  package var run = ""
  package var workers = 1000
  package var prompts = 1000
  package var samples: UInt32 = 64
  package var maxNewTokens: Int32 = 48
  /// Tokens per second of one worker; 0 samples at once.
  package var workerTokens = 0
  package var seconds = 20
  package var listen = ""
  package var coordinator = ""
  package var key = ""
  package var name = ""

  package init() {}
}
