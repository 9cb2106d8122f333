// Trajectory: what is sampled, by which policy, into which slot.
//
// Everything here is a plain value that crosses modules or processes. Not here: rewards and advantages (TTRL), leases
// (Fleet), bytes (Wire).

import Base

/// A numbered set of weights. 0 is the model with which the run began; training step s turns s into s + 1.
package struct PolicyVersion: Comparable, Hashable, Sendable, CustomStringConvertible {
  package var number: UInt32
  package init(_ number: UInt32) { self.number = number }
  package static func < (left: Self, right: Self) -> Bool { left.number < right.number }
  package var next: PolicyVersion { PolicyVersion(number + 1) }
  /// Its number with at least six digits, for names that sort.
  package var padded: String { String(repeating: "0", count: max(0, 6 - description.utf8.count)) + description }
  /// The name of its file in the coordinator's directory of versions.
  package var fileName: String { self == .base ? "base.bin" : "policy-\(padded).bin" }
  package var description: String { self == .base ? "base" : "\(number)" }
  /// The frozen model that adapters adapt. It travels to workers as a version does, and no round samples from it.
  package static let base = PolicyVersion(.max)
}

/// Which questions a round samples.
package enum QuestionSet: UInt8, Sendable, CaseIterable {
  case training = 0
  case heldOut = 1
  /// Questions of other files, each a named set; only evaluated.
  case transfer = 2

  /// Its name in settings.
  package var word: String {
    switch self {
    case .training: "training"
    case .heldOut: "held-out"
    case .transfer: "transfer"
    }
  }
}

/// A round: the samples of one training step, or of one evaluation of one question set.
///
/// The plan, a pure function of the settings, makes the rounds and says which version samples each (`RoundSpec`).
package struct RoundID: Comparable, Hashable, Sendable, CustomStringConvertible {
  package enum Purpose: UInt8, Sendable {
    case train = 0
    case evaluate = 1
  }

  package var purpose: Purpose
  package var set: QuestionSet
  /// The step whose batch this is, or the policy version that is evaluated; at most 2^24 − 1.
  package var step: UInt32

  package init(purpose: Purpose, set: QuestionSet, step: UInt32) {
    precondition(step < 1 << 24, "a run has at most \(1 << 24) steps, got step \(step)")
    self.purpose = purpose
    self.set = set
    self.step = step
  }

  package static func train(step: UInt32) -> RoundID { RoundID(purpose: .train, set: .training, step: step) }

  package static func evaluate(_ set: QuestionSet, at version: PolicyVersion) -> RoundID {
    RoundID(purpose: .evaluate, set: set, step: version.number)
  }

  /// One word, unique per round. It is part of a slot's random counter, and it stands for the round in messages and in
  /// the ledger.
  package var code: UInt32 { UInt32(purpose.rawValue) << 28 | UInt32(set.rawValue) << 24 | step }

  /// - Returns: nil if the word is not the code of a round.
  package init?(code: UInt32) {
    guard let purpose = Purpose(rawValue: UInt8(code >> 28)), let set = QuestionSet(rawValue: UInt8(code >> 24 & 0xF))
    else { return nil }
    self.init(purpose: purpose, set: set, step: code & 0xFF_FFFF)
  }

  package static func < (left: Self, right: Self) -> Bool {
    (left.step, left.purpose.rawValue, left.set.rawValue) < (right.step, right.purpose.rawValue, right.set.rawValue)
  }

  /// Steps are counted from 0, everywhere (docs/style.md).
  package var description: String {
    switch (purpose, set) {
    case (.train, _): "step \(step)"
    case (.evaluate, .training): "evaluation of policy \(step) on the training prompts"
    case (.evaluate, .heldOut): "evaluation of policy \(step) on the held-out prompts"
    case (.evaluate, .transfer): "evaluation of policy \(step) on the transfer prompts"
    }
  }
}

/// The place of one trajectory: which round, which prompt (index in its question set), which sample.
///
/// A slot determines its random numbers: every worker that samples it produces the same trajectory.
package struct Slot: Comparable, Hashable, Sendable, CustomStringConvertible {
  package var round: RoundID
  package var prompt: UInt32
  package var sample: UInt32

  package init(round: RoundID, prompt: UInt32, sample: UInt32) {
    self.round = round
    self.prompt = prompt
    self.sample = sample
  }

  package static func < (left: Self, right: Self) -> Bool {
    (left.round, left.prompt, left.sample) < (right.round, right.prompt, right.sample)
  }

  package var description: String { "\(round), prompt #\(prompt), sample \(sample)" }

  /// The random number in [0, 1) that decides the token at `position` (0 is the first response token).
  package func uniform(at position: Int, seed: UInt64) -> Double {
    Philox.uniform(
      counter: SIMD4(UInt32(position), sample, prompt, round.code), key: RandomPurpose.sampling.key(seed: seed))
  }
}

/// Why a response ended.
package enum FinishReason: UInt8, Sendable {
  /// A stop token was sampled, or a token that completes a stop string; it is the last of the tokens.
  case stop = 0
  /// The token limit was reached.
  case length = 1

  package var name: String {
    switch self {
    case .stop: "stop"
    case .length: "length"
    }
  }
}

/// One sampled response. A worker writes it, the ledger stores it, the learner and the evaluation read it.
package struct Trajectory: Sendable, Equatable {
  package var slot: Slot
  package var policy: PolicyVersion
  /// [T] the response's tokens, with the stop token if there is one.
  package var tokens: [Int32]
  /// [T] natural-log probabilities under the sampled distribution (temperature, top-p and top-k applied).
  package var logprobs: [Float]
  /// The sum over all positions of that distribution's entropy, in nats.
  package var entropySum: Float
  package var finish: FinishReason
  /// [T] that distribution's entropy, in nats; empty unless `Sampling.records` asks for it.
  package var entropies: [Float] = []
  /// Mean over the tokens of log Σ exp z − mean z of the logits z that the distribution is made of: KL from the uniform
  /// distribution, plus a constant. nil unless `Sampling.records` asks for it, and in a response without tokens.
  package var selfCertainty: Float?
  /// What the reward command said about it; nil without such a command, and until it is recorded. Workers never set it.
  package var verdict: Verdict?

  package init(
    slot: Slot, policy: PolicyVersion, tokens: [Int32], logprobs: [Float], entropySum: Float, finish: FinishReason
  ) {
    self.slot = slot
    self.policy = policy
    self.tokens = tokens
    self.logprobs = logprobs
    self.entropySum = entropySum
    self.finish = finish
  }
}

extension Trajectory {
  /// Whether it has what a sampler was asked to record, and nothing else.
  package func has(_ records: TokenRecords) -> Bool {
    entropies.count == (records.contains(.entropies) ? tokens.count : 0)
      && (selfCertainty != nil) == (records.contains(.selfCertainty) && !tokens.isEmpty)
  }
}

/// What a sampler records of a response beyond log-probabilities and the sum of entropies, for methods that need it.
package struct TokenRecords: OptionSet, Sendable, Hashable {
  package let rawValue: UInt8
  package init(rawValue: UInt8) { self.rawValue = rawValue }

  package static let entropies = TokenRecords(rawValue: 1)
  package static let selfCertainty = TokenRecords(rawValue: 2)
  package static let all: TokenRecords = [.entropies, .selfCertainty]
}

/// How to sample. It is part of a lease, so a worker needs no settings.
package struct Sampling: Sendable, Equatable, Hashable {
  /// 0 is greedy.
  package var temperature: Float
  package var topP: Float
  /// 0 is off.
  package var topK: Int32
  package var maxNewTokens: Int32
  /// Sampling one of these tokens ends the response. If empty, only the length ends it.
  package var stopTokens: [Int32]
  /// A token that completes one of these texts ends the response. Then the sampler needs the tokens' texts.
  package var stopStrings: [String]
  package var records: TokenRecords

  package init(
    temperature: Float, topP: Float = 1, topK: Int32 = 0, maxNewTokens: Int32, stopTokens: [Int32],
    stopStrings: [String] = [], records: TokenRecords = []
  ) {
    self.temperature = temperature
    self.topP = topP
    self.topK = topK
    self.maxNewTokens = maxNewTokens
    self.stopTokens = stopTokens
    self.stopStrings = stopStrings
    self.records = records
  }
}
