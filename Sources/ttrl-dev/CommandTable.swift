// CommandTable: what `ttrl-dev` can be told to do: tools for those who work on ttrl.
//
// The last line of standard output is the result; progress goes to standard error.

import Benchmarks
import Commands
import Platform
import Records
import Runs
import Settings

extension CommandSet {
  static let ttrlDev = CommandSet(
    program: "ttrl-dev", summary: "tools for those who work on ttrl",
    closing: "ttrl-dev COMMAND --help tells more about commands; tools print their usage.", commands: Command.all,
    tools: [
      Tool(SimulateCommand.self),
      Tool(AgreeCommand.self),
      Tool("fuzz", usage: FuzzCommand.usage, run: FuzzCommand.run),
      Tool(FuzzAnswersCommand.self),
      Tool(DifferencesCommand.self),
      Tool(AssaultCommand.self),
      Tool("crowd", usage: CrowdCommand.usage, run: CrowdCommand.run),
      Tool(RandomModelCommand.self),
      Tool(SizingCommand.self),
      Tool("results", usage: ResultsCommand.usage, run: ResultsCommand.run),
    ])
}

extension Command {
  private static let benchmarkSettings = [
    "model", "prompts", "prompt-tokens", "samples", "max-new-tokens", "dtype", "threads", "runs", "seed", "json",
  ]

  static let all: [Command] = [
    Command(
      name: "chaos", summary: "a run under random kills, compared bit for bit with an undisturbed one",
      example: "ttrl-dev chaos --run chaos-run --kills 20",
      settings: runSettings + [
        "run", "runs", "kills", "chaos-seed", "workers", "learners", "threads", "kv-memory", "key", "checkpoint-every",
        "keep-checkpoints", "json",
      ], needs: ["run"], defaults: chaosDefaults, isOfRun: true, problems: chaosProblems, run: chaos),
    Command(
      name: "pretrain", summary: "make the small base model that is built in",
      example: "ttrl-dev pretrain --run base",
      settings: ["run", "seed", "threads", "json"], needs: ["run"], defaults: pretrainingDefaults, run: pretrain),
    Command(
      name: "bench gemm", summary: "speed of the model's matrix products, beside the multiply-add peak",
      example: "ttrl-dev bench gemm --model small --dtype bfloat16",
      settings: benchmarkSettings, defaults: benchmarkDefaults,
      run: { settings, _ in try bench(settings, benchmarkGEMM) }),
    Command(
      name: "bench rollout", summary: "speed of sampling, beside what matrix products alone allow",
      example: "ttrl-dev bench rollout --model small --threads 2",
      settings: benchmarkSettings, defaults: benchmarkDefaults,
      run: { settings, _ in try bench(settings, benchmarkRollout) }),
    Command(
      name: "bench learner", summary: "speed of a training step, beside what matrix products alone allow",
      example: "ttrl-dev bench learner --model small --threads 2",
      settings: benchmarkSettings + ["micro-batch-tokens"], defaults: benchmarkDefaults,
      run: { settings, _ in try bench(settings, benchmarkLearner) }),
    Command(
      name: "bench growth", summary: "speed of decoding by number of samples and length of context",
      example: "ttrl-dev bench growth --model small --dtype float32",
      settings: benchmarkSettings, defaults: benchmarkDefaults,
      run: { settings, _ in try bench(settings, benchmarkGrowth) }),
    Command(
      name: "bench broadcast", summary: "time until workers hold a version, as an anchor and as a delta",
      example: "ttrl-dev bench broadcast --workers 8",
      settings: [
        "model", "base", "dtype", "workers", "runs", "listen", "coordinator", "key", "name", "link-rate", "json",
      ],
      defaults: broadcastDefaults, run: benchBroadcast),
    Command(
      name: "bench ranks", summary: "speed of a step of several learner ranks: exact sums, overlapped or not; float32",
      example: "ttrl-dev bench ranks --model small --micro-batch-tokens 768 --learners 2 --trace step.json",
      settings: benchmarkSettings + ["learners", "micro-batch-tokens", "trace"], defaults: ranksDefaults,
      run: benchRanks),
    Command(
      name: "bench allreduce", summary: "speed of sums over learner ranks, beside a plain MPI program",
      example: "ttrl-dev bench allreduce --learners 2", settings: ["learners", "runs", "json"],
      defaults: allReduceDefaults,
      run: benchAllReduce),
    Command(
      name: "bench coordinator", summary: "a coordinator under many synthetic workers, beside what the ledger allows",
      example: "ttrl-dev bench coordinator --workers 1000 --seconds 60",
      settings: [
        "workers", "prompts", "samples", "max-new-tokens", "worker-tokens", "seconds", "listen", "coordinator", "key",
        "name", "run", "json",
      ],
      defaults: loadDefaults, problems: loadProblems, run: benchCoordinator),
    Command(
      name: "completions", summary: "completions for bash", example: "source <(ttrl-dev completions)", settings: [],
      run: { _, _ in
        print(CommandSet.ttrlDev.completions)
        return ExitStatus.done
      }),
  ]
}

extension Command {
  @Sendable private static func pretrainingDefaults(isBuiltIn: Bool) -> Settings {
    var settings = Settings()
    settings.method.seed = BuiltIn.pretrainingSeed
    return settings
  }

  @Sendable private static func chaosProblems(_ settings: Settings) -> [String] {
    needsData(settings) + ClusterAccess.problems(settings.listen, key: settings.key)
  }
}
