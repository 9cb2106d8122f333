// RandomModelCommand: `ttrl-dev random-model`: a Hugging Face model directory whose model has learnt nothing.
//
// For trying the program on vocabularies and shapes of real models without their weights. The same arguments give the
// same files. scripts/random-checkpoint calls it with a configuration of its own.

import Glibc
import LanguageModel
import Load
import Platform

enum RandomModelCommand {
  static let usage = "random-model --config FILE --tokenizer FILE --out DIR [--seed N]"

  private struct Options {
    var config = ""
    var tokenizer = ""
    var out = ""
    var seed: UInt64 = 0
  }

  /// - Returns: the exit status: 0 written, 1 failed, 2 usage.
  static func run(_ arguments: [String]) -> Int32 {
    guard let options = parse(arguments) else {
      SimulateCommand.print("usage: ttrl-dev \(usage)\n", to: STDERR_FILENO)
      return 2
    }
    do {
      try write(options)
      return 0
    } catch {
      SimulateCommand.print("ttrl-dev random-model: \(error)\n", to: STDERR_FILENO)
      return 1
    }
  }

  private static func parse(_ arguments: [String]) -> Options? {
    var options = Options()
    var rest = arguments[...]
    while let flag = rest.popFirst(), let value = rest.popFirst() {
      switch (flag, UInt64(value)) {
      case ("--config", _): options.config = value
      case ("--tokenizer", _): options.tokenizer = value
      case ("--out", _): options.out = value
      case ("--seed", let seed?): options.seed = seed
      default: return nil
      }
    }
    let isComplete = ![options.config, options.tokenizer, options.out].contains("")
    return isComplete && arguments.count.isMultiple(of: 2) ? options : nil
  }

  private static func write(_ options: Options) throws {
    let configuration = try CheckpointConfiguration(config: try Files.read(options.config))
    try RandomCheckpoint.write(
      configuration, tokenizer: options.tokenizer, to: options.out, seed: options.seed)
  }
}
