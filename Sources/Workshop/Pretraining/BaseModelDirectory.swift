// BaseModelDirectory: writes the built-in model and its questions as files, for `ttrl-dev pretrain`.

import Base
import LanguageModel
package import Platform
import Records
import Runs
package import Tensors

package enum BaseModelDirectory {
  private static let heldOutSeed: UInt64 = 888

  /// Writes a Hugging Face model directory and three question files.
  ///
  /// - Parameters:
  ///   - parameters: those of the trained base model.
  ///   - path: the directory, which is created if it does not exist.
  /// - Throws: if a file cannot be written.
  package static func write(_ parameters: Floats, to path: String) throws(PlatformError) {
    try Files.createDirectory(path)
    let configuration = CheckpointConfiguration(
      model: BaseModel.configuration, bosToken: nil, eosTokens: [BaseModel.endToken], weightType: .bfloat16)
    try Files.write(configuration.configFile(), to: path + "/config.json")
    try Files.write(configuration.generationFile(), to: path + "/generation_config.json")
    try Files.write(BaseModel.tokenizerFile, to: path + "/tokenizer.json")
    let writer = SafeTensorsWriter(ParameterLayout(BaseModel.configuration), type: .bfloat16)
    let data = parameters.withUnsafeBuffer { writer.data(UnsafeBufferPointer($0)) }
    try Files.write(writer.header + data, to: path + "/model.safetensors")
    let questions = QuestionSets.builtIn
    try write(questions, "train", path + "/questions.jsonl")
    try write(QuestionSets.balanced(count: questions.count, seed: heldOutSeed), "held", path + "/held-out.jsonl")
    try write(
      QuestionSets.unsolvable(count: 64, seed: QuestionSets.trainingSeed), "unsolvable", path + "/unsolvable.jsonl")
  }

  private static func write(_ sums: [RunningSum], _ name: String, _ path: String) throws(PlatformError) {
    try Files.write(fileText(of: sums, name), to: path)
  }

  /// A question file.
  ///
  /// - Parameters:
  ///   - sums: the questions.
  ///   - name: with which their ids begin.
  ///   - isSolved: with a response to learn: a solution without a slip.
  package static func fileText(of sums: [RunningSum], _ name: String, isSolved: Bool = false) -> String {
    var text = ""
    for (index, sum) in sums.enumerated() {
      var row: [JSON.Member] = [
        .init("id", .string("\(name)-\(index)")), .init("prompt", .string(sum.question)),
        .init("answer", .string(sum.answer)), .init("source", .string("\(sum.terms.count) terms")),
      ]
      if isSolved { row.append(.init("response", .string(sum.solution))) }
      text += JSON.object(row).text() + "\n"
    }
    return text
  }
}
