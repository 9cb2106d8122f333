// Verdict: what the reward command said about one response, or why it said nothing.
//
// The coordinator asks once, records the verdict in the ledger before anything depends on it, and sends it to the
// learner with the trajectory. So every retry uses the same verdict, also if the program would now say something else.
// Not here: how the program is asked (CoordinatorRole), what a verdict does to vote and rewards (TTRL).

import Base

package struct Verdict: Sendable, Equatable {
  /// The response's reward; nil leaves it to the estimator.
  package var reward: Float?
  /// How much the response's answer counts in the vote; nil is 1, and 0 does not vote.
  package var voteWeight: Float?
  /// Whether the response votes and is trained on.
  package var isValid: Bool
  /// Why there is no answer of the program. The response is then not valid.
  package var fault: VerdictFault?

  package init(reward: Float? = nil, voteWeight: Float? = nil, isValid: Bool = true) {
    self.reward = reward
    self.voteWeight = voteWeight
    self.isValid = isValid
  }

  /// The program did not answer.
  package init(_ fault: VerdictFault) {
    isValid = false
    self.fault = fault
  }

  /// Whether the values are ones that a program can give.
  package var isSound: Bool {
    (reward?.isFinite ?? true) && Self.voteWeights.contains(voteWeight ?? 1)
      && (fault == nil || (!isValid && reward == nil && voteWeight == nil))
  }

  /// Larger weights would drown every other vote.
  package static let voteWeights: ClosedRange<Float> = 0...1_000_000
}

/// Why the reward command gave no verdict. The raw value is the byte in messages, the name the word in the ledger.
package enum VerdictFault: UInt8, Sendable, CaseIterable {
  /// It did not answer in time.
  case late = 1
  /// It ended, or was killed, before it answered.
  case ended = 2
  /// Its answer was not what the page docs/rewards.md asks for.
  case garbled = 3
  /// It wrote more than an answer can have, or without being asked.
  case flooded = 4
  /// It had more processes than it may have.
  case crowded = 5

  package var name: String {
    switch self {
    case .late: "late"
    case .ended: "ended"
    case .garbled: "garbled"
    case .flooded: "flooded"
    case .crowded: "crowded"
    }
  }

  /// - Returns: nil for a word that is not a fault's name.
  package init?(name: String) {
    guard let fault = Self.allCases.first(where: { $0.name == name }) else { return nil }
    self = fault
  }

  /// What happened, for people.
  package var explanation: String {
    switch self {
    case .late: "no answer within reward-seconds"
    case .ended: "the program ended before it answered"
    case .garbled: "the answer was not a JSON object with reward, vote_weight or valid"
    case .flooded: "the program wrote more than one answer"
    case .crowded: "the program started too many processes"
    }
  }
}

/// A slot with its verdict.
package struct SlotVerdict: Sendable, Equatable {
  package var slot: Slot
  package var verdict: Verdict

  package init(_ slot: Slot, _ verdict: Verdict) {
    self.slot = slot
    self.verdict = verdict
  }
}

// MARK: - Lines

extension Verdict {
  /// Reads a program's answer: one JSON object with at least one of `reward`, `vote_weight` and `valid`. Other members
  /// are ignored, except `id`.
  ///
  /// - Parameters:
  ///   - line: without its end.
  ///   - id: of the request. An answer that has an `id` must have this one.
  /// - Returns: nil if it is not an answer to this request.
  package init?(line: [UInt8], id: String) {
    guard let json = try? JSON.parse(line), json.members != nil else { return nil }
    if let answered = json["id"], answered.string != id { return nil }
    let (reward, weight, valid) = (json["reward"], json["vote_weight"], json["valid"])
    guard reward != nil || weight != nil || valid != nil else { return nil }
    self.init()
    if let reward {
      guard let value = reward.double else { return nil }
      self.reward = Float(value)
    }
    if let weight {
      guard let value = weight.double else { return nil }
      voteWeight = Float(value)
    }
    if let valid {
      guard let value = valid.bool else { return nil }
      isValid = value
    }
    guard isSound else { return nil }
  }
}
