// RecordedRun: the responses that a run sampled in its steps, with the rewards that they got: from the directory of a
// finished run, or from the archive of a run.
//
// A ledger has no rewards. They are computed again, by the function that the learner used, step by step in order,
// because some estimators look at earlier steps. An archive has them. Its seals are checked while it is read, and
// nothing of it is used before its end was read. Both give the same responses, so that a run that learns from one has
// the same bits as a run that learns from the other.
// Not here: which responses of a visit are taken (RecordedVisits).

import Answers
import Archives
import Base
import LanguageModel
import Ledger
import Platform
import Records
import Settings
import TTRL

struct RecordedRun {
  /// The run's directory, or the archive.
  let path: String
  /// Of the recorded run.
  let settings: RunSettings
  /// Its training questions, and the tokens of their prompts.
  let questions: [Question]
  let prompts: [[Int32]]
  /// What is taken of it; never empty.
  let visits: [RecordedVisit]
  /// As the recorded run had it; nil if only an archive is there.
  private let tokenizer: Tokenizer?

  /// Reads what a run can learn.
  ///
  /// - Parameters:
  ///   - path: of a run's directory, or of an archive.
  ///   - asked: of the run that is to learn from it.
  /// - Throws: `GivenResponsesError` if it is not a run that sampled, or not with these settings; `ArchiveError` if an
  ///   archive is not what was written; or if model, questions or ledger cannot be read.
  init(_ path: String, for asked: RunSettings) throws {
    if ModelOrigin.isArchive(path) {
      try self.init(archive: path, for: asked)
    } else {
      try self.init(directory: RunDirectory(path), for: asked)
    }
    guard !visits.isEmpty else {
      throw GivenResponsesError(path: path, problems: [RecordedVisits.nothing(asked.method)])
    }
  }

  // MARK: A directory

  private init(directory: RunDirectory, for asked: RunSettings) throws {
    let path = directory.path
    func refuse(_ problem: String) -> GivenResponsesError { GivenResponsesError(path: path, problems: [problem]) }
    guard try Files.exists(directory.settings) else {
      throw refuse(
        "it is not a run: it has no settings.json. Give the directory of a finished run, or an archive that ttrl "
          + "export has written")
    }
    guard try Files.exists(directory.summary) else {
      throw refuse(
        "the run is not finished, so its responses are not all there. Continue it first: ttrl train --run \(path)")
    }
    let run = try Run(opening: directory)
    guard !run.method.objective.takesResponses, run.method.steps > 0 else { throw refuse(Self.hasNothing) }
    try Self.check(run.settings, at: path, for: asked)
    self.path = path
    settings = run.settings
    questions = run.training.questions
    prompts = run.training.prompts.map(\.tokens)
    tokenizer = run.tokenizer
    var visits = RecordedVisits(for: asked.method, of: run.settings)
    try Self.forEachVisit(of: run, try Ledger(path: directory.ledger, mode: .readOnly)) { visits.take($0) }
    self.visits = visits.taken
  }

  private static let hasNothing =
    "the run has sampled nothing to learn from. Give the run that recorded the responses"

  /// Calls `body` with every group that was trained on, step by step.
  private static func forEachVisit(of run: Run, _ ledger: Ledger, _ body: (RecordedVisit) -> Void) throws {
    var history = History()
    let (method, steps) = (run.method, try ledger.newestPolicy())
    for round in try ledger.rounds().map(\.id) where round.purpose == .train && round.step < steps {
      let groups = Group.groups(of: try ledger.trajectoriesWithVerdicts(of: round))
      let judgements = review(
        groups, step: round.step, prompts: run.training.prompts, truth: run.training.truth, history: history,
        method: method
      ) { run.reader.answer(of: $0.tokens, to: $1) }.judgements
      history.record(judgements)
      for (group, judgement) in zip(groups, judgements) {
        let responses = group.trajectories.enumerated().map { sample, trajectory in
          let isRewarded = judgement.abstention == nil && judgement.excluded.dropFirst(sample).first != true
          return RecordedResponse(
            trajectory: trajectory, answer: judgement.answers[sample],
            reward: isRewarded ? judgement.rewards[sample] : nil)
        }
        body(RecordedVisit(prompt: group.prompt, step: round.step, responses: responses))
      }
    }
  }

  // MARK: An archive

  private init(archive path: String, for asked: RunSettings) throws {
    let reader = try ArchiveReader(path)
    func refuse(_ problem: String) -> GivenResponsesError { GivenResponsesError(path: path, problems: [problem]) }
    let recorded: RunSettings
    do {
      recorded = try RunManifest.settings(of: reader.header.json["settings"]?.members ?? [], from: path)
    } catch {
      throw refuse("the settings in its header are not those of a run of this version: \(error)")
    }
    try Self.check(recorded, at: path, for: asked)
    self.path = path
    settings = recorded
    tokenizer = nil
    var (questions, prompts): ([Question], [[Int32]]) = ([], [])
    var visits = RecordedVisits(for: asked.method, of: recorded)
    var group: ArchivedGroup?
    var visit: RecordedVisit?
    while let line = try reader.next() {
      switch line {
      case .question(let question) where question.set == .training:
        questions.append(try question.asked(by: reader))
        prompts.append(question.tokens)
      case .group(let next) where next.round.purpose == .train:
        if let visit { visits.take(visit) }
        group = next
        visit = RecordedVisit(prompt: next.question, step: next.round.step, responses: [])
      case .response(let response) where response.slot.round.purpose == .train:
        guard let reward = response.reward else { throw reader.refusal("a response of a step has no reward") }
        // A verdict that is missing is a fault of the reward command.
        let isExcluded = recorded.hasRewardCommand && response.trajectory.verdict?.isValid != true
        visit?.responses.append(
          RecordedResponse(
            trajectory: response.trajectory, answer: response.key.map(AnswerKey.init(recorded:)),
            reward: isExcluded || group?.abstention != nil ? nil : reward, text: response.text))
      default: break
      }
    }
    if let visit { visits.take(visit) }
    guard visit != nil else { throw refuse(Self.hasNothing) }
    self.questions = questions
    self.prompts = prompts
    self.visits = visits.taken
  }

  // MARK: What has to be equal

  /// Settings with which recorded log-probabilities mean something else.
  ///
  /// - Throws: `GivenResponsesError`.
  private static func check(_ recorded: RunSettings, at path: String, for asked: RunSettings) throws {
    // Supervised training does not look at how responses were sampled.
    guard asked.method.objective == .awr else { return }
    let names = ["temperature", "top-p", "top-k"]
    let problems = names.compactMap { name -> String? in
      let values = [recorded, asked].map { SettingTable.named(name)?.value(in: $0) ?? "" }
      guard values[0] != values[1] else { return nil }
      return "\(name) is \(values[1]), and the responses were sampled with \(values[0]). Set --\(name) \(values[0])"
    }
    guard problems.isEmpty else { throw GivenResponsesError(path: path, problems: problems) }
  }

  /// Whether the tokens of a response are the same text for another tokenizer.
  ///
  /// The recorded run's tokenizer tells the text with its special tokens. An archive has the text in which the answer
  /// was found.
  func isSameText(_ response: RecordedResponse, for other: Tokenizer) -> Bool {
    let tokens = response.trajectory.tokens
    guard let tokenizer else {
      return ResponseText(other, rule: settings.method.answers).text(of: tokens) == response.text
    }
    return tokenizer.decode(tokens, skipSpecial: false) == other.decode(tokens, skipSpecial: false)
  }

  /// The questions that become other tokens than those to which the responses were sampled.
  ///
  /// - Parameters:
  ///   - indices: of the questions, in the recorded run.
  ///   - renderer: of the run that is to learn.
  func otherPrompts(_ indices: [Int], _ renderer: PromptRenderer) throws -> [String] {
    try indices.compactMap { index in
      let question = questions[index]
      let now = try renderer.rendered(question)
      guard now.tokens != prompts[index] else { return nil }
      let was = (tokenizer ?? renderer.tokenizer).decode(prompts[index], skipSpecial: false)
      return "question \(question.id.visible) becomes another prompt than the one that was answered. With --like "
        + "\(path) it is asked in the same way\n"
        + "    now:  \(PromptRenderer.excerpt(of: now.text, comparedWith: was))\n"
        + "    then: \(PromptRenderer.excerpt(of: was, comparedWith: now.text))"
    }
  }
}

extension ArchivedQuestion {
  /// The question as the recorded run asked it.
  ///
  /// - Throws: `ArchiveError` if its row is not one of a question file.
  fileprivate func asked(by reader: ArchiveReader) throws -> Question {
    let plain = Question(id: id ?? "\(index)", prompt: text, answer: truth, kind: kind)
    guard let row else { return plain }
    guard let question = try? Question.read(Array(row.text().utf8)).first, question.id == plain.id,
      question.prompt == plain.prompt, question.answer == plain.answer, question.kind == plain.kind
    else { throw reader.refusal("\"row\" is not the line of a question file with this question") }
    return question
  }
}
