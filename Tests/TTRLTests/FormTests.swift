// Questions in several forms: which prompts a step has, who elects the label, and what places of options do.

import Answers
import Base
import Records
import TTRL
import Testing

private let seeds = UInt64(1)...200

@Suite struct FormTests {
  // MARK: Prompts of a step

  @Test func `a step has whole questions, and every pass has every question as often as without forms`() {
    for seed in seeds {
      var dice = RandomSequence(seed: seed, purpose: .questions)
      var method = Method()
      (method.seed, method.choiceOrders) = (seed, 1 + dice.index(below: 4))
      method.lastBatch = dice.index(below: 2) == 0 ? .fill : .drop
      let (forms, questions) = (method.choiceOrders, 1 + dice.index(below: 9))
      let perStep = 1 + dice.index(below: 6)
      method.promptsPerStep = perStep * forms
      var plain = method
      (plain.choiceOrders, plain.promptsPerStep) = (1, perStep)
      for step in UInt32(0)..<12 {
        let wanted = promptsOfStep(step, promptCount: questions, method: plain).flatMap { question in
          (0..<UInt32(forms)).map { question * UInt32(forms) + $0 }
        }
        #expect(promptsOfStep(step, promptCount: questions * forms, method: method) == wanted, "seed \(seed)")
        #expect(
          passOfStep(step, promptCount: questions * forms, method: method)
            == passOfStep(step, promptCount: questions, method: plain), "seed \(seed)")
      }
    }
  }

  // MARK: Votes

  /// The groups of two questions, each asked in `forms` prompts.
  private func groups(_ seed: UInt64, forms: Int) -> [MadeGroup] {
    (0..<2 * forms).map { MadeGroup(seed: seed * 100 + UInt64($0), count: 8...8) }
  }

  private func method(_ made: [MadeGroup], _ change: (inout Method) -> Void) -> Method { made[0].method(change) }

  @Test(arguments: [2, 3, 4]) func `the samples of all orders elect one label, and each group is rewarded by it`(
    _ orders: Int
  ) throws {
    var turned = 0
    for seed in seeds {
      let made = groups(seed, forms: orders)
      let (lesson, trained) = try lesson(from: made, method: method(made) { $0.choiceOrders = orders })
      for question in 0..<2 {
        let forms = question * orders..<(question + 1) * orders
        let label = majority(of: keys(forms.flatMap { made[$0].answers })).label
        for form in forms {
          let (judgement, answers) = (lesson.judgements[form], keys(made[form].answers))
          #expect(judgement.vote.label == label, "seed \(seed)")
          #expect(judgement.vote.votes == answers.count { label != nil && $0 == label }, "seed \(seed)")
          #expect(judgement.vote.answerCount == Set(answers.compactMap { $0 }).count, "seed \(seed)")
          let rewards = answers.map { Float(label != nil && $0 == label ? 1 : 0) }
          #expect(judgement.rewards == rewards, "seed \(seed)")
          // Responses are compared with those to the same prompt.
          #expect(
            trained[form].map { $0.advantages[0] } == advantages(ofGroup: rewards, .grpo), "seed \(seed)")
          turned += label != majority(of: answers).label ? 1 : 0
        }
      }
    }
    #expect(turned > 50, "the label of all orders was nearly always that of each")
  }

  @Test func `"co-rewarding" rewards agreement with the label of the other wording`() throws {
    var (crossed, none) = (0, 0)
    for seed in seeds {
      var made = groups(seed, forms: 2)
      if seed % 10 == 0 { made[1].answers = made[1].answers.map { _ in nil } }
      let (lesson, _) = try lesson(from: made, method: method(made) { $0.estimator = .coRewarding })
      for (form, other) in [(0, 1), (1, 0), (2, 3), (3, 2)] {
        let label = majority(of: keys(made[other].answers)).label
        let judgement = lesson.judgements[form]
        #expect(judgement.vote.label == label, "seed \(seed)")
        #expect(judgement.rewards == keys(made[form].answers).map { label != nil && $0 == label ? 1 : 0 })
        crossed += label != majority(of: keys(made[form].answers)).label ? 1 : 0
        none += label == nil ? 1 : 0
      }
    }
    #expect(crossed > 50 && none > 10)
  }

  @Test func `a share of the votes is one of all voters, and a tie is one of all voters`() {
    var method = Method()
    (method.choiceOrders, method.minimumShare, method.ties) = (2, 0.5, .abstain)
    func label(_ first: [Int?], _ second: [Int?]) -> Vote {
      judge(
        prompt: 0, answers: keys(first), step: 0, method: method, truth: nil, voters: keys(first + second)
      ).vote
    }
    #expect(label([1, 1, 2, nil], [1, 1, 3, 3]).label == key(1))
    #expect(label([1, 1, 1, nil], [2, 2, 3, 3]).abstention == .share)
    #expect(label([1, 1, 1, 1], [2, 2, 2, 2]).abstention == .tie)
    #expect(label([1, 1, 2, nil], [1, 1, 3, 3]).votes == 2)
  }

  // MARK: Places

  @Test func `the bias is half of the difference between the shares of places and equal shares`() throws {
    let letters = Array("ABCD")
    func key(_ place: UInt8) -> AnswerKey { answerKey(String(letters[Int(place)]), kind: .choice) }
    for seed in seeds {
      var dice = RandomSequence(seed: seed, purpose: .questions)
      // Two questions of four and of three options, in two orders each.
      let orders: [[UInt8]] = [[2, 0, 3, 1], [3, 1, 2, 0], [1, 2, 0], [2, 0, 1]]
      let places = orders.map { order in (0..<6).map { _ in UInt8(dice.index(below: order.count)) } }
      let prompts = orders.enumerated().map { Prompt(index: UInt32($0), tokens: [], kind: .choice, order: $1) }
      let lesson = try outcome(
        zip(places, orders).map { places, order in places.map { key($0).inFileOrder(order) } }, prompts)
      var (votes, equal) = ([Double](repeating: 0, count: 4), [Double](repeating: 0, count: 4))
      for (places, order) in zip(places, orders) {
        for place in places {
          votes[Int(place)] += 1
          for shown in order.indices { equal[shown] += 1 / Double(order.count) }
        }
      }
      let bias = zip(votes, equal).reduce(0) { $0 + abs($1.0 / 24 - $1.1 / 24) } / 2
      let found = try #require(lesson.positions)
      #expect(found.votes.map(Double.init) == votes, "seed \(seed)")
      #expect(abs((found.bias ?? -1) - bias) < 1e-12, "seed \(seed)")
      #expect(try outcome([[key(0)]], [Prompt(index: 0, tokens: [], kind: .choice)]).positions == nil)
    }
  }

  private func outcome(_ answers: [[AnswerKey]], _ prompts: [Prompt]) throws -> Lesson {
    var policy = KnownAnswers(answers: answers)
    let groups = answers.enumerated().map { prompt, answers in
      group(answers.map { _ in 0 }, prompt: UInt32(prompt))
    }
    var method = Method()
    (method.votes, method.choiceOrders) = (answers[0].count, answers.count > 1 ? 2 : 1)
    return try learn(&policy, step: 0, from: groups, prompts: prompts, method: method)
  }

  // MARK: History

  @Test func `a history of reports is the history of the judgements`() throws {
    for seed in seeds {
      var (judged, reported) = (History(), History())
      for step in UInt32(0)..<4 {
        let made = (UInt64(0)..<3).map { MadeGroup(seed: seed * 50 + UInt64(step) * 10 + $0) }
        let method = made[0].method { $0.estimator = .restrain }
        let lesson = try lesson(from: made, step: step, history: judged, method: method).lesson
        let groups = made.enumerated().map { $1.group(prompt: UInt32($0), step: step) }
        let metrics = StepMetrics(step: step, lesson: lesson, groups: groups, truth: [], method: method)
        judged.record(lesson.judgements)
        var report = StepReport(step: step)
        report.prompts = metrics.prompts.map { prompt in
          var row = PromptReport(prompt: prompt.prompt)
          (row.label, row.isFlip) = (prompt.label, prompt.isFlip)
          (row.labelVotes, row.samples) = (UInt32(prompt.votes), UInt32(prompt.samples))
          return row
        }
        reported.record(try StepReport(parsing: report.json.text()))
        #expect(reported == judged, "seed \(seed), step \(step)")
      }
    }
  }
}

/// Answers with given keys.
private struct KnownAnswers: Policy {
  var answers: [[AnswerKey]]

  func sample(_ prompt: Prompt, slots: [Slot], sampling: Sampling) -> [Trajectory] { [] }

  func answer(of trajectory: Trajectory, to prompt: Prompt) -> AnswerKey? {
    answers[Int(prompt.index)][Int(trajectory.slot.sample)]
  }

  func referenceLogprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) -> [[Float]] { [] }
  func logprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) -> [[Float]] { [] }
  func update(_ miniBatch: MiniBatch, method: Method, learningRate: Double) -> UpdateReport { UpdateReport() }
  func publish() {}
}
