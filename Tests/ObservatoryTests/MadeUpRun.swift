// MadeUpRun: the metrics.jsonl of a run that never happened, plausible enough to judge a page by.
//
// Each question has a right answer and three rivals; each step moves every question towards its current favourite, as
// majority voting does, so some questions settle on the right answer and some on a wrong one.

package import Base

struct MadeUpRun {
  var stepCount = 120
  var questionCount = 24
  var questionsPerStep = 8
  var votes = 64
  var knowsAnswers = true
  var hasHeldOut = true
  var seed: UInt64 = 1

  /// The text of metrics.jsonl.
  func metrics() -> String {
    var random = RandomSequence(seed: seed, purpose: .promptOrder)
    var weights = (0..<questionCount).map { _ in
      [0.35 + random.uniform() * 1.6, random.uniform() * 1.3, random.uniform(), random.uniform() * 0.6, 0.5]
    }
    var lines = evaluations(policy: 0, weights, &random)
    for step in 0..<stepCount {
      lines.append(line(ofStep: step, &weights, &random).text())
      if (step + 1) % 30 == 0 || step + 1 == stepCount {
        lines += evaluations(policy: step + 1, weights, &random)
      }
    }
    return lines.map { $0 + "\n" }.joined()
  }

  private func line(ofStep step: Int, _ weights: inout [[Double]], _ random: inout RandomSequence) -> JSON {
    let order = random.permutation(of: questionCount).prefix(questionsPerStep).sorted()
    let prompts = order.map { prompt in group(prompt, &weights[prompt], &random) }
    func mean(_ value: (JSON) -> Double) -> JSON {
      .double(prompts.reduce(0) { $0 + value($1) } / Double(max(prompts.count, 1)))
    }
    func share(_ key: String) -> JSON { mean { Double($0[key]?.int ?? 0) / Double(votes) } }
    func truth(_ value: JSON) -> JSON { knowsAnswers ? value : .null }
    let progress = Double(step) / Double(max(stepCount, 1))
    let length = 190 - 70 * progress + 12 * random.uniform()
    return [
      "kind": "step", "step": .int(step),
      "learning_rate": .double(3e-4 * min(1, Double(step + 1) / 8) * (1 - progress)),
      "label_accuracy": truth(mean { $0["label_right"]?.bool == true ? 1 : 0 }),
      "reward_accuracy": truth(share("right_rewards")), "majority_ratio": share("label_votes"),
      "ground_truth_ratio": truth(share("right")), "majority_voting_reward": share("rewarded"),
      "pass@N": truth(mean { $0["right"]?.int ?? 0 > 0 ? 1 : 0 }),
      "no_answer_ratio": share("no_answer"), "truncation_ratio": share("truncated"),
      "tie_ratio": mean { $0["tie"]?.bool == true ? 1 : 0 },
      "zero_advantage_ratio": mean { $0["zero_advantage"]?.bool == true ? 1 : 0 },
      "unlabeled_ratio": mean { $0["label"]?.isNull == true ? 1 : 0 },
      "distinct_label_ratio": .double(0.9 - 0.2 * progress), "flip_ratio": .double(0.4 * (1 - progress)),
      "overturn_ratio": .double(0.1 * progress),
      "entropy": .double(0.72 - 0.5 * progress + 0.05 * random.uniform()),
      "response_length_mean": .double(length), "response_length_max": .int(min(384, Int(length * 1.8) + step % 60)),
      "sampled_tokens": .int(Int(length) * votes * questionsPerStep), "trained_tokens": .int(Int(length) * 16),
      "loss": .double(0.01), "clip_ratio": .double(0.002 * random.uniform()),
      "gradient_norm": .double(0.6 + 0.5 * random.uniform() - 0.3 * progress), "updates": 4, "skipped_updates": 0,
      "logprob_gap": 0, "rollout_seconds": .double(8.5 - 2 * progress + random.uniform()),
      "train_seconds": .double(4.2 - progress + 0.5 * random.uniform()),
      "step_seconds": .double(10 - 4 * progress), "install_seconds": 1, "sampling_seconds": .double(5 - 4 * progress),
      "forward_seconds": 1.5, "backward_seconds": 2.5, "prompts": .array(prompts),
    ]
  }

  /// Draws a group's answers, votes, and moves the question towards its favourite.
  private func group(_ prompt: Int, _ weights: inout [Double], _ random: inout RandomSequence) -> JSON {
    var counts = [0, 0, 0, 0, 0]
    for _ in 0..<votes { counts[draw(weights, &random)] += 1 }
    let best = counts[..<4].max() ?? 0
    let label = best > 0 ? counts.firstIndex(of: best) : nil
    if let label { weights[label] *= 1.1 }
    weights[0] *= 1.05
    weights[4] *= 0.95
    var members: [JSON.Member] = [
      .init("prompt", .int(prompt)), .init("label", label.map { .string(answer($0, of: prompt)) } ?? .null),
      .init("label_votes", .int(best)), .init("samples", .int(votes)), .init("no_answer", .int(counts[4])),
      .init("truncated", .int(counts[4] / 2)), .init("answers", .int(counts[..<4].count { $0 > 0 })),
      .init("tie", .bool(counts[..<4].count { $0 == best } > 1)),
      .init("zero_advantage", .bool(best == votes)), .init("rewarded", .int(best)),
    ]
    if knowsAnswers {
      members += [
        .init("label_right", .bool(label == 0)), .init("right", .int(counts[0])),
        .init("right_rewards", .int(label == 0 ? votes : votes - counts[0] - best)),
      ]
    }
    return .object(members)
  }

  private func draw(_ weights: [Double], _ random: inout RandomSequence) -> Int {
    var left = random.uniform() * weights.reduce(0, +)
    for (index, weight) in weights.enumerated() {
      left -= weight
      if left < 0 { return index }
    }
    return weights.count - 1
  }

  private func answer(_ index: Int, of prompt: Int) -> String {
    index == 2 ? "\\frac{\(prompt)}{7}" : "\(prompt * 7 + index * 3)"
  }

  private func evaluations(policy: Int, _ weights: [[Double]], _ random: inout RandomSequence) -> [String] {
    var lines = [evaluation(policy, "train", weights, &random)]
    if hasHeldOut {
      let blurred = weights.map { question in question.map { 0.2 + $0.squareRoot() } }
      lines.append(evaluation(policy, "held_out", blurred, &random))
    }
    return lines
  }

  private func evaluation(
    _ policy: Int, _ set: String, _ weights: [[Double]], _ random: inout RandomSequence
  ) -> String {
    let pass = weights.map { ($0[0] / $0.reduce(0, +) * 16).rounded() / 16 }
    let isRight = weights.map { $0[0] >= ($0[..<4].max() ?? 0) ? 1.0 : 0 }
    let count = Double(max(weights.count, 1))
    let agreement = weights.map { ($0[..<4].max() ?? 0) / $0.reduce(0, +) }
    func mean(_ values: [Double]) -> JSON { .double(values.reduce(0, +) / count) }
    let majority = mean(isRight)
    return
      ([
        "kind": "evaluation", "policy": .int(policy), "set": .string(set), "pass@1": knowsAnswers ? mean(pass) : .null,
        "maj@16": knowsAnswers ? .double((majority.double ?? 0) * (1 - 0.06 * random.uniform())) : .null,
        "maj@64": knowsAnswers ? majority : .null, "majority_ratio": mean(agreement),
        "no_answer_ratio": mean(weights.map { $0[4] / $0.reduce(0, +) }), "samples": 64, "prompts": .int(weights.count),
        "pass_by_prompt": .array(knowsAnswers ? pass.map { .double($0) } : []),
      ] as JSON).text()
  }
}

extension JSON: ExpressibleByFloatLiteral {
  /// Records are easier to read with their figures in place.
  package init(floatLiteral value: Double) { self = .double(value) }
}
