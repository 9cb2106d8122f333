// Prompt weights by flips, against a transcription of the paper's rules into a machine that keeps whole histories.

import Answers
import Base
import Records
import TTRL
import Testing

/// TTRL-Guard's rules FRS and RCSU for one prompt, with all its visits.
private struct GuardOracle {
  private var visits: [(label: Int, ratio: Double)] = []
  private var steadyDiscounts = 0

  /// Adds a visit. Returns the prompt's weight, and whether it is at risk of having locked onto a wrong label.
  mutating func visit(label: Int, ratio: Double) -> (weight: Double, isRisky: Bool) {
    visits.append((label, ratio))
    let flips = zip(visits, visits.dropFirst()).map { $0.label != $1.label }
    let last = visits.suffix(5).map(\.ratio)
    let mean = last.reduce(0, +) / Double(last.count)
    let hasFlipped = flips.last == true
    var weight = hasFlipped ? 0.5 : 1
    if hasFlipped, ratio > 0.6 { weight *= 0.7 }
    if !flips.contains(true), visits.count >= 5, mean > 0.6, steadyDiscounts < 5 {
      weight *= 0.85
      steadyDiscounts += 1
    }
    return (max(0.1, weight), flips.contains(true) && visits.count >= 5 && mean > 0.7)
  }
}

@Suite struct PromptWeightTests {
  private static let prompts = 12

  /// A group of 10 with this many votes for an answer, and the rest for different others.
  private func made(label: Int, votes: Int) -> MadeGroup {
    var made = MadeGroup(seed: 1, count: 10...10)
    made.answers = (0..<10).map { $0 < votes ? label : 100 + $0 }
    return made
  }

  @Test(arguments: [UInt64(1), 2, 3, 4])
  func `weights and skips are those of the paper's rules, over many visits`(_ seed: UInt64) throws {
    var dice = RandomSequence(seed: seed, purpose: .questions)
    var oracles = (0..<Self.prompts).map { _ in GuardOracle() }
    // Some prompts never change, some change now and then, some often.
    let rates = (0..<Self.prompts).map { $0 < 4 ? 0 : $0 < 8 ? 0.15 : 0.5 }
    var labels = [Int](repeating: 1, count: Self.prompts)
    var history = History()
    var seen = (skipped: 0, steady: 0, flipped: 0, risky: 0)
    for step in UInt32(0)..<40 {
      let groups = (0..<Self.prompts).map { prompt -> MadeGroup in
        if dice.uniform() < rates[prompt] { labels[prompt] += 1 }
        return made(label: labels[prompt], votes: 4 + dice.index(below: 7))
      }
      let method = groups[0].method {
        $0.promptWeights = .flips
        $0.promptsPerStep = Self.prompts
        $0.seed = seed
      }
      let plain = try lesson(from: groups, step: step, method: groups[0].method { $0.seed = seed })
      let weighed = try lesson(from: groups, step: step, history: history, method: method)
      var skips = 0
      for (prompt, group) in groups.enumerated() {
        let votes = group.answers.count { $0 == labels[prompt] }
        let wanted = oracles[prompt].visit(label: labels[prompt], ratio: Double(votes) / 10)
        let isSkipped = weighed.lesson.judgements[prompt].abstention == .skipped
        var draw = RandomSequence(seed: seed, purpose: .promptSkips, stream: SIMD3(step, UInt32(prompt), 0))
        #expect(isSkipped == (wanted.isRisky && skips < 3 && draw.uniform() < 0.7), "step \(step), #\(prompt)")
        skips += isSkipped ? 1 : 0
        seen.skipped += isSkipped ? 1 : 0
        seen.risky += wanted.isRisky ? 1 : 0
        seen.steady += wanted.weight == 0.85 ? 1 : 0
        seen.flipped += wanted.weight <= 0.5 ? 1 : 0
        #expect(weighed.trained[prompt].isEmpty == isSkipped)
        for (one, other) in zip(plain.trained[prompt], weighed.trained[prompt]) {
          #expect(
            agree(other.advantages, one.advantages.map { Double($0) * wanted.weight }), "step \(step), #\(prompt)")
        }
      }
      history.record(weighed.lesson.judgements)
    }
    #expect(seen.skipped > 10 && seen.risky > seen.skipped && seen.steady > 10 && seen.flipped > 10, "\(seen)")
  }

  @Test func `a quarter of a step's prompts are left out at most, but one can be`() throws {
    // Every prompt flipped once and agrees since.
    for count in [1, 3, 8] {
      var history = History()
      var skipped: [Int] = []
      for step in UInt32(0)..<20 {
        let groups = (0..<count).map { _ in made(label: step == 0 ? 1 : 2, votes: 10) }
        let method = groups[0].method {
          $0.promptWeights = .flips
          $0.promptsPerStep = count
        }
        let (lesson, _) = try lesson(from: groups, step: step, history: history, method: method)
        history.record(lesson.judgements)
        skipped.append(lesson.judgements.count { $0.abstention == .skipped })
      }
      #expect(skipped[..<4].allSatisfy { $0 == 0 } && skipped.max() == max(1, count / 4), "\(count): \(skipped)")
    }
  }

  @Test func `a history keeps the latest visits, and no more`() {
    var history = History()
    for visit in 0..<30 {
      let group = made(label: visit / 3, votes: 1 + visit % 10)
      history.record([
        judge(prompt: 0, answers: keys(group.answers), step: 0, method: Method(), truth: nil, history: history[0])
      ])
    }
    let entry = history[0]
    #expect(entry.ratios.count == PromptHistory.window && entry.recentFlips.count == PromptHistory.window)
    #expect(entry.ratios == (22..<30).map { Double(1 + $0 % 10) / 10 } && entry.firstRatio == 0.1)
    #expect(entry.recentFlips == (22..<30).map { $0 % 3 == 0 } && entry.visits == 30 && entry.flips == 9)
  }

  @Test func `a history of an earlier version is read, and goes on`() throws {
    let text = #"[{"prompt":3,"visits":7,"label":"5","flips":1}]"#
    var history = try #require(History(try JSON.parse(text)))
    #expect(history[3].visits == 7 && history[3].ratios.isEmpty && history[3].firstRatio == nil)
    history.record([judge(prompt: 3, answers: keys([5]), step: 0, method: Method(), truth: nil, history: history[3])])
    #expect(history[3].visits == 8 && history[3].ratios == [1] && history[3].firstRatio == nil)
    #expect(History(try JSON.parse(history.json.text())) == history)
    for damaged in [
      #"[{"prompt":1,"visits":2,"flips":0,"ratios":["x"],"recent_flips":[true]}]"#,
      #"[{"prompt":1,"visits":2,"flips":0,"ratios":[0.5]}]"#,
      #"[{"prompt":1,"visits":2,"flips":0,"steady_visits":-1}]"#,
    ] {
      #expect(History(try JSON.parse(damaged)) == nil, "\(damaged)")
    }
  }
}
