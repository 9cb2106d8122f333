// RoundSpec: what one round samples. A run's plan is a list of these, a pure function of the run's settings.

package struct RoundSpec: Sendable, Equatable {
  package var id: RoundID
  /// The version that samples it.
  package var policy: PolicyVersion
  /// Ascending prompt indices in the round's question set.
  package var prompts: [UInt32]
  /// Samples per prompt.
  package var samples: UInt32
  package var sampling: Sampling
  /// [prompts] ascending indices of the samples that are always needed; with early stop, a vote can be decided without
  /// the others. Empty if all samples are needed.
  package var required: [[UInt32]]
  /// Whether the round is complete only when the reward command has judged every response.
  package var isJudged = false
  /// [prompts] how many responses each prompt was given when the run began, at least 1. Such a round is complete when
  /// it opens: no worker samples for it. Empty if the round is sampled.
  package var given: [UInt32] = []

  /// The default of `policy` is the version with the round's number: the version that is evaluated or, strictly
  /// on-policy, the version that the step trains.
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

  /// Each prompt's vote can be decided with some of its samples.
  package var stopsEarly: Bool { !required.isEmpty }

  package var isGiven: Bool { !given.isEmpty }

  package var slotCount: Int { isGiven ? given.reduce(0) { $0 + Int($1) } : prompts.count * Int(samples) }
}
