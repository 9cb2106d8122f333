// SettingTable: every setting in one list: its name, its kind and bounds, its meaning, and the groups that have it.
//
// Flags, the --config file, `--help`, the manual, settings.json and the check of a continued run all walk this list; a
// setting that is added here is complete. The group decides whether a continued run can change it (SettingEffect).

import Base
import Records

package enum SettingTable {
  package static let all =
    input + adapter + whoseDefaults + rounds + labels + rewards + sampling + objective + optimizer + evaluation + guards
    + operation
    + amounts + workshop + looking + call

  private static let input: [Setting] = [
    Setting(
      "run", .text("DIR"), "the run's directory; if it has a run, the run continues",
      \OperationSettings.run, \LookSettings.run, \PretrainingSettings.run, \LoadSettings.run, \ExportSettings.run),
    Setting(
      "model", .text("DIR|FILE"),
      "Hugging Face model directory, GGUF file, or builtin, the small model of ttrl",
      \RunSettings.model, \TokenizeSettings.model, \ImportSettings.model, \MergeSettings.model,
      \BenchmarkSettings.model, \BroadcastSettings.model),
    Setting(
      "from", .text("RUN[@STEP]"),
      "begin with the result of that run, or its checkpoint of a step; its settings are the defaults",
      \RunSettings.from),
    Setting(
      "optimizer", .choice,
      "with from: reset it, or carry the other run's masters, moments and number of updates",
      \RunSettings.optimizer),
    Setting("data", .text("FILE"), "questions: JSON lines, JSON or CSV", \RunSettings.data),
    Setting(
      "prompt-filter", .promptFilter, "the questions of data that are used, by how the run prompt-history did on them",
      \RunSettings.promptFilter),
    Setting("prompt-history", .text("RUN"), "the finished run that prompt-filter looks at", \RunSettings.promptHistory),
    Setting(
      "skip-below", .integer(0...1_000_000_000),
      "stages: skip a stage whose prompt-filter keeps fewer questions; 0: never", \RunSettings.skipBelow),
    Setting("held-out", .text("FILE"), "questions for evaluation only", \RunSettings.heldOut),
    Setting("transfer", .text("FILE,FILE,…"), "further sets of questions for evaluation only", \RunSettings.transfer),
    Setting(
      "responses", .text("RUN|ARCHIVE"),
      "objective sft: learn the majority's responses of a run or an archive; awr: all of them",
      \RunSettings.responses),
    Setting(
      "template", .text("NAME"),
      "auto: the model's own; plain, chatml, qwen2.5-math, llama3, or {question}",
      \RunSettings.template),
    Setting(
      "system", .textOrNone("TEXT"), "the system line of questions that have none; '' or none removes a template's own",
      \RunSettings.system),
    Setting(
      "suffix", .textOrNone("TEXT"), "text appended to every question; '' or none for none, also with a preset",
      \RunSettings.suffix),
    Setting(
      "template-arguments", .text("JSON"), "for the model's own template, as {\"enable_thinking\": false}",
      \RunSettings.templateArguments),
    Setting(
      "template-date", .text("DATE"), "for a model's template that writes the date: 2026-07-04; now if not given",
      \RunSettings.templateDate),
    Setting(
      "long-prompts", .choice, "prompts that leave no room for max-new-tokens: drop them, or refuse to start",
      \RunSettings.longPrompts),
  ]

  private static let adapter: [Setting] = [
    Setting(
      "adapter", .text("lora|DIR"),
      "a PEFT adapter of the model; train: lora, a new one, or one to go on from; none",
      \RunSettings.adapter, \MergeSettings.adapter, \BenchmarkSettings.adapter),
    Setting("adapter-rank", .integer(1...16384), "rank of a new adapter", \RunSettings.adapterRank),
    Setting(
      "adapter-alpha", .number(0.001...1_000_000), "a new adapter's products are scaled by this, divided by its rank",
      \RunSettings.adapterAlpha),
    Setting(
      "adapter-targets", .text("NAME,NAME,…"),
      "the linear layers of a new adapter: all, attention, mlp, or their names, as q_proj,v_proj",
      \RunSettings.adapterTargets),
  ]

  private static let whoseDefaults: [Setting] = [
    Setting(
      "recipe", .choice, "whose rules: ttrl's, or for comparison those of the reference implementation",
      \RunSettings.recipe),
    Setting("preset", .choice, "the paper's hyper-parameters for a benchmark", \RunSettings.preset),
    Setting(
      "family", .choice, "the model's family, for the preset; found from its name and chat template if not given",
      \RunSettings.family),
  ]

  private static let rounds: [Setting] = [
    Setting(
      "seed", .integer(0...UInt64.max), "determines every random choice",
      \RunSettings.method.seed, \PretrainingSettings.seed, \BenchmarkSettings.seed),
    Setting("steps", .integer(0...(1 << 24 - 1)), "training steps; 0 only evaluates", \RunSettings.method.steps),
    Setting("prompts-per-step", .integer(1...65536), "prompts in one step's batch", \RunSettings.method.promptsPerStep),
    Setting(
      "last-batch", .choice, "the incomplete last batch of a pass: fill it, or drop its prompts",
      \RunSettings.method.lastBatch),
    Setting(
      "choice-orders", .integer(1...10), "orders of its options in which each question is asked; each is a prompt",
      \RunSettings.method.choiceOrders),
    Setting("votes", .integer(1...65536), "responses sampled per prompt; all of them vote", \RunSettings.method.votes),
    Setting(
      "train-samples", .integer(1...65536), "responses trained on per prompt", \RunSettings.method.trainSamples),
    Setting(
      "selection", .choice, "the responses to train on: random, the first, or balanced: frequent and rare answers",
      \RunSettings.method.selection),
  ]

  private static let labels: [Setting] = [
    Setting("labels", .choice, "vote (TTRL), truth (upper bound) or random (control)", \RunSettings.method.labels),
    Setting(
      "ties", .choice, "a tied vote: first (the tied answer that was sampled first wins) or abstain (no label)",
      \RunSettings.method.ties),
    Setting(
      "min-share", .number(0...1), "share of the votes that an answer needs to become the label",
      \RunSettings.method.minimumShare),
    Setting(
      "estimator", .choice, "what is rewarded: vote is TTRL; the others are in docs/algorithm.md",
      \RunSettings.method.estimator),
    Setting(
      "prompt-weights", .choice, "equal, or flips: prompts whose labels change count less, some are left out",
      \RunSettings.method.promptWeights),
    Setting(
      "brevity-penalty", .number(0...1_000_000), "a response of T tokens loses X / T of its reward; 0 is off",
      \RunSettings.method.brevityPenalty),
    Setting(
      "vote-entropy-low", .number(0...100), "soft-vote leaves out groups at or below this entropy, in nats",
      \RunSettings.method.voteEntropyLow),
    Setting(
      "vote-entropy-high", .number(0...100), "soft-vote leaves out groups at or above this entropy, in nats",
      \RunSettings.method.voteEntropyHigh),
    Setting(
      "early-stop", .choice, "stop sampling a prompt when its vote is decided: on for certain, bayes with some error",
      \RunSettings.method.earlyStop),
    Setting(
      "early-stop-error", .number(0.000001...0.5), "the largest chance that early-stop bayes is wrong",
      \RunSettings.method.earlyStopError),
    Setting(
      "answer-rule", .choice, "how answers are found and compared: exact, or reference (for comparison only)",
      \RunSettings.method.answers),
  ]

  private static let rewards: [Setting] = [
    Setting(
      "reward-command", .text("PROGRAM"),
      "judges responses: JSON lines in and out; words, or a JSON list of them",
      \RunSettings.rewardCommand),
    Setting(
      "reward-seconds", .number(0.1...86_400), "longest time of one answer of the reward command",
      \RunSettings.rewardSeconds),
    Setting(
      "reward-memory", .integer(0...(1 << 30)), "MiB of memory of each process of the reward command; 0: no limit",
      \RunSettings.rewardMemory),
    Setting(
      "reward-processes", .integer(0...4096), "processes of the reward command; 0 is half of the cores",
      \OperationSettings.rewardProcesses),
  ]

  private static let sampling: [Setting] = [
    Setting("temperature", .number(0...100), "of sampling in training; 0 is greedy", \RunSettings.temperature),
    Setting("top-p", .number(0.0001...1), "nucleus of sampling in training; 1 is off", \RunSettings.topP),
    Setting("top-k", .integer(0...1_000_000), "the most likely tokens to sample from; 0 is off", \RunSettings.topK),
    Setting(
      "max-new-tokens", .integer(1...(1 << 20)), "the longest response",
      \RunSettings.maxNewTokens, \BenchmarkSettings.maxNewTokens, \LoadSettings.maxNewTokens),
    Setting("ignore-eos", .flag, "continue sampling after the end-of-text token", \RunSettings.ignoreEOS),
    Setting(
      "stop", .text("TEXT"), "text that ends a response; several as a JSON list: [\"\\n\\n\", \"Q:\"]",
      \RunSettings.stop),
    Setting(
      "dtype", .choice, "type of weights and matrix products: bfloat16 or float32",
      \RunSettings.dtype, \BenchmarkSettings.dtype, \BroadcastSettings.dtype),
    Setting(
      "products", .choice, "order of additions of bfloat16 products; auto: the fastest here",
      \RunSettings.products, \BenchmarkSettings.products),
  ]

  private static let objective: [Setting] = [
    Setting("mini-batch", .integer(1...1_000_000), "sequences per optimizer step", \RunSettings.method.miniBatch),
    Setting(
      "micro-batch-tokens", .integer(16...(1 << 24)), "tokens per forward and backward pass",
      \RunSettings.microBatchTokens, \BenchmarkSettings.microBatchTokens),
    Setting(
      "objective", .choice,
      "the loss: clip (TTRL), gspo, nft; with a critic: ppo, prime; of given responses: sft, awr",
      \RunSettings.method.objective),
    Setting("nft-prompt-weight", .choice, "objective nft: weight of a prompt", \RunSettings.method.nftPromptWeight),
    Setting("gamma", .number(0...1), "objective ppo: discount of later rewards", \RunSettings.method.gamma),
    Setting("lambda", .number(0...1), "objective ppo: discount of later errors", \RunSettings.method.lambda),
    Setting(
      "value-clip", .number(0...1000), "objective ppo: how far a value moves in a step before its loss ends; 0 is off",
      \RunSettings.method.valueClip),
    Setting(
      "critic-lr", .number(0...1), "objective ppo: learning rate of the critic, which is constant",
      \RunSettings.method.criticLearningRate),
    Setting(
      "prime-update", .choice, "objective prime: whether its critic learns after it rewards, or before",
      \RunSettings.method.primeUpdate),
    Setting(
      "prime-lr", .number(0...1), "objective prime: learning rate of its critic, which is constant",
      \RunSettings.method.primeLearningRate),
    Setting(
      "awr-temperature", .number(0.001...1000), "objective awr: a response's weight is exp(advantage / this)",
      \RunSettings.method.awrTemperature),
    Setting("awr-cap", .number(1...1_000_000), "objective awr: the largest weight", \RunSettings.method.awrCap),
    Setting(
      "clip-low", .number(0...1), "the lower bound of the probability ratio is 1 minus this",
      \RunSettings.method.clipLow),
    Setting(
      "clip-high", .number(0...100), "the upper bound of the probability ratio is 1 plus this",
      \RunSettings.method.clipHigh),
    Setting(
      "dual-clip", .number(0...1000), "bound on the loss of a negative advantage; 0 is off",
      \RunSettings.method.dualClip),
    Setting(
      "staleness", .integer(0...Limits.staleness),
      "versions by which sampling is behind, so that it continues during training; 0 is on-policy",
      \RunSettings.method.staleness),
    Setting(
      "importance-cap", .number(1...1000), "with staleness, the upper bound of a token's importance ratio",
      \RunSettings.method.importanceCap),
    Setting("advantage", .choice, "how rewards become advantages", \RunSettings.method.advantage),
    Setting(
      "zero-advantage-groups", .choice, "groups whose advantages are all 0: skip them, or train on them",
      \RunSettings.method.zeroAdvantageGroups),
    Setting("denominator", .choice, "how a mini-batch's token losses are averaged", \RunSettings.method.denominator),
    Setting(
      "denominator-sequences", .integer(1...1_000_000), "sequences per piece of the micro-batch denominator",
      \RunSettings.method.denominatorSequences),
    Setting(
      "kl-coefficient", .number(0...1000), "weight of the KL penalty towards the initial weights; 0 is off",
      \RunSettings.method.klCoefficient),
    Setting("kl-estimator", .choice, "of the KL penalty, per token", \RunSettings.method.klEstimator),
    Setting("kl-in", .choice, "where the KL penalty is added", \RunSettings.method.klPlace),
    Setting(
      "entropy-coefficient", .number(0...1000), "weight of the entropy bonus; 0 is off",
      \RunSettings.method.entropyCoefficient),
  ]

  private static let optimizer: [Setting] = [
    Setting("lr", .number(0...1), "peak learning rate", \RunSettings.method.learningRate),
    Setting("lr-schedule", .choice, "how the learning rate changes", \RunSettings.method.rateSchedule),
    Setting("warmup-steps", .integer(0...(1 << 24)), "steps of linear warm-up", \RunSettings.method.warmupSteps),
    Setting(
      "lr-floor", .number(0...1), "where the cosine of the learning rate ends, as a share of its peak",
      \RunSettings.method.learningRateFloor),
    Setting("beta1", .number(0...0.99999), "AdamW's first decay", \RunSettings.method.beta1),
    Setting("beta2", .number(0...0.999999), "AdamW's second decay", \RunSettings.method.beta2),
    Setting("epsilon", .number(1e-15...1), "AdamW's epsilon", \RunSettings.method.epsilon),
    Setting("weight-decay", .number(0...10), "AdamW's weight decay", \RunSettings.method.weightDecay),
    Setting(
      "gradient-clip", .number(0...1_000_000), "the largest gradient norm; 0 is off", \RunSettings.method.gradientClip),
    Setting(
      "reduction", .choice, "how gradients are summed: exact (same bits for any number of learners) or fast",
      \RunSettings.reduction),
  ]

  private static let evaluation: [Setting] = [
    Setting(
      "eval", .choice, "before and after the run: full, reuse (the samples of the vote) or none",
      \RunSettings.evaluation),
    Setting(
      "eval-every", .integer(0...(1 << 24)), "steps between evaluations during the run; 0 is never",
      \RunSettings.evaluateEvery),
    Setting(
      "eval-samples", .integer(1...65536), "samples per prompt in the run's evaluations",
      \RunSettings.evaluationSamples),
    Setting(
      "eval-temperature", .number(0...100), "of sampling in evaluations; 0 is greedy",
      \RunSettings.evaluationTemperature),
    Setting(
      "eval-top-p", .number(0.0001...1), "nucleus of sampling in evaluations; 1 is off", \RunSettings.evaluationTopP),
    Setting(
      "eval-top-k", .integer(0...1_000_000), "the most likely tokens to sample from in evaluations; 0 is off",
      \RunSettings.evaluationTopK),
    Setting(
      "eval-as", .evaluation, "without training: draw the random numbers of a run's evaluation of this version",
      \RunSettings.evaluatedAs),
  ]

  private static let guards: [Setting] = [
    Setting(
      "guard", .choice, "at signs of collapse: off, warn, or stop and deliver the best version",
      \RunSettings.guardMode),
    Setting(
      "guard-window", .integer(0...4096), "steps over which the signs are averaged; 0 is one pass over the prompts",
      \RunSettings.guardWindow),
    Setting(
      "deliver", .choice, "the run's result: the last version, or the best by agreement and distinct labels",
      \RunSettings.delivery),
    Setting(
      "plateau", .choice, "when agreement no longer rises, over two windows of the guard: off, or stop",
      \RunSettings.plateau),
  ]

  private static let operation: [Setting] = [
    Setting(
      "workers", .integer(0...65536), "rollout workers to start on this machine",
      \OperationSettings.workers, \BroadcastSettings.workers, \LoadSettings.workers),
    Setting(
      "learners", .integer(1...65536), "learner ranks (MPI processes)",
      \OperationSettings.learners, \BenchmarkSettings.learners),
    Setting(
      "threads", .integer(0...4096), "compute threads per process; 0 divides the cores among the processes",
      \OperationSettings.threads, \PretrainingSettings.threads, \BenchmarkSettings.threads),
    Setting(
      "kv-memory", .integer(0...(1 << 30)),
      "most MiB of keys and values per sampling thread, others wait; 0: fitted (worker: no limit)",
      \OperationSettings.keyValueMemory),
    Setting(
      "gradient", .choice,
      "of a learner rank: whole; streamed, with less memory, more traffic; auto: as memory allows",
      \OperationSettings.gradient, \BenchmarkSettings.gradient),
    Setting(
      "coordinator", .text("HOST:PORT"),
      "where the coordinator is, or A,B with its standbys; train: for its processes",
      \OperationSettings.coordinator, \BroadcastSettings.coordinator, \LoadSettings.coordinator),
    Setting(
      "follow", .text("HOST:PORT,…"), "standby: where the coordinator is; further addresses are other standbys",
      \OperationSettings.follow),
    Setting(
      "durability", .choice, "when results are acknowledged: on the coordinator's disk, or on a standby's too",
      \OperationSettings.durability),
    Setting(
      "takeover-after", .integer(1...3600), "seconds of silence after which a standby takes over",
      \OperationSettings.takeoverAfter),
    Setting(
      "listen", .text("HOST:PORT"), "where the coordinator listens; port 0 picks a free port",
      \OperationSettings.listen, \BroadcastSettings.listen, \LoadSettings.listen),
    Setting(
      "relay", .text("HOST:PORT"),
      "where other workers fetch weights from it; no host: its address towards the coordinator; or none",
      \OperationSettings.relay),
    Setting(
      "key", .text("FILE"), "the cluster's key, made by ttrl key; none is plain TCP, on loopback only",
      \OperationSettings.key, \KeySettings.key, \BenchmarkSettings.key, \BroadcastSettings.key, \LoadSettings.key),
    Setting(
      "protect-mpi", .choice, "encrypt what learner ranks send to each other; auto: if they are on several machines",
      \OperationSettings.rankProtection),
    Setting(
      "page", .text("HOST:PORT"), "where the live page is served; port 0 picks a free port, none serves no page",
      \OperationSettings.page),
    Setting(
      "page-token", .text("FILE"), "the secret that opens the page, needed beyond loopback; made if it is missing",
      \OperationSettings.pageToken),
    Setting(
      "checkpoint-every", .interval,
      "steps between checkpoints; auto: as often as they take at most a twentieth of the time",
      \OperationSettings.checkpointEvery),
    Setting(
      "keep-checkpoints", .integer(1...1_000_000), "how many of the newest checkpoints to keep",
      \OperationSettings.keepCheckpoints),
    Setting("hosts", .text("FILE"), "the machines of a launch, one per line", \OperationSettings.hosts),
    Setting(
      "name", .text("NAME"), "a worker's name in logs and in the ledger",
      \OperationSettings.name, \BroadcastSettings.name, \LoadSettings.name),
    Setting("log-level", .choice, "the least important events to log", \OperationSettings.logLevel),
  ]

  /// How much `eval`, `generate` and the benchmarks do.
  private static let amounts: [Setting] = [
    Setting(
      "samples", .integer(1...65536), "samples per prompt",
      \EvaluationSettings.samples, \GenerationSettings.samples, \GrowthSettings.samples, \BenchmarkSettings.samples,
      \LoadSettings.samples),
    Setting(
      "new-questions", .integer(1...65536), "grow: how many new questions to keep", \GrowthSettings.writing.count),
    Setting(
      "examples", .integer(1...100), "grow: how many questions of the set a prompt shows",
      \GrowthSettings.writing.examples),
    Setting(
      "words-least", .integer(0...10_000), "grow: the fewest words of a question", \GrowthSettings.writing.fewestWords),
    Setting(
      "words-most", .integer(1...10_000), "grow: the most words of a question", \GrowthSettings.writing.mostWords),
    Setting(
      "likeness", .number(0...1), "grow: the highest ROUGE-L of a new question to any other",
      \GrowthSettings.writing.likeness),
    Setting(
      "banned", .textOrNone("TEXT,TEXT,…"), "grow: words and phrases that no new question has; '' or none for none",
      \GrowthSettings.writing.banned),
    Setting(
      "counts", .integers(1...65536), "the k of pass@k, pass^k and maj@k, as 4,16,64", \EvaluationSettings.counts),
    Setting(
      "prompts", .integer(1...65536), "bench: prompts; 0 is what the model's shape suggests",
      \BenchmarkSettings.prompts, \LoadSettings.prompts),
    Setting(
      "prompt-tokens", .integer(1...(1 << 20)), "bench: tokens of a prompt; 0 is what the model's shape suggests",
      \BenchmarkSettings.promptTokens),
    Setting(
      "runs", .integer(1...1000), "bench: timed runs, whose median counts; chaos: disturbed runs",
      \BenchmarkSettings.runs, \BroadcastSettings.runs, \ChaosSettings.runs),
  ]

  private static let workshop: [Setting] = [
    Setting(
      "base", .text("DIR"), "bench broadcast: the version before the model's, for a delta", \BroadcastSettings.base),
    Setting(
      "link-rate", .number(0...1e6), "bench broadcast: the capacity of a link in Mbit/s; 0 measures it",
      \BroadcastSettings.linkRate),
    Setting(
      "trace", .text("FILE"), "bench ranks: where to write the timeline of a step, for a browser to show",
      \BenchmarkSettings.trace),
    Setting("kills", .integer(1...100_000), "chaos: how many processes to kill in each run", \ChaosSettings.kills),
    Setting(
      "chaos-seed", .integer(0...UInt64.max), "chaos: determines which processes are disturbed, how and when",
      \ChaosSettings.seed),
    Setting("seconds", .integer(1...86_400), "bench coordinator: how long to measure", \LoadSettings.seconds),
    Setting(
      "worker-tokens", .integer(0...1_000_000_000),
      "bench coordinator: tokens per second of a synthetic worker; 0 samples instantly", \LoadSettings.workerTokens),
  ]

  private static let looking: [Setting] = [
    Setting(
      "out", .text("FILE|DIR"),
      "import, merge: the directory; grow, export: the file; report: the page of several runs",
      \LookSettings.out, \ImportSettings.out, \MergeSettings.out, \GrowthSettings.out, \ExportSettings.out),
    Setting(
      "license", .text("TEXT"), "export: under which terms others can use the archive", \ExportSettings.license),
    Setting(
      "verify", .text("ARCHIVE"), "export: check this archive, and write none", \ExportSettings.verified),
    Setting(
      "weights", .choice,
      "import, merge: type of the weights; exact: the smallest that has every value of file or base",
      \ImportSettings.weights, \MergeSettings.weights),
    Setting(
      "prompt", .text("ID|TEXT"),
      "explain: which prompt, by its id or its index, as '#12'; generate: a question",
      \LookSettings.prompt, \GenerationSettings.prompt),
    Setting(
      "step", .optionalInteger(0...(1 << 24)),
      "explain: the step whose responses to show, from 0; if not given, the prompt's latest visit", \LookSettings.step),
    Setting("watch", .flag, "status: show the run until it ends, or Ctrl-C", \LookSettings.isWatching),
    Setting("ids", .flag, "prompt: the token ids too", \PromptSettings.isShowingIDs),
    Setting("decode", .flag, "tokenize: from ids to text", \TokenizeSettings.isDecoding),
    Setting(
      "action", .choice,
      "key: make a file; rotate: a new key, the former is accepted too; retire the former; revoke all",
      \KeySettings.action),
    Setting("clean", .flag, "cache: remove packed weights that no process uses", \CacheSettings.isCleaning),
  ]

  private static let call: [Setting] = [
    Setting(
      "config", .text("FILE"), "settings as JSON5, or a run's settings.json; flags override it", \CallSettings.config),
    Setting(
      "like", .text("RUN|ARCHIVE"), "a run's settings are the defaults; of an archive, how its run asked and sampled",
      \CallSettings.like),
    Setting(
      "stages", .text("FILE"), "a course of training: runs one after the other, each begins with the last one's result",
      \CallSettings.stages),
    Setting("json", .flag, "JSON on standard output; everything else on standard error", \CallSettings.isJSON),
    Setting("dry-run", .flag, "print the plan and start nothing", \CallSettings.isDryRun),
    Setting("help", .flag, "show this text", \CallSettings.isHelp),
  ]

  /// Names that earlier versions used; settings.json and scripts can still have them.
  package static let formerNames = ["silent-groups": "zero-advantage-groups"]

  /// The setting of a name, or of a former name.
  package static func named(_ name: String) -> Setting? {
    let name = formerNames[name] ?? name
    return all.first { $0.name == name }
  }
}
