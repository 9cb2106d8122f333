// ArchiveLine: the lines of an archive that carry data, as values, and as JSON.
//
// Names of members are those of `ttrl` elsewhere. Floats are written as the shortest decimal that reads back as the
// same float32. What is not known is null.

package import Base
package import Records

/// What the archive is of. The header's other members, such as settings and meanings, are read from `json`.
package struct ArchiveHeader: Sendable, Equatable {
  package let json: JSON

  package init(_ json: JSON) { self.json = json }

  /// The run's id.
  package var run: String { json["run"]?.string ?? "" }
  /// SHA-256 of the model with which the run began, in hexadecimal.
  package var modelSHA256: String { json["model"]?["sha256"]?.string ?? "" }
  package var license: String { json["license"]?.string ?? "" }
  /// A setting of the run, as text; nil if the run does not have it.
  package func setting(_ name: String) -> String? { json["settings"]?[name]?.string }
}

/// One question.
package struct ArchivedQuestion: Sendable, Equatable {
  package var set: QuestionSet
  package var index: UInt32
  package var id: String?
  /// As the user wrote it.
  package var text: String
  /// [T] what the policy sees, template applied.
  package var tokens: [Int32]
  package var kind: AnswerKind
  /// The right answer of the question file, as written there, and its key.
  package var truth: String?
  package var truthKey: String?
  /// The question as a line of a question file (`Question.json`): also the turns before it, its source, its domain. nil
  /// in archives from before it was written.
  package var row: JSON?

  package init(
    set: QuestionSet, index: UInt32, id: String?, text: String, tokens: [Int32], kind: AnswerKind, truth: String?,
    truthKey: String?, row: JSON? = nil
  ) {
    self.set = set
    self.index = index
    self.id = id
    self.text = text
    self.tokens = tokens
    self.kind = kind
    self.truth = truth
    self.truthKey = truthKey
    self.row = row
  }
}

/// The samples of one training step, or of one evaluation of one question set. Its groups follow.
package struct ArchivedRound: Sendable, Equatable {
  package var id: RoundID
  /// The version that sampled it, and the hash of its published weights.
  package var policy: PolicyVersion
  package var policySHA256: String?
  /// The row of metrics.jsonl.
  package var figures: JSON

  package init(id: RoundID, policy: PolicyVersion, policySHA256: String?, figures: JSON) {
    self.id = id
    self.policy = policy
    self.policySHA256 = policySHA256
    self.figures = figures
  }
}

/// One question's samples in a round. Its responses follow.
package struct ArchivedGroup: Sendable, Equatable {
  package var round: RoundID
  package var question: UInt32
  /// The key of the label; nil if there is none.
  package var label: String?
  /// Samples that gave the label.
  package var labelVotes: Int
  /// The keys of all answers with their votes; most votes first, among equals the smaller key.
  package var votes: [Ballot]
  /// Samples that count; samples that the vote did not need, which are not in the archive.
  package var samples: Int
  package var unneeded: Int
  /// Why nothing is rewarded although answers were given.
  package var abstention: Abstention?

  /// An answer's key and how many samples gave it.
  package struct Ballot: Sendable, Equatable {
    package var key: String
    package var votes: Int

    package init(key: String, votes: Int) {
      self.key = key
      self.votes = votes
    }
  }

  package init(
    round: RoundID, question: UInt32, label: String?, labelVotes: Int, votes: [Ballot], samples: Int, unneeded: Int,
    abstention: Abstention?
  ) {
    self.round = round
    self.question = question
    self.label = label
    self.labelVotes = labelVotes
    self.votes = votes
    self.samples = samples
    self.unneeded = unneeded
    self.abstention = abstention
  }
}

/// One response that counts.
package struct ArchivedResponse: Sendable, Equatable {
  package var trajectory: Trajectory
  /// What the answer rule reads: without special tokens.
  package var text: String
  /// The answer that it states, as written, and its key; nil if it states none.
  package var answer: String?
  package var key: String?
  /// Whether the answer is the right one; nil where that is not known.
  package var isRight: Bool?
  /// nil in an evaluation.
  package var reward: Float?
  package var isTrained: Bool
  /// [T] of the tokens; empty if it was not trained on, or if they cannot be computed from what is recorded.
  package var advantages: [Float]

  package init(
    trajectory: Trajectory, text: String, answer: String?, key: String?, isRight: Bool?, reward: Float?,
    isTrained: Bool, advantages: [Float]
  ) {
    self.trajectory = trajectory
    self.text = text
    self.answer = answer
    self.key = key
    self.isRight = isRight
    self.reward = reward
    self.isTrained = isTrained
    self.advantages = advantages
  }

  /// [T] the response's tokens.
  package var tokens: [Int32] { trajectory.tokens }
  package var slot: Slot { trajectory.slot }
}

/// A line with data.
package enum ArchiveLine: Sendable, Equatable {
  case header(ArchiveHeader)
  case question(ArchivedQuestion)
  case round(ArchivedRound)
  case group(ArchivedGroup)
  case response(ArchivedResponse)
}

// MARK: - As JSON

extension ArchiveLine {
  var kind: ArchiveFormat.Kind {
    switch self {
    case .header: .header
    case .question: .question
    case .round: .round
    case .group: .group
    case .response: .response
    }
  }

  /// The members after `kind`.
  var members: [JSON.Member] {
    switch self {
    case .header(let header): header.json.members ?? []
    case .question(let question): question.members
    case .round(let round): round.members
    case .group(let group): group.members
    case .response(let response): response.members
    }
  }
}

extension RoundID {
  /// The members that name a round.
  fileprivate var members: [JSON.Member] {
    [
      JSON.Member("purpose", .string(purpose.name)), JSON.Member("set", .string(set.name)),
      JSON.Member("step", .int(Int(step))),
    ]
  }
}

extension ArchivedQuestion {
  fileprivate var members: [JSON.Member] {
    [
      JSON.Member("set", .string(set.name)), JSON.Member("question", .int(Int(index))),
      JSON.Member("question_id", .optional(id)), JSON.Member("text", .string(text)),
      JSON.Member("tokens", .integers(tokens)), JSON.Member("answer_kind", .string(kind.rawValue)),
      JSON.Member("truth", .optional(truth)), JSON.Member("truth_key", .optional(truthKey)),
    ] + (row.map { [JSON.Member("row", $0)] } ?? [])
  }
}

extension ArchivedRound {
  fileprivate var members: [JSON.Member] {
    id.members + [
      JSON.Member("policy_version", .int(Int(policy.number))), JSON.Member("policy_sha256", .optional(policySHA256)),
      JSON.Member("figures", figures),
    ]
  }
}

extension ArchivedGroup {
  fileprivate var members: [JSON.Member] {
    round.members + [
      JSON.Member("question", .int(Int(question))), JSON.Member("label", .optional(label)),
      JSON.Member("label_votes", .int(labelVotes)),
      JSON.Member("votes", .array(votes.map { [.string($0.key), .int($0.votes)] })),
      JSON.Member("samples", .int(samples)), JSON.Member("unneeded", .int(unneeded)),
      JSON.Member("abstained", .optional(abstention?.rawValue)),
    ]
  }
}

extension ArchivedResponse {
  fileprivate var members: [JSON.Member] {
    var members =
      slot.round.members + [
        JSON.Member("question", .int(Int(slot.prompt))), JSON.Member("sample", .int(Int(slot.sample))),
        JSON.Member("policy_version", .int(Int(trajectory.policy.number))), JSON.Member("text", .string(text)),
        JSON.Member("finish", .string(trajectory.finish.name)), JSON.Member("answer", .optional(answer)),
        JSON.Member("key", .optional(key)), JSON.Member("right", isRight.map { .bool($0) } ?? .null),
        JSON.Member("reward", reward.map { .float($0) } ?? .null), JSON.Member("trained", .bool(isTrained)),
        JSON.Member("advantage", advantage), JSON.Member("tokens", .integers(tokens)),
        JSON.Member("logprobs", .floats(trajectory.logprobs)),
        JSON.Member("entropy_sum", .float(trajectory.entropySum)),
      ]
    if !trajectory.entropies.isEmpty { members.append(JSON.Member("entropies", .floats(trajectory.entropies))) }
    if let value = trajectory.selfCertainty { members.append(JSON.Member("self_certainty", .float(value))) }
    if let verdict = trajectory.verdict { members.append(JSON.Member("verdict", verdict.archived)) }
    return members
  }

  /// One number if all tokens have the same.
  private var advantage: JSON {
    guard let first = advantages.first else { return .null }
    return advantages.allSatisfy { $0 == first } ? .float(first) : .floats(advantages)
  }
}

extension Verdict {
  fileprivate var archived: JSON {
    [
      "reward": reward.map { .float($0) } ?? .null, "vote_weight": voteWeight.map { .float($0) } ?? .null,
      "valid": .bool(isValid), "fault": .optional(fault?.name),
    ]
  }
}

extension JSON {
  fileprivate static func integers(_ values: [Int32]) -> JSON { .array(values.map { .int(Int($0)) }) }
  fileprivate static func floats(_ values: [Float]) -> JSON { .array(values.map { .float($0) }) }
}
