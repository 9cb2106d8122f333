// CommandTable: all commands of `ttrl`, each with its settings, defaults and rules.
//
// Help, the manual page and completions are made from this table, in its order.

import Base
import Commands
import Platform
import Records
import Runs
import Settings

extension CommandSet {
  static let ttrl = CommandSet(
    program: "ttrl", summary: "test-time reinforcement learning on Linux machines",
    closing: "ttrl COMMAND --help explains a command. ttrl train alone runs the built-in example.",
    commands: Command.all,
    tools: [
      // Not for users: ttrl starts these itself, here and on other machines.
      Tool("reach", run: Reach.main), Tool("attend", run: Attendant.main),
      Tool(Confinement.toolName) { words in
        // It returns only if it cannot begin.
        let status = Confinement.run(words)
        Command.complain("ttrl confine: expected DIR BYTES PROCESSES PROGRAM…; the coordinator starts it in this way")
        return status
      },
      Tool("two-ranks") { _ in SelfExamination.twoRanks() },
    ], others: ("ttrl-dev", ["bench", "chaos", "pretrain"]))
}

extension Command {
  private static let samplingSettings = [
    "seed", "samples", "temperature", "top-p", "top-k", "max-new-tokens", "ignore-eos", "stop", "dtype", "products",
    "threads",
  ]
  private static let promptSettings = [
    "model", "template", "system", "suffix", "template-arguments", "template-date",
  ]

  static let all: [Command] = [
    Command(
      name: "train", summary: "train a model on this machine: coordinator, workers and learner ranks",
      example: "ttrl train --run my-run --model Qwen2.5-0.5B-Instruct --data questions.jsonl --steps 40",
      settings: resultSettings + [
        "run", "workers", "learners", "threads", "kv-memory", "gradient", "reward-processes", "listen", "coordinator",
        "key", "durability", "takeover-after",
        "checkpoint-every", "keep-checkpoints", "page", "page-token", "protect-mpi", "log-level", "like", "stages",
        "dry-run",
        "json",
      ], needs: ["run"], defaults: runDefaults, isOfRun: true, problems: runProblems, run: train),
    Command(
      name: "launch", summary: "train on several machines, over ssh: those of a hosts file",
      example: "ttrl launch --run my-run --hosts hosts --listen node1:7700 --model /models/qwen --data questions.jsonl",
      settings: resultSettings + [
        "run", "hosts", "kv-memory", "gradient", "reward-processes", "listen", "key", "durability", "takeover-after",
        "checkpoint-every",
        "keep-checkpoints", "page", "page-token", "protect-mpi", "log-level", "like", "stages", "dry-run", "json",
      ], needs: ["run", "hosts"], defaults: runDefaults, isOfRun: true, problems: launchProblems, run: launch),
    Command(
      name: "stop", summary: "end all processes of a run, here and elsewhere; the run can be continued",
      example: "ttrl stop --run my-run", settings: ["run"],
      needs: ["run"], run: stop),
    Command(
      name: "doctor", summary: "check whether this machine, or those of a hosts file, can take part in a run",
      example: "ttrl doctor --hosts hosts",
      settings: ["hosts", "run", "workers", "learners", "gradient", "listen", "coordinator", "key", "json"],
      run: doctor),
    Command(
      name: "coordinator", summary: "one role: begin or continue a run, grant leases, write the ledger, serve weights",
      example: "ttrl coordinator --run my-run --listen 10.0.0.1:7700 --key cluster.key",
      settings: resultSettings + [
        "run", "reward-processes", "listen", "key", "durability", "takeover-after", "checkpoint-every",
        "keep-checkpoints", "log-level",
      ],
      needs: ["run"],
      defaults: runDefaults, isOfRun: true, isRole: true, problems: runProblems,
      run: coordinator),
    Command(
      name: "worker", summary: "one role: sample the leases of the coordinator",
      example: "ttrl worker --coordinator 10.0.0.1:7700 --key cluster.key --threads 8",
      settings: ["coordinator", "key", "name", "relay", "threads", "kv-memory", "log-level"],
      needs: ["coordinator", "key"], isRole: true, problems: addressProblems, run: worker),
    Command(
      name: "learner", summary: "one role: train; start it under mpirun",
      example: "mpirun -n 2 ttrl learner --run my-run --coordinator 127.0.0.1:7700 --key cluster.key",
      settings: [
        "run", "coordinator", "key", "threads", "gradient", "protect-mpi", "checkpoint-every", "keep-checkpoints",
        "log-level",
      ],
      needs: ["run", "coordinator"], isRole: true, run: learner),
    Command(
      name: "standby", summary: "one role: follow a run, and take over when its coordinator is silent",
      example: "ttrl standby --follow 10.0.0.1:7700 --run copy --listen 10.0.0.2:7700 --key cluster.key",
      settings: ["follow", "run", "listen", "key", "takeover-after", "reward-processes", "log-level"],
      needs: ["follow", "run", "key"], isRole: true, problems: standbyProblems, run: standby),
    Command(
      name: "eval", summary: "pass@k, pass^k and maj@k of a model, with confidence intervals",
      example: "ttrl eval --model Qwen2.5-0.5B-Instruct --data test.jsonl --samples 16 --counts 1,4,16",
      settings: promptSettings + samplingSettings + [
        "adapter", "data", "long-prompts", "recipe", "answer-rule", "counts", "eval-as", "workers", "run", "like",
        "json",
      ], needs: ["model", "data"], defaults: evaluationDefaults, run: evaluate),
    Command(
      name: "grow", summary: "a model writes new questions from examples of a set; a larger question file",
      example: "ttrl grow --model Qwen2.5-0.5B-Instruct --data seeds.jsonl --new-questions 64 --out grown.jsonl",
      settings: promptSettings + samplingSettings + [
        "adapter", "data", "long-prompts", "workers", "run", "like", "new-questions", "examples", "words-least",
        "words-most", "likeness", "banned", "out",
      ], needs: ["model", "data", "out"], run: grow),
    Command(
      name: "generate", summary: "sample responses; JSONL in, JSONL out",
      example: #"echo '{"prompt": "What is 6 × 7?"}' | ttrl generate --model builtin --samples 4"#,
      settings: promptSettings + samplingSettings + ["adapter", "prompt", "like"],
      needs: ["model"], defaults: generationDefaults, run: generate),
    Command(
      name: "logprobs", summary: "log-probabilities of given tokens; JSONL in, JSONL out",
      example: #"echo '{"ids": [1, 2, 3]}' | ttrl logprobs --model builtin"#,
      settings: ["model", "adapter", "dtype", "products", "threads"], needs: ["model"], run: logprobs),
    Command(
      name: "prompt", summary: "questions as the model sees them; JSONL out",
      example: "ttrl prompt --model Qwen3-0.6B --data questions.jsonl --ids",
      settings: promptSettings + ["data", "ids", "like"], needs: ["model", "data"], defaults: promptDefaults,
      run: prompt),
    Command(
      name: "tokenize", summary: "text to ids and back; JSONL in, JSONL out",
      example: #"echo '{"text": "6 × 7"}' | ttrl tokenize --model builtin"#, settings: ["model", "decode"],
      needs: ["model"], run: tokenize),
    Command(
      name: "extract", summary: "the final answer of a response; JSONL in, JSONL out",
      example: #"echo '{"response": "so \\boxed{42}"}' | ttrl extract"#,
      settings: ["recipe", "answer-rule"],
      run: { (settings: RunSettings, _) in try extract(settings.method.answers) }),
    Command(
      name: "grade", summary: "whether two answers are equal; JSONL in, JSONL out",
      example: #"echo '{"answer": "1/2", "reference": "0.5"}' | ttrl grade"#, settings: ["recipe", "answer-rule"],
      run: { (settings: RunSettings, _) in try grade(settings.method.answers) }),
    Command(
      name: "vote", summary: "the vote and the rewards of a group of responses; JSONL in, JSONL out",
      example: "ttrl vote < groups.jsonl",
      settings: ["recipe", "answer-rule"],
      run: { (settings: RunSettings, _) in try vote(settings.method.answers) }),
    Command(
      name: "convert", summary: "print a question file of another format as the JSON lines of ttrl",
      example: "ttrl convert --data benchmark.json > questions.jsonl", settings: ["data"],
      needs: ["data"], run: { (settings: RunSettings, _) in try convert(settings.data) }),
    Command(
      name: "import", summary: "make a model directory from a GGUF file",
      example: "ttrl import SmolLM2-135M-Instruct-Q8_0.gguf smollm2", settings: ["model", "out", "weights"],
      needs: ["model", "out"], operands: ["model", "out"], run: importModel),
    Command(
      name: "merge", summary: "make a model directory from a base and an adapter, for programs that take no adapters",
      example: "ttrl merge --model Qwen2.5-0.5B-Instruct --adapter my-run/delivered merged",
      settings: ["model", "adapter", "out", "weights"], needs: ["model", "adapter", "out"], operands: ["out"],
      run: merge),
    Command(
      name: "cache", summary: "list or clean the user's cache: unpacked and imported models, packed weights",
      example: "ttrl cache --clean", settings: ["clean"], run: cache),
    Command(
      name: "page", summary: "serve a run's live page, even if the run is stopped or finished",
      example: "ttrl page --run my-run --page 127.0.0.1:8080",
      settings: ["run", "page", "page-token"],
      needs: ["run"], problems: pageProblems, run: page),
    Command(
      name: "status", summary: "what a run has done and what it waits for",
      example: "ttrl status --run my-run --watch", settings: ["run", "json", "watch"], needs: ["run"],
      run: status),
    Command(
      name: "report", summary: "write report.html of a run; of several runs, one page that compares them",
      example: "ttrl report first-run second-run --out both.html",
      settings: ["run", "out"], needs: ["run"], operands: ["run"], run: report),
    Command(
      name: "explain", summary: "the history of one prompt: its votes and its responses",
      example: "ttrl explain my-run --prompt 17",
      settings: ["run", "prompt", "step"],
      needs: ["run", "prompt"], operands: ["run"], run: explain),
    Command(
      name: "diff", summary: "where two runs differ first",
      example: "ttrl diff first-run second-run", settings: ["run", "json"], needs: ["run"], operands: ["run"], run: diff
    ),
    Command(
      name: "runs", summary: "list the runs below directories: what they were, how far they came, what they gave",
      example: "ttrl runs experiments more-experiments",
      settings: ["run", "json"], needs: ["run"], operands: ["run"], run: runs),
    Command(
      name: "export", summary: "write all that a run asked, sampled and learned from into one file for other programs",
      example: "ttrl export my-run my-run.jsonl.zst --license CC-BY-4.0",
      settings: ["run", "out", "license", "verify", "json"], operands: ["run", "out"], run: export),
    Command(
      name: "key", summary: "make a cluster key, with which processes on any machine can join, or replace one",
      example: "ttrl key rotate --key cluster.key", settings: ["action", "key", "json"], operands: ["action"],
      run: key),
    Command(
      name: "manual", summary: "the manual page", example: "ttrl manual > ttrl.1 && man -l ttrl.1", settings: [],
      run: { (call: CallSettings, _) in
        if call.isJSON { showJSON(CommandSet.ttrl.manualJSON.text()) } else { show(CommandSet.ttrl.manual) }
        return ExitStatus.done
      }),
    Command(
      name: "completions", summary: "completions for bash", example: "source <(ttrl completions)", settings: [],
      run: { (call: CallSettings, _) in
        let script = CommandSet.ttrl.completions
        if call.isJSON { showJSON((["bash": .string(script)] as JSON).text()) } else { show(script) }
        return ExitStatus.done
      }),
  ]
}

// MARK: - Defaults and rules of single commands

extension Command {
  @Sendable private static func evaluationDefaults(isBuiltIn: Bool) -> EvaluationSettings {
    var settings = EvaluationSettings()
    if isBuiltIn { adaptToBuiltInModel(&settings.sampling) }
    return settings
  }

  @Sendable private static func generationDefaults(isBuiltIn: Bool) -> GenerationSettings {
    var settings = GenerationSettings()
    if isBuiltIn { adaptToBuiltInModel(&settings.sampling) }
    return settings
  }

  @Sendable private static func promptDefaults(isBuiltIn: Bool) -> PromptSettings {
    var settings = PromptSettings()
    if isBuiltIn { adaptToBuiltInModel(&settings.rendering) }
    return settings
  }

  private static func adaptToBuiltInModel(_ settings: inout RunSettings) {
    settings.template = BuiltIn.defaults.template
    settings.maxNewTokens = BuiltIn.defaults.maxNewTokens
  }

  @Sendable private static func runProblems(_ settings: RunSettings) -> [String] {
    inputProblems(settings) + ClusterAccess.problems(settings.operation.listen, key: settings.operation.key)
      + pageProblems(settings.operation) + directoryProblems(settings.operation)
  }

  @Sendable private static func standbyProblems(_ settings: OperationSettings) -> [String] {
    var found = settings.follow.isEmpty ? [] : ClusterAccess.problems(settings.follow, key: settings.key)
    found += ClusterAccess.problems(settings.listen, key: settings.key)
    if let host = try? HostPort(parsing: settings.listen).host, ["", "0.0.0.0", "::"].contains(host) {
      found.append(
        "listen is \(settings.listen), where other machines cannot reach this one: give an address where they can")
    }
    return found
  }

  @Sendable private static func addressProblems(_ settings: OperationSettings) -> [String] {
    settings.coordinator.isEmpty ? [] : ClusterAccess.problems(settings.coordinator, key: settings.key)
  }
}
