// ReportDifficulty: before and after, by how difficult the questions were for the base model.
//
// A question is difficult if few of the base model's responses are right. That figure is noisy. When it is measured
// again, the lowest values rise and the highest fall, without any training (regression to the mean); the page says so.
// Source: TTRL, section 4, where gains are smaller on the more difficult levels of a benchmark.

import Base

/// Questions with similar shares of right responses of the base model.
package struct DifficultyBucket: Sendable, Equatable {
  package let name: String
  /// Shares of right responses: above the first bound (or equal to it, if both are the same), up to the second.
  package let bounds: ClosedRange<Double>
  package var questions = 0
  /// Sums over the questions.
  package var before = 0.0
  package var after = 0.0

  static let all = [
    DifficultyBucket(name: "never right", bounds: 0...0),
    DifficultyBucket(name: "right at most 1 in 4", bounds: 0...0.25),
    DifficultyBucket(name: "1 in 4 to half", bounds: 0.25...0.5),
    DifficultyBucket(name: "half to 3 in 4", bounds: 0.5...0.75),
    DifficultyBucket(name: "more than 3 in 4", bounds: 0.75...1),
  ]

  func contains(_ share: Double) -> Bool {
    bounds.lowerBound == bounds.upperBound ? share == bounds.lowerBound : share > bounds.lowerBound && bounds ~= share
  }

  /// - Parameters:
  ///   - before: shares of right responses by question, as the base model has them.
  ///   - after: of the same questions.
  /// - Returns: the buckets that have questions, hardest first.
  package static func buckets(before: [Double], after: [Double]) -> [DifficultyBucket] {
    all.map { bucket in
      var bucket = bucket
      for (before, after) in zip(before, after) where bucket.contains(before) {
        bucket.questions += 1
        bucket.before += before
        bucket.after += after
      }
      return bucket
    }.filter { $0.questions > 0 }
  }
}

enum ReportDifficulty {
  static func section(_ outcome: Outcome) -> Markup {
    let tables = outcome.sets.compactMap { table($0.title, $0.ends) }
    guard !tables.isEmpty else { return "" }
    return """
      <h2>By difficulty</h2>
      <div class="grid">
      \(tables)</div>
      <p class="note">Questions by the share of the base model's responses that were right. A share that is measured \
      again moves towards the mean: even without training, the first rows would gain a little and the last would lose \
      a little.</p>

      """
  }

  private static func table(_ title: String, _ ends: Comparison) -> Markup? {
    guard let before = ends.before?.passByPrompt, let after = ends.after?.passByPrompt, before.count == after.count,
      !before.isEmpty
    else { return nil }
    let rows = DifficultyBucket.buckets(before: before, after: after).map { bucket -> Markup in
      let count = Double(bucket.questions)
      return """
        <tr><th>\(bucket.name)</th><td class="n">\(grouped(bucket.questions))</td>\
        <td class="n">\(typeset(Figures.percent(bucket.before / count)))</td>\
        <td class="n">\(typeset(Figures.percent(bucket.after / count)))</td>\
        <td class="n">\(typeset(Figures.points((bucket.after - bucket.before) / count)))</td></tr>

        """
    }
    return """
      <div class="scroll"><table class="result"><caption>\(title.prefix(1).uppercased() + title.dropFirst())</caption>
      <thead><tr><th>base model</th><th class="n">questions</th><th class="n">before</th><th class="n">after</th>\
      <th class="n">change</th></tr></thead>
      <tbody>
      \(rows)</tbody></table></div>

      """
  }
}
