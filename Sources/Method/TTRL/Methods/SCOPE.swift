// SCOPE: each part of a group learns from a label of its own, voted by confidence (code: szu-tera/SCOPE, `grouputils`).
//
// The samples are cut into two halves by index. For each half, half of all samples are drawn by the seed, and they
// elect the half's label: each vote counts with the sample's confidence. So the halves of an unclear group can have different
// labels, and both answers stay alive. Confidence is the mean over steps of the step's geometric mean probability.
//
// Here a step is 64 tokens, because an estimator sees no text; in the code it ends at a line break. The probability is
// that of the sampled tokens; the code has the mean of the most likely ones, which are not recorded. Halves are the
// script's subgroups of 32 among 64. The label of all samples, by the same weights, counts in figures and in the
// history.

import Answers
import Base
import Records

#if canImport(Glibc)
  import Glibc
#endif

func subgroupVotes(_ evidence: Evidence, _ method: Method) -> Estimate {
  let answers = evidence.answers
  let weights = evidence.trajectories.map(stepConfidence)
  let half = (answers.count + 1) / 2
  var rewards: [Float] = []
  for (part, start) in stride(from: 0, to: answers.count, by: half).enumerated() {
    var sequence = RandomSequence(
      seed: method.seed, purpose: .subgroups, stream: SIMD3(evidence.step, evidence.prompt, UInt32(part)))
    let voters = sequence.permutation(of: answers.count).prefix(half).sorted()
    let label = majority(of: voters.map { answers[$0] }, weights: voters.map { weights[$0] }).label
    rewards += agreement(of: Array(answers[start..<min(start + half, answers.count)]), with: label)
  }
  var estimate = Estimate(rewards: rewards)
  estimate.vote = majority(of: answers, weights: weights)
  return estimate
}

/// 0 to 1.
private func stepConfidence(_ trajectory: Trajectory) -> Double {
  let steps = stride(from: 0, to: trajectory.logprobs.count, by: 64)
  let sum = steps.reduce(0.0) { sum, start in
    sum + exp(meanLogprob(trajectory.logprobs[start..<min(start + 64, trajectory.logprobs.count)]))
  }
  return sum / Double(max((trajectory.logprobs.count + 63) / 64, 1))
}
