// PassCurve: pass@k over k, before and after, and whether the run made the model solve fewer questions.
//
// Training on the model's own answers can raise pass@1 and lower pass@k at large k: answers that it gave anyway become
// likelier, and questions that only few of its responses solved are not solved at all any more (Yue et al. 2025, arXiv
// 2504.13837). pass@1 alone does not show it. Here pass@1 is c/n over all samples; the figure with this name in
// metrics.jsonl is over the first 16.

import Base

#if canImport(Glibc)
  import Glibc
#endif

/// pass@k for k = 1, 2, 4, … and the number of samples n.
package struct PassCurve: Sendable, Equatable {
  package let counts: [Int]
  /// [counts] fractions.
  package let values: [Double]

  /// - Parameters:
  ///   - right: of each question with an answer, how many samples are right.
  ///   - samples: n, of each question.
  /// - Returns: nil without such a question, or with fewer than 2 samples.
  package init?(right: [Int], samples: Int) {
    guard !right.isEmpty, samples > 1, right.allSatisfy({ (0...samples).contains($0) }) else { return nil }
    let powers = sequence(first: 1) { $0 * 2 }.prefix { $0 <= samples }
    counts = Array(powers) + (powers.contains(samples) ? [] : [samples])
    values = counts.map { k in
      right.reduce(0) { $0 + passAt(k, $1, samples) } / Double(right.count)
    }
  }
}

/// The questions that one of n samples solves at one end of a run and none at the other.
package struct SolvedChange: Sendable, Equatable {
  /// n, at both ends.
  package let samples: Int
  /// Solved before and not after; the other way round.
  package let lost: Int
  package let gained: Int
  /// The chance of so many lost ones or more, if either direction were as likely (sign test).
  package let chance: Double
}

extension EvaluationRecord {
  /// How many samples of each question with an answer are right; nil if the line does not say it of one of them.
  fileprivate var right: [Int]? {
    let known = labels.filter { $0.isRight != nil }
    let counts = known.compactMap(\.right)
    return counts.count == known.count && !counts.isEmpty ? counts : nil
  }

  package var passCurve: PassCurve? {
    guard let right, let samples else { return nil }
    return PassCurve(right: right, samples: samples)
  }
}

extension Comparison {
  /// nil unless both ends have the same questions and the same number of samples.
  package var solvedChange: SolvedChange? {
    guard let before, let after, let samples = before.samples, samples > 1, samples == after.samples,
      before.labels.map(\.prompt) == after.labels.map(\.prompt), let first = before.right, let last = after.right,
      first.count == last.count
    else { return nil }
    let lost = zip(first, last).count { $0 > 0 && $1 == 0 }
    let gained = zip(first, last).count { $0 == 0 && $1 > 0 }
    return SolvedChange(samples: samples, lost: lost, gained: gained, chance: Self.signTest(lost, of: lost + gained))
  }

  /// Whether pass@1 has risen and pass@n has fallen, both by more than chance explains: the 95 % interval of the change
  /// of pass@1 is above 0, and the sign test gives at most 2.5 %.
  package var hasNarrowed: Bool {
    guard let interval = passChangeInterval, let change = solvedChange else { return false }
    return interval.low > 0 && change.chance <= Self.chanceLimit
  }

  /// As one side of a 95 % interval.
  private static let chanceLimit = 0.025

  /// What to say about it; nil if it has not.
  var narrowing: String? {
    guard hasNarrowed, let change = solvedChange else { return nil }
    return "pass@1 rose and pass@\(change.samples) fell: \(counted(change.lost, "question")) that one of "
      + "\(change.samples) responses solved before, none solves now; the other way round \(change.gained) (sign test, "
      + "p = \(Figures.short(change.chance))). Training made answers likelier that the model gave already, and lost "
      + "others"
  }

  /// P(X ≥ hits) for X of n fair coins. In logarithms, because 2^n overflows.
  package static func signTest(_ hits: Int, of count: Int) -> Double {
    var logFactorials = [0.0]
    for number in 1...max(count, 1) { logFactorials.append(logFactorials[number - 1] + log(Double(number))) }
    let all = logFactorials[count] - Double(count) * log(2)
    return min(1, (hits...count).reduce(0) { $0 + exp(all - logFactorials[$1] - logFactorials[count - $1]) })
  }
}

extension Outcome {
  /// The sets as wholes, with their curves, where there are answers and more than one sample.
  private var curves: [(title: String, curve: PassCurve)] {
    sets.filter { !$0.isPart }.flatMap { set in
      [("before", set.ends.before), ("after", set.ends.after)].compactMap { end, record in
        record?.passCurve.map { ("\(set.title), \(end)", $0) }
      }
    }
  }

  /// Lines of a table: "pass@k, k =", then each set before and after. Empty without curves.
  var curveRows: [[String]] {
    let curves = curves
    let counts = curves.flatMap(\.curve.counts).sorted().reduce(into: [Int]()) { if $0.last != $1 { $0.append($1) } }
    guard !counts.isEmpty else { return [] }
    return [["pass@k, k ="] + counts.map(String.init)]
      + curves.map { title, curve in
        [title]
          + counts.map { k in
            curve.counts.firstIndex(of: k).map { Figures.percent(curve.values[$0]) } ?? ""
          }
      }
  }

  /// What to say of the sets whose pass@n has fallen while pass@1 has risen, with the set's name.
  var narrowings: [String] {
    sets.filter { !$0.isPart }.compactMap { set in set.ends.narrowing.map { "\(set.title): \($0)" } }
  }
}

extension Comparison {
  /// For programs; null without a curve.
  var curveJSON: JSON {
    let (first, last) = (before?.passCurve, after?.passCurve)
    guard let counts = first?.counts ?? last?.counts else { return .null }
    func values(_ curve: PassCurve?) -> JSON {
      curve.map { .array($0.values.map { .double($0) }) } ?? .null
    }
    return [
      "k": .array(counts.map { .int($0) }), "before": values(first),
      "after": last?.counts == counts || first == nil ? values(last) : .null,
      "lost": solvedChange.map { .int($0.lost) } ?? .null, "gained": solvedChange.map { .int($0.gained) } ?? .null,
      "chance": solvedChange.map { .double($0.chance) } ?? .null, "narrowed": .bool(hasNarrowed),
    ]
  }
}
