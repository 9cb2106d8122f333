// RandomModelCommand: `ttrl-dev random-model`: a Hugging Face model directory whose model has learnt nothing.
//
// For trying the program on vocabularies and shapes of real models without their weights. The same arguments give the
// same files. scripts/random-checkpoint calls it with a configuration of its own.

import Base
import Glibc
import LanguageModel
import Platform
import Tensors

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
    let bytes = try Files.read(options.config)
    var configuration = try CheckpointConfiguration(config: bytes)
    configuration.weightType = .bfloat16
    // The embedding is the head too, where it is tied. These deviations give logits of about 4: far below, all tokens
    // are about equally likely, and top-p has to rank the whole vocabulary; far above, the last token comes again for
    // ever.
    let scale = 4 / Double(configuration.model.hiddenSize).squareRoot()
    let parameters = initialParameters(
      configuration.model, scales: InitialScales(embedding: scale, head: 1), seed: options.seed)
    try Files.createDirectory(options.out)
    try Files.write(configuration.configFile(), to: options.out + "/config.json")
    try Files.write(configuration.generationFile(), to: options.out + "/generation_config.json")
    try Files.write(try Files.read(options.tokenizer), to: options.out + "/tokenizer.json")
    let writer = SafeTensorsWriter(ParameterLayout(configuration.model), type: .bfloat16)
    let data = parameters.withUnsafeBuffer { writer.data(UnsafeBufferPointer($0)) }
    try Files.write(writer.header + data, to: options.out + "/model.safetensors")
  }
}
