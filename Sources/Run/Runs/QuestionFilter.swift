// QuestionFilter: applies a run's prompt filter to its questions. The rule is `PromptFilter`, its evidence the steps of
// an earlier, finished run. What became of every question is in the run directory, in prompt-filter.jsonl, so that a
// run does not need the earlier one when it is continued.

import Base
import Ledger
import Platform
import Records
import Settings
package import TTRL

/// Why the questions cannot be filtered.
package enum QuestionFilterError: LastingError, Sendable, CustomStringConvertible {
  case noRun(path: String)
  case notFinished(path: String)
  /// Questions with the id of one of the earlier run, and another text.
  case otherTexts(path: String, ids: [String])
  case noneLeft(rule: String, path: String, questions: Int)
  /// Too few for `skip-below`: a stage of a course is skipped.
  case fewerLeft(FilteredQuestions, least: Int)

  package var description: String {
    switch self {
    case .noRun(let path): "prompt-history: \(path.visible) is not a run (it has no settings.json)"
    case .notFinished(let path):
      "prompt-history: the run in \(path.visible) is not finished, so another start could choose other questions. Let "
        + "it end first: ttrl train --run \(path.visible)"
    case .otherTexts(let path, let ids):
      "prompt-history: questions are matched by their ids, and \(counted(ids.count, "question")) of the data "
        + "\(ids.count == 1 ? "has" : "have") another text than in \(path.visible): "
        + ids.prefix(5).map(\.visible).joined(separator: ", ")
        + (ids.count > 5 ? ", …" : "") + ". Give the data of that run, or other ids"
    case .noneLeft(let rule, let path, let questions):
      "prompt-filter \(rule) keeps none of \(counted(questions, "question")), by the steps of \(path.visible). "
        + "Widen it, or leave it out"
    case .fewerLeft(let filtered, let least):
      "\(filtered.text), fewer than skip-below, \(least). Only a stage of a course can be skipped (--stages); leave "
        + "skip-below out, or widen the filter"
    }
  }
}

/// What the filter does with the questions of a file.
package struct QuestionFilter: Sendable {
  private let rule: PromptFilter
  private let history: String
  /// The fewest questions of a stage that is not skipped.
  private let least: Int
  /// By id: the question's text in the earlier run, and the decision on it.
  private let decided: [String: (text: String, decision: PromptDecision)]

  /// - Returns: nil if all questions are taken.
  /// - Throws: if the earlier run cannot be used.
  init?(_ settings: RunSettings) throws {
    guard settings.promptFilter != .all else { return nil }
    rule = settings.promptFilter
    history = settings.promptHistory
    least = settings.skipBelow
    let directory = RunDirectory(history)
    guard try Files.exists(directory.settings) else { throw QuestionFilterError.noRun(path: history) }
    guard try Files.exists(directory.summary) else { throw QuestionFilterError.notFinished(path: history) }
    let ledger = try Ledger(path: directory.ledger, mode: .readOnly)
    let prompts = try ledger.prompts(of: .training)
    let reports = try ledger.stepMetrics().map { try StepReport(parsing: $0.json) }
    let decisions = rule.decisions(on: PromptVisit.visits(in: reports, promptCount: prompts.count))
    var decided: [String: (String, PromptDecision)] = [:]
    for (prompt, decision) in zip(prompts, decisions) {
      decided[prompt.id ?? "\(prompt.index)"] = (prompt.text, decision)
    }
    self.decided = decided
  }

  /// Chooses among questions.
  ///
  /// - Parameter questions: all of them, in the order of their file.
  /// - Returns: the decision on each question. Questions that the earlier run did not have are as those that it did not
  ///   sample.
  /// - Throws: `QuestionFilterError` if a question has another text than in the earlier run, or if too few are left.
  func decisions(on questions: [Question]) throws -> [PromptDecision] {
    let others = questions.filter { question in decided[question.id].map { $0.text != question.prompt } ?? false }
    guard others.isEmpty else { throw QuestionFilterError.otherTexts(path: history, ids: others.map(\.id)) }
    let unseen = rule.decisions(on: [[]])[0]
    let decisions = questions.map { decided[$0.id]?.decision ?? unseen }
    guard decisions.count(where: \.isKept) >= least else {
      throw QuestionFilterError.fewerLeft(FilteredQuestions(rule: rule, questions, decisions), least: least)
    }
    guard decisions.contains(where: \.isKept) else {
      throw QuestionFilterError.noneLeft(rule: "\(rule)", path: history, questions: questions.count)
    }
    return decisions
  }
}

/// What became of a file's questions.
package struct FilteredQuestions: Sendable {
  package let rule: String
  package let decisions: [(id: String, decision: PromptDecision)]

  init(rule: PromptFilter, _ questions: [Question], _ decisions: [PromptDecision]) {
    self.rule = "\(rule)"
    self.decisions = zip(questions, decisions).map { ($0.id, $1) }
  }

  /// "prompt filter majority:0.2..0.8: 43 of 128 questions kept (inside 40, not seen 3; left out: below 54, above 31)".
  package var text: String {
    func list(_ isKept: Bool) -> String {
      PromptDecision.Reason.allCases.compactMap { reason in
        let count = decisions.count { $0.decision.isKept == isKept && $0.decision.reason == reason }
        return count == 0 ? nil : "\(reason.rawValue) \(count)"
      }.joined(separator: ", ")
    }
    let kept = decisions.count { $0.decision.isKept }
    let left = kept == decisions.count ? "" : "; left out: \(list(false))"
    return "prompt filter \(rule): \(kept) of \(counted(decisions.count, "question")) kept (\(list(true))\(left))"
  }

  /// One line per question.
  var fileText: String { rows.map { $0.text() + "\n" }.joined() }

  /// One object per question.
  var rows: [JSON] {
    decisions.map { id, decision in
      [
        "id": .string(id), "kept": .bool(decision.isKept), "reason": .string(decision.reason.rawValue),
        "value": decision.value.map(JSON.double) ?? .null,
      ]
    }
  }

  /// The ids of the questions that a run's file says it kept; nil if the run takes all.
  ///
  /// - Throws: if the file cannot be read.
  static func keptIDs(in directory: RunDirectory) throws -> Set<String>? {
    guard try Files.exists(directory.promptFilter) else { return nil }
    let rows = try Files.readText(directory.promptFilter).split(separator: "\n").map { try JSON.parse(String($0)) }
    return Set(rows.filter { $0["kept"]?.bool == true }.compactMap { $0["id"]?.string })
  }
}
