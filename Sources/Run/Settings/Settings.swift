// Settings: every knob of ttrl, as values. One flat list; a flag, a key of --config and a line of `--help` share a
// name.
//
// The table that names, parses and explains them is in SettingTable.swift. What reaches the arithmetic is handed on
// as a `Method` (Records). A setting either may change the result of a run, and then is fixed when the run begins, or
// may not (addresses, worker counts), and then may differ at every restart.

package import Base
package import Records

package enum Reduction: String, Sendable, CaseIterable {
  /// Gradients summed as 64-bit fixed point: the same bits for any number of learner ranks.
  case exact
  /// Gradients summed as float32: bits depend on the number of learner ranks.
  case fast
}

package enum EvaluationMode: String, Sendable, CaseIterable {
  /// Before and after the run, on the training and the held-out prompts.
  case full
  /// No samples of its own: the responses that steps sampled to vote are looked at again.
  case reuse
  case none
}

/// What becomes of a run that looks as if it were collapsing.
package enum GuardMode: String, Sendable, CaseIterable {
  case off
  /// Alarms are reported.
  case warn
  /// The run ends, and its best version is its result.
  case stop
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

/// What to do with a prompt that does not fit the context together with `max-new-tokens`.
package enum LongPrompts: String, Sendable, CaseIterable {
  case drop, refuse
}

package struct Settings: Sendable, Equatable {
  // Input and output.
  package var run = ""
  package var model = ""
  package var data = ""
  package var heldOut = ""
  /// Files, separated by commas.
  package var transfer = ""
  package var template = "auto"
  /// Instead of the template's own system line.
  package var system = ""
  package var suffix = ""
  package var longPrompts = LongPrompts.drop

  // Whose defaults.
  package var recipe = Recipe.ttrl
  package var preset = Preset.none
  package var family = ModelFamily.other

  // The method.
  package var method = Method()
  package var topP: Float = 1
  package var temperature: Float = 1
  package var topK: Int32 = 0
  package var maxNewTokens: Int32 = 3072
  package var ignoreEOS = false
  /// One text, or a JSON list of texts.
  package var stop = ""
  package var dtype = DataType.bfloat16
  package var reduction = Reduction.exact
  /// Tokens that one forward and backward pass may hold; the unit of work, so it shapes float sums.
  package var microBatchTokens = 4096

  // Evaluation.
  package var evaluation = EvaluationMode.full
  /// Steps between evaluations on the training prompts during the run; 0 is never.
  package var evaluateEvery: UInt32 = 0
  package var evaluationSamples: UInt32 = 64
  package var evaluationTemperature: Float = 0.6
  package var evaluationTopP: Float = 0.95
  package var evaluationTopK: Int32 = 0
  // Guards.
  package var guardMode = GuardMode.warn
  /// Steps that the guard averages over; 0 is one pass over the prompts.
  package var guardWindow = 0
  package var delivery = Delivery.last

  // Of a command.
  package var samples: UInt32 = 64
  /// The k of pass@k, pass^k and maj@k that `eval` prints; empty for the usual ones.
  package var counts: [Int] = []

  // Where and how wide it runs.
  package var workers = 2
  package var learners = 2
  package var threads = 0
  /// MiB of keys and values that one sampling thread may hold; 0 is no bound.
  package var keyValueMemory = 0
  package var coordinator = ""
  package var listen = "127.0.0.1:0"
  package var relay = ":0"
  package var base = ""
  package var linkRate: Float = 0
  /// A path; `plainTCP`; or empty, the run's own.
  package var key = ""
  /// The value of `key` that asks for neither encryption nor authentication.
  package static let plainTCP = "none"
  /// Where the live page is served, or `noPage`.
  package var page = "127.0.0.1:0"
  package static let noPage = "none"
  /// A path; empty for none.
  package var pageToken = ""
  package var checkpointEvery: UInt32 = 1
  package var keepCheckpoints = 2
  package var name = ""
  package var logLevel = LogLevel.info
  /// A path.
  package var hosts = ""

  // Commands.
  package var config = ""
  /// Of a benchmark; 0 is as many as the model's shape is measured with.
  package var prompts = 0
  package var promptTokens = 0
  package var runs = 3
  package var seconds = 20
  package var workerTokens = 0
  package var kills = 12
  package var chaosSeed: UInt64 = 0
  package var isJSON = false
  package var out = "ttrl-report.html"
  package var prompt = ""
  package var step = 0
  package var isWatching = false
  package var isDecoding = false
  package var isDryRun = false
  package var trace = ""
  package var isHelp = false

  package init() {
    method.learningRate = 5e-7
    method.promptsPerStep = 8
    method.steps = 240
  }

  package var transferFiles: [String] { transfer.split(separator: ",").map(String.init) }

  /// What a set of questions is called: its file's name without directory and extension, "builtin:unsolvable" likewise.
  package static func setName(ofFile path: String) -> String {
    let name = path.split(whereSeparator: { $0 == "/" || $0 == ":" }).last.map(String.init) ?? path
    return name.split(separator: ".").first.map(String.init) ?? name
  }

  /// How training samples, given the model's stop tokens.
  package func trainingSampling(stopTokens: [Int32]) -> Sampling {
    Sampling(
      temperature: temperature, topP: topP, topK: topK, maxNewTokens: maxNewTokens,
      stopTokens: ignoreEOS ? [] : stopTokens, stopStrings: stopStrings)
  }

  /// How evaluation samples; the paper's temperature 0.6 and top-p 0.95 unless set.
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
