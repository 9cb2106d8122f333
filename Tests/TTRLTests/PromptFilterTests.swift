// Prompt filters: their text forms, and their decisions against the formulas, written in another way.

import Base
import Records
import TTRL
import Testing

@Suite struct PromptFilterTests {
  /// Random visits: up to 4 of each of 1 to 12 prompts, shares in eighths.
  private static func visits(seed: UInt64) -> [[PromptVisit]] {
    var random = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    func next(_ bound: UInt64) -> Int {
      random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((random >> 33) % bound)
    }
    return (0..<(1 + next(12))).map { _ in
      (0..<next(5)).map { _ in PromptVisit(share: Double(next(9)) / 8, rewarded: next(3)) }
    }
  }

  /// LIMR's score by its definition: sums over a table of visits in which a missing one is nil.
  private func score(of prompt: Int, in visits: [[PromptVisit]]) -> Double? {
    let table = (0..<4).map { visit in visits.map { $0.indices.contains(visit) ? $0[visit].share : nil } }
    var (above, below) = (0.0, 0.0)
    for column in table {
      guard let share = column[prompt] else { continue }
      let known = column.compactMap { $0 }
      let mean = known.reduce(0, +) / Double(known.count)
      above += (share - mean) * (share - mean)
      below += (1 - mean) * (1 - mean)
    }
    return visits[prompt].isEmpty ? nil : below == 0 ? 1 : 1 - above / below
  }

  @Test(arguments: UInt64(1)...200) func `alignment scores are those of the formula`(_ seed: UInt64) {
    let visits = Self.visits(seed: seed)
    let scores = PromptFilter.alignmentScores(visits)
    for prompt in visits.indices {
      let expected = score(of: prompt, in: visits)
      #expect((scores[prompt] == nil) == (expected == nil))
      if let found = scores[prompt], let expected { #expect(abs(found - expected) < 1e-12) }
    }
  }

  @Test(arguments: UInt64(1)...200) func `the best aligned are the highest of those that have a score`(
    _ seed: UInt64
  ) throws {
    let visits = Self.visits(seed: seed)
    let scores = PromptFilter.alignmentScores(visits)
    let decisions = try #require(PromptFilter("best-aligned:0.33")).decisions(on: visits)
    let kept = zip(scores, decisions).filter { $0.0 != nil && $0.1.isKept }.compactMap(\.0)
    let left = zip(scores, decisions).filter { $0.0 != nil && !$0.1.isKept }.compactMap(\.0)
    let count = scores.count { $0 != nil }
    #expect(kept.count == (count == 0 ? 0 : max(1, Int((0.33 * Double(count)).rounded()))))
    #expect((kept.min() ?? 1) >= (left.max() ?? -.infinity))
    #expect(zip(scores, decisions).allSatisfy { $0.0 != nil || $0.1 == PromptDecision(isKept: true, reason: .unseen) })
  }

  @Test func `a band looks at the last visit, and keeps what was not seen`() throws {
    let visits = [
      [PromptVisit(share: 0.1, rewarded: 1), PromptVisit(share: 0.5, rewarded: 1)],
      [PromptVisit(share: 0.5, rewarded: 1), PromptVisit(share: 0.9, rewarded: 1)],
      [PromptVisit(share: 0.1, rewarded: 0)], [], [PromptVisit(share: 0.2, rewarded: 0)],
    ]
    let decisions = try #require(PromptFilter("majority:0.2..0.8")).decisions(on: visits)
    #expect(decisions.map(\.isKept) == [true, false, false, true, true])
    #expect(decisions.map(\.reason) == [.inside, .above, .below, .unseen, .inside])
    #expect(decisions.map(\.value) == [0.5, 0.9, 0.1, nil, 0.2])
  }

  @Test func `the failed ones are those whose last visit rewarded nothing`() {
    let visits = [
      [PromptVisit(share: 0, rewarded: 0), PromptVisit(share: 0.5, rewarded: 3)],
      [PromptVisit(share: 0.5, rewarded: 3), PromptVisit(share: 0, rewarded: 0)], [],
    ]
    let decisions = PromptFilter.failed.decisions(on: visits)
    #expect(decisions.map(\.isKept) == [false, true, false])
    #expect(decisions.map(\.reason) == [.rewarded, .failed, .unseen])
  }

  @Test func `a prompt that follows the others is aligned, and one that never moves is not`() {
    let rising = [0.2, 0.5, 0.8].map { PromptVisit(share: $0, rewarded: 1) }
    let flat = [0.2, 0.2, 0.2].map { PromptVisit(share: $0, rewarded: 1) }
    let scores = PromptFilter.alignmentScores([rising, rising, rising, rising, flat]).compactMap { $0 }
    #expect(scores[0] > 0.95 && scores[4] < scores[0])
  }

  @Test(arguments: [
    "all", "failed", "majority:0.2..0.8", "majority:0.0..1.0", "alignment:0.6", "alignment:-2.0", "best-aligned:0.33",
  ]) func `a filter is read as it is written`(_ text: String) {
    #expect(PromptFilter(text)?.description == text)
  }

  @Test(arguments: [
    "", "al", "all:", "all:1", "failed:", "majority", "majority:0.2", "majority:0.8..0.2", "majority:-0.1..0.5",
    "majority:0..1.5", "majority:0..1..1", "majority:a..b", "alignment:", "alignment:1.5", "alignment:nan",
    "best-aligned:0", "best-aligned:2", "best-aligned:inf",
  ]) func `any other text is not a filter`(_ text: String) { #expect(PromptFilter(text) == nil) }
}
