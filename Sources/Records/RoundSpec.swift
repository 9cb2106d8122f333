// RoundSpec: what one round samples. The plan of a run is a list of these, a pure function of the run's settings.

package struct RoundSpec: Sendable, Equatable {
  package var id: RoundID
  /// Ascending prompt indices in the round's question set.
  package var prompts: [UInt32]
  /// Samples per prompt.
  package var samples: UInt32
  package var sampling: Sampling

  package init(id: RoundID, prompts: [UInt32], samples: UInt32, sampling: Sampling) {
    self.id = id
    self.prompts = prompts
    self.samples = samples
    self.sampling = sampling
  }

  package var slotCount: Int { prompts.count * Int(samples) }
}
