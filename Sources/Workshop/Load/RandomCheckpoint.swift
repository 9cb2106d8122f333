// RandomCheckpoint: a Hugging Face model directory with an untrained model.
//
// It serves to try the program with vocabularies and shapes without real weights. The same arguments give the same
// files.

package import LanguageModel
import Platform
import Tensors

package enum RandomCheckpoint {
  /// The smallest configuration that is a model: for work that does not depend on the model.
  static func least() throws -> CheckpointConfiguration {
    let text = """
      {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 258, "hidden_size": 16,
      "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
      "max_position_embeddings": 4096, "rope_theta": 10000.0, "rms_norm_eps": 1e-06, "tie_word_embeddings": true,
      "eos_token_id": 257, "torch_dtype": "bfloat16"}
      """
    return try CheckpointConfiguration(config: Array(text.utf8))
  }

  /// The number of bytes of its weights when they are published.
  static func publishedBytes(_ configuration: CheckpointConfiguration) -> Int {
    ParameterLayout(configuration.model).count * 2
  }

  /// - Parameters:
  ///   - tokenizer: path of a tokenizer.json, or of a directory that has one.
  ///   - directory: created if it does not exist.
  /// - Throws: if a file cannot be read or written.
  package static func write(
    _ configuration: CheckpointConfiguration, tokenizer: String, to directory: String, seed: UInt64
  ) throws {
    var configuration = configuration
    configuration.weightType = .bfloat16
    // If the embedding is tied, it is the head too. These deviations give logits of about 4. With much smaller logits
    // all tokens are about equally likely, and top-p has to rank the whole vocabulary. With much larger logits the last
    // token is repeated forever.
    let scale = 4 / Double(configuration.model.hiddenSize).squareRoot()
    let parameters = initialParameters(
      configuration.model, scales: InitialScales(embedding: scale, head: 1), seed: seed)
    let file = tokenizer.hasSuffix(".json") ? tokenizer : tokenizer + "/tokenizer.json"
    try Files.createDirectory(directory)
    try Files.write(configuration.configFile(), to: directory + "/config.json")
    try Files.write(configuration.generationFile(), to: directory + "/generation_config.json")
    try Files.write(try Files.read(file), to: directory + "/tokenizer.json")
    let writer = SafeTensorsWriter(ParameterLayout(configuration.model), type: .bfloat16)
    let data = parameters.withUnsafeBuffer { writer.data(UnsafeBufferPointer($0)) }
    try Files.write(writer.header + data, to: directory + "/model.safetensors")
  }
}
