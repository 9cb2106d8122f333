// ForeignNames: flags that other tools have, and what they are called here, or why they do not exist.
//
// The names are those of TRL, verl, OpenRLHF, vLLM, transformers and the evaluation harness. Most users come from one
// of them and type its flags first. A name that ttrl has itself is not in the list.

package enum ForeignNames {
  private static let rows: [(names: [String], answer: String)] = [
    (
      [
        "gpu", "gpus", "gpu-ids", "n-gpus", "num-gpus", "n-gpus-per-node", "device", "device-map", "cuda",
        "gpu-memory-utilization", "tensor-parallel-size", "rollout-tp",
      ],
      "ttrl computes on CPUs: --threads N sets the threads of each process, --workers and --learners how many there are"
    ),
    (
      [
        "num-processes", "nproc", "nproc-per-node", "num-workers", "num-proc", "world-size", "nnodes", "num-machines",
      ],
      "--workers N sample and --learners N train on this machine; ttrl launch --hosts FILE uses several machines"
    ),
    (
      [
        "batch-size", "train-batch-size", "per-device-train-batch-size", "global-batch-size", "rollout-batch-size",
        "ppo-mini-batch-size", "mini-batch-size", "micro-batch-size", "gradient-accumulation-steps",
      ],
      "a step samples --prompts-per-step prompts × --votes responses; --mini-batch is the responses per optimizer "
        + "step, --micro-batch-tokens the tokens per pass"
    ),
    (
      ["eval-batch-size", "per-device-eval-batch-size"],
      "batches of samples are as large as the memory allows; results do not depend on it"
    ),
    (
      ["output-dir", "output", "out-dir", "save-dir", "save-path", "default-local-dir", "work-dir", "run-dir"],
      "a run writes into --run DIR; eval and generate print their results to standard output"
    ),
    (["learning-rate", "actor-lr", "actor-learning-rate"], "the learning rate is --lr X"),
    (["lr-scheduler", "lr-scheduler-type"], "the schedule is --lr-schedule"),
    (["warmup-ratio", "lr-warmup-steps", "lr-warmup-ratio"], "the warm-up is --warmup-steps N"),
    (["max-grad-norm", "grad-clip", "clip-grad"], "the largest gradient norm is --gradient-clip X"),
    (
      ["epochs", "num-epochs", "num-train-epochs", "total-epochs", "max-epochs", "num-episodes"],
      "a run is counted in steps of --prompts-per-step prompts: --steps N"
    ),
    (
      ["max-steps", "num-steps", "total-steps", "train-steps", "total-training-steps", "iterations"],
      "the number of steps is --steps N"
    ),
    (
      [
        "max-length", "max-tokens", "max-gen-toks", "max-completion-length", "max-response-length", "max-seq-length",
        "max-seq-len", "max-model-len", "generate-max-len", "response-length",
      ],
      "the longest response is --max-new-tokens N; a prompt and its response have to fit into the model's context"
    ),
    (
      ["max-prompt-length", "prompt-max-len", "truncation"],
      "prompts are never cut: --long-prompts says what happens to those that leave no room for --max-new-tokens"
    ),
    (
      [
        "num-generations", "num-samples", "n-samples", "n-samples-per-prompt", "num-return-sequences", "rollout-n", "n",
        "n-votes-per-prompt", "group-size", "best-of",
      ],
      "train samples --votes N responses per prompt and trains on --train-samples N of them; eval and generate take "
        + "--samples N"
    ),
    (
      [
        "model-name-or-path", "model-name", "model-path", "model-id", "model-args", "pretrain", "pretrained",
        "actor-model", "base-model", "hf-model", "checkpoint", "ckpt", "load-from",
      ],
      "the model is --model DIR, a Hugging Face model directory"
    ),
    (
      [
        "dataset", "dataset-name", "dataset-path", "train-data", "train-file", "train-files", "data-path",
        "prompt-data", "input", "input-file", "tasks", "questions",
      ],
      "the questions are --data FILE, JSON lines with a \"prompt\" each"
    ),
    (
      ["eval-dataset", "eval-data", "test-data", "test-file", "val-files", "validation-file"],
      "questions for evaluation only are --held-out FILE"
    ),
    (["input-key", "prompt-key"], "the question's key is \"prompt\"; ttrl convert --data FILE reads other formats"),
    (
      ["bf16", "fp16", "fp32", "half", "torch-dtype", "precision", "mixed-precision"],
      "the data type is --dtype bfloat16 (the default) or float32"
    ),
    (["load-in-4bit", "load-in-8bit", "quantization"], "weights are not quantized; the data type is --dtype"),
    (
      ["lora", "use-lora", "use-peft", "peft", "peft-config", "adapter-init", "adapter-path", "lora-path"],
      "an adapter is trained with --adapter lora, or with --adapter DIR to go on from a PEFT adapter"
    ),
    (["lora-r", "lora-rank"], "the rank of a new adapter is --adapter-rank N"),
    (["lora-alpha"], "the scale of a new adapter is --adapter-alpha X, divided by its rank"),
    (
      ["lora-target-modules", "target-modules", "lora-targets"],
      "the linear layers of a new adapter are --adapter-targets all, attention, mlp, or names as q_proj,v_proj"
    ),
    (
      ["kl-coef", "kl-beta", "init-kl-coef", "kl-loss-coef", "beta"],
      "the weight of the KL penalty is --kl-coefficient X"
    ),
    (["entropy-coef", "entropy-coeff"], "the weight of the entropy bonus is --entropy-coefficient X"),
    (
      ["eps-clip", "cliprange", "clip-range", "clip-ratio", "epsilon-high"],
      "the clips are --clip-low and --clip-high"
    ),
    (
      ["loss-type", "policy-loss", "loss-mode", "importance-sampling-level"],
      "the loss is --objective clip, gspo, nft, ppo, prime, sft or awr"
    ),
    (["lam", "lambd", "gae-lambda"], "with --objective ppo, the discount of later errors is --lambda X"),
    (["cliprange-value", "value-clip-range"], "with --objective ppo, the clip of values is --value-clip X"),
    (
      ["critic-learning-rate", "critic-optim-lr", "value-learning-rate"],
      "with --objective ppo, the critic's learning rate is --critic-lr X"
    ),
    (["adv-estimator", "advantage-estimator"], "how rewards become advantages is --advantage"),
    (
      ["reward", "reward-model", "reward-fn", "reward-func", "reward-funcs", "reward-function"],
      "the reward is agreement with the majority answer; --labels and --estimator change that"
    ),
    (
      ["save-steps", "save-freq", "save-interval", "save-every"],
      "checkpoints are written every --checkpoint-every N steps"
    ),
    (["save-total-limit", "max-ckpt-num", "max-checkpoints"], "the newest --keep-checkpoints N are kept"),
    (["eval-steps", "test-freq", "eval-interval", "eval-freq"], "the model is evaluated every --eval-every N steps"),
    (
      ["resume", "resume-from", "resume-from-checkpoint", "continue"],
      "the same command continues a run: ttrl train --run DIR"
    ),
    (
      ["force", "overwrite", "overwrite-output-dir"],
      "a run is never overwritten; give another --run, or remove the directory"
    ),
    (
      ["report-to", "wandb", "use-wandb", "wandb-project", "logging-dir", "logging-steps", "tensorboard", "log-dir"],
      "a run writes metrics.jsonl, TensorBoard files and report.html into --run DIR"
    ),
    (["system-prompt", "system-message"], "the system line is --system TEXT"),
    (["chat-template", "apply-chat-template", "prompt-template"], "the form of a prompt is --template"),
    (["stop-words", "stop-sequences", "stop-strings", "stop-token"], "a text that ends a response is --stop TEXT"),
    (["do-sample", "greedy"], "--temperature 0 takes the most likely token"),
    (["verbose", "debug", "quiet", "v"], "--log-level says which events are logged"),
    (["host", "port", "addr", "master-addr", "master-port"], "addresses are --listen and --coordinator HOST:PORT"),
    (["nodes", "hostfile", "machinefile"], "the machines are --hosts FILE of ttrl launch"),
  ]

  /// All of them, for a test.
  package static let all = rows.flatMap(\.names)

  /// A name with its words as they are written here: model_name_or_path is model-name-or-path.
  package static func spelled(_ name: String) -> String {
    String(name.map { $0 == "_" || $0 == "." ? "-" : $0 }).lowercased()
  }

  /// What a flag of another tool is called here; nil if it is not known.
  package static func answer(to name: String) -> String? {
    let name = spelled(name)
    return rows.first { $0.names.contains(name) }?.answer
  }
}
