// OtherValues: the values that tests give to settings.

import Records
import Settings

/// A value of each setting that is not its default.
let otherValues: [String: String] = [
  "run": "a", "model": "b", "from": "/r@7", "optimizer": "carry", "plateau": "stop", "stages": "s",
  "data": "c", "prompt-filter": "majority:0.2..0.8", "prompt-history": "h", "skip-below": "8",
  "held-out": "d",
  "transfer": "x/one.jsonl,two.jsonl", "responses": "old", "template": "llama3",
  "system": "s",
  "suffix": " \"e\"\n\\boxed{é}", "template-arguments": "{\"x\": true}", "template-date": "2026-07-04", "ids": "true",
  "long-prompts": "refuse", "adapter": "lora", "adapter-rank": "32", "adapter-alpha": "64.0",
  "adapter-targets": "attention", "seed": "18446744073709551615", "steps": "3", "prompts-per-step": "5",
  "choice-orders": "5",
  "votes": "96",
  "train-samples": "48", "selection": "first", "labels": "random", "answer-rule": "reference",
  "recipe": "ttrl-reference", "preset": "amc", "family": "reasoning", "last-batch": "drop", "ties": "abstain",
  "min-share": "0.25", "estimator": "soft-vote", "vote-entropy-low": "0.5", "vote-entropy-high": "1.5",
  "prompt-weights": "flips", "brevity-penalty": "2.5",
  "reward-command": "[\"/bin/cat\",\"a b\"]", "reward-seconds": "2.5", "reward-memory": "512", "reward-processes": "3",
  "early-stop": "bayes", "early-stop-error": "0.01", "temperature": "0.7", "top-p": "0.85", "top-k": "50",
  "max-new-tokens": "17", "ignore-eos": "true", "stop": "[\"\\n\\n\",\"Q:\"]", "dtype": "float32", "mini-batch": "33",
  "micro-batch-tokens": "512",
  "staleness": "2", "importance-cap": "3.0",
  "objective": "ppo", "nft-prompt-weight": "one", "gamma": "0.99", "lambda": "0.95", "value-clip": "0.2",
  "critic-lr": "1e-05", "prime-update": "before", "prime-lr": "2e-06",
  "awr-temperature": "0.5", "awr-cap": "10.0",
  "clip-low": "0.1", "clip-high": "0.28", "dual-clip": "0.0", "advantage": "reinforce++",
  "zero-advantage-groups": "train",
  "denominator": "micro-batch", "denominator-sequences": "4", "kl-coefficient": "0.001", "kl-estimator": "k1",
  "kl-in": "reward",
  "entropy-coefficient": "0.01", "lr": "1e-06", "lr-schedule": "cosine-from-zero",
  "warmup-steps": "4", "lr-floor": "0.1", "beta1": "0.85", "beta2": "0.95", "epsilon": "1e-06", "weight-decay": "0.1",
  "gradient-clip": "0.3", "reduction": "fast", "products": "tile", "eval": "none", "eval-every": "6",
  "eval-samples": "7",
  "eval-temperature": "0.3", "eval-top-p": "0.9", "eval-top-k": "5",
  "eval-as": "held-out:24", "like": "r", "guard": "stop", "guard-window": "9",
  "deliver": "best",
  "samples": "8", "counts": "2,8", "new-questions": "12", "examples": "5", "words-least": "2", "words-most": "60",
  "likeness": "0.5", "banned": "x,y z", "workers": "7", "learners": "9", "threads": "2", "kv-memory": "512",
  "gradient": "whole", "protect-mpi": "on", "follow": "localhost:3", "durability": "replicated", "takeover-after": "7",
  "coordinator": "localhost:1", "listen": "127.0.0.1:2", "relay": "none", "key": "k", "checkpoint-every": "3",
  "keep-checkpoints": "4", "page": "127.0.0.1:9", "page-token": "t", "watch": "true",
  "out": "o.html", "trace": "t.json", "prompt": "7", "step": "12",
  "license": "CC0-1.0", "verify": "a.jsonl.zst",
  "name": "ada", "hosts": "h", "log-level": "debug", "kills": "5", "chaos-seed": "9",
  "config": "f", "prompts": "2", "prompt-tokens": "9",
  "runs": "7", "weights": "bfloat16", "seconds": "9", "worker-tokens": "11",
  "base": "v", "link-rate": "50.0", "json": "true", "decode": "true", "clean": "true",
  "action": "rotate", "dry-run": "true",
  "help": "true",
]

/// Settings that contradict each other. Each list is given without the settings of the other lists.
let exclusiveSettings: [[String]] = [
  ["labels", "top-p", "top-k", "template", "clip-low", "clip-high", "dual-clip", "advantage", "kl-in"],
  ["objective", "gamma", "lambda", "value-clip", "critic-lr"],
  ["choice-orders"],
  ["nft-prompt-weight"],
  ["prime-update", "prime-lr"],
  ["responses", "awr-temperature", "awr-cap"],
  [
    "ties", "min-share", "early-stop", "early-stop-error", "kl-coefficient", "staleness", "template-arguments",
    "template-date",
  ],
  [
    "estimator", "vote-entropy-low", "vote-entropy-high", "prompt-weights", "brevity-penalty", "reward-command",
    "reward-seconds", "reward-memory", "reward-processes",
  ],
]

/// The other values in combinations that contradict nothing; together they hold every setting.
let otherCombinations: [[String: String]] = exclusiveSettings.map { chosen in
  let left = exclusiveSettings.joined().filter { !chosen.contains($0) }
  var values = otherValues.filter { !left.contains($0.key) }
  if chosen.contains("choice-orders") { (values["recipe"], values["answer-rule"]) = (nil, nil) }
  if chosen.contains("nft-prompt-weight") { values["objective"] = "nft" }
  if chosen.contains("prime-lr") { values["objective"] = "prime" }
  if chosen.contains("awr-cap") {
    values["objective"] = "awr"
    // The recipe has a KL penalty.
    for name in PolicyObjective.awr.ignored + ["recipe", "deliver", "plateau"] { values[name] = nil }
    values["guard"] = "off"
  }
  return values
}
