// The figures of a critic, against their definitions, computed another way.

import Answers
import Base
import Records
import TTRL
import Testing

private let seeds = UInt64(1)...100

/// A policy with critics of random values, which reports losses that are known.
private struct Valuing: Policy {
  let seed: UInt64
  let answers: [[Int?]]

  func sample(_ prompt: Prompt, slots: [Slot], sampling: Sampling) -> [Trajectory] { [] }

  func answer(of trajectory: Trajectory, to prompt: Prompt) -> AnswerKey? {
    answers[Int(prompt.index)][Int(trajectory.slot.sample)].map(key)
  }

  /// [T] numbers from −scale to scale that the slot and the purpose decide.
  func numbers(_ trajectory: Trajectory, _ stream: UInt32, scale: Double) -> [Float] {
    var dice = RandomSequence(
      seed: seed, purpose: .questions, stream: SIMD3(trajectory.slot.prompt, trajectory.slot.sample, stream))
    return trajectory.tokens.map { _ in Float((2 * dice.uniform() - 1) * scale) }
  }

  func referenceLogprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) -> [[Float]] {
    trajectories.map { numbers($0.trajectory, 2, scale: 1) }
  }
  func logprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) -> [[Float]] { [] }
  func values(of trajectories: [TrainedTrajectory], sampling: Sampling) -> [[Float]] {
    trajectories.map { numbers($0.trajectory, 1, scale: 2) }
  }
  func processLogprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) -> [[Float]] {
    trajectories.map { numbers($0.trajectory, 1, scale: 1) }
  }

  private func report(_ batch: MiniBatch) -> UpdateReport {
    var report = UpdateReport()
    (report.tokens, report.lossSum, report.clippedTokens) = (batch.tokenCount, 3 * Double(batch.trajectories.count), 2)
    report.gradientNorm = Double(batch.index + 1)
    return report
  }
  func updateProcessRewards(_ miniBatch: MiniBatch, method: Method) -> CriticReport { report(miniBatch).asCritic }
  func update(_ miniBatch: MiniBatch, method: Method, learningRate: Double) -> UpdateReport {
    var made = UpdateReport()
    if method.objective == .ppo { made.critic = report(miniBatch).asCritic }
    return made
  }
  func publish() {}
}

@Suite struct CriticFigureTests {
  private func metrics(_ seed: UInt64, _ objective: PolicyObjective) throws -> (StepMetrics, [MadeGroup], Valuing) {
    let made = (UInt64(0)..<3).map { MadeGroup(seed: 10 * seed + $0, count: 6...6) }
    let policy = Valuing(seed: seed, answers: made.map(\.answers))
    let method = made[0].method {
      $0.objective = objective
      $0.miniBatch = 10
    }
    let prompts = made.indices.map { Prompt(index: UInt32($0), tokens: [], kind: .math) }
    let groups = made.enumerated().map { $1.group(prompt: UInt32($0)) }
    var learner = policy
    let lesson = try learn(&learner, step: 0, from: groups, prompts: prompts, method: method)
    return (StepMetrics(step: 0, lesson: lesson, groups: groups, truth: [], method: method), made, policy)
  }

  /// Of each trained response: its reward, and the trajectory.
  private func trained(_ made: [MadeGroup]) -> [(reward: Double, trajectory: Trajectory)] {
    made.enumerated().flatMap { prompt, group -> [(Double, Trajectory)] in
      let label = majority(of: keys(group.answers)).label
      return zip(keys(group.answers), group.group(prompt: UInt32(prompt)).trajectories).map { answer, trajectory in
        (label != nil && answer == label ? 1 : 0, trajectory)
      }
    }
  }

  /// With γ = λ = 1 the return of each token is the reward of its response.
  @Test func `PPO's explained variance and mean return are those of rewards and values`() throws {
    for seed in seeds {
      let (metrics, made, policy) = try metrics(seed, .ppo)
      var (returns, errors): ([Double], [Double]) = ([], [])
      for (reward, trajectory) in trained(made) {
        for value in policy.numbers(trajectory, 1, scale: 2) {
          returns.append(reward)
          errors.append(reward - Double(value))
        }
      }
      func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
      func variance(_ values: [Double]) -> Double { mean(values.map { $0 * $0 }) - mean(values) * mean(values) }
      #expect(abs((metrics.critic?.returnMean ?? -1) - mean(returns)) < 1e-5, "seed \(seed)")
      let wanted = 1 - variance(errors) / variance(returns)
      let found = try #require(metrics.critic?.explainedVariance)
      #expect(abs(found - wanted) < 1e-4 * max(1, abs(wanted)), "seed \(seed): \(found), \(wanted)")
      #expect(metrics.critic?.accuracy == nil)
      // Two mini-batches, of 10 and 8 responses.
      let tokens = Double(returns.count)
      #expect(metrics.criticLoss == 3 * 18 / tokens && metrics.criticClippedShare == 4 / tokens)
      #expect(metrics.criticGradientNorm == 1.5)
    }
  }

  @Test func `PRIME's accuracy is the share of responses whose reward its critic guesses`() throws {
    var accuracies: Set<Double> = []
    for seed in seeds {
      let (metrics, made, policy) = try metrics(seed, .prime)
      let guesses = trained(made).map { reward, trajectory in
        let (own, first) = (policy.numbers(trajectory, 1, scale: 1), policy.numbers(trajectory, 2, scale: 1))
        return (zip(own, first).reduce(0.0) { $0 + Double($1.0) - Double($1.1) } > 0) == (reward == 1)
      }
      let accuracy = Double(guesses.count { $0 }) / 18
      #expect(metrics.critic?.accuracy == accuracy, "seed \(seed)")
      accuracies.insert(accuracy)
      #expect(metrics.criticLoss == 3 && metrics.criticClippedShare == nil && metrics.criticGradientNorm == 1.5)
      #expect(metrics.critic?.explainedVariance == nil && metrics.critic?.returnMean == nil)
    }
    #expect(accuracies.count > 5)
  }

  @Test func `returns that are all equal leave nothing to explain, and without a critic there are no figures`() throws {
    var made = MadeGroup(seed: 3, count: 6...6)
    made.answers = made.answers.map { _ in 1 }
    var policy = Valuing(seed: 3, answers: [made.answers])
    let prompts = [Prompt(index: 0, tokens: [], kind: .math)]
    for objective in [PolicyObjective.ppo, .clip] {
      let method = made.method { $0.objective = objective }
      let lesson = try learn(&policy, step: 0, from: [made.group()], prompts: prompts, method: method)
      #expect(lesson.critic?.explainedVariance == nil && (lesson.critic?.returnMean == nil) == (objective == .clip))
      #expect((lesson.critic == nil) == (objective == .clip))
    }
  }
}
