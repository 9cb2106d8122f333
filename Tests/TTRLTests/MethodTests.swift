// Each method that has a file of its own, against its formula, computed another way on random groups.

import Answers
import Base
import Records
import TTRL
import Testing

#if canImport(Glibc)
  import Glibc
#endif

private let seeds = UInt64(1)...300

@Suite struct MethodTests {
  /// Section 3 of SCRL, with the numbers of its script.
  @Test func `"scrl" rewards strong majorities and punishes rare, uncertain answers`() {
    var cases = (strong: 0, weak: 0, negative: 0)
    for seed in seeds {
      let made = MadeGroup(seed: seed)
      let ranked = made.shares.sorted { $0.value > $1.value }
      let mean = made.meanEntropies.reduce(0, +) / Double(made.count)
      var positive: Int?
      if let top = ranked.first, top.value >= 0.375, ranked.count < 2 || top.value - ranked[1].value > 0.125 {
        positive = top.key
      }
      let wanted = made.answers.map { answer -> Double in
        guard let answer, let share = made.shares[answer] else { return -1 }
        let entropy = made.mean(made.meanEntropies, of: answer)
        if answer == positive { return share - 0.1 * (entropy - mean) }
        let isNegative = share < 0.125 && entropy >= mean
        cases.negative += isNegative ? 1 : 0
        return (isNegative ? -(0.125 - share) : 0) - 0.1 * (entropy - mean)
      }
      if positive == nil { cases.weak += 1 } else { cases.strong += 1 }
      let judgement = made.judged { $0.estimator = .scrl }
      #expect(agree(judgement.rewards, wanted), "seed \(seed)")
      #expect(judgement.vote.label == majority(of: keys(made.answers)).label, "seed \(seed)")
    }
    #expect(cases.strong > 20 && cases.weak > 20 && cases.negative > 20, "\(cases)")
  }

  /// RLSP's term, with estimators of every form: plain rewards, factors, several labels.
  @Test(arguments: [RewardEstimator.vote, .entropy, .ettrl, .restrain])
  func `"brevity-penalty" lowers each reward by X over the response's tokens, and nothing else`(
    _ estimator: RewardEstimator
  ) throws {
    for seed in seeds {
      let made = MadeGroup(seed: seed)
      let plain = made.method {
        $0.estimator = estimator
        $0.advantage = .drGRPO
      }
      var priced = plain
      priced.brevityPenalty = 3
      let (before, without) = try lesson(from: [made], method: plain)
      let (after, with) = try lesson(from: [made], method: priced)
      #expect(before.judgements == after.judgements, "seed \(seed)")
      // Dr. GRPO subtracts the mean, so advantages differ by the term minus its mean, times what multiplies them.
      let terms = made.tokens.map { -3 / Double($0.count) }
      let mean = terms.reduce(0, +) / Double(terms.count)
      let entropy = made.meanEntropies.reduce(0, +) / Double(made.count)
      for (sample, (one, other)) in zip(without[0], with[0]).enumerated() {
        let shaping = before.judgements[0].shaping
        let labels = shaping.candidates.isEmpty ? 1 : shaping.candidates.reduce(0) { $0 + $1.weight }
        let factor = estimator == .ettrl ? 2 - made.meanEntropies[sample] / entropy : 1
        let change = Double(shaping.weight) * factor * labels * (terms[sample] - mean)
        #expect(agree(other.advantages, one.advantages.map { Double($0) + change }), "seed \(seed)")
      }
    }
  }

  /// Equation of RESTRAIN: a weighted sum of one GRPO objective per label, a penalty without consensus, a weight per
  /// prompt.
  @Test(arguments: [AdvantageEstimator.grpo, .drGRPO, .rloo, .maxRL])
  func `"restrain" adds up the advantages of every answer as label`(_ advantage: AdvantageEstimator) throws {
    var penalized = 0
    for seed in seeds {
      let made = MadeGroup(seed: seed)
      let method = made.method {
        $0.estimator = .restrain
        $0.advantage = advantage
      }
      let (_, trained) = try lesson(from: [made], method: method)
      func bell(_ share: Double) -> Double { exp(-2 * (share - 1) * (share - 1)) }
      let shares = made.shares
      let top = shares.values.max() ?? 0
      let total = shares.values.reduce(0) { $0 + bell($1) }
      var wanted = [Double](repeating: 0, count: made.count)
      if top * 16 < 3 {
        penalized += 1
        wanted = wanted.map { _ in -bell(top) }
      } else {
        for (answer, share) in shares {
          let agreed = made.answers.map { Float($0 == answer ? 1 : 0) }
          for (sample, value) in advantages(ofGroup: agreed, advantage).enumerated() {
            wanted[sample] += bell(top) * bell(share) / total * Double(value)
          }
        }
      }
      for (member, value) in zip(trained[0], wanted) {
        #expect(member.advantages.allSatisfy { abs(Double($0) - value) < 1e-5 }, "seed \(seed)")
      }
    }
    #expect(penalized > 0)
  }

  @Test func `"restrain" weighs a prompt by the vote of its first visit`() throws {
    let made = MadeGroup(seed: 4)
    let method = made.method { $0.estimator = .restrain }
    let first = try lesson(from: [made], method: method)
    var history = History()
    history.record(first.lesson.judgements)
    // The share of the first visit is kept, whatever the second visit's answers are.
    var unanimous = made
    unanimous.answers = unanimous.answers.map { _ in 1 }
    history.record([unanimous.judged { $0.estimator = .restrain }])
    let third = try lesson(from: [made], history: history, method: method)
    #expect(third.trained[0].map(\.advantages) == first.trained[0].map(\.advantages))
    #expect(history[0].firstRatio != 1 && history[0].ratios.last == 1)
  }

  @Test func `"dare" rewards an answer's share, discounted by uncertainty, and prunes the rarest`() {
    var pruned = 0
    for seed in seeds {
      let made = MadeGroup(seed: seed, kinds: 12, count: 2...40)
      let entropy = Dictionary(
        uniqueKeysWithValues: made.shares.keys.map { ($0, made.mean(made.meanEntropies, of: $0)) })
      var q = made.shares.reduce(into: [Int: Double]()) { $0[$1.key] = $1.value / ((entropy[$1.key] ?? 0) + 1e-6) }
      let total = q.values.reduce(0, +)
      q = q.mapValues { $0 / total }
      let most = q.values.max() ?? 0
      let kept = q.filter { $0.value >= 0.05 || $0.value == most }
      pruned += q.count - kept.count
      let left = kept.values.reduce(0, +)
      let wanted = made.answers.map { answer -> Double in
        guard let answer, let value = kept[answer], let share = made.shares[answer] else { return 0 }
        return value / left + 0.1 * (1 - share) * max(0, 1 - (entropy[answer] ?? 0))
      }
      let judgement = made.judged { $0.estimator = .dare }
      #expect(agree(judgement.rewards, wanted), "seed \(seed)")
      let label = q.max { $0.value < $1.value }?.key
      #expect(judgement.vote.label == label.map(key), "seed \(seed)")
      #expect(judgement.vote.votes == made.answers.count { $0 == label && label != nil }, "seed \(seed)")
    }
    #expect(pruned > 20)
  }

  /// Section 3 of EVOL-RL and `_compute_similarity_based_rewards`, with another similarity.
  @Test func `"evol" places a response in its band by novelty`() {
    func runs(_ tokens: [Int32]) -> Set<[Int32]> {
      tokens.count < 3 ? [tokens] : Set((0...tokens.count - 3).map { Array(tokens[$0..<$0 + 3]) })
    }
    for seed in seeds {
      let made = MadeGroup(seed: seed)
      let label = majority(of: keys(made.answers)).label
      let valid = made.answers.indices.filter { made.answers[$0] != nil }
      func similarity(_ one: Int, _ other: Int) -> Double {
        let (a, b) = (runs(made.tokens[one]), runs(made.tokens[other]))
        return Double(a.intersection(b).count) / Double(a.union(b).count)
      }
      func isRight(_ sample: Int) -> Bool { made.answers[sample].map(key) == label }
      var novelty: [Int: Double] = [:]
      for sample in valid where valid.count > 1 {
        let others = valid.filter { $0 != sample }
        let mates = others.filter { isRight($0) == isRight(sample) }
        let average = (mates.isEmpty ? others : mates).map { similarity(sample, $0) }
        let mean = average.reduce(0, +) / Double(average.count)
        novelty[sample] = 1 - (0.5 * mean + 0.5 * (others.map { similarity(sample, $0) }.max() ?? 0))
      }
      let wanted = made.answers.indices.map { sample -> Double in
        guard let own = novelty[sample] else { return -1 }
        let band = valid.filter { isRight($0) == isRight(sample) }.compactMap { novelty[$0] }
        guard let low = band.min(), let high = band.max() else { return -1 }
        let place = band.count == 1 ? 1 : high > low ? (own - low) / (high - low) : 0.5
        return isRight(sample) ? 0.5 + 0.5 * place : -1 + 0.5 * place
      }
      #expect(agree(made.judged { $0.estimator = .evol }.rewards, wanted), "seed \(seed)")
    }
  }

  @Test func `"evol" compares runs of three tokens: an equal response is not new`() {
    var made = MadeGroup(seed: 1, count: 4...4)
    made.answers = [1, 1, 1, 2]
    made.tokens = [[1, 2, 3, 4], [1, 2, 3, 4], [5, 6, 7, 8], [9]]
    made.logprobs = made.tokens.map { $0.map { _ in -1 } }
    made.entropies = made.logprobs
    #expect(made.judged { $0.estimator = .evol }.rewards == [0.5, 0.5, 1, -0.5])
  }

  /// Equation of ETTRL's entropy-based advantage reshaping.
  @Test func `"ettrl" multiplies each advantage by 1 + (mean entropy − its own) / mean entropy`() throws {
    for seed in seeds {
      let made = MadeGroup(seed: seed)
      let plain = try lesson(from: [made], method: made.method { _ in })
      let shaped = try lesson(from: [made], method: made.method { $0.estimator = .ettrl })
      let mean = made.meanEntropies.reduce(0, +) / Double(made.count)
      for (sample, (one, other)) in zip(plain.trained[0], shaped.trained[0]).enumerated() {
        let factor = 2 - made.meanEntropies[sample] / mean
        #expect(agree(other.advantages, one.advantages.map { Double($0) * factor }), "seed \(seed)")
        #expect(one.reward == other.reward)
      }
    }
  }

  /// `grouputils.py` of SCOPE: the subgroups are consecutive, and each draws its own voters from all samples.
  @Test func `"scope" rewards each half by the label that its own draw elects, by confidence`() {
    var divided = 0
    for seed in seeds {
      let made = MadeGroup(seed: seed)
      let confidence = made.logprobs.map { values -> Double in
        var steps: [Double] = []
        for start in stride(from: 0, to: values.count, by: 64) {
          let step = values[start...].prefix(64)
          steps.append(exp(step.reduce(0.0) { $0 + Double($1) } / Double(step.count)))
        }
        return steps.reduce(0, +) / Double(steps.count)
      }
      func elected(_ voters: [Int]) -> Int? {
        var score: [Int: Double] = [:]
        for voter in voters { if let answer = made.answers[voter] { score[answer, default: 0] += confidence[voter] } }
        return score.max { $0.value < $1.value }?.key
      }
      let half = (made.count + 1) / 2
      let labels = (0..<2).map { part -> Int? in
        var draw = RandomSequence(seed: 7, purpose: .subgroups, stream: SIMD3(3, 0, UInt32(part)))
        return elected(Array(draw.permutation(of: made.count)[..<half]))
      }
      divided += labels[0] == labels[1] ? 0 : 1
      let wanted = made.answers.enumerated().map { sample, answer -> Float in
        answer != nil && answer == labels[sample < half ? 0 : 1] ? 1 : 0
      }
      let judgement = made.judged(step: 3) {
        $0.estimator = .scope
        $0.seed = 7
      }
      #expect(judgement.rewards == wanted, "seed \(seed)")
      #expect(judgement.vote.label == elected(Array(0..<made.count)).map(key), "seed \(seed)")
    }
    #expect(divided > 20)
  }

  @Test func `"self-certainty" rewards what the sampler recorded`() {
    let made = MadeGroup(seed: 3)
    let rewards = made.judged { $0.estimator = .selfCertainty }.rewards
    #expect(rewards == made.tokens.map { Float(1 + $0.count % 7) })
  }

  /// SPINE: forking tokens alone have advantages, and their entropies are pulled into the band.
  @Test func `"spine" trains the fifth of the tokens with the highest entropies, and holds these in a band`() throws {
    var pulls = Set<Float>()
    for seed in seeds {
      var made = MadeGroup(seed: seed)
      // Entropies up to 4 nats, so that some are above the band.
      if seed % 2 == 0 { made.entropies = made.entropies.map { $0.map { 2 * $0 } } }
      let plain = try lesson(from: [made], method: made.method { _ in })
      let shaped = try lesson(from: [made], method: made.method { $0.estimator = .spine })
      let all = made.entropies.flatMap { $0 }
      var forks = 0
      for (sample, (one, other)) in zip(plain.trained[0], shaped.trained[0]).enumerated() {
        for (place, entropy) in made.entropies[sample].enumerated() {
          // Among the highest fifth: fewer than a fifth of the tokens are higher.
          let isFork = 5 * all.count { $0 > entropy } < all.count
          forks += isFork ? 1 : 0
          #expect(other.advantages[place] == (isFork ? one.advantages[place] : 0), "seed \(seed)")
          let pull: Float = !isFork ? 0 : entropy < Float(log(2.0)) ? -0.01 : entropy > Float(log(8.0)) ? 0.01 : 0
          #expect(other.entropySlopes[place] == pull, "seed \(seed)")
          pulls.insert(pull)
        }
      }
      #expect(forks >= (all.count + 4) / 5, "seed \(seed)")
    }
    #expect(pulls == [-0.01, 0, 0.01])
  }

  /// DDRL: balanced sampling and debiased advantages.
  @Test func `"ddrl" trains on frequent and rare answers, with advantages of 1 and −1`() throws {
    for seed in seeds {
      let made = MadeGroup(seed: seed)
      let kept = 1 + Int(seed) % made.count
      let method = made.method {
        $0.estimator = .ddrl
        $0.selection = .balanced
        $0.advantage = .fixed
        $0.trainSamples = kept
      }
      let counts = made.answers.map { answer in answer == nil ? 0 : made.answers.count { $0 == answer } }
      // A stable sort, from the most frequent on.
      let order = counts.enumerated().sorted {
        $0.element == $1.element ? $0.offset < $1.offset : $0.element > $1.element
      }
      let high = min(counts.max() ?? 0, kept / 2)
      let wanted = (order.prefix(high) + order.suffix(kept - high)).map(\.offset).sorted()
      let (lesson, trained) = try lesson(from: [made], method: method)
      #expect(lesson.judgements[0].trained == wanted, "seed \(seed)")
      let label = lesson.judgements[0].vote.label
      for member in trained[0] {
        let isRight = made.answers[Int(member.trajectory.slot.sample)].map(key) == label
        #expect(member.advantages.allSatisfy { $0 == (isRight ? 1 : -1) }, "seed \(seed)")
      }
    }
  }

  @Test func `fixed advantages leave a group without a label alone`() throws {
    var made = MadeGroup(seed: 2)
    made.answers = made.answers.map { _ in nil }
    let (lesson, _) = try lesson(from: [made], method: made.method { $0.advantage = .fixed })
    #expect(lesson.hasZeroAdvantage == [true])
  }

  /// MaxRL (`max_rl.py`): the distance from the mean, relative to it.
  @Test func `"maxrl" divides the distance from the mean by the mean`() {
    for seed in seeds {
      var dice = RandomSequence(seed: seed, purpose: .questions)
      let rewards = (0..<(2 + dice.index(below: 20))).map { _ in Float(dice.index(below: 4)) }
      let mean = Double(rewards.reduce(0, +)) / Double(rewards.count)
      let wanted = rewards.map { mean == 0 ? 0 : (Double($0) - mean) / mean }
      #expect(agree(advantages(ofGroup: rewards, .maxRL), wanted), "seed \(seed)")
    }
    #expect(advantages(ofGroup: [0, 0, 0], .maxRL) == [0, 0, 0])
    #expect(advantages(ofGroup: [1, 0, 0, 0], .maxRL) == [3, -1, -1, -1])
  }

  @Test(arguments: RewardEstimator.allCases)
  func `an estimator's rewards are on the scale that its row in the table states`(_ estimator: RewardEstimator) {
    for seed in seeds {
      let rewards = MadeGroup(seed: seed).judged { $0.estimator = estimator }.rewards
      switch estimator.traits.rewards {
      case .binary where estimator.traits.hasCandidates: #expect(rewards.allSatisfy { $0 >= 0 && $0 <= 1 })
      case .binary: #expect(rewards.allSatisfy { $0 == 0 || $0 == 1 }, "seed \(seed)")
      case .nonNegative: #expect(rewards.allSatisfy { $0 >= 0 }, "seed \(seed)")
      case .any: break
      }
    }
  }

  @Test func `"ttpo" learns agreement where it is uncertain, and punishes errors where they are certain`() throws {
    var punished = 0
    for seed in seeds {
      let made = MadeGroup(seed: seed)
      let plain = try lesson(from: [made], method: made.method { _ in })
      let shaped = try lesson(from: [made], method: made.method { $0.estimator = .ttpo })
      #expect(plain.lesson.judgements.map(\.rewards) == shaped.lesson.judgements.map(\.rewards), "seed \(seed)")
      let label = majority(of: keys(made.answers)).label
      for (sample, (one, other)) in zip(plain.trained[0], shaped.trained[0]).enumerated() {
        let isAgreeing = label != nil && made.answers[sample].map(key) == label
        let wanted = zip(one.advantages, made.logprobs[sample]).map { advantage, logprob -> Double in
          let probability = exp(Double(logprob))
          if isAgreeing { return Double(advantage) * (1 - probability) }
          punished += advantage < 0 && probability >= 0.5 ? 1 : 0
          return probability < 0.5 ? 0 : Double(advantage)
        }
        #expect(agree(other.advantages, wanted), "seed \(seed)")
        #expect(other.advantages.allSatisfy { isAgreeing ? $0 >= 0 : $0 <= 0 }, "seed \(seed)")
      }
    }
    #expect(punished > 100)
  }

  @Test func `every estimator gives different advantages`() throws {
    let groups = (UInt64(1)...8).map { MadeGroup(seed: $0, count: 16...16) }
    let all = try RewardEstimator.allCases.map { estimator in
      let method = groups[0].method {
        $0.estimator = estimator
        if estimator == .ddrl { ($0.selection, $0.advantage, $0.trainSamples) = (.balanced, .fixed, 8) }
      }
      return try lesson(from: groups, method: method).trained.map { $0.map(\.advantages) }
    }
    for (index, advantages) in all.enumerated() {
      let isEmpty = advantages.joined().joined().allSatisfy { $0 == 0 }
      let isKnown = all[..<index].contains(advantages)
      #expect(!isEmpty && !isKnown, "\(RewardEstimator.allCases[index]) equals another estimator, or has no advantages")
    }
  }
}
