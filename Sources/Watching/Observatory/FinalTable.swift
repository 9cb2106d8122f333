// FinalTable: a run's result on the terminal, or what to do when there is none.

/// The last thing that a finished run prints.
package enum FinalTable {
  /// Before and after as aligned text, for each set of questions that was evaluated; then the base model's majority
  /// vote, to compare with. Ends with a newline; empty if nothing was evaluated.
  package static func text(_ history: RunHistory) -> String {
    let outcome = Outcome(history)
    var rows: [[String]] = []
    for set in outcome.sets {
      let ends = set.ends
      let title = set.title + ((ends.before ?? ends.after)?.answered.map { " (\($0))" } ?? "")
      rows.append(rows.isEmpty ? [title, "before", "after", "change"] : [title, "", "", ""])
      rows += outcome.rows(ends).map { row in
        [
          "  " + row.name, Figures.percent(row.before), Figures.percent(row.after), Figures.points(row.change),
        ]
      }
    }
    guard !rows.isEmpty else { return voteSamples(history) + delivery(history) }
    return aligned(rows) + aligned(outcome.curveRows) + baseMajority(outcome) + changes(outcome.train)
      + outcome.narrowings.map { "note: \($0)\n" }.joined() + delivery(history)
  }

  /// Without any evaluation: the figures of the votes in training.
  private static func voteSamples(_ history: RunHistory) -> String {
    guard let ends = VoteSamples.ends(history) else { return "" }
    let figures = zip(ends.first.figures, ends.last.figures).filter { $0.0.value != nil }
    let rows = figures.map { first, last in
      [
        "  " + first.name.replacing("_", with: " "), Figures.percent(first.value), Figures.percent(last.value),
        Figures.points(last.value.flatMap { last in first.value.map { last - $0 } }),
      ]
    }
    return aligned([["votes of training", "first", "last", "change"]] + rows)
      + "each prompt's first and last visit, sampled as in training; there was no evaluation\n"
  }

  /// What the run delivers, if that is not simply the last version.
  private static func delivery(_ history: RunHistory) -> String {
    guard let delivered = history.delivered, delivered.rule != "last" || delivered.plateau != nil else { return "" }
    let what = "delivered: policy \(delivered.policy), in \(delivered.directory)"
    if let step = delivered.plateau {
      let rule = delivered.rule == "last" ? "the last" : "the best by agreement and distinct labels"
      return "a plateau ended the run after step \(step): agreement no longer rose\n\(what), \(rule)\n"
    }
    guard let collapse = delivered.collapse else { return "\(what), the best by agreement and distinct labels\n" }
    return "the guard ended the run after step \(collapse.step): "
      + "\(AlarmOnset.meaning(of: collapse.alarm)) (\(collapse.alarm))\n\(what), the best before it\n"
  }

  /// The confidence interval of the change, and the questions whose majority answer changed.
  private static func changes(_ ends: Comparison) -> String {
    var text = ""
    if let interval = ends.passChangeInterval {
      text += "change of pass@1: \(Figures.pointsInterval(interval)) points (95% interval, over questions)\n"
    }
    if let changes = ends.labelChanges {
      text += "majority answers: \(Figures.learnedAndLost(changes))\n"
      if !changes.lost.isEmpty { text += "turned wrong: \(listed(changes.lost))\n" }
    }
    return text
  }

  /// The first few of some prompts.
  private static func listed(_ prompts: [Int]) -> String {
    let shown = prompts.prefix(12).map { "#\($0)" }.joined(separator: " ")
    return prompts.count > 12 ? "\(shown) and \(prompts.count - 12) more (summary.json has all)" : shown
  }

  /// How many samples early stop left out, or nil if none.
  package static func savedSamples(_ history: RunHistory) -> String? {
    guard let (saved, all) = history.savedSamples else { return nil }
    let share = Figures.percent(Double(saved) / Double(all))
    return "early stop: \(saved) of \(all) training samples were not needed (\(share))"
  }

  /// What to do when so few responses gave an answer that labels rest on single votes; nil if most gave one.
  package static func fewVotes(_ history: RunHistory) -> String? {
    let missing = history.steps.compactMap(\.noAnswerRatio)
    let share = missing.reduce(0, +) / Double(max(missing.count, 1))
    guard share >= fewVotesShare, !history.hasNothingToVoteOn else { return nil }
    let truncated = history.steps.compactMap(\.truncationRatio)
    let cut = truncated.reduce(0, +) / Double(max(truncated.count, 1))
    let seen = "\(Figures.percent(share)) of the votes stated no answer"
    return "\(seen) (\(Figures.percent(cut)) of the responses were cut off at the token limit), so labels rest on few "
      + "votes: raise --max-new-tokens, lower --temperature, or leave out labels of few votes with --min-share"
  }

  /// The share of votes without an answer from which labels are not to be trusted.
  private static let fewVotesShare = 0.5

  /// What to do when no response of any step gave an answer, or nil if some did.
  package static func nothingToVoteOn(_ history: RunHistory) -> String? {
    guard history.hasNothingToVoteOn else { return nil }
    let truncated = history.steps.compactMap(\.truncationRatio)
    return nothingToVoteOn(truncatedShare: truncated.reduce(0, +) / Double(max(truncated.count, 1)))
  }

  /// What to do when no response gave an answer.
  ///
  /// - Parameter share: of responses that were cut off at the token limit, 0 to 1.
  package static func nothingToVoteOn(truncatedShare share: Double) -> String {
    let seen = "nothing could be voted on: no response gave an answer"
    let form = "ask for its form, for example --suffix 'Put your final answer within \\boxed{}.'"
    // The more probable cause comes first.
    return share >= 0.5
      ? "\(seen) (\(Figures.percent(share)) were cut off at the token limit: raise --max-new-tokens, then \(form))"
      : "\(seen) (\(form), check --template, and read some responses with `ttrl generate`)"
  }

  /// What the result is compared with: the base model's majority vote, if it was measured.
  private static func baseMajority(_ outcome: Outcome) -> String {
    guard let base = outcome.baseMajority else {
      if !outcome.sets.contains(where: { $0.ends.knowsAnswers }) {
        return "no answers are known: only agreement could be measured\n"
      }
      guard outcome.train.knowsAnswers else {
        return outcome.train.isEmpty
          ? "" : "no answers are known for the training questions: only agreement could be measured on them\n"
      }
      guard outcome.train.before?.passAt1 != nil else { return "" }
      let samples = outcome.train.before?.samples.map { " (this run: \($0))" } ?? ""
      return "no majority vote of the base model to compare with: it needs --eval-samples 2 or more\(samples)\n"
    }
    let line = "base model's majority vote on the training questions, maj@\(base.k): \(Figures.percent(base.value))\n"
    guard let after = outcome.train.after?.passAt1 else { return line }
    let points = Figures.fixed(abs(after - base.value) * 100, decimals: 1)
    let place = points == "0.0" ? "equal to it" : "\(points) points \(after > base.value ? "above" : "below") it"
    return line + "pass@1 after training is \(place)\n"
  }

  /// First column to the left, the others to the right; two spaces between.
  private static func aligned(_ rows: [[String]]) -> String {
    let widths = (rows.first ?? []).indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    var text = ""
    for row in rows {
      var line = ""
      for (column, field) in row.enumerated() {
        line += column == 0 ? padded(field, to: widths[0]) : "  " + padded(field, to: widths[column], right: true)
      }
      while line.hasSuffix(" ") { line.removeLast() }
      text += line + "\n"
    }
    return text
  }
}
