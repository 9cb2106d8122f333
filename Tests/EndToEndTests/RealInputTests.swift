// Real questions on a model with random weights: the run completes, its accounting is right, and it reports that
// nothing could be voted on; a response without an answer gets no reward.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct RealInputTests {
    private let scratch = Scratch()

    /// Data that is not part of the project: in TTRL_SHARED, or in `shared` next to the package.
    private static let shared =
      ProcessInfo.processInfo.environment["TTRL_SHARED"]
      ?? Program.packageRoot.deletingLastPathComponent().appendingPathComponent("shared").path
    private static let aime = shared + "/data/aime2024.jsonl"
    private static let tokenizer = shared + "/tokenizer/tokenizer.json"
    private static let isHere = [aime, tokenizer].allSatisfy(FileManager.default.fileExists(atPath:))

    @Test(.enabled(if: isHere, "the shared questions and tokenizer are not here; set TTRL_SHARED"))
    func `AIME 2024 without answers on random weights: nothing is voted on, and nothing is learnt`() throws {
      let script = Program.packageRoot.appendingPathComponent("scripts/random-checkpoint").path
      let made = try Program.run([Self.tokenizer, scratch.file("model")], program: script)
      try #require(made.status == 0, "\(made.errors)")
      let questions = try textOfFile(Self.aime).split(separator: "\n").map { line -> String in
        var question = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        question["answer"] = nil
        return String(decoding: try JSONSerialization.data(withJSONObject: question), as: UTF8.self)
      }
      #expect(questions.count == 30)
      // With the default, evaluation would sample as much as 15 steps of training; two samples of each question show
      // the same.
      try expectNothingLearnt(questions, evaluationSamples: 2)
    }

    @Test func `questions on random weights with a small tokenizer: nothing is voted on, and nothing is learnt`() throws
    {
      let fixture = Program.packageRoot.appendingPathComponent("Tests/Fixtures/tokenizers/qwen2.json").path
      let config = """
        { "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 448, "hidden_size": 32,
          "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
          "max_position_embeddings": 512, "tie_word_embeddings": true, "eos_token_id": [436] }
        """
      let made = try Program.run(
        [
          "random-model", "--config", scratch.write(config, to: "config.json"), "--tokenizer", fixture, "--seed", "3",
          "--out", scratch.file("model"),
        ], program: Program.dev)
      try #require(made.status == 0, "\(made.errors)")
      try expectNothingLearnt((1...12).map { "{\"prompt\": \"What is \($0) times \($0)?\"}" }, evaluationSamples: 4)
    }

    private func expectNothingLearnt(_ questions: [String], evaluationSamples: Int) throws {
      let (model, run) = (scratch.file("model"), scratch.file("run"))
      let data = scratch.write(questions.joined(separator: "\n"), to: "questions.jsonl")
      let outcome = try Program.run(
        [
          "train", "--run", run, "--model", model, "--data", data, "--steps", "2", "--votes", "8", "--train-samples",
          "4",
          "--max-new-tokens", "64", "--eval-samples", "\(evaluationSamples)", "--weight-decay", "0.1",
        ], within: 240)
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(outcome.errors.contains("nothing could be voted on: no response gave an answer"))
      #expect(SmallRun.stepsDone(in: run) == 2)
      for line in textOfFile(run + "/metrics.jsonl").split(separator: "\n") where line.contains("\"kind\":\"step\"") {
        let step = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        #expect(step["unlabeled_ratio"] as? Double == 1 && step["majority_voting_reward"] as? Double == 0)
        #expect(step["sampled_tokens"] as? Int ?? 0 > 0)
      }
      let weights = FileManager.default.contents(atPath: model + "/model.safetensors")
      let trained = FileManager.default.contents(atPath: run + "/checkpoints/step-000002/model.safetensors")
      #expect(weights != nil && weights == trained, "responses without an answer were rewarded, or weights decayed")
    }
  }
}
