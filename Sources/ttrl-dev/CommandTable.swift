// CommandTable: all commands and tools of `ttrl-dev`, for developers of ttrl.
//
// The last line of standard output is the result; progress goes to standard error.

import Base
import Benchmarks
import Commands
import Runs
import Settings

extension CommandSet {
  static let ttrlDev = CommandSet(
    program: "ttrl-dev", summary: "tools for developers of ttrl",
    closing: "ttrl-dev COMMAND --help explains a command. A tool with wrong arguments prints its usage.",
    commands: Command.all,
    tools: [
      Tool(SimulateCommand.self),
      Tool(AgreeCommand.self),
      Tool(ProductsCommand.self),
      Tool("fuzz", usage: FuzzCommand.usage, run: FuzzCommand.run),
      Tool(FuzzAnswersCommand.self),
      Tool(DifferencesCommand.self),
      Tool(AssaultCommand.self),
      Tool("crowd", usage: CrowdCommand.usage, run: CrowdCommand.run),
      Tool(RandomModelCommand.self),
      Tool(SizingCommand.self),
      Tool(ResultsCommand.self),
      Tool(MethodsCommand.self),
      Tool(CoursesCommand.self),
    ])
}

extension Command {
  private static let benchmarkSettings = [
    "model", "prompts", "prompt-tokens", "samples", "max-new-tokens", "dtype", "products", "threads", "runs", "seed",
    "json",
  ]

  static let all: [Command] = [
    Command(
      name: "chaos", summary: "runs under random kills, compared bit for bit with an undisturbed run",
      example: "ttrl-dev chaos --run chaos-run --kills 20",
      settings: resultSettings + [
        "run", "runs", "kills", "chaos-seed", "workers", "learners", "threads", "kv-memory", "gradient", "key",
        "checkpoint-every", "keep-checkpoints", "json",
      ], needs: ["run"], defaults: chaosDefaults, isOfRun: true, problems: chaosProblems, run: chaos),
    Command(
      name: "pretrain", summary: "make the built-in base model again",
      example: "ttrl-dev pretrain --run base",
      settings: ["run", "seed", "threads", "json"], needs: ["run"], run: pretrain),
    Command(
      name: "bench gemm", summary: "speed of the model's matrix products, compared with the multiply-add peak",
      example: "ttrl-dev bench gemm --model small --dtype bfloat16",
      settings: benchmarkSettings, run: { settings, call in try bench(settings, call, benchmarkGEMM) }),
    Command(
      name: "bench products",
      summary: "speed of bfloat16 products of all sizes on one thread, compared with the processor's limits and oneDNN",
      example: "ttrl-dev bench products --model smollm2-135m",
      settings: ["model", "runs", "json"],
      run: { settings, call in try bench(settings, call, benchmarkProducts) }),
    Command(
      name: "bench rollout", summary: "speed of sampling, compared with what matrix products alone allow",
      example: "ttrl-dev bench rollout --model small --threads 2",
      settings: benchmarkSettings, run: { settings, call in try bench(settings, call, benchmarkRollout) }),
    Command(
      name: "bench learner", summary: "speed of a training step, compared with what matrix products alone allow",
      example: "ttrl-dev bench learner --model small --threads 2",
      settings: benchmarkSettings + ["micro-batch-tokens", "gradient"],
      run: { settings, call in try bench(settings, call, benchmarkLearner) }),
    Command(
      name: "bench memory", summary: "memory of a training step with one large micro-batch, compared with the plan",
      example: "ttrl-dev bench memory --model small --prompts 1 --max-new-tokens 3072",
      settings: benchmarkSettings + ["gradient", "adapter"],
      run: { settings, call in try bench(settings, call, benchmarkMemory) }),
    Command(
      name: "bench growth", summary: "speed of decoding by number of samples and length of context",
      example: "ttrl-dev bench growth --model small --dtype float32",
      settings: benchmarkSettings, run: { settings, call in try bench(settings, call, benchmarkGrowth) }),
    Command(
      name: "bench rewards", summary: "speed of a reward command, compared with the same program behind a plain pipe",
      example: "ttrl-dev bench rewards --runs 5", settings: ["prompts", "runs", "json"], run: benchRewards),
    Command(
      name: "bench broadcast", summary: "time until workers have a new version, as an anchor and as a delta",
      example: "ttrl-dev bench broadcast --workers 8",
      settings: [
        "model", "base", "dtype", "workers", "runs", "listen", "coordinator", "key", "name", "link-rate", "json",
      ], run: benchBroadcast),
    Command(
      name: "bench ranks",
      summary:
        "speed of a step of several learner ranks: exact sums, overlapped or not, float32 sums, streamed gradients",
      example: "ttrl-dev bench ranks --model small --micro-batch-tokens 768 --learners 2 --trace step.json",
      settings: benchmarkSettings + ["learners", "micro-batch-tokens", "gradient", "trace", "key"], run: benchRanks),
    Command(
      name: "bench allreduce", summary: "speed of sums over learner ranks, compared with MPI's own",
      example: "ttrl-dev bench allreduce --learners 2", settings: ["learners", "runs", "key", "json"],
      run: benchAllReduce),
    Command(
      name: "bench coordinator",
      summary: "a coordinator with many synthetic workers, compared with what the ledger allows",
      example: "ttrl-dev bench coordinator --workers 1000 --seconds 60",
      settings: [
        "workers", "prompts", "samples", "max-new-tokens", "worker-tokens", "seconds", "listen", "coordinator", "key",
        "name", "run", "json",
      ], problems: loadProblems, run: benchCoordinator),
    Command(
      name: "completions", summary: "completions for bash", example: "source <(ttrl-dev completions)", settings: [],
      run: { (call: CallSettings, _) in
        let script = CommandSet.ttrlDev.completions
        print(call.isJSON ? (["bash": .string(script)] as JSON).text() : script)
        return ExitStatus.done
      }),
  ]
}

extension Command {
  @Sendable private static func chaosProblems(_ settings: ChaosSettings) -> [String] {
    let operation = settings.disturbed.operation
    return inputProblems(settings.disturbed) + ClusterAccess.problems(operation.listen, key: operation.key)
  }
}
