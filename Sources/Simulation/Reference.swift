// Reference: what the run must come to, computed by `improve` step by step on one thread, with no fleet at all.
//
// This is the judge. The simulated fleet may lose processes, packets and time; every trajectory it stores, every
// version it publishes and the state it ends with are compared with these, bit for bit.

import Base
import Records
import TTRL

/// The undisturbed run of a scenario.
struct Reference: Sendable {
  /// Published bytes by version, 0 to `steps`.
  let published: [[UInt8]]
  /// The learner's state by version: masters and optimizer.
  let states: [[UInt8]]
  private let scenario: Scenario

  init(_ scenario: Scenario) throws {
    self.scenario = scenario
    var policy = scenario.initialPolicy
    var published = [policy.published]
    var states = [policy.state]
    for step in 0..<scenario.method.steps {
      _ = try improve(
        &policy, step: step, prompts: scenario.prompts, truth: scenario.truth, method: scenario.method)
      published.append(policy.published)
      states.append(policy.state)
    }
    self.published = published
    self.states = states
  }

  /// Every trajectory of a round, in slot order.
  func trajectories(of spec: RoundSpec) throws -> [Trajectory] {
    let policy = try scenario.policy(published: published[Int(spec.id.policy.number)])
    return spec.prompts.flatMap { prompt in
      let slots = (0..<spec.samples).map { Slot(round: spec.id, prompt: prompt, sample: $0) }
      return policy.sample(scenario.tokens(of: spec.id.set, prompt), slots: slots, sampling: spec.sampling)
    }
  }
}

extension Scenario {
  var initialPolicy: ToyPolicy { ToyPolicy(rows: rows, seed: seed) }

  func policy(published bytes: [UInt8]) throws -> ToyPolicy {
    try ToyPolicy(rows: rows, seed: seed, published: bytes)
  }

  func policy(state bytes: [UInt8]) throws -> ToyPolicy { try ToyPolicy(rows: rows, seed: seed, state: bytes) }

  func tokens(of set: QuestionSet, _ prompt: UInt32) -> [Int32] {
    switch set {
    case .training: prompts[Int(prompt)].tokens
    case .heldOut: heldOut[Int(prompt)].tokens
    // The simulated plan has none.
    case .transfer: []
    }
  }
}

/// The manifest that goes with published bytes.
func manifest(of bytes: [UInt8], version: PolicyVersion) -> PolicyManifest {
  PolicyManifest(version: version, byteCount: UInt64(bytes.count), digest: digest(bytes))
}
