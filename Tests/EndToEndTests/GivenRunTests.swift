// Runs that learn given responses: from a file, and from another run. The same bits however they are run, what they
// keep, and what they refuse.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct GivenRunTests {
    private let scratch = Scratch()

    // MARK: From a file

    /// Questions of the built-in kind with their solutions, as docs/embedded.md describes them.
    static let solved: String = (0..<24).map { index in
      let start = 10 + index * 7 % 80
      let terms = (0..<2 + index % 3).map { (index * 5 + $0 * 3) % 10 }
      let letters = Array("dcba".suffix(terms.count))
      var (question, solution, sum) = ("\(start)", "\(start)", start)
      for (letter, term) in zip(letters, terms) {
        sum = (sum + term) % 100
        question += "\(letter)+\(term)"
        solution += "\(letter)+\(term)=\(sum)"
      }
      return #"{"id": "s\#(index)", "prompt": "\#(question)", "response": "\#(solution)\\boxed{\#(sum)}"}"# + "\n"
    }.joined()

    private func settings(steps: Int = 6, evaluation: [String] = ["--eval", "none"]) -> [String] {
      [
        "--data", scratch.write(Self.solved, to: "solved.jsonl"), "--objective", "sft", "--steps", "\(steps)",
        "--prompts-per-step", "8", "--mini-batch", "4", "--lr", "1e-3",
      ] + evaluation
    }

    private func finish(_ settings: [String], in directory: String) throws -> Fingerprint {
      let outcome = try Program.run(["train", "--run", directory] + settings)
      try #require(outcome.status == 0, "\(outcome.errors)")
      return try SmallRun.fingerprint(of: directory)
    }

    private func steps(of directory: String) throws -> [[String: Any]] {
      try textOfFile(directory + "/metrics.jsonl").split(separator: "\n").map {
        try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
      }.filter { $0["kind"] as? String == "step" }
    }

    private func lines(of path: String) throws -> [[String: Any]] {
      try textOfFile(path).split(separator: "\n").map {
        try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
      }
    }

    /// Without any worker; with three ranks and a streamed gradient; and killed in the middle.
    @Test func `any number of workers and ranks gives the same bits, and so does a run that is killed`() throws {
      let settings = settings()
      let alone = try finish(settings + ["--workers", "0", "--learners", "1"], in: scratch.file("alone"))
      let other = ["--workers", "1", "--learners", "3", "--gradient", "streamed"]
      #expect(try finish(settings + other, in: scratch.file("other")) == alone)
      let directory = scratch.file("killed")
      let run = try Running(["train", "--run", directory] + settings)
      SmallRun.awaitMiddle(of: run, in: directory)
      run.signal(SIGKILL)
      _ = run.wait()
      #expect(try finish(settings, in: directory) == alone)

      let steps = try steps(of: scratch.file("alone"))
      let perplexity = steps.compactMap { $0["perplexity"] as? Double }
      #expect(steps.count == 6 && perplexity.count == 6)
      // 1 is certainty.
      #expect((perplexity.last ?? .infinity) - 1 < ((perplexity.first ?? 0) - 1) * 0.9, "\(perplexity)")
      for name in ["majority_ratio", "no_answer_ratio", "entropy", "sampled_tokens", "logprob_gap", "guard_score"] {
        #expect(steps.allSatisfy { $0[name] is NSNull }, "\(name)")
      }
      #expect(steps.allSatisfy { ($0["prompts"] as? [Any])?.isEmpty == true })
      #expect(steps.allSatisfy { ($0["trained_tokens"] as? Int ?? 0) > 0 })
      let responses = try lines(of: scratch.file("alone") + "/responses.jsonl")
      #expect(responses.count == 24)
      // The tokens are the bytes of the text, and the end.
      for line in responses {
        let text = try #require(line["response"] as? String)
        let tokens = try #require(line["tokens"] as? [Int])
        #expect(tokens.last == 257 && tokens.count == text.utf8.count - "\\boxed{".utf8.count + 2)
      }
    }

    @Test func `a run in which every kind of process is killed ends identical`() throws {
      let directory = scratch.file("chaos")
      let settings = settings(steps: 16, evaluation: ["--eval-every", "4", "--eval-samples", "4"])
      let outcome = try Program.run(
        ["chaos", "--run", directory] + settings + ["--kills", "5", "--chaos-seed", "3", "--json"],
        program: Program.dev, within: 300)
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(
        try SmallRun.fingerprint(of: directory + "/disturbed") == SmallRun.fingerprint(of: directory + "/undisturbed"))
    }

    @Test func `a continued run keeps its responses`() throws {
      let settings = settings(steps: 1000) + ["--learners", "1", "--workers", "0"]
      let directory = scratch.file("run")
      let run = try Running(["train", "--run", directory] + settings)
      SmallRun.awaitMiddle(of: run, in: directory)
      run.signal(SIGKILL)
      _ = run.wait()
      // The same questions with another response.
      scratch.write(Self.solved.replacing("boxed{", with: "boxed{1", maxReplacements: 1), to: "solved.jsonl")
      let changed = try Program.run(["train", "--run", directory] + settings)
      #expect(changed.status == 2 && changed.errors.contains("other training questions"), "\(changed.errors)")
    }

    @Test func `a run that was killed while it wrote its responses begins again`() throws {
      let settings = settings(steps: 1) + ["--learners", "1", "--workers", "0"]
      let run = scratch.file("run")
      try FileManager.default.createDirectory(atPath: run, withIntermediateDirectories: true)
      for name in ["beginning", "questions.jsonl", "responses.jsonl"] { scratch.write("", to: "run/\(name)") }
      #expect(try finish(settings, in: run) == finish(settings, in: scratch.file("other")))
    }

    // MARK: From a run

    /// Copies the small run, so that it can be removed.
    private func recordedRun() throws -> String {
      _ = try #require(SmallRun.undisturbed)
      let copy = scratch.file("recorded")
      try FileManager.default.copyItem(atPath: SmallRun.undisturbedDirectory, toPath: copy)
      return copy
    }

    private static let following = [
      "--steps", "4", "--prompts-per-step", "6", "--mini-batch", "8", "--eval", "none", "--workers", "0",
    ]

    @Test func `the majority's responses of a run are learned, and the run is not needed any more`() throws {
      let recorded = try recordedRun()
      let settings =
        ["--objective", "sft", "--responses", recorded, "--min-share", "0.25", "--train-samples", "3"] + Self.following
      let undisturbed = try finish(settings, in: scratch.file("undisturbed"))
      let directory = scratch.file("run")
      let run = try Running(["train", "--run", directory] + settings + ["--learners", "1"])
      SmallRun.awaitMiddle(of: run, in: directory)
      run.signal(SIGKILL)
      _ = run.wait()
      try FileManager.default.removeItem(atPath: recorded)
      #expect(try finish(settings + ["--learners", "3"], in: directory) == undisturbed)
      // Of each question, responses of one visit that end, in their order, and state the same answer.
      let lines = try lines(of: directory + "/responses.jsonl")
      let groups = Dictionary(grouping: lines) { $0["prompt"] as? Int ?? -1 }
      #expect(groups.count > 3 && groups.values.allSatisfy { $0.count <= 3 })
      for group in groups.values {
        let answers = group.compactMap { ($0["response"] as? String)?.components(separatedBy: "\\boxed{").last }
        #expect(Set(answers).count == 1 && answers.count == group.count, "\(answers)")
        #expect(group.compactMap { $0["sample"] as? Int } == Array(0..<group.count))
        let samples = group.compactMap { $0["recorded_sample"] as? Int }
        #expect(samples == samples.sorted() && Set(group.compactMap { $0["recorded_step"] as? Int }).count == 1)
      }
    }

    @Test func `all responses of a run are learned by their rewards`() throws {
      let recorded = try recordedRun()
      let settings =
        ["--objective", "awr", "--responses", recorded, "--train-samples", "4", "--awr-temperature", "0.5"]
        + Self.following
      let one = try finish(settings + ["--learners", "1"], in: scratch.file("one"))
      #expect(try finish(settings + ["--learners", "3", "--gradient", "streamed"], in: scratch.file("three")) == one)
      let steps = try steps(of: scratch.file("one"))
      for name in ["importance_mean", "importance_max", "reward_mean", "logprob_gap"] {
        #expect(steps.allSatisfy { $0[name] is Double }, "\(name)")
      }
      #expect(steps.allSatisfy { $0["perplexity"] == nil && $0["importance_truncated_ratio"] is NSNull })
      #expect(steps.allSatisfy { $0["logprob_gap"] as? Double == 0 })
      // Every reward of the small run is 0 or 1.
      let rewards = try lines(of: scratch.file("one") + "/responses.jsonl").compactMap { $0["reward"] as? Double }
      #expect(Set(rewards) == [0, 1])
      // Other sampling settings would make the recorded log-probabilities mean something else.
      let other = try Program.run(
        ["train", "--run", scratch.file("other"), "--temperature", "0.9"] + settings, within: 20)
      #expect(other.status == 1 && other.errors.contains("temperature is 0.9, and the responses were sampled with 0.6"))
    }

    // MARK: Refusals

    private func refusal(_ arguments: [String], status: Int32 = 1) throws -> String {
      let outcome = try Program.run(["train", "--run", scratch.file("refused")] + arguments, within: 30)
      #expect(outcome.status == status, "\(outcome.errors)")
      #expect(!FileManager.default.fileExists(atPath: scratch.file("refused")))
      return outcome.errors
    }

    @Test func `what cannot be learned is refused with its reason`() throws {
      let sft = ["--objective", "sft"]
      #expect(try refusal(sft).contains("built-in questions have no responses"))
      let mixed = scratch.write("{\"prompt\": \"1\", \"response\": \"1\"}\n{\"prompt\": \"2\"}\n", to: "mixed.jsonl")
      #expect(try refusal(sft + ["--data", mixed]).contains("line 2: no \"response\""))
      let long = scratch.write(
        "{\"prompt\": \"1\", \"response\": \"\(String(repeating: "2", count: 90))\", \"id\": \"x\"}\n",
        to: "long.jsonl")
      let tooLong = try refusal(sft + ["--data", long])
      #expect(tooLong.contains("question x: the response has 91 tokens, more than max-new-tokens, 80"), "\(tooLong)")
      let end = scratch.write(#"{"prompt": "1", "response": "a<|endoftext|>b"}"#, to: "end.jsonl")
      #expect(try refusal(sft + ["--data", end]).contains(#"has the text "<|endoftext|>" inside"#))
      #expect(
        try refusal(["--objective", "sft", "--responses", scratch.path]).contains("is not a run: it has no settings"))
    }

    @Test func `settings that contradict given responses are refused by name, all at once`() throws {
      let outcome = try refusal(
        [
          "--objective", "awr", "--votes", "8", "--early-stop", "on", "--kl-coefficient", "0.1", "--guard", "stop",
          "--eval", "reuse",
        ], status: 2)
      for part in [
        "votes, early-stop: no effect with objective awr", "give responses RUN", "set kl-coefficient 0",
        "set guard off", "eval reuse has nothing to evaluate",
      ] { #expect(outcome.contains(part), "\(part) in \(outcome)") }
      #expect(
        try refusal(["--responses", "r"], status: 2).contains("responses belongs to objectives sft and awr"))
    }

    @Test func `a template that writes something else is refused, and both texts are shown`() throws {
      let config = """
        { "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 448, "hidden_size": 32,
          "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
          "max_position_embeddings": 512, "tie_word_embeddings": true, "eos_token_id": [436] }
        """
      let tokenizer = Program.packageRoot.appendingPathComponent("Tests/Fixtures/tokenizers/qwen2.json").path
      let made = try Program.run(
        [
          "random-model", "--config", scratch.write(config, to: "config.json"), "--tokenizer", tokenizer, "--seed", "3",
          "--out", scratch.file("model"),
        ], program: Program.dev)
      try #require(made.status == 0, "\(made.errors)")
      let data = scratch.write(#"{"id": "a", "prompt": "2+2?", "response": "It is 4."}"#, to: "data.jsonl")
      let arguments = [
        "--model", scratch.file("model"), "--data", data, "--objective", "sft", "--max-new-tokens", "64", "--dry-run",
      ]
      func outcome(_ template: String) throws -> Program.Outcome {
        _ = scratch.write(template, to: "model/chat_template.jinja")
        return try Program.run(["train", "--run", scratch.file("run")] + arguments)
      }
      let turns = "{% for m in messages %}<{{ m.role }}>"
      let opening = "{% if add_generation_prompt %}<assistant>{% endif %}"
      let end = try #require(try Self.token(436, in: tokenizer))
      let good = try outcome(turns + "{{ m.content }}\(end)\n{% endfor %}" + opening)
      #expect(good.status == 0 && good.errors.contains("learned: 1 response to 1 question"), "\(good.errors)")
      // Something between the prompt and the response.
      let between = try outcome(
        turns + "{% if m.role == 'assistant' %}<think></think>{% endif %}{{ m.content }}\(end)\n{% endfor %}" + opening)
      #expect(between.status == 1, "\(between.errors)")
      #expect(between.errors.contains(#"<assistant>It is 4.""#), "\(between.errors)")
      #expect(between.errors.contains("<assistant><think></think>It is 4."), "\(between.errors)")
      // Nothing that ends it.
      let endless = try outcome(turns + "{{ m.content }}\n{% endfor %}" + opening)
      #expect(endless.status == 1 && endless.errors.contains("does not write a token with which the model ends"))
      // Tokens that grow over the boundary: "a" and "n" are one token together.
      _ = scratch.write(#"{"id": "a", "prompt": "2+2?", "response": "n"}"#, to: "data.jsonl")
      let merged = try outcome(
        turns + "{{ m.content }}\(end)\n{% endfor %}{% if add_generation_prompt %}<assistant>a{% endif %}")
      #expect(merged.status == 1, "\(merged.errors)")
      #expect(merged.errors.contains("becomes one token with the end of the prompt"), "\(merged.errors)")
    }

    /// The text of a token that the fixture adds to its vocabulary.
    private static func token(_ id: Int, in path: String) throws -> String? {
      let data = try #require(FileManager.default.contents(atPath: path))
      let json = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
      let added = try #require(json["added_tokens"] as? [[String: Any]])
      return added.first { $0["id"] as? Int == id }?["content"] as? String
    }
  }
}
