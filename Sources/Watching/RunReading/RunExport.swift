// RunExport: a run's ledger as an archive: what was asked, sampled, voted, rewarded and trained on.
//
// Rewards and advantages are not in the ledger: they are computed again, by the learner's functions, and the votes must
// be the recorded ones. So a run whose steps this version would judge differently is refused, not exported with other
// rewards. Only rounds that are complete and have figures are exported: their rows do not change any more, so the
// export needs no lock on a run that goes on. One step's responses, or one group's, are in memory.

import Answers
package import Archives
import Base
import Ledger
import Observatory
import Platform
package import Records
package import Runs
import Settings
package import Synchronization
import TTRL

/// Why a run cannot be exported.
package enum ExportError: LastingError, CustomStringConvertible {
  /// The run learned responses that it did not sample.
  case givenResponses(path: String)
  /// A row of figures cannot be read.
  case unreadable(path: String, round: RoundID, reason: String)
  /// What is recorded of a prompt is not what this program makes of its responses.
  case otherJudgement(path: String, round: RoundID, prompt: UInt32, what: String, recorded: String, computed: String)

  package var description: String {
    switch self {
    case .givenResponses(let path):
      "\(path) learned responses that it was given, and voted on none of its own, so there is nothing to export. They "
        + "are in \(path)/responses.jsonl; if they are of another run, export that one"
    case .unreadable(let path, let round, let reason):
      "\(path): the figures of \(round) cannot be read: \(reason). The ledger was damaged or written by another program"
    case .otherJudgement(let path, let round, let prompt, let what, let recorded, let computed):
      "\(path): \(round), prompt #\(prompt): \(what) was recorded as \(recorded.visible), and this version of ttrl "
        + "makes it \(computed.visible) from the same responses. So it cannot compute the run's rewards. Export the "
        + "run with the version that made it (\"version\" in settings.json)"
    }
  }
}

/// A number that one thread counts and another shows.
package final class Counter: Sendable {
  package let value = Atomic<Int>(0)

  package init() {}
}

package final class RunExport {
  private let run: Run
  private let ledger: Ledger
  private let license: String
  /// In the order of their steps: training before evaluations.
  private let rounds: [StoredRound]
  /// Responses that are written; another thread can read it.
  package let done = Counter()
  /// Responses in all rounds, or a few more: slots that a vote did not need are among them.
  package let responses: Int

  /// Opens a run and checks that its model and prompts are those that it began with.
  ///
  /// - Parameter license: under which terms the archive can be used.
  /// - Throws: what is missing or wrong; its description is for the user.
  package init(_ directory: RunDirectory, license: String) throws {
    run = try Run(opening: directory)
    guard !run.settings.method.objective.takesResponses else { throw ExportError.givenResponses(path: directory.path) }
    self.license = license
    ledger = try Ledger(path: directory.ledger, mode: .readOnly)
    try run.checkPrompts(of: ledger)
    let ledger = ledger
    rounds = try ledger.transaction { () throws(LedgerError) in
      var complete: [StoredRound] = []
      for round in try ledger.rounds() where round.closedAt != nil {
        if try ledger.figures(of: round.id) != nil { complete.append(round) }
      }
      return complete
    }
    responses = rounds.reduce(0) { $0 + $1.slots }
  }

  /// Writes the archive. It appears under its name when it is complete.
  ///
  /// - Returns: what it has, and the hash of its last line.
  /// - Throws: `ExportError`, `LedgerError` or `PlatformError`.
  package func write(to path: String) throws -> (counts: ArchiveCounts, sha256: String) {
    let writer = try ArchiveWriter(path)
    try writer.write(.header(ArchiveHeader(try header())))
    for set in Records.QuestionSet.allCases { try writeQuestions(of: set, to: writer) }
    var history = History()
    for round in rounds.map(\.id) {
      switch round.purpose {
      case .train: history.record(try writeStep(round, history, to: writer))
      case .evaluate: try writeEvaluation(round, to: writer)
      }
    }
    return (writer.counts, try writer.finish())
  }

  // MARK: Beginning

  private func header() throws -> JSON {
    let delivered = try ledger.value(for: .delivered).flatMap { try? MetricsRow.parse($0) }
    let condition = try RunCondition(of: run.directory, isDelivered: delivered != nil)
    let sets = Records.QuestionSet.allCases.map { JSON.Member($0.name, .int(run.set($0).questions.count)) }
    return [
      "format": .string(ArchiveFormat.name), "format_version": .int(ArchiveFormat.version), "run": .string(run.id),
      "license": .string(license), "state": .string(condition.name), "steps": .int(Int(run.settings.method.steps)),
      "steps_done": .int(rounds.count { $0.id.purpose == .train }),
      "versions": [
        "run": run.manifest["version"] ?? .null, "export": .string(Program.version),
        "export_commit": .string(Program.commit),
        "ledger_schema": .int(ledger.schemaVersion),
      ],
      "model": [
        "name": .string(run.settings.shownModel), "sha256": run.manifest["model_sha256"] ?? .null,
        "base_sha256": run.manifest["base_sha256"] ?? .null,
      ],
      "questions": .object(sets), "settings": run.manifest["settings"] ?? .null, "delivered": delivered ?? .null,
      "columns": ArchiveColumns.json,
    ]
  }

  private func writeQuestions(of name: Records.QuestionSet, to writer: ArchiveWriter) throws {
    let set = run.set(name)
    for ((question, prompt), truth) in zip(zip(set.questions, set.prompts), set.truth) {
      try writer.write(
        .question(
          ArchivedQuestion(
            set: name, index: prompt.index, id: question.id, text: question.prompt, tokens: prompt.tokens,
            kind: prompt.kind, truth: question.fileAnswer, truthKey: truth?.text, row: question.json)))
    }
  }

  // MARK: Rounds

  /// - Returns: the step's judgements.
  private func writeStep(_ round: RoundID, _ history: History, to writer: ArchiveWriter) throws -> [Judgement] {
    let row = try figures(of: round)
    let report: StepReport
    do { report = try StepReport(row) } catch { throw unreadable(round, "\(error)") }
    try writer.write(.round(try archived(round, policy: samplingPolicy(ofStep: round.step, method: run.method), row)))
    let groups = Group.groups(of: try trajectories(of: round))
    let review = review(
      groups, step: round.step, prompts: run.training.prompts, truth: run.training.truth, history: history,
      method: run.method
    ) { run.reader.answer(of: $0.tokens, to: $1) }
    for (index, (group, judgement)) in zip(groups, review.judgements).enumerated() {
      let report = report.prompts.dropFirst(index).first
      try check(judgement, of: group, review.trained?[index].hasZeroAdvantage, is: report, round)
      let isSkipped = report?.hasZeroAdvantage == true && run.method.zeroAdvantageGroups == .skip
      let isTaught = judgement.abstention == nil && !isSkipped
      var advantages: [Slot: [Float]] = [:]
      for member in review.trained?[index].members ?? [] where isTaught {
        advantages[member.trajectory.slot] = member.advantages
      }
      try writer.write(
        .group(
          archived(
            round, group, judgement.answers, judgement.vote, unneeded: judgement.unneeded, judgement.abstention)))
      for (place, trajectory) in group.trajectories.enumerated() {
        var response = archived(trajectory, of: .training)
        response.reward = judgement.rewards[place]
        response.isTrained = isTaught && judgement.trained.contains(place)
        response.advantages = advantages[trajectory.slot] ?? []
        try writer.write(.response(response))
      }
      done.value.add(group.trajectories.count + judgement.unneeded, ordering: .relaxed)
    }
    return review.judgements
  }

  private func writeEvaluation(_ round: RoundID, to writer: ArchiveWriter) throws {
    try writer.write(.round(try archived(round, policy: PolicyVersion(round.step), try figures(of: round))))
    for prompt in run.set(round.set).prompts {
      let first = Slot(round: round, prompt: prompt.index, sample: 0)
      let end = Slot(round: round, prompt: prompt.index + 1, sample: 0)
      let group = Group(
        prompt: prompt.index, trajectories: try ledger.trajectories(of: round, from: first, before: end))
      let answers = group.trajectories.map { run.reader.answer(of: $0.tokens, to: prompt) }
      try writer.write(.group(archived(round, group, answers, majority(of: answers), unneeded: 0, nil)))
      for trajectory in group.trajectories { try writer.write(.response(archived(trajectory, of: round.set))) }
      done.value.add(group.trajectories.count, ordering: .relaxed)
    }
  }

  /// With the verdicts of the reward command, if there is one.
  private func trajectories(of round: RoundID) throws -> [Trajectory] {
    var trajectories = try ledger.trajectories(of: round)
    guard run.method.isJudged else { return trajectories }
    var verdicts: [Slot: Verdict] = [:]
    for said in try ledger.verdicts(of: round) { verdicts[said.slot] = said.verdict }
    for index in trajectories.indices { trajectories[index].verdict = verdicts[trajectories[index].slot] }
    return trajectories
  }

  private func figures(of round: RoundID) throws -> JSON {
    do {
      return try MetricsRow.parse(try ledger.figures(of: round) ?? "")
    } catch let error as JSONError {
      throw unreadable(round, "\(error)")
    }
  }

  private func unreadable(_ round: RoundID, _ reason: String) -> ExportError {
    .unreadable(path: run.directory.path, round: round, reason: reason)
  }

  /// Checks that a group is judged as it was.
  private func check(
    _ judgement: Judgement, of group: Group, _ hasZeroAdvantage: Bool?, is recorded: PromptReport?, _ round: RoundID
  ) throws {
    guard let recorded, recorded.prompt == group.prompt else {
      throw unreadable(round, "they have no row of prompt #\(group.prompt) in its place")
    }
    let computed = PromptReport(measure(judgement, of: group, truth: nil))
    let pairs: [(String, String, String)] = [
      ("the number of responses", "\(recorded.samples)", "\(computed.samples)"),
      ("the label", recorded.label ?? "none", computed.label ?? "none"),
      ("the number of its votes", "\(recorded.labelVotes)", "\(computed.labelVotes)"),
      ("the number of answers", "\(recorded.answerCount)", "\(computed.answerCount)"),
      ("the number of rewarded responses", "\(recorded.rewarded)", "\(computed.rewarded)"),
      (
        "whether all advantages are 0", "\(recorded.hasZeroAdvantage)",
        "\(hasZeroAdvantage ?? recorded.hasZeroAdvantage)"
      ),
    ]
    for (what, recorded, computed) in pairs where recorded != computed {
      throw ExportError.otherJudgement(
        path: run.directory.path, round: round, prompt: group.prompt, what: what, recorded: recorded,
        computed: computed)
    }
  }

  // MARK: Lines

  private func archived(_ round: RoundID, policy: PolicyVersion, _ figures: JSON) throws -> ArchivedRound {
    ArchivedRound(
      id: round, policy: policy, policySHA256: try ledger.policy(policy)?.sha256, figures: figures)
  }

  private func archived(
    _ round: RoundID, _ group: Group, _ answers: [AnswerKey?], _ vote: Vote, unneeded: Int, _ abstention: Abstention?
  ) -> ArchivedGroup {
    ArchivedGroup(
      round: round, question: group.prompt, label: vote.label?.text, labelVotes: vote.votes,
      votes: Vote.ballots(of: answers).map { ArchivedGroup.Ballot(key: $0.answer.text, votes: $0.votes) },
      samples: group.trajectories.count, unneeded: unneeded, abstention: abstention)
  }

  /// Without what training made of it.
  private func archived(_ trajectory: Trajectory, of set: Records.QuestionSet) -> ArchivedResponse {
    let questions = run.set(set)
    let index = Int(trajectory.slot.prompt)
    let answer = run.reader.stated(in: trajectory.tokens, to: questions.prompts[index])
    return ArchivedResponse(
      trajectory: trajectory, text: run.reader.text(of: trajectory.tokens), answer: answer?.text,
      key: answer?.key.text, isRight: questions.truth[index].map { (answer?.key).agrees(with: $0) }, reward: nil,
      isTrained: false, advantages: [])
  }
}

extension Ledger {
  /// The row of a step or an evaluation, as JSON; nil if it is not recorded.
  fileprivate func figures(of round: RoundID) throws(LedgerError) -> String? {
    switch round.purpose {
    case .train: try metrics(ofStep: Int(round.step))
    case .evaluate: try metrics(of: round)
    }
  }
}
