// SettingTable: the name, the meaning, the bounds and the place of every setting, in one list.
//
// Parsing, `--help`, settings.json and the comparison of a continued run with its beginning all walk this list; a
// setting that is added here is complete.

import Base
import Records

/// May a continued run change it?
package enum SettingEffect: Sendable {
  /// It may change the result: fixed when the run begins.
  case result
  /// It cannot: free at every start.
  case operation
  /// It says what a command prints or reads; not part of a run.
  case command
}

package struct Setting: Sendable {
  package let name: String
  /// What the value looks like in `--help`; nil for a switch.
  package let placeholder: String?
  package let effect: SettingEffect
  package let help: String
  /// Takes a value. Returns what is wrong with it, or nil.
  let set: @Sendable (inout Settings, String) -> String?
  let get: @Sendable (Settings) -> String

  /// The value as text, as it would be given to the flag.
  package func value(in settings: Settings) -> String { get(settings) }
}

package enum SettingTable {
  package static let all: [Setting] = [
    // Input and output.
    text("run", "DIR", .operation, "directory of the run; given again, the run continues", \.run),
    text(
      "model", "DIR", .result, "Hugging Face model directory, or builtin, the small one that comes with ttrl", \.model),
    text("data", "FILE", .result, "questions, JSONL or JSON", \.data),
    text("held-out", "FILE", .result, "questions to evaluate on only", \.heldOut),
    text("transfer", "FILE,FILE,…", .result, "other sets of questions to evaluate on only", \.transfer),
    text(
      "template", "NAME", .result,
      "plain, chatml, qwen2.5-math, llama3, auto, or text or file with {question}",
      \.template),
    text("system", "TEXT", .result, "system line, instead of the template's own", \.system),
    text("suffix", "TEXT", .result, "text added to every question, for example to ask for \\boxed{}", \.suffix),
    choice("long-prompts", .result, "prompts that leave no room for max-new-tokens: drop or refuse", \.longPrompts),

    // Whose defaults.
    choice(
      "recipe", .result, "whose semantics: ttrl, or the reference implementation's, for comparison", \.recipe),
    choice("preset", .result, "the paper's hyper-parameters for a benchmark", \.preset),
    choice(
      "family", .result, "the model's family, for the preset; unless given, from its name and chat template", \.family),

    // The method.
    integer("seed", 0...UInt64.max, .result, "decides every random choice", \.method.seed),
    integer("steps", 0...(1 << 24 - 1), .result, "training steps; 0 only evaluates", \.method.steps),
    integer("prompts-per-step", 1...65536, .result, "prompts in one step's batch", \.method.promptsPerStep),
    choice("last-batch", .result, "a pass's incomplete last batch: fill or drop", \.method.lastBatch),
    integer("votes", 1...65536, .result, "responses sampled per prompt, all of which vote", \.method.votes),
    integer("train-samples", 1...65536, .result, "responses trained on per prompt", \.method.trainSamples),
    choice("selection", .result, "which responses are trained on: random or first", \.method.selection),
    choice("labels", .result, "vote (TTRL), truth (upper bound) or random (control)", \.method.labels),
    choice("ties", .result, "a tied vote: first (sample's answer wins) or abstain (no label)", \.method.ties),
    double("min-share", 0...1, .result, "share of the votes that a label needs; below, none", \.method.minimumShare),
    choice(
      "estimator", .result, "what is rewarded: vote (TTRL), soft-vote (EMPO), entropy (RENT), confidence or snr",
      \.method.estimator),
    double(
      "vote-entropy-low", 0...100, .result, "soft-vote leaves out groups at or below, nats", \.method.voteEntropyLow),
    double(
      "vote-entropy-high", 0...100, .result, "soft-vote leaves out groups at or above, nats", \.method.voteEntropyHigh),
    toggle(
      "early-stop", .result, "sample no more of a prompt once its vote is decided: on or off", \.method.stopsEarly),
    choice(
      "answer-rule", .result, "how answers are found and compared: exact, or reference (comparison only)",
      \.method.answers),
    number("temperature", 0...100, .result, "of training's sampling; 0 is greedy", \.temperature),
    number("top-p", 0.0001...1, .result, "nucleus of training's sampling; 1 is off", \.topP),
    integer("top-k", 0...1_000_000, .result, "most likely tokens to sample from; 0 is off", \.topK),
    integer("max-new-tokens", 1...(1 << 20), .result, "longest response", \.maxNewTokens),
    flag("ignore-eos", .result, "sample on past the end-of-text token", \.ignoreEOS),
    text(
      "stop", "TEXT", .result, "text that ends a response; several as a JSON list: [\"\\n\\n\", \"Q:\"]", \.stop),
    choice("dtype", .result, "of weights and matrix products: bfloat16 or float32", \.dtype),
    integer("mini-batch", 1...1_000_000, .result, "sequences per optimizer step", \.method.miniBatch),
    integer("micro-batch-tokens", 16...(1 << 24), .result, "tokens per forward and backward pass", \.microBatchTokens),
    number("clip-low", 0...1, .result, "lower bound of the probability ratio is 1 minus this", \.method.clipLow),
    number("clip-high", 0...100, .result, "upper bound of the probability ratio is 1 plus this", \.method.clipHigh),
    number("dual-clip", 0...1000, .result, "bound on a negative advantage's loss; 0 is off", \.method.dualClip),
    integer(
      "staleness", 0...Limits.staleness, .result,
      "versions by which sampling is behind, so that it goes on during training; 0 is on-policy", \.method.staleness),
    number(
      "importance-cap", 1...1000, .result, "with staleness, the most that a token's importance ratio counts",
      \.method.importanceCap),
    choice("advantage", .result, "how rewards become advantages", \.method.advantage),
    choice(
      "zero-advantage-groups", .result, "groups without any advantage: skip or train", \.method.zeroAdvantageGroups),
    choice("denominator", .result, "what a mini-batch's token losses are averaged over", \.method.denominator),
    integer(
      "denominator-sequences", 1...1_000_000, .result, "sequences per piece of the micro-batch denominator",
      \.method.denominatorSequences),
    number(
      "kl-coefficient", 0...1000, .result, "weight of the KL penalty to the initial weights; 0 is off",
      \.method.klCoefficient),
    choice("kl-estimator", .result, "of the KL penalty, by token", \.method.klEstimator),
    choice("kl-in", .result, "where the KL penalty enters", \.method.klPlace),
    number(
      "entropy-coefficient", 0...1000, .result, "weight of the entropy bonus; 0 is off", \.method.entropyCoefficient),
    double("lr", 0...1, .result, "peak learning rate", \.method.learningRate),
    choice("lr-schedule", .result, "how the learning rate moves", \.method.rateSchedule),
    integer("warmup-steps", 0...(1 << 24), .result, "steps of linear warm-up", \.method.warmupSteps),
    double(
      "lr-floor", 0...1, .result, "what the cosine leaves of the learning rate, a share", \.method.learningRateFloor),
    number("beta1", 0...0.99999, .result, "AdamW's first decay", \.method.beta1),
    number("beta2", 0...0.999999, .result, "AdamW's second decay", \.method.beta2),
    number("epsilon", 1e-15...1, .result, "AdamW's epsilon", \.method.epsilon),
    number("weight-decay", 0...10, .result, "AdamW's weight decay", \.method.weightDecay),
    double("gradient-clip", 0...1_000_000, .result, "largest gradient norm; 0 is off", \.method.gradientClip),
    choice("reduction", .result, "exact (same bits for any number of learners) or fast", \.reduction),

    // Evaluation.
    choice("eval", .result, "before and after: full, reuse (the vote's own samples) or none", \.evaluation),
    integer(
      "eval-every", 0...(1 << 24), .result, "steps between evaluations during the run; 0 is never", \.evaluateEvery),
    integer("eval-samples", 1...65536, .result, "samples per prompt in the run's evaluations", \.evaluationSamples),
    number("eval-temperature", 0...100, .result, "of evaluation's sampling", \.evaluationTemperature),
    number("eval-top-p", 0.0001...1, .result, "nucleus of evaluation's sampling", \.evaluationTopP),
    integer("eval-top-k", 0...1_000_000, .result, "most likely tokens of evaluation's; 0 is off", \.evaluationTopK),

    // Guards.
    choice("guard", .result, "on signs of collapse: off, warn, or stop and deliver the best version", \.guardMode),
    integer("guard-window", 0...4096, .result, "steps that signs are averaged over; 0 is one pass", \.guardWindow),
    choice("deliver", .result, "the run's result: last, or best, by agreement and distinct labels", \.delivery),

    integer("samples", 1...65536, .command, "samples per prompt, for eval and generate", \.samples),
    integers("counts", 1...65536, .command, "the k of pass@k, pass^k and maj@k, as 4,16,64", \.counts),

    // Where and how wide it runs.
    integer("workers", 0...65536, .operation, "rollout workers to start on this machine", \.workers),
    integer("learners", 1...65536, .operation, "learner ranks (MPI processes)", \.learners),
    integer("threads", 0...4096, .operation, "compute threads per process; 0 shares the cores out", \.threads),
    integer(
      "kv-memory", 0...(1 << 30), .operation,
      "MiB of keys and values that a sampling thread may hold, more samples wait; 0 is no bound", \.keyValueMemory),
    text(
      "coordinator", "HOST:PORT", .operation,
      "where the coordinator is; train: where its processes find it, if not where it listens", \.coordinator),
    text("listen", "HOST:PORT", .operation, "where the coordinator listens; port 0 picks one", \.listen),
    text(
      "relay", "HOST:PORT", .operation,
      "where workers get weights from this one; no host: its address towards the coordinator; or none", \.relay),
    text(
      "key", "FILE", .operation, "the cluster's key, from ttrl key; none is plain TCP, on loopback only", \.key),
    text(
      "page", "HOST:PORT", .operation, "where the live page is served; port 0 picks one, none serves no page", \.page),
    text(
      "page-token", "FILE", .operation, "the secret that opens the page, needed beyond loopback; made if missing",
      \.pageToken),
    integer("checkpoint-every", 1...(1 << 24), .operation, "steps between checkpoints", \.checkpointEvery),
    integer("keep-checkpoints", 1...1_000_000, .operation, "newest checkpoints to keep", \.keepCheckpoints),
    text("hosts", "FILE", .operation, "the machines of a launch, one per line", \.hosts),
    text("name", "NAME", .operation, "what a worker is called in logs and the ledger", \.name),
    choice("log-level", .operation, "the least important events that are logged", \.logLevel),

    // Commands.
    text("config", "FILE", .command, "settings as JSON5; flags win over it", \.config),
    integer("prompts", 1...65536, .command, "bench: prompts; 0: as the model's shape has it", \.prompts),
    integer("prompt-tokens", 1...(1 << 20), .command, "bench: tokens of a prompt; 0: likewise", \.promptTokens),
    text("base", "DIR", .command, "bench broadcast: the model's version before, for a delta", \.base),
    number("link-rate", 0...1e6, .command, "bench broadcast: Mbit/s that a link carries; 0 measures", \.linkRate),
    integer("runs", 1...1000, .command, "bench: timed runs, of which the median counts; chaos: disturbed runs", \.runs),
    text("trace", "FILE", .command, "bench ranks: where a timeline of a step is written, as browsers show it", \.trace),
    integer("kills", 1...100_000, .command, "chaos: processes to kill in each run", \.kills),
    integer("chaos-seed", 0...UInt64.max, .command, "chaos: decides what is done to whom, and when", \.chaosSeed),
    integer("seconds", 1...86_400, .command, "bench coordinator: how long to measure", \.seconds),
    integer(
      "worker-tokens", 0...1_000_000_000, .command,
      "bench coordinator: tokens a second of a synthetic worker; 0: sampled at once", \.workerTokens),
    flag("json", .command, "machine-readable output on standard output, the rest on standard error", \.isJSON),
    text("out", "FILE", .command, "report: where the page of several runs is written", \.out),
    text("prompt", "ID", .command, "explain: which prompt, by its index (from 0) or its id", \.prompt),
    integer(
      "step", 0...(1 << 24), .command, "explain: which step's responses, from 1; 0 is the prompt's last visit", \.step),
    flag("watch", .command, "status: show the run until it is finished, or Ctrl-C", \.isWatching),
    flag("decode", .command, "tokenize: from ids to text", \.isDecoding),
    flag("dry-run", .command, "print the plan and start nothing", \.isDryRun),
    flag("help", .command, "show this text", \.isHelp),
  ]

  /// Names that earlier versions used; settings.json and scripts may still have them.
  package static let formerNames = ["silent-groups": "zero-advantage-groups"]

  /// The setting of a name, or of a former name.
  package static func named(_ name: String) -> Setting? {
    let name = formerNames[name] ?? name
    return all.first { $0.name == name }
  }
}

// MARK: Kinds of setting

private typealias Path<Value> = any WritableKeyPath<Settings, Value> & Sendable

private func text(
  _ name: String, _ placeholder: String, _ effect: SettingEffect, _ help: String, _ path: Path<String>
) -> Setting {
  Setting(
    name: name, placeholder: placeholder, effect: effect, help: help,
    set: { settings, value in
      guard !value.isEmpty else { return "is empty" }
      settings[keyPath: path] = value
      return nil
    }, get: { $0[keyPath: path] })
}

private func integer<Value: FixedWidthInteger & Sendable>(
  _ name: String, _ range: ClosedRange<Value>, _ effect: SettingEffect, _ help: String, _ path: Path<Value>
) -> Setting {
  Setting(
    name: name, placeholder: "N", effect: effect, help: help,
    set: { settings, value in
      guard let parsed = Value(value), range.contains(parsed) else {
        return "is \"\(value)\", expected an integer from \(range.lowerBound) to \(range.upperBound)"
      }
      settings[keyPath: path] = parsed
      return nil
    }, get: { "\($0[keyPath: path])" })
}

/// Several integers, separated by commas, ascending and each once.
private func integers(
  _ name: String, _ range: ClosedRange<Int>, _ effect: SettingEffect, _ help: String, _ path: Path<[Int]>
) -> Setting {
  Setting(
    name: name, placeholder: "N,N,…", effect: effect, help: help,
    set: { settings, value in
      let parsed = value.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
      guard parsed.allSatisfy({ $0.map(range.contains) ?? false }) else {
        return "is \"\(value)\", expected integers from \(range.lowerBound) to \(range.upperBound), as in 4,16,64"
      }
      settings[keyPath: path] = parsed.compactMap { $0 }.sorted().reduce(into: []) {
        if $0.last != $1 { $0.append($1) }
      }
      return nil
    }, get: { $0[keyPath: path].map(String.init).joined(separator: ",") })
}

private func number(
  _ name: String, _ range: ClosedRange<Float>, _ effect: SettingEffect, _ help: String, _ path: Path<Float>
) -> Setting { real(name, range, effect, help, path) }

private func double(
  _ name: String, _ range: ClosedRange<Double>, _ effect: SettingEffect, _ help: String, _ path: Path<Double>
) -> Setting { real(name, range, effect, help, path) }

private func real<Value: BinaryFloatingPoint & LosslessStringConvertible & Sendable>(
  _ name: String, _ range: ClosedRange<Value>, _ effect: SettingEffect, _ help: String, _ path: Path<Value>
) -> Setting {
  Setting(
    name: name, placeholder: "X", effect: effect, help: help,
    set: { settings, value in
      guard let parsed = Value(value), range.contains(parsed) else {
        return "is \"\(value)\", expected a number from \(range.lowerBound) to \(range.upperBound)"
      }
      settings[keyPath: path] = parsed
      return nil
    }, get: { "\($0[keyPath: path])" })
}

private func choice<Value: RawRepresentable<String> & CaseIterable & Sendable>(
  _ name: String, _ effect: SettingEffect, _ help: String, _ path: Path<Value>
) -> Setting {
  let names = Value.allCases.map(\.rawValue)
  return Setting(
    name: name, placeholder: names.joined(separator: "|"), effect: effect, help: help,
    set: { settings, value in
      guard let parsed = Value(rawValue: value) else {
        return "is \"\(value)\", expected \(names.joined(separator: " or "))"
      }
      settings[keyPath: path] = parsed
      return nil
    }, get: { $0[keyPath: path].rawValue })
}

private func toggle(_ name: String, _ effect: SettingEffect, _ help: String, _ path: Path<Bool>) -> Setting {
  Setting(
    name: name, placeholder: "on|off", effect: effect, help: help,
    set: { settings, value in
      guard value == "on" || value == "off" else { return "is \"\(value)\", expected on or off" }
      settings[keyPath: path] = value == "on"
      return nil
    }, get: { $0[keyPath: path] ? "on" : "off" })
}

/// A switch: given without a value it is on; a file says true or false.
private func flag(_ name: String, _ effect: SettingEffect, _ help: String, _ path: Path<Bool>) -> Setting {
  Setting(
    name: name, placeholder: nil, effect: effect, help: help,
    set: { settings, value in
      guard value == "true" || value == "false" else { return "is \"\(value)\", expected true or false" }
      settings[keyPath: path] = value == "true"
      return nil
    }, get: { "\($0[keyPath: path])" })
}
