// The toy policy is the simulator's judge and defendant at once, so it had better learn and be exact.

import Base
import Records
import Simulation
import TTRL
import Testing

@Suite struct ToyPolicyTests {
  private static let prompts = (0..<4).map { Prompt(index: UInt32($0), tokens: [Int32($0)], kind: .math) }

  private func method(_ labels: LabelSource) -> Method {
    var method = Method()
    method.steps = 30
    method.promptsPerStep = 4
    method.votes = 32
    method.trainSamples = 16
    method.miniBatch = 32
    method.labels = labels
    method.learningRate = 0.3
    method.sampling = Sampling(temperature: 1, maxNewTokens: 3, stopTokens: [0, 1, 2, 3])
    return method
  }

  /// Mean majority ratio of each step.
  private func agreement(_ labels: LabelSource) throws -> [Double] {
    var policy = ToyPolicy(rows: 4, seed: 5)
    return try (UInt32(0)..<30).map { step in
      let judgements = try improve(&policy, step: step, prompts: Self.prompts, method: method(labels))
      return judgements.reduce(0) { $0 + Double($1.vote.votes) / Double($1.answers.count) } / Double(judgements.count)
    }
  }

  @Test func `agreement grows by rewarding agreement, and not by rewarding at random`() throws {
    let voted = try agreement(.vote)
    let random = try agreement(.random)
    #expect(voted[29] > 0.9, "agreement went from \(voted[0]) to \(voted[29])")
    #expect(random[29] < 0.9, "random rewards took it from \(random[0]) to \(random[29])")
  }

  @Test func `a policy continued from its state is the policy, bit for bit`() throws {
    var whole = ToyPolicy(rows: 4, seed: 9)
    var resumed = whole
    for step in UInt32(0)..<4 {
      _ = try improve(&whole, step: step, prompts: Self.prompts, method: method(.vote))
      resumed = try ToyPolicy(rows: 4, seed: 9, version: resumed.version, state: resumed.state)
      _ = try improve(&resumed, step: step, prompts: Self.prompts, method: method(.vote))
    }
    #expect(whole == resumed && whole.published == resumed.published)
  }

  @Test func `bytes of another policy are refused`() {
    #expect(throws: ToyPolicyError.wrongLength(found: 3, expected: 100)) {
      try ToyPolicy(rows: 4, seed: 1, version: PolicyVersion(0), published: [1, 2, 3])
    }
  }
}
