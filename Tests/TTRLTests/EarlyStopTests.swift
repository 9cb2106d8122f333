// Early stop, against its definition: for all groups of up to five samples, and all answers that the remaining samples
// could have given.

import Answers
import Base
import Records
import TTRL
import Testing

@Suite struct EarlyStopTests {
  /// What a sample can answer: nothing, one of three answers, or an answer that the enumerated groups do not have.
  private static let alphabet: [Int?] = [nil, 0, 1, 2, 3]

  private static func method(
    votes: Int, trained: Int, ties: TieRule, share: Double, selection: Selection = .random
  ) -> Method {
    var method = Method()
    method.seed = 11
    method.votes = votes
    method.trainSamples = trained
    method.ties = ties
    method.minimumShare = share
    method.selection = selection
    method.earlyStop = .on
    return method
  }

  private func whole(_ method: Method) -> Method {
    var method = method
    method.earlyStop = .off
    return method
  }

  /// The label of a complete group.
  private func label(of answers: [Int?], _ method: Method) -> AnswerKey? {
    judge(prompt: 0, answers: keys(answers), step: 0, method: whole(method), truth: nil).vote.label
  }

  /// The labels of all groups over the alphabet, by number: digit i in base 5 is sample i's answer.
  private func labels(_ method: Method) -> [AnswerKey?] {
    (0..<power(5, method.votes)).map { number in
      label(of: (0..<method.votes).map { Self.alphabet[number / power(5, $0) % 5] }, method)
    }
  }

  /// The definition: the shortest prefix of the fixed order that includes the trained samples, and whose completions
  /// all have the same label.
  private func decided(_ group: [Int], order: [Int], trained: Int, labels: [AnswerKey?]) -> Int {
    for length in trained..<group.count {
      let known = order[..<length].reduce(0) { $0 + group[$1] * power(5, $1) }
      let rest = order[length...]
      let outcomes = (0..<power(5, rest.count)).lazy.map { completion -> AnswerKey? in
        var number = known
        for (digit, sample) in rest.enumerated() { number += completion / power(5, digit) % 5 * power(5, sample) }
        return labels[number]
      }
      let first = outcomes.first ?? nil
      if outcomes.allSatisfy({ $0 == first }) { return length }
    }
    return group.count
  }

  private func power(_ base: Int, _ exponent: Int) -> Int { (0..<exponent).reduce(1) { product, _ in product * base } }

  @Test(arguments: TieRule.allCases, [0, 0.3, 0.5, 0.6, 1])
  func `a vote is decided as soon as no answers of the other samples can change the label`(
    _ ties: TieRule, _ share: Double
  ) {
    for votes in 2...5 {
      for trained in Set([1, 2, votes - 1]) where trained < votes {
        let method = Self.method(votes: votes, trained: trained, ties: ties, share: share)
        let table = labels(method)
        let chosen = trainedSamples(of: votes, step: 0, prompt: 0, method: method)
        let order = chosen + (0..<votes).filter { !chosen.contains($0) }
        for number in 0..<power(4, votes) {
          let group = (0..<votes).map { number / power(4, $0) % 4 }
          let counted = countedSamples(
            of: keys(group.map { Self.alphabet[$0] }), step: 0, prompt: 0, method: method)
          let length = decided(group, order: order, trained: trained, labels: table)
          #expect(counted == order[..<length].sorted(), "\(group) of \(votes), \(trained) trained, \(order)")
        }
      }
    }
  }

  /// A group of random size and answers, and settings with which it can stop early.
  private func world(_ seed: UInt64) -> (answers: [Int?], method: Method) {
    var dice = RandomSequence(seed: seed, purpose: .questions)
    let votes = 2 + dice.index(below: 63)
    let labels = 1 + dice.index(below: 6)
    let lean = dice.uniform()
    let answers: [Int?] = (0..<votes).map { _ in
      if dice.uniform() < 0.15 { return nil }
      return dice.uniform() < lean ? 0 : dice.index(below: labels)
    }
    return (
      answers,
      Self.method(
        votes: votes, trained: 1 + dice.index(below: votes - 1), ties: TieRule.allCases[dice.index(below: 2)],
        share: [0, 0.2, 0.5][dice.index(below: 3)], selection: Selection.allCases[dice.index(below: 2)])
    )
  }

  @Test func `label, abstention, trained samples and their rewards are those of the whole group`() {
    var unneeded = 0
    for seed in UInt64(0)..<2000 {
      let (answers, method) = world(seed)
      let all = group(answers)
      let counted = countedSamples(of: keys(answers), step: 0, prompt: 0, method: method)
      let cut = Group(prompt: 0, trajectories: counted.map { all.trajectories[$0] })
      let full = judge(
        prompt: 0, answers: keys(answers), trajectories: all.trajectories, step: 0, method: whole(method), truth: nil)
      let early = judge(
        prompt: 0, answers: counted.map { keys(answers)[$0] }, trajectories: cut.trajectories, step: 0, method: method,
        truth: nil)
      #expect(early.vote.label == full.vote.label && early.abstention == full.abstention, "seed \(seed)")
      #expect(
        early.trained.map { cut.trajectories[$0] } == full.trained.map { all.trajectories[$0] }, "seed \(seed)")
      #expect(early.trained.map { early.rewards[$0] } == full.trained.map { full.rewards[$0] }, "seed \(seed)")
      #expect(early.unneeded == answers.count - counted.count && full.unneeded == 0, "seed \(seed)")
      unneeded += early.unneeded
    }
    #expect(unneeded > 10_000)
  }

  @Test func `the decision does not depend on the order of arrival, nor on samples that arrive twice`() {
    for seed in UInt64(0)..<300 {
      let (answers, method) = world(seed)
      let counted = countedSamples(of: keys(answers), step: 0, prompt: 0, method: method)
      var dice = RandomSequence(seed: seed, purpose: .backoff)
      for _ in 0..<4 {
        var vote = RunningVote(step: 0, prompt: 0, method: method)
        var decisions: [[Int]] = []
        for sample in dice.permutation(of: answers.count) {
          for _ in 0..<2 {
            if let unneeded = vote.add(keys(answers)[sample], of: sample) { decisions.append(unneeded) }
          }
        }
        #expect(decisions == [answers.indices.filter { !counted.contains($0) }], "seed \(seed)")
      }
      #expect(
        Set(trainedSamples(of: answers.count, step: 0, prompt: 0, method: method)).isSubset(of: counted),
        "seed \(seed)")
    }
  }

  /// ∫ θᶜ (1 − θ)ᵈ over θ ≤ 1/2, divided by that over all θ, by Simpson's rule: the posterior of a uniform prior.
  private func posterior(_ votes: Int, _ other: Int) -> Double {
    func integral(_ end: Double) -> Double {
      let parts = 4000
      return (0...parts).reduce(0.0) { sum, part in
        let theta = end * Double(part) / Double(parts)
        let factor = part == 0 || part == parts ? 1.0 : part % 2 == 1 ? 4 : 2
        return sum + factor * (0..<votes).reduce(1) { power, _ in power * theta }
          * (0..<other).reduce(1) { power, _ in power * (1 - theta) }
      } * end / Double(parts) / 3
    }
    return integral(0.5) / integral(1)
  }

  @Test func `the chance of a wrong leader is the posterior's, summed over the other answers`() {
    for (votes, others) in [(1, []), (1, [1]), (5, [4]), (20, [3, 3, 1]), (32, [20]), (9, [1, 1, 1, 1])]
      as [(Int, [Int])]
    {
      let wanted = (others + [0]).reduce(0) { $0 + posterior(votes, $1) }
      #expect(abs(errorOfLeader(votes: votes, others: others) - wanted) < 1e-9, "\(votes), \(others)")
    }
    // 2⁻¹⁰⁰¹ and less are 0 or almost, and nothing overflows.
    #expect(errorOfLeader(votes: 60_000, others: [5000]) < 1e-300)
    #expect(abs(errorOfLeader(votes: 30_000, others: [30_000]) - 0.5) < 0.01)
  }

  @Test func `"bayes" stops where the bound is reached, or where the vote is certain`() {
    var earlier = 0
    for seed in UInt64(0)..<600 {
      var (answers, method) = world(seed)
      let certain = countedSamples(of: keys(answers), step: 0, prompt: 0, method: method)
      method.earlyStop = .bayes
      method.earlyStopError = [0.01, 0.05, 0.3][Int(seed) % 3]
      let counted = countedSamples(of: keys(answers), step: 0, prompt: 0, method: method)
      let chosen = trainedSamples(of: answers.count, step: 0, prompt: 0, method: method)
      let order = chosen + answers.indices.filter { !chosen.contains($0) }
      let stop = (chosen.count..<certain.count).first { length in
        var counts: [Int: Int] = [:]
        for sample in order[..<length] { if let answer = answers[sample] { counts[answer, default: 0] += 1 } }
        let ranked = counts.values.sorted(by: >)
        guard let top = ranked.first, Double(top) / Double(answers.count) >= method.minimumShare else { return false }
        return errorOfLeader(votes: top, others: Array(ranked.dropFirst())) <= method.earlyStopError
      }
      #expect(counted == order[..<(stop ?? certain.count)].sorted(), "seed \(seed)")
      earlier += stop == nil ? 0 : 1
    }
    #expect(earlier > 100)
  }

  /// Policies of two answers, with a frequency from the prior: of the votes that "bayes" ends, at most the chosen share
  /// has elected the rarer answer.
  @Test(arguments: [0.01, 0.05, 0.2]) func `at most the chosen share of early decisions is wrong`(_ error: Double) {
    var method = Self.method(votes: 200, trained: 1, ties: .first, share: 0)
    method.earlyStop = .bayes
    method.earlyStopError = error
    var (ended, wrong, saved) = (0, 0, 0)
    for seed in UInt64(0)..<4000 {
      var dice = RandomSequence(seed: seed, purpose: .questions)
      let frequency = dice.uniform()
      let answers = (0..<200).map { _ in dice.uniform() < frequency ? 1 : 2 }
      let counted = countedSamples(of: keys(answers), step: 0, prompt: 0, method: method)
      // Those that went on for long can have become certain instead.
      guard counted.count < 100 else { continue }
      ended += 1
      saved += answers.count - counted.count
      let ones = counted.count { answers[$0] == 1 }
      wrong += (2 * ones > counted.count) == (frequency > 0.5) ? 0 : 1
    }
    // Three standard deviations of a share of the early decisions.
    let slack = 3 * (error * (1 - error) / Double(ended)).squareRoot()
    #expect(Double(wrong) / Double(ended) < error + slack, "\(wrong) of \(ended)")
    #expect(ended > 2500 && saved > 100 * ended)
  }

  @Test func `a sample that does not exist changes nothing`() {
    var vote = RunningVote(step: 0, prompt: 0, method: Self.method(votes: 2, trained: 1, ties: .first, share: 0))
    #expect(vote.add(key(1), of: 2) == nil && vote.add(key(1), of: -1) == nil)
    #expect(vote.add(key(1), of: 0) == nil && vote.add(key(1), of: 1) != nil)
  }
}
