// Preset: the paper's hyper-parameters, by benchmark and family of models.
//
// A preset is a set of defaults, like a recipe: flags and the --config file override it. It sets sizes; the recipe sets
// the rules. The program knows nothing about the benchmarks except these numbers.
// Source: TTRL, arXiv 2504.16084 v3, and the scripts of its releases of May and August 2025 (docs/algorithm.md).

package enum Preset: String, Sendable, CaseIterable {
  case none, aime2024, amc, math500
}

/// The kinds of models that the paper treats differently.
package enum ModelFamily: String, Sendable, CaseIterable {
  case qwen25Math = "qwen2.5-math"
  /// Reasoning models, whose responses are long.
  case reasoning
  /// Base and instruction-tuned models: Qwen2.5, Llama 3.1.
  case other

  /// - Parameters:
  ///   - path: of the model's directory, which usually contains the model's name.
  ///   - chatTemplate: its own template, as text.
  package static func guess(path: String, chatTemplate: String?) -> ModelFamily {
    let name = path.lowercased()
    if name.contains("qwen2.5-math") || chatTemplate?.contains("put your final answer within") == true {
      return .qwen25Math
    }
    let reasoners = ["deepseek-r1", "r1-distill", "qwq", "thinking", "openthinker", "skywork-or1", "openreasoning"]
    return reasoners.contains { name.contains($0) } ? .reasoning : .other
  }
}

extension Preset {
  private struct Benchmark {
    var promptsPerStep: Int
    var steps: Int
    var source: String
  }

  private var benchmark: Benchmark? {
    switch self {
    case .none: nil
    case .aime2024:
      Benchmark(promptsPerStep: 8, steps: 240, source: "release, AIME 2024: 80 passes of 3 steps over 30 prompts")
    case .amc: Benchmark(promptsPerStep: 8, steps: 300, source: "release, AMC: 30 passes of 10 steps over 83 prompts")
    case .math500:
      Benchmark(
        promptsPerStep: 32, steps: 150, source: "August release, MATH-500: 10 passes of 15 steps over 500 prompts")
    }
  }

  /// The paper's values, in the order of the settings; none for `.none`.
  package func choices(for family: ModelFamily) -> [Choice] {
    guard let benchmark else { return [] }
    let others = [
      Choice("steps", "\(benchmark.steps)", benchmark.source),
      Choice("prompts-per-step", "\(benchmark.promptsPerStep)", benchmark.source),
      Choice("votes", "64", "paper v3: 64 responses vote"),
      Choice("train-samples", "32", "paper v3: 32 of them are trained on"),
      Choice("top-p", "1", "release"),
      Choice("top-k", "0", "release"),
      Choice("mini-batch", "32", "release: one prompt's worth of sequences per optimizer step"),
      Choice("lr", "5e-7", "paper v3: AdamW, cosine, peak 5e-7"),
    ]
    return prompting(family) + others + sampling(family)
  }

  private func prompting(_ family: ModelFamily) -> [Choice] {
    switch family {
    case .qwen25Math: [Choice("template", "qwen2.5-math", "release: the template's system line asks for \\boxed{}")]
    case .other:
      [
        Choice(
          "suffix", Self.suffix, "August release: Qwen2.5 and Llama 3.1 are asked for \\boxed{} in the user's turn")
      ]
    case .reasoning: []
    }
  }

  private func sampling(_ family: ModelFamily) -> [Choice] {
    switch family {
    case .qwen25Math:
      [
        Choice("temperature", "1", "paper v3: 1.0 for Qwen2.5-Math and reasoning models"),
        Choice("max-new-tokens", "3072", "paper v3"),
      ]
    case .reasoning:
      [
        Choice("temperature", "1", "paper v3: 1.0 for Qwen2.5-Math and reasoning models"),
        Choice("max-new-tokens", "32768", "paper v3: reasoning models"),
      ]
    case .other:
      [
        Choice("temperature", "0.6", "paper v3: 0.6 except for Qwen2.5-Math and reasoning models"),
        Choice("max-new-tokens", "3072", "paper v3"),
      ]
    }
  }

  private static let suffix = "\nPlease reason step by step, and put your final answer within \\boxed{}."
}
