// pass@k before and after, and the note that questions were lost.

import Base
import Observatory
import Testing

@Suite struct PassCurveTests {
  /// An evaluation in which so many of `samples` responses to each question are right.
  private static func line(_ policy: Int, _ right: [Int], of samples: Int, set: String = "train") -> JSON {
    [
      "kind": "evaluation", "policy": .int(policy), "set": .string(set), "pass@1": 0.5, "samples": .int(samples),
      "prompts": .int(right.count),
      "pass_by_prompt": .array(right.map { .double(Double($0) / Double(samples)) }),
      "by_prompt": .array(
        right.enumerated().map { index, right in
          ["prompt": .int(index), "label": "q:1", "label_right": .bool(right > 4), "right": .int(right)]
        }),
    ]
  }

  private static func history(_ before: [Int], _ after: [Int], of samples: Int = 8) -> RunHistory {
    var history = RunHistory()
    history.add(line(0, before, of: samples))
    history.add(line(9, after, of: samples))
    return history
  }

  /// Draws k of n without replacement in every way.
  private static func enumerated(_ right: Int, of samples: Int, drawing k: Int) -> Double {
    var (hits, all) = (0, 0)
    for mask in 0..<(1 << samples) where mask.nonzeroBitCount == k {
      all += 1
      hits += mask & ((1 << right) - 1) != 0 ? 1 : 0
    }
    return Double(hits) / Double(all)
  }

  @Test(arguments: [2, 6, 8, 9]) func `the curve is that of all draws`(_ samples: Int) throws {
    let right = (0...samples).map { $0 }
    let curve = try #require(PassCurve(right: right, samples: samples))
    #expect(curve.counts == [1, 2, 4, 8].filter { $0 <= samples } + ([6, 9].contains(samples) ? [samples] : []))
    for (k, value) in zip(curve.counts, curve.values) {
      let mean = right.reduce(0) { $0 + Self.enumerated($1, of: samples, drawing: k) } / Double(right.count)
      #expect(abs(value - mean) < 1e-12, "k \(k)")
    }
    #expect(PassCurve(right: [0, 1], samples: 1) == nil && PassCurve(right: [], samples: 8) == nil)
    #expect(PassCurve(right: [9], samples: 8) == nil)
  }

  @Test func `the sign test is the tail of the binomial distribution`() {
    #expect(abs(Comparison.signTest(5, of: 5) - 1.0 / 32) < 1e-12)
    #expect(abs(Comparison.signTest(6, of: 6) - 1.0 / 64) < 1e-12)
    #expect(abs(Comparison.signTest(3, of: 4) - 5.0 / 16) < 1e-12)
    #expect(abs(Comparison.signTest(0, of: 7) - 1) < 1e-12 && Comparison.signTest(0, of: 0) == 1)
    #expect(Comparison.signTest(1200, of: 2000) < 1e-15)
  }

  @Test func `the note comes where pass at 1 rose and questions were lost, and not by chance`() throws {
    // 20 questions: most rise from 4 to 8 of 8; `lost` of them fall from 1 to 0.
    func run(lost: Int, gained: Int = 0, risen: Int = 8) -> RunHistory {
      let rest = 20 - lost - gained
      return Self.history(
        Array(repeating: 1, count: lost) + Array(repeating: 0, count: gained) + Array(repeating: 4, count: rest),
        Array(repeating: 0, count: lost) + Array(repeating: 1, count: gained) + Array(repeating: risen, count: rest))
    }
    #expect(Outcome(run(lost: 6)).train.hasNarrowed && !Outcome(run(lost: 5)).train.hasNarrowed)
    #expect(!Outcome(run(lost: 6, gained: 2)).train.hasNarrowed)
    // Questions were lost, and pass@1 fell too: that is no exchange of one for the other.
    #expect(!Outcome(run(lost: 6, risen: 3)).train.hasNarrowed)
    let text = FinalTable.text(run(lost: 6))
    #expect(
      text.contains(
        "note: training questions: pass@1 rose and pass@8 fell: 6 questions that one of 8 responses solved before, "
          + "none solves now; the other way round 0 (sign test, p = 0.0156)."), "\(text)")
    #expect(!FinalTable.text(run(lost: 5)).contains("note:"))
    // Ends with different numbers of samples are not compared.
    var other = RunHistory()
    other.add(Self.line(0, Array(repeating: 1, count: 6) + Array(repeating: 4, count: 14), of: 8))
    other.add(Self.line(9, Array(repeating: 0, count: 6) + Array(repeating: 16, count: 14), of: 16))
    #expect(Outcome(other).train.solvedChange == nil && !Outcome(other).train.hasNarrowed)
  }

  @Test func `noise alone brings the note in at most one of forty runs`() {
    // No question changes: 64 of them with chances from 1 % to 60 %, 16 samples at each end.
    var draws = RandomSequence(seed: 7, purpose: .bootstrap)
    func sampled() -> [Int] {
      (0..<64).map { question in
        let chance = 0.01 * Double(1 + question % 60)
        return (0..<16).count { _ in draws.uniform() < chance }
      }
    }
    let notes = (0..<400).count { _ in Outcome(Self.history(sampled(), sampled(), of: 16)).train.hasNarrowed }
    #expect(notes <= 10, "\(notes) of 400")
  }

  @Test func `the curve stands in the table, the summary and the report`() {
    var history = Self.history([1, 4, 8, 0], [8, 8, 8, 0])
    history.add(Self.line(0, [8], of: 8, set: "held_out"))
    let text = FinalTable.text(history)
    #expect(
      text.contains(
        """
        pass@k, k =                      1       2       4       8
        training questions, before   40.6%   50.9%   62.1%   75.0%
        training questions, after    75.0%   75.0%   75.0%   75.0%
        held-out questions, before  100.0%  100.0%  100.0%  100.0%

        """), "\(text)")
    let summary = Summary.json(
      history, wallSeconds: 0, weightsSHA256: nil, stateSHA256: nil, settings: [:], versions: [:])
    let curve = summary["pass_curve"]?["train"]
    #expect(curve?["k"]?.elements?.compactMap(\.int) == [1, 2, 4, 8])
    #expect(curve?["before"]?.elements?.last?.double == 0.75 && curve?["after"]?.elements?.first?.double == 0.75)
    #expect(curve?["narrowed"]?.bool == false && curve?["lost"]?.int == 0)
    #expect(summary["pass_curve"]?["held_out"]?["after"] == .null)
    let report = Report.html(history, summary: summary, settings: [])
    #expect(report.contains("<th class=\"n\">8</th>") && report.contains("<td class=\"n\">62.1%</td>"), "\(report)")
  }
}
