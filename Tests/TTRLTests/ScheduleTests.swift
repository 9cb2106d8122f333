// Which prompts a step has, which samples are trained on, and the learning rate: pure functions of the settings, which
// are fixed before anything is sampled.

import Answers
import Base
import Records
import TTRL
import Testing

@Suite struct ScheduleTests {
  private func method(prompts: Int, seed: UInt64 = 3) -> Method {
    var method = Method()
    method.promptsPerStep = prompts
    method.seed = seed
    return method
  }

  @Test(arguments: [(30, 8), (7, 3), (5, 5), (4, 9), (1, 1), (10, 4)])
  func `every pass has every prompt, and no step has a prompt twice`(_ count: Int, _ size: Int) {
    let method = method(prompts: size)
    let stepsPerPass = (count + min(size, count) - 1) / min(size, count)
    for pass in 0..<3 {
      let steps = (0..<stepsPerPass).map { step in
        promptsOfStep(UInt32(pass * stepsPerPass + step), promptCount: count, method: method)
      }
      for prompts in steps {
        #expect(prompts.count == min(size, count) && Set(prompts).count == prompts.count && prompts == prompts.sorted())
      }
      #expect(Set(steps.joined()) == Set(0..<UInt32(count)))
    }
  }

  @Test(arguments: [(30, 8, 6), (83, 8, 3), (500, 32, 20), (16, 8, 0)])
  func `D9: if the last batch is dropped, each pass leaves out as many prompts as the reference, others each time`(
    _ count: Int, _ size: Int, _ left: Int
  ) {
    var method = method(prompts: size)
    method.lastBatch = .drop
    let passes = (0..<3).map { pass in
      (0..<(count / size)).map { promptsOfStep(UInt32(pass * (count / size) + $0), promptCount: count, method: method) }
    }
    let seen = passes.map { Set($0.joined()) }
    for (steps, prompts) in zip(passes, seen) {
      #expect(steps.allSatisfy { $0.count == size } && prompts.count == count - left)
    }
    #expect(left == 0 || seen[0] != seen[1])
  }

  @Test func `passes have different orders, and so have seeds`() {
    let first = (0..<4).map { promptsOfStep($0, promptCount: 30, method: method(prompts: 8)) }
    let second = (4..<8).map { promptsOfStep($0, promptCount: 30, method: method(prompts: 8)) }
    let other = (0..<4).map { promptsOfStep($0, promptCount: 30, method: method(prompts: 8, seed: 4)) }
    #expect(first != second && first != other)
  }

  @Test func `the rate warms up, starts above 0, and falls along a cosine to its floor`() {
    var method = Method()
    method.steps = 100
    method.warmupSteps = 10
    method.learningRate = 1
    method.learningRateFloor = 0.1
    let rates = (UInt32(0)..<100).map { learningRate(ofStep: $0, method: method) }
    #expect(rates[0] == 0.1)
    #expect(zip(rates[..<9], rates[1..<10]).allSatisfy { $0 < $1 })
    #expect(zip(rates[10...], rates[11...]).allSatisfy { $0 > $1 })
    // Half way, the rate is in the middle between floor and peak. 1e-12: double arithmetic.
    #expect(abs(rates[50] - 0.55) < 1e-12 && rates[99] > 0.1)
  }

  /// PyTorch's LambdaLR with the reference's `get_cosine_schedule_with_warmup`, computed by hand: 10 steps, 2 of
  /// warm-up.
  @Test func `cosine-from-zero begins with a rate of 0, like the reference`() {
    var method = Method()
    method.steps = 10
    method.warmupSteps = 2
    method.learningRate = 1
    method.rateSchedule = .cosineFromZero
    let rates = (UInt32(0)..<10).map { learningRate(ofStep: $0, method: method) }
    // 0, 1/2, then (1 + cos(π k/8)) / 2.
    let expected = [0, 0.5, 1, 0.9619398, 0.8535534, 0.6913417, 0.5, 0.3086583, 0.1464466, 0.0380602]
    for (rate, value) in zip(rates, expected) { #expect(abs(rate - value) < 1e-7) }
    method.learningRateFloor = 0.1
    #expect(abs(learningRate(ofStep: 6, method: method) - 0.55) < 1e-12)
    method.warmupSteps = 0
    #expect(learningRate(ofStep: 0, method: method) == 1)
  }

  @Test func `a constant rate warms up and then stays at its peak`() {
    var method = Method()
    method.steps = 10
    method.warmupSteps = 2
    method.learningRate = 1
    method.rateSchedule = .constant
    #expect((UInt32(0)..<4).map { learningRate(ofStep: $0, method: method) } == [0.5, 1, 1, 1])
  }
}

@Suite struct SelectionTests {
  private func trained(_ answers: [Int?], step: UInt32, prompt: UInt32, _ method: Method) -> [Int] {
    judge(prompt: prompt, answers: keys(answers), step: step, method: method, truth: nil).trained
  }

  @Test func `the seed determines which samples are trained on; the answers have no influence`() {
    var method = Method()
    method.trainSamples = 4
    for prompt in UInt32(0)..<20 {
      let unanimous = trained(Array(repeating: 1, count: 10), step: 2, prompt: prompt, method)
      let unanswered = trained(Array(repeating: nil, count: 10), step: 2, prompt: prompt, method)
      let mixed = trained((0..<10).map { $0 % 3 }, step: 2, prompt: prompt, method)
      #expect(unanimous == unanswered && unanswered == mixed)
      #expect(unanimous.count == 4 && unanimous == unanimous.sorted() && Set(unanimous).count == 4)
    }
  }

  @Test func `prompts, steps and seeds choose different samples, and every sample is chosen at some time`() {
    var method = Method()
    method.trainSamples = 4
    let answers = [Int?](repeating: 1, count: 10)
    let byPrompt = (UInt32(0)..<50).map { trained(answers, step: 0, prompt: $0, method) }
    let byStep = (UInt32(0)..<50).map { trained(answers, step: $0, prompt: 0, method) }
    #expect(Set(byPrompt).count > 30 && Set(byStep).count > 30)
    #expect(Set(byPrompt.joined()) == Set(0..<10))
    method.seed = 1
    #expect((UInt32(0)..<50).map { trained(answers, step: 0, prompt: $0, method) } != byPrompt)
  }

  @Test func `selection "first" takes the first samples by index, and no more than there are`() {
    var method = Method()
    method.selection = .first
    method.trainSamples = 3
    #expect(trained([1, 2, 3, 1, 2], step: 9, prompt: 9, method) == [0, 1, 2])
    #expect(trained([1, 2], step: 9, prompt: 9, method) == [0, 1])
  }
}

@Suite struct LabelTests {
  private static let answers: [Int?] = [1, 1, 1, 2, nil, 2]

  private func rewards(_ labels: LabelSource, truth: Int? = nil, seed: UInt64 = 0) -> [Float] {
    var method = Method()
    method.labels = labels
    method.seed = seed
    return judge(
      prompt: 0, answers: keys(Self.answers), step: 0, method: method, truth: truth.map(key)
    ).rewards
  }

  @Test func `with labels from the vote, agreement with the majority is rewarded`() {
    #expect(rewards(.vote) == [1, 1, 1, 0, 0, 0])
  }

  @Test func `with true labels, agreement with the truth is rewarded, and nothing if there is no truth`() {
    #expect(rewards(.truth, truth: 2) == [0, 0, 0, 1, 0, 1])
    #expect(rewards(.truth) == [0, 0, 0, 0, 0, 0])
  }

  @Test func `random rewards are fair coins that depend on the seed alone`() {
    let coins = (UInt64(0)..<200).flatMap { rewards(.random, seed: $0) }
    let share = Double(coins.reduce(0, +)) / Double(coins.count)
    // 1,200 coins: a standard deviation of 0.0144.
    #expect(abs(share - 0.5) < 0.06)
    #expect(rewards(.random, seed: 7) == rewards(.random, truth: 2, seed: 7))
  }

  @Test func `with labels from the vote, a truth that is passed by mistake changes nothing`() {
    #expect(rewards(.vote, truth: 2) == rewards(.vote))
  }
}
