// RunTimeTests: the estimate of a whole run's time, and the run that is proposed if it takes more than an hour.

import LanguageModel
import Records
import Runs
import Settings
import Testing

@Suite struct RunTimeTests {
  private static let model = ModelConfiguration(
    family: .llama, vocabularySize: 100, hiddenSize: 16, feedForwardSize: 32, layerCount: 1, headCount: 2,
    keyValueHeadCount: 1, headDimension: 8, ropeTheta: 10_000, maxPositions: 512, hasTiedEmbeddings: false,
    hasAttentionBias: false)
  private static let means = StepTime.Means(
    samplingThreads: 1, trainingThreads: 1, ranks: 1, flops: 1e9, linkRate: nil)

  private static func settings(_ change: (inout RunSettings) -> Void = { _ in }) -> RunSettings {
    var settings = RunSettings()
    settings.method.steps = 5
    (settings.evaluateEvery, settings.evaluationSamples) = (2, 20)
    change(&settings)
    return settings
  }

  @Test func `all evaluations are counted: both ends with all samples and all sets, in between the training set`() {
    func list(_ change: (inout RunSettings) -> Void = { _ in }) -> [String] {
      Self.settings(change).evaluations(of: [.training, .heldOut]).map { "\($0.set.word) \($0.step) \($0.samples)" }
    }
    let ends = ["training 0 20", "held-out 0 20", "training 5 20", "held-out 5 20"]
    #expect(list() == Array(ends[..<2]) + ["training 2 16", "training 4 16"] + Array(ends[2...]))
    #expect(list { $0.evaluateEvery = 0 } == ends)
    #expect(list { ($0.evaluateEvery, $0.evaluation) = (0, .reuse) } == [])
    #expect(list { ($0.evaluateEvery, $0.evaluation) = (5, .none) } == ["training 0 20", "training 5 20"])
    #expect(list { ($0.evaluateEvery, $0.method.steps) = (3, 0) } == Array(ends[..<2]))
  }

  @Test func `a run takes its steps and its evaluations, which are sampled like steps`() {
    let counts = QuestionCounts(training: 6, heldOut: 3, promptTokens: 7)
    let time = RunTime(Self.settings(), model: Self.model, questions: counts, responseTokens: 10, Self.means)
    func round(_ prompts: Int, _ samples: Int) -> StepTime {
      let settings = Self.settings { ($0.method.promptsPerStep, $0.method.votes) = (prompts, samples) }
      return StepTime(settings, model: Self.model, promptTokens: 7, responseTokens: 10, Self.means)
    }
    // A step has no more prompts than there are.
    #expect(abs(time.steps - 5 * round(6, 64).total) < 1e-9)
    let evaluations = 2 * round(6, 20).sampling + 2 * round(3, 20).sampling + 2 * round(6, 16).sampling
    #expect(abs(time.evaluations - evaluations) < 1e-9 && abs(time.total - time.steps - time.evaluations) < 1e-9)
  }

  @Test func `a prompt is computed once for all its responses, which attend to it`() {
    func time(_ prompt: Int, votes: Int) -> StepTime {
      let settings = Self.settings { ($0.method.promptsPerStep, $0.method.votes) = (1, votes) }
      return StepTime(settings, model: Self.model, promptTokens: prompt, responseTokens: 10, Self.means)
    }
    let attention = 2.0 * 4 * 16
    let perResponse = 10 * attention * 100 / (1e9 * 0.5)
    let once = time(100, votes: 1).sampling - time(0, votes: 1).sampling - perResponse
    #expect(once > 0)
    #expect(abs(time(100, votes: 8).sampling - time(0, votes: 8).sampling - 8 * perResponse - once) < 1e-12)
  }

  @Test func `every update and every version costs time for each parameter`() {
    func upkeep(_ miniBatch: Int) -> Double {
      let settings = Self.settings { $0.method.miniBatch = miniBatch }
      return StepTime(settings, model: Self.model, responseTokens: 10, Self.means).upkeep
    }
    // 256 trained responses.
    #expect(upkeep(256) > 0 && abs(upkeep(64) - upkeep(256) - 3 * (upkeep(128) - upkeep(256))) < 1e-12)
  }

  // MARK: Proposals

  /// A run with one second for so many sampled tokens, and evaluations of 64 questions.
  private static func seconds(_ settings: RunSettings, tokensPerSecond: Double) -> Double {
    let steps = Int(settings.method.steps) * settings.method.promptsPerStep * settings.method.votes
    let evaluations = settings.evaluation == .full ? 2 * 64 * Int(settings.evaluationSamples) : 0
    return Double((2 * steps + evaluations) * Int(settings.maxNewTokens)) / tokensPerSecond
  }

  @Test func `a run that fits an hour needs no other`() {
    #expect(RunProposal(insteadOf: RunSettings()) { _ in 3600 } == nil)
  }

  @Test(arguments: [40.0, 100, 400, 1000, 4000, 20_000, 100_000])
  func `the proposed run fits an hour and uses it, and nothing in it is larger or contradicts`(speed: Double) throws {
    let given = RunSettings()
    let found = try #require(RunProposal(insteadOf: given) { Self.seconds($0, tokensPerSecond: speed) })
    let settings = found.settings
    #expect(found.isShort && found.seconds == Self.seconds(settings, tokensPerSecond: speed))
    #expect(settings.method.votes <= given.method.votes && settings.maxNewTokens <= given.maxNewTokens)
    #expect(settings.method.steps <= given.method.steps && settings.method.trainSamples <= settings.method.votes)
    #expect(settings.problems(taking: SettingTable.all.map(\.name)) == [])
    var longer = settings
    longer.method.steps += 10
    #expect(settings.method.steps == given.method.steps || Self.seconds(longer, tokensPerSecond: speed) > 3600)
    let differing = SettingTable.all.filter { $0.value(in: settings) != $0.value(in: given) }.map(\.name)
    #expect(found.changed == differing && !differing.isEmpty)
  }

  @Test func `a slow machine still gets a run that learns something before it gets one without evaluations`() throws {
    let found = try #require(RunProposal(insteadOf: RunSettings()) { Self.seconds($0, tokensPerSecond: 400) })
    #expect(found.settings.evaluation == .full && found.settings.method.votes >= 8)
    #expect(found.settings.method.steps >= 10 && found.settings.maxNewTokens >= 256)
  }

  @Test func `a run without evaluations keeps their settings`() throws {
    var given = RunSettings()
    given.evaluation = .none
    let found = try #require(RunProposal(insteadOf: given) { Self.seconds($0, tokensPerSecond: 400) })
    #expect(found.isShort && !found.changed.contains { $0.hasPrefix("eval") })
  }

  @Test func `what was given smaller stays smaller, and no run at all is said`() throws {
    var given = RunSettings()
    (given.method.votes, given.method.trainSamples, given.maxNewTokens, given.method.steps) = (4, 4, 100, 3)
    let found = try #require(RunProposal(insteadOf: given) { _ in 7200 })
    #expect(!found.isShort && found.settings.method.votes == 4 && found.settings.method.trainSamples == 4)
    #expect(found.settings.maxNewTokens == 64 && found.settings.method.steps == 1)
  }

  @Test func `with a model of the user's, one worker and one learner rank; the example shows two of each`() {
    let (own, example) = (RunSettings().operation, BuiltIn.defaults.operation)
    #expect(own.workers == 1 && own.learners == 1 && example.workers == 2 && example.learners == 2)
  }
}
