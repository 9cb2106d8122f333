// RandomModelCommand: `ttrl-dev random-model`: a Hugging Face model directory with random weights.
//
// With it the program can be tried on the vocabularies and shapes of real models without their weights. The same
// arguments give the same files. scripts/random-checkpoint calls it with a configuration of its own.

import Commands
import LanguageModel
import Load
import Platform

struct RandomModelCommand: DeveloperTool {
  static let usage = "random-model --config FILE --tokenizer FILE --out DIR [--seed N]"

  private var config = ""
  private var tokenizer = ""
  private var out = ""
  private var seed: UInt64 = 0

  init?(_ arguments: inout ToolArguments) {
    arguments.read("--config", &config)
    arguments.read("--tokenizer", &tokenizer)
    arguments.read("--out", &out)
    arguments.read("--seed", &seed)
    if [config, tokenizer, out].contains("") { return nil }
  }

  func run() throws -> Int32 {
    let configuration = try CheckpointConfiguration(config: try Files.read(config))
    try RandomCheckpoint.write(configuration, tokenizer: tokenizer, to: out, seed: seed)
    return ExitStatus.done
  }
}
