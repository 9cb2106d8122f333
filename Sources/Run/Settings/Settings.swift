// Settings: all settings of ttrl, in groups. A group is what one command, or one family of
// commands, reads; a command's function receives its group and can read nothing else.
//
//   RunSettings           what shapes a run's result: fixed when the run begins, kept in settings.json
//   OperationSettings     where and how wide a run works: can differ at every start, also kept in settings.json
//   the others            what a command needs besides (CommandSettings.swift)
//
// SettingTable.swift names, explains and bounds every setting, and says in which groups it is. A name can be in several
// groups: then it is one flag with one meaning, and each group has its own default. What reaches the arithmetic is
// passed on as a `Method` (Records).

package import Base
package import Records

/// Settings that one command, or one family of commands, reads. A new value has the defaults.
package protocol SettingGroup: Sendable, Equatable {
  init()
  /// The run's settings inside the group, for a command that begins a run or samples as a run does.
  static var runPath: Path<Self, RunSettings>? { get }
  /// Makes a run's settings the group's own, except where and how wide the run worked.
  mutating func adopt(run: RunSettings)
  /// What is wrong with values that are valid one by one.
  ///
  /// - Parameter names: the settings that the command takes.
  func problems(taking names: [String]) -> [String]
}

package typealias Path<Group, Value> = any WritableKeyPath<Group, Value> & Sendable

extension SettingGroup {
  package static var runPath: Path<Self, RunSettings>? { nil }
  package mutating func adopt(run: RunSettings) {
    guard let path = Self.runPath else { return }
    let operation = self[keyPath: path].operation
    self[keyPath: path] = run
    self[keyPath: path].operation = operation
  }
  package func problems(taking names: [String]) -> [String] { [] }
}

/// What shapes a run's result. A continued run has to keep it.
package struct RunSettings: SettingGroup {
  // The model, and the questions: paths, or names of what is built in.
  package var model = ""
  package var data = ""
  package var heldOut = ""
  /// Files, separated by commas.
  package var transfer = ""
  /// A finished run whose responses are learned; empty for none.
  package var responses = ""
  /// Which of the questions of `data` are used, by the steps of the run in `promptHistory`.
  package var promptFilter = PromptFilter.all
  /// A run's directory.
  package var promptHistory = ""
  /// A stage of a course is skipped if `promptFilter` keeps fewer questions; 0: never.
  package var skipBelow = 0

  /// The run whose version the run begins with: its directory, or DIRECTORY@STEP. Empty for none.
  package var from = ""
  package var optimizer = OptimizerBeginning.reset

  // How a question becomes a prompt.
  package var template = "auto"
  /// Of questions that have none; empty leaves the template's own, `noText` removes it.
  package var system = ""
  package var suffix = ""
  /// A JSON object: what the model's own template is given besides the messages.
  package var templateArguments = ""
  /// What the model's own template takes as now, as `CalendarTime` writes it. If it is empty and the template writes a
  /// date, a run takes the time at which it begins and keeps it.
  package var templateDate = ""
  package static let noText = "none"
  package var longPrompts = LongPrompts.drop

  // What is trained.
  /// `noAdapter`: all weights; `newAdapter`; or the path of a PEFT adapter to go on from.
  package var adapter = noAdapter
  package static let noAdapter = "none"
  package static let newAdapter = "lora"
  // Of a new adapter.
  package var adapterRank = 16
  package var adapterAlpha = 32.0
  /// The name of a usual choice, or names of linear layers, separated by commas.
  package var adapterTargets = "all"

  // Which defaults apply to settings that are not given.
  package var recipe = Recipe.ttrl
  package var preset = Preset.none
  package var family = ModelFamily.other

  // A program of the user that judges responses.
  /// The program and its arguments: a JSON list, or words with spaces between them. Empty for none.
  package var rewardCommand = ""
  package var rewardSeconds = 30.0
  /// MiB; 0 means no limit.
  package var rewardMemory = 4096

  // The method, and the sampling that it learns from.
  package var method = Method()
  package var temperature: Float = 1
  package var topP: Float = 1
  package var topK: Int32 = 0
  package var maxNewTokens: Int32 = 3072
  package var ignoreEOS = false
  /// One text, or a JSON list of texts.
  package var stop = ""

  // The arithmetic: each of these decides in which order, and how exactly, numbers are added.
  package var dtype = DataType.bfloat16
  package var products = Products.auto
  package var reduction = Reduction.exact
  /// Tokens in one forward and backward pass.
  package var microBatchTokens = 4096

  // The run's own evaluations. They do not change the weights, but they are part of the result.
  package var evaluation = EvaluationMode.full
  /// Steps between evaluations on the training prompts during the run; 0 is never.
  package var evaluateEvery: UInt32 = 0
  package var evaluationSamples: UInt32 = 64
  package var evaluationTemperature: Float = 0.6
  package var evaluationTopP: Float = 0.95
  package var evaluationTopK: Int32 = 0
  /// Without training, the evaluation whose random numbers are drawn; nil is the first one of a run.
  package var evaluatedAs: RoundID?

  // What happens when the run looks as if it were collapsing, and which version is its result.
  package var guardMode = GuardMode.warn
  /// Steps that the guard averages over; 0 is one pass over the prompts.
  package var guardWindow = 0
  package var delivery = Delivery.last
  package var plateau = PlateauMode.off

  package var operation = OperationSettings()

  package static var runPath: Path<Self, RunSettings>? { \Self.self }

  package init() {
    method.learningRate = 5e-7
    method.promptsPerStep = 8
    method.steps = 240
  }
}

/// Where and how wide a run works. Nothing here can change the result, so it can differ at every start.
package struct OperationSettings: SettingGroup {
  /// The run's directory; for commands that look at several runs, one directory per line.
  package var run = ""

  // How many processes, and how much each of them can use.
  package var workers = 1
  package var learners = 1
  /// Compute threads of each process; 0 divides the machine's cores among them.
  package var threads = 0
  /// MiB of keys and values that one sampling thread can hold; 0 is fitted to the machine by what starts the workers,
  /// and means no limit to a worker.
  package var keyValueMemory = 0
  /// What a learner rank keeps of a gradient. What starts the ranks decides for `auto`.
  package var gradient = GradientForm.auto
  /// Processes of the reward command; 0 is half of the cores of the coordinator's machine.
  package var rewardProcesses = 0
  /// A path: the machines of `ttrl launch`.
  package var hosts = ""

  // How they find each other: HOST:PORT, each; of the coordinator also several, separated by commas.
  package var coordinator = ""
  /// Where a standby looks for the coordinator.
  package var follow = ""
  package var listen = "127.0.0.1:0"
  /// Where a worker serves weights to other workers, or "none".
  package var relay = ":0"
  /// A path; `plainTCP`; or empty, which is the run's own key.
  package var key = ""
  /// The value of `key` that asks for neither encryption nor authentication.
  package static let plainTCP = "none"

  /// Whether what learner ranks send to each other is encrypted.
  package var rankProtection = RankProtection.auto

  /// Where the live page is served, or `noPage`.
  package var page = "127.0.0.1:0"
  package static let noPage = "none"
  /// A path; empty for no token.
  package var pageToken = ""

  /// When results are acknowledged.
  package var durability = Durability.local
  /// Seconds of silence after which a standby takes over.
  package var takeoverAfter = 10

  // What is kept on disk and in logs.
  package var checkpointEvery = CheckpointInterval.auto
  package var keepCheckpoints = 2
  /// A worker's name in logs and in the ledger.
  package var name = ""
  package var logLevel = LogLevel.info

  package init() {}
}

// MARK: - Kinds of values

package enum Reduction: String, Sendable, CaseIterable {
  /// Gradients are summed as 64-bit fixed point: the same bits for any number of learner ranks.
  case exact
  /// Gradients are summed as float32: the bits depend on the number of learner ranks.
  case fast
}

/// What a learner rank keeps of a gradient. Exact sums have the same bits in each form.
package enum GradientForm: String, Sendable, CaseIterable {
  /// Whole, if there is memory for it.
  case auto
  /// All of it, and its sums, on every rank. The ranks add their sums once per update.
  case whole
  /// A few layers, and this rank's part of the sums. The ranks exchange every micro-batch's gradient.
  case streamed
}

/// Whether what learner ranks send to each other is encrypted.
package enum RankProtection: String, Sendable, CaseIterable {
  /// If they are on several machines, and the run has a key.
  case auto
  case on, off
}

/// How often the learner writes a checkpoint. The last version always has one.
package enum CheckpointInterval: Sendable, Equatable, CustomStringConvertible {
  /// As often as checkpoints take at most a small share of the time (CheckpointPace).
  case auto
  case steps(UInt32)

  package var description: String {
    switch self {
    case .auto: "auto"
    case .steps(let count): "\(count)"
    }
  }
}

/// The order of additions of bfloat16 products.
package enum Products: String, Sendable, CaseIterable {
  /// When a run begins, it becomes the order that is fastest on the machine that begins it.
  case auto
  case tile, pair

  /// nil for `auto`.
  package var order: ProductOrder? { ProductOrder(rawValue: rawValue) }
}

package enum EvaluationMode: String, Sendable, CaseIterable {
  /// Before and after the run, on the training and the held-out prompts.
  case full
  /// No samples of its own: evaluates the responses that steps sampled for the vote.
  case reuse
  case none
}

/// What happens to a run that looks as if it were collapsing.
package enum GuardMode: String, Sendable, CaseIterable {
  case off
  /// Alarms are reported.
  case warn
  /// The run ends, and its best version is its result.
  case stop
}

/// What happens when agreement no longer rises.
package enum PlateauMode: String, Sendable, CaseIterable {
  case off
  /// The run ends, and delivers the version that `Delivery` chooses.
  case stop
}

/// What the optimizer of a run that begins from another run begins with.
package enum OptimizerBeginning: String, Sendable, CaseIterable {
  /// The published weights, moments of zero, and no updates.
  case reset
  /// The other run's masters, moments and number of updates.
  case carry
}

/// Which version is a run's result.
package enum Delivery: String, Sendable, CaseIterable {
  case last
  /// The best by the guard's score, which needs no answers.
  case best
}

/// The least important events that a process logs.
package enum LogLevel: String, Sendable, CaseIterable {
  case debug, info, warning, error
}

/// What happens to a prompt that does not fit into the context together with `max-new-tokens`.
package enum LongPrompts: String, Sendable, CaseIterable {
  case drop, refuse
}

// MARK: - What follows from the settings

extension OperationSettings {
  /// Threads of each of several processes of this machine, given its cores.
  package func threads(sharedBy processes: Int, cores: Int) -> Int {
    threads > 0 ? threads : max(1, cores / max(processes, 1))
  }
}

extension RunSettings {
  /// Responses of a step to one prompt, at most.
  package var responsesPerPrompt: Int { method.objective.takesResponses ? method.trainSamples : method.votes }

  package var hasAdapter: Bool { adapter != Self.noAdapter }

  /// The directory of an existing adapter; nil for a new one and for none.
  package var adapterDirectory: String? { Self.adapterDirectory(adapter) }

  package static func adapterDirectory(_ adapter: String) -> String? {
    [noAdapter, newAdapter].contains(adapter) ? nil : adapter
  }

  package var transferFiles: [String] { transfer.split(separator: ",").map(String.init) }

  /// The name of a question set: its file's name without directory and extension. "builtin:unsolvable" is "unsolvable".
  package static func setName(ofFile path: String) -> String {
    let name = path.split(whereSeparator: { $0 == "/" || $0 == ":" }).last.map(String.init) ?? path
    return name.split(separator: ".").first.map(String.init) ?? name
  }

  /// How training samples, given the model's stop tokens.
  package func trainingSampling(stopTokens: [Int32]) -> Sampling {
    Sampling(
      temperature: temperature, topP: topP, topK: topK, maxNewTokens: maxNewTokens,
      stopTokens: ignoreEOS ? [] : stopTokens, stopStrings: stopStrings, records: method.estimator.traits.records)
  }

  /// How the run's evaluations sample.
  package func evaluationSampling(stopTokens: [Int32]) -> Sampling {
    Sampling(
      temperature: evaluationTemperature, topP: evaluationTopP, topK: evaluationTopK, maxNewTokens: maxNewTokens,
      stopTokens: ignoreEOS ? [] : stopTokens, stopStrings: stopStrings)
  }

  /// The texts that end a response.
  package var stopStrings: [String] {
    if stop.isEmpty { return [] }
    guard stop.hasPrefix("["), let list = try? JSON.parse(Array(stop.utf8)), let texts = list.elements else {
      return [stop]
    }
    return texts.map { $0.string ?? "" }
  }
}
