// RecordedRun: the responses that a finished run sampled in its steps, with the rewards that they got.
//
// The ledger has no rewards. They are computed again, by the function that the learner used, step by step in order,
// because some estimators look at earlier steps.

import Answers
import Base
import LanguageModel
import Ledger
import Platform
import Records
import Settings
import TTRL

/// What is taken of one visit of a question.
struct RecordedGroup {
  /// In the recorded run.
  var prompt: UInt32
  var step: UInt32
  /// In the order of their samples; never empty.
  var responses: [(trajectory: Trajectory, reward: Float)]
}

struct RecordedRun {
  let run: Run
  private let ledger: Ledger

  /// - Throws: if it is not a finished run that samples, or its model, questions or ledger cannot be read.
  init(_ path: String) throws {
    let directory = RunDirectory(path)
    func refuse(_ problem: String) -> GivenResponsesError { GivenResponsesError(path: path, problems: [problem]) }
    guard try Files.exists(directory.settings) else {
      throw refuse("it is not a run: it has no settings.json. Give the directory of a finished run")
    }
    guard try Files.exists(directory.summary) else {
      throw refuse(
        "the run is not finished, so its responses are not all there. Continue it first: ttrl train --run \(path)")
    }
    run = try Run(opening: directory)
    guard !run.method.objective.takesResponses, run.method.steps > 0 else {
      throw refuse("the run has sampled nothing to learn from. Give the run that recorded the responses")
    }
    ledger = try Ledger(path: directory.ledger, mode: .readOnly)
  }

  /// Calls `body` with the groups that were trained on, step by step.
  private func forEachGroup(_ body: (_ step: UInt32, Group, Judgement) -> Void) throws {
    var history = History()
    let (method, steps) = (run.method, try ledger.newestPolicy())
    for round in try ledger.rounds().map(\.id) where round.purpose == .train && round.step < steps {
      let groups = Group.groups(of: try ledger.trajectoriesWithVerdicts(of: round))
      let judgements = review(
        groups, step: round.step, prompts: run.training.prompts, truth: run.training.truth, history: history,
        method: method
      ) { run.reader.answer(of: $0.tokens, to: $1) }.judgements
      history.record(judgements)
      for (group, judgement) in zip(groups, judgements) { body(round.step, group, judgement) }
    }
  }

  /// Of each question's last visit, the first responses that agree with the majority, if a share of `minimumShare`
  /// does. A response that the token limit cut off does not end, so it is left out.
  func agreeing(_ method: Method) throws -> [RecordedGroup] {
    var latest = SortedMap<UInt32, RecordedGroup>()
    try forEachGroup { step, group, judgement in
      let vote = majority(of: judgement.answers, ties: run.method.ties)
      let share = Double(vote.votes) / Double(max(judgement.answers.count, 1))
      let agreeing = zip(group.trajectories, judgement.answers).filter { trajectory, answer in
        vote.label != nil && share >= method.minimumShare && answer.agrees(with: vote.label)
          && trajectory.finish == .stop
      }
      let taken = agreeing.prefix(method.trainSamples).map { (trajectory: $0.0, reward: Float(1)) }
      latest[group.prompt] = RecordedGroup(prompt: group.prompt, step: step, responses: taken)
    }
    return latest.values.filter { !$0.responses.isEmpty }
  }

  /// Of every visit, the first responses, with their rewards. Groups that abstained, and responses that a reward
  /// command left out, have no rewards.
  func rewarded(_ method: Method) throws -> [RecordedGroup] {
    var groups: [RecordedGroup] = []
    try forEachGroup { step, group, judgement in
      guard judgement.abstention == nil else { return }
      let taken = group.trajectories.indices.filter { judgement.excluded.isEmpty || !judgement.excluded[$0] }
        .prefix(method.trainSamples).map { (trajectory: group.trajectories[$0], reward: judgement.rewards[$0]) }
      if !taken.isEmpty { groups.append(RecordedGroup(prompt: group.prompt, step: step, responses: taken)) }
    }
    return groups
  }

  /// That nothing was taken, and why.
  func nothing(_ method: Method) -> String {
    method.objective == .sft
      ? "no question has complete responses that agree with its majority, of a share of at least "
        + "\(method.minimumShare). Lower --min-share"
      : "no group of responses has rewards"
  }

  // MARK: What has to be equal

  /// Settings with which recorded log-probabilities mean something else.
  ///
  /// - Throws: `GivenResponsesError`.
  func check(_ settings: RunSettings) throws {
    // Supervised training does not look at how responses were sampled.
    guard settings.method.objective == .awr else { return }
    let names = ["temperature", "top-p", "top-k"]
    let problems = names.compactMap { name -> String? in
      let values = [run.settings, settings].map { SettingTable.named(name)?.value(in: $0) ?? "" }
      guard values[0] != values[1] else { return nil }
      return "\(name) is \(values[1]), and the responses were sampled with \(values[0]). Set --\(name) \(values[0])"
    }
    guard problems.isEmpty else { throw GivenResponsesError(path: run.directory.path, problems: problems) }
  }

  func text(_ tokens: [Int32]) -> String { run.tokenizer.decode(tokens, skipSpecial: false) }

  /// The questions that become other tokens than those to which the responses were sampled.
  ///
  /// - Parameter indices: of the questions, in the recorded run.
  func otherPrompts(_ indices: [Int], _ renderer: PromptRenderer) throws -> [String] {
    try indices.compactMap { index in
      let question = run.training.questions[index]
      let (then, now) = (run.training.prompts[index].tokens, try renderer.rendered(question))
      guard now.tokens != then else { return nil }
      let was = text(then)
      return "question \(question.id.visible) becomes another prompt than the one that was answered. With --like "
        + "\(run.directory.path) it is asked in the same way\n"
        + "    now:  \(PromptRenderer.excerpt(of: now.text, comparedWith: was))\n"
        + "    then: \(PromptRenderer.excerpt(of: was, comparedWith: now.text))"
    }
  }
}
