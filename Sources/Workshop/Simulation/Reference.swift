// Reference: the correct result of a run, computed by `improve` step by step on one thread, without a fleet.
//
// The simulated fleet is compared with it. The fleet can lose processes, packets and time. Every trajectory that it
// stores, every version that it publishes and its final state are compared with the reference, bit for bit.

import Answers
import Base
package import Records
import TTRL

/// A scenario's run without faults.
package struct Reference: Sendable {
  /// Published bytes by version, 0 to `steps`.
  package let published: [[UInt8]]
  /// The learner's state by version: masters and optimizer.
  package let states: [[UInt8]]
  /// The labels that the prompts had, by version.
  let histories: [History]
  /// What a learner reports of each step.
  let reports: [StepReport]
  private let scenario: Scenario

  package init(_ scenario: Scenario) throws {
    self.scenario = scenario
    var policy = scenario.initialPolicy
    var versions = [policy]
    var published = [policy.published]
    var states = [policy.state]
    var history = History()
    var histories = [history]
    var reports: [StepReport] = []
    for step in 0..<scenario.method.steps {
      let sampler = versions[Int(samplingPolicy(ofStep: step, method: scenario.method).number)]
      let judgements = try improve(
        &policy, sampler: sampler, step: step, prompts: scenario.prompts, truth: scenario.truth, history: history,
        method: scenario.method, verdict: { scenario.verdict(of: $0.slot, isDurable: false) },
        given: { scenario.given($0, inStep: step) })
      history.record(judgements)
      versions.append(policy)
      histories.append(history)
      published.append(policy.published)
      states.append(policy.state)
      reports.append(report(ofStep: step, judgements))
    }
    self.published = published
    self.states = states
    self.histories = histories
    self.reports = reports
  }

  /// Every trajectory of a round, in slot order.
  package func trajectories(of spec: RoundSpec) throws -> [Trajectory] {
    if spec.isGiven { return scenario.given(spec) }
    let policy = try scenario.policy(published: published[Int(spec.policy.number)], version: spec.policy)
    return spec.prompts.flatMap { prompt in
      let slots = (0..<spec.samples).map { Slot(round: spec.id, prompt: prompt, sample: $0) }
      return policy.sample(scenario.tokens(of: spec.id.set, prompt), slots: slots, sampling: spec.sampling)
        .map { trajectory in
          var trajectory = trajectory
          if spec.isJudged { trajectory.verdict = scenario.verdict(of: trajectory.slot, isDurable: false) }
          return trajectory
        }
    }
  }
}

extension Reference {
  /// The trajectories of a round that count.
  package func counted(_ trajectories: [Trajectory], of spec: RoundSpec) -> [Trajectory] {
    guard spec.id.purpose == .train, !spec.isGiven else { return trajectories }
    return spec.prompts.flatMap { prompt in
      let group = trajectories.filter { $0.slot.prompt == prompt }
      let answers = group.map { scenario.answer(of: $0) }
      return countedSamples(of: answers, step: spec.id.step, prompt: prompt, method: scenario.method).map { group[$0] }
    }
  }
}

/// A learner's report of a step. Its figures depend on every answer that counts and on earlier visits.
func report(ofStep step: UInt32, _ judgements: [Judgement]) -> StepReport {
  StepReport(
    step: step,
    prompts: judgements.map { judgement in
      var prompt = PromptReport(prompt: judgement.prompt)
      prompt.samples = UInt32(judgement.answers.count)
      prompt.labelVotes = UInt32(judgement.vote.votes)
      prompt.isFlip = judgement.isFlip
      return prompt
    })
}

extension Scenario {
  /// The plan's round of this name.
  func round(_ id: RoundID) -> RoundSpec? { plan.first { $0.id == id } }

  /// The responses that a prompt was given in a step.
  fileprivate func given(_ prompt: UInt32, inStep step: UInt32) -> [Trajectory] {
    round(.train(step: step)).map(given)?.filter { $0.slot.prompt == prompt } ?? []
  }

  /// The answer that a trajectory gives. The toy policy's answers depend on nothing else.
  func answer(of trajectory: Trajectory) -> AnswerKey? {
    initialPolicy.answer(of: trajectory, to: prompts[Int(trajectory.slot.prompt)])
  }

  func policy(published bytes: [UInt8], version: PolicyVersion) throws -> ToyPolicy {
    try ToyPolicy(rows: rows, seed: seed, version: version, published: bytes).beginning(with: initialPolicy)
  }

  func policy(state bytes: [UInt8], version: PolicyVersion) throws -> ToyPolicy {
    try ToyPolicy(rows: rows, seed: seed, version: version, state: bytes).beginning(with: initialPolicy)
  }

  func tokens(of set: QuestionSet, _ prompt: UInt32) -> [Int32] {
    switch set {
    case .training: prompts[Int(prompt)].tokens
    case .heldOut: heldOut[Int(prompt)].tokens
    // The simulated plan has no transfer prompts.
    case .transfer: []
    }
  }
}

/// The manifest of published bytes.
func manifest(of bytes: [UInt8], version: PolicyVersion) -> PolicyManifest {
  PolicyManifest(version: version, byteCount: UInt64(bytes.count), digest: digest(bytes))
}
