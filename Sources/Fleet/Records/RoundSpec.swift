// RoundSpec: what one round samples. The plan of a run is a list of these, a pure function of the run's settings.

package struct RoundSpec: Sendable, Equatable {
  package var id: RoundID
  /// The version that samples it.
  package var policy: PolicyVersion
  /// Ascending prompt indices in the round's question set.
  package var prompts: [UInt32]
  /// Samples per prompt.
  package var samples: UInt32
  package var sampling: Sampling
  /// [prompts] ascending sample indices that are needed whatever the answers are, where a vote may be decided without
  /// the others (early stop); empty where all samples are needed.
  package var required: [[UInt32]]

  /// Its parts; without a policy, that of the round's own number: the one that is evaluated, or, strictly on-policy,
  /// the one that the step trains.
  package init(
    id: RoundID, policy: PolicyVersion? = nil, prompts: [UInt32], samples: UInt32, sampling: Sampling,
    required: [[UInt32]] = []
  ) {
    self.id = id
    self.policy = policy ?? PolicyVersion(id.step)
    self.prompts = prompts
    self.samples = samples
    self.sampling = sampling
    self.required = required
  }

  /// Its prompts are decided one by one, each with some of the samples.
  package var stopsEarly: Bool { !required.isEmpty }

  package var slotCount: Int { prompts.count * Int(samples) }
}
