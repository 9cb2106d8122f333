// Staleness: which version samples a step, the weights of its tokens, and the step's figures.

import Answers
import Base
import Records
import TTRL
import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// Samples two tokens per response. When it scores them, their log-probabilities differ, by sample.
private struct Reader: Policy {
  /// The slots that it was asked to score, by call.
  var scored: [[Slot]] = []
  var updates: [MiniBatch] = []

  /// By sample: its own log-probabilities minus the recorded ones.
  static let distances: [Float] = [0, 0.1, -0.3, 1, 2, -2, 0.5, 0.69]

  func sample(_ prompt: Prompt, slots: [Slot], sampling: Sampling) -> [Trajectory] {
    slots.map { slot in
      Trajectory(
        slot: slot, policy: PolicyVersion(0), tokens: [Int32(slot.sample % 3), 9], logprobs: [-1, -2], entropySum: 0,
        finish: .stop)
    }
  }

  func answer(of trajectory: Trajectory, to prompt: Prompt) -> AnswerKey? { key(Int(trajectory.tokens[0])) }
  func referenceLogprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) -> [[Float]] {
    trajectories.map { $0.trajectory.logprobs.map { $0 - 0.5 } }
  }

  mutating func logprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) -> [[Float]] {
    scored.append(trajectories.map(\.trajectory.slot))
    return trajectories.map { member in
      member.trajectory.logprobs.map { $0 + Self.distances[Int(member.trajectory.slot.sample)] }
    }
  }

  mutating func update(_ miniBatch: MiniBatch, method: Method, learningRate: Double) -> UpdateReport {
    updates.append(miniBatch)
    return UpdateReport()
  }

  func publish() {}
}

@Suite struct ImportanceTests {
  private let prompts = (0..<2).map { Prompt(index: UInt32($0), tokens: [Int32($0)], kind: .math) }

  private func method(staleness: UInt32) -> Method {
    var method = Method()
    method.promptsPerStep = 2
    method.votes = 8
    method.trainSamples = 8
    method.miniBatch = 5
    method.staleness = staleness
    return method
  }

  @Test func `a step is sampled by the version "staleness" steps before, or by version 0`() {
    for staleness in UInt32(0)...3 {
      let versions = (UInt32(0)..<6).map { samplingPolicy(ofStep: $0, method: method(staleness: staleness)).number }
      #expect(versions == (UInt32(0)..<6).map { $0 < staleness ? 0 : $0 - staleness })
      for step in UInt32(0)..<6 {
        let round = trainingRound(ofStep: step, promptCount: 2, method: method(staleness: staleness))
        #expect(round.policy.number == versions[Int(step)] && round.id == .train(step: step))
      }
    }
  }

  @Test func `if a step's own version sampled, nothing is scored and there are no weights`() throws {
    var policy = Reader()
    for (step, staleness) in [(0, 0), (4, 0), (0, 2)] as [(UInt32, UInt32)] {
      _ = try improve(&policy, step: step, prompts: prompts, method: method(staleness: staleness))
    }
    #expect(policy.scored.isEmpty)
    let members = policy.updates.flatMap(\.trajectories)
    #expect(!members.isEmpty && members.allSatisfy { $0.importance.isEmpty && $0.old == $0.trajectory.logprobs })
  }

  @Test func `if an older version sampled, each trained token is scored once; its capped ratio is its weight`() throws {
    var policy = Reader()
    _ = try improve(&policy, step: 1, prompts: prompts, method: method(staleness: 1))
    let members = policy.updates.flatMap(\.trajectories)
    #expect(policy.scored == [members.map(\.trajectory.slot).sorted()])
    for member in members {
      let distance = Reader.distances[Int(member.trajectory.slot.sample)]
      #expect(member.old == [-1 + distance, -2 + distance])
      // 1e-6: float32 log-probabilities of size 2 under an exp.
      for weight in member.importance { #expect(abs(Double(weight) - min(exp(Double(distance)), 2)) < 1e-6) }
      #expect(member.importance.count == 2)
    }
  }

  /// L = −A · min(π/μ, C) · ρ with ρ = π_now/π, so dL/d(lp) is the same number. ρ decides clipping, not π_now/μ.
  @Test func `the objective is the clipped surrogate against the step's own policy, times the weight`() {
    var member = TrainedTrajectory(
      prompt: prompts[0],
      trajectory: Trajectory(
        slot: Slot(round: .train(step: 1), prompt: 0, sample: 0), policy: PolicyVersion(0), tokens: [1, 2, 3],
        logprobs: [-3, -1, -1], entropySum: 0, finish: .stop), advantage: 0.5)
    member.starting = [-1, -1.5, -1]
    member.importance = [2, Float(exp(-0.5)), 1]
    member.weight = 3
    let method = method(staleness: 1)
    // Far from the recorded log-probability but near the old one: not clipped. Beyond 1 + ε of the old one: clipped.
    let near = objective(of: member, at: 0, logprob: -0.9, method: method)
    #expect(!near.isClipped && abs(Double(near.slope) + 3 * 2 * 0.5 * exp(0.1)) < 1e-5)
    #expect(abs(Double(near.loss) + 2 * 0.5 * exp(0.1)) < 1e-5)
    let less = objective(of: member, at: 1, logprob: -1.6, method: method)
    #expect(!less.isClipped && abs(Double(less.slope) + 3 * exp(-0.5) * 0.5 * exp(-0.1)) < 1e-5)
    let far = objective(of: member, at: 2, logprob: -0.5, method: method)
    #expect(far.isClipped && far.slope == 0 && abs(Double(far.loss) + 0.5 * 1.2) < 1e-5)
  }

  @Test func `the step's figures are those of the ratios before truncation`() throws {
    var policy = Reader()
    let groups = prompts.map { prompt in
      let slots = (UInt32(0)..<8).map { Slot(round: .train(step: 2), prompt: prompt.index, sample: $0) }
      return Group(
        prompt: prompt.index, trajectories: policy.sample(prompt, slots: slots, sampling: Method().sampling))
    }
    let method = method(staleness: 2)
    let lesson = try learn(&policy, step: 2, from: groups, prompts: prompts, method: method)
    let ratios = Reader.distances.map { exp(Double($0)) }
    let figures = try #require(lesson.importance)
    #expect(abs(figures.mean - ratios.reduce(0, +) / 8) < 1e-6 && abs(figures.max - exp(2)) < 1e-6)
    // e and e² are above 2; e^0.69 is not.
    #expect(figures.truncatedShare == 2.0 / 8)
    let metrics = StepMetrics(step: 2, lesson: lesson, groups: groups, truth: [], method: method)
    #expect(metrics.lag == 2 && metrics.importance == figures)
    let onPolicy = try learn(&policy, step: 0, from: groups, prompts: prompts, method: method)
    #expect(onPolicy.importance == nil)
  }
}
