// transformers loads the model directories that ttrl saves, and computes the same.
//
// Needs a Python with torch and transformers: the one that TTRL_PYTHON names, or python3 (ScriptsTests.swift).

import Foundation
import Testing

extension EndToEnd {
  @Suite(.enabled(if: Python.has("torch", "transformers"), "no Python with transformers; name one with TTRL_PYTHON"))
  struct TransformersTests {
    private static let tokenizer = Program.packageRoot.appendingPathComponent("Tests/Fixtures/tokenizers/qwen2.json")

    private let scratch = Scratch()

    private func logprobs(_ outcome: Program.Outcome) throws -> [[Double]] {
      try #require(outcome.status == 0, "\(outcome.errors)")
      return try outcome.output.split(separator: "\n").map { line in
        let json = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: [Double]]
        return try #require(json?["logprobs"])
      }
    }

    /// Both programs on the same token ids agree within 1e-4 nats, in float32.
    private func expectAgreement(_ directory: String, vocabulary: Int) throws {
      let lines = (0..<6).map { line in
        let ids = (0..<(5 + 9 * line)).map { "\(($0 * 7919 + line * 104_729 + 13) % vocabulary)" }
        return "{\"ids\": [\(ids.joined(separator: ","))]}"
      }
      let input = Data(lines.joined(separator: "\n").utf8)
      let own = try logprobs(
        try Program.run(["logprobs", "--model", directory, "--dtype", "float32"], input: input))
      let script = Program.packageRoot.appendingPathComponent("Tests/Fixtures/transformers/logprobs.py").path
      let other = try logprobs(
        try Program.run([script, directory], program: Python.path, input: input, within: 120))
      #expect(own.map(\.count) == other.map(\.count) && own.count == lines.count)
      let gap = zip(own.joined(), other.joined()).map { abs($0 - $1) }.max() ?? 1
      print("\(directory): the largest difference from transformers is \(gap)")
      #expect(gap < 1e-4)
    }

    @Test func `transformers computes the same from a checkpoint of a run`() throws {
      _ = try #require(SmallRun.undisturbed)
      try expectAgreement(SmallRun.undisturbedDirectory + "/checkpoints/step-00000\(SmallRun.steps)", vocabulary: 258)
    }

    /// The lines of a configuration that other configurations do not have.
    private static let families = [
      ("Qwen2ForCausalLM", "qwen2", "\"tie_word_embeddings\": true"),
      (
        "LlamaForCausalLM", "llama",
        """
        "tie_word_embeddings": false, "rope_theta": 10000.0, "rope_scaling": {"rope_type": "llama3", "factor": 8.0,
        "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
        """
      ), ("Qwen3ForCausalLM", "qwen3", "\"tie_word_embeddings\": true, \"head_dim\": 16"),
      (
        "Qwen3ForCausalLM", "qwen3",
        """
        "tie_word_embeddings": true, "head_dim": 16, "rope_theta": 1000000.0, "rope_scaling": {"rope_type": "yarn",
        "factor": 4.0, "original_max_position_embeddings": 32}
        """
      ),
      (
        "MistralForCausalLM", "mistral",
        """
        "sliding_window": null, "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0}, "rope_scaling":
        {"rope_type": "yarn", "rope_theta": 5000.0, "factor": 16.0, "original_max_position_embeddings": 20,
        "beta_fast": 3.0, "beta_slow": 0.4, "truncate": false, "mscale": 1.0, "mscale_all_dim": 0.3}
        """
      ),
      ("MistralForCausalLM", "mistral", "\"tie_word_embeddings\": false, \"sliding_window\": null"),
      (
        "GraniteForCausalLM", "granite",
        """
        "tie_word_embeddings": true, "embedding_multiplier": 12.0, "attention_multiplier": 0.015625,
        "residual_multiplier": 0.22, "logits_scaling": 6.0
        """
      ), ("Olmo2ForCausalLM", "olmo2", "\"tie_word_embeddings\": false, \"rope_theta\": 500000.0"),
      (
        "Olmo3ForCausalLM", "olmo3",
        """
        "sliding_window": 7, "layer_types": ["sliding_attention", "full_attention"], "rope_theta": 500000,
        "rope_scaling": {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 32,
        "beta_fast": 32.0, "beta_slow": 1.0, "attention_factor": 1.2079441541679836}
        """
      ),
      (
        "Gemma3ForCausalLM", "gemma3_text",
        """
        "head_dim": 16, "sliding_window": 7, "sliding_window_pattern": 2, "query_pre_attn_scalar": 24,
        "rope_theta": 1000000, "rope_local_base_freq": 10000, "rope_scaling": {"rope_type": "linear", "factor": 8.0},
        "hidden_activation": "gelu_pytorch_tanh"
        """
      ),
      (
        "MistralForCausalLM", "mistral",
        "\"sliding_window\": 9, \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 3.0}"
      ),
      (
        "Qwen2ForCausalLM", "qwen2",
        "\"use_sliding_window\": true, \"sliding_window\": 20, \"max_window_layers\": 1"
      ),
      (
        "Phi3ForCausalLM", "phi3",
        """
        "partial_rotary_factor": 0.75, "original_max_position_embeddings": 128, "sliding_window": 24,
        "rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.2, 1.5], "long_factor": [2.0, 3.0, 4.0]}
        """
      ),
      (
        "SmolLM3ForCausalLM", "smollm3",
        """
        "tie_word_embeddings": true, "no_rope_layers": [1, 0], "use_sliding_window": true, "sliding_window": 11,
        "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}
        """
      ),
      (
        "MinistralForCausalLM", "ministral",
        "\"sliding_window\": 8, \"layer_types\": [\"full_attention\", \"sliding_attention\"]"
      ),
      (
        "Ministral3ForCausalLM", "ministral3",
        """
        "head_dim": 16, "rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 16.0,
        "original_max_position_embeddings": 16, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1}
        """
      ),
    ]

    @Test(arguments: families)
    func `transformers computes the same from a directory of each family`(
      _ architecture: String, _ type: String, _ more: String
    ) throws {
      let config = """
        { "architectures": ["\(architecture)"], "model_type": "\(type)", "vocab_size": 448, "hidden_size": 32,
          "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
          "max_position_embeddings": 512, \(more) }
        """
      let made = try Program.run(
        [
          "random-model", "--config", scratch.write(config, to: "config.json"), "--tokenizer", Self.tokenizer.path,
          "--out", scratch.file(type),
        ], program: Program.dev)
      try #require(made.status == 0, "\(made.errors)")
      try expectAgreement(scratch.file(type), vocabulary: 448)
    }
  }
}
