// StepTimeTests: the arithmetic with which a dry run estimates the time of a step.

import Base
import LanguageModel
import Records
import Runs
import Settings
import Testing

@Suite struct StepTimeTests {
  /// One layer whose matrices are easy to count, with an embedding that is not the head's.
  private static let model = ModelConfiguration(
    family: .llama, vocabularySize: 100, hiddenSize: 16, feedForwardSize: 32, layerCount: 1, headCount: 2,
    keyValueHeadCount: 1, headDimension: 8, ropeTheta: 10_000, maxPositions: 512, hasTiedEmbeddings: false,
    hasAttentionBias: false)

  private static func settings(_ change: (inout RunSettings) -> Void = { _ in }) -> RunSettings {
    var settings = RunSettings()
    (settings.method.promptsPerStep, settings.method.votes, settings.method.trainSamples) = (2, 8, 4)
    (settings.method.miniBatch, settings.dtype, settings.reduction) = (4, .float32, .exact)
    change(&settings)
    return settings
  }

  private static func means(threads: Int = 1, ranks: Int = 2, linkRate: Double? = 1e6) -> StepTime.Means {
    StepTime.Means(
      samplingThreads: threads, trainingThreads: threads, ranks: ranks, flops: 1e9, linkRate: linkRate)
  }

  private static func time(_ settings: RunSettings = settings(), _ means: StepTime.Means = means()) -> StepTime {
    StepTime(settings, model: model, responseTokens: 10, means)
  }

  @Test
  func `sampling and training take what their multiply-adds take at the share that the engine reaches`() {
    // q|k|v 16 × 32, output 16 × 16, gate|up 16 × 64, down 32 × 16, head 16 × 100; the embedding is looked up.
    let products = 16 * 32 + 16 * 16 + 16 * 64 + 32 * 16 + 16 * 100
    // 4 · context · query width for each of 5 positions in the middle, at half speed.
    let perToken = Double(2 * products + 2 * 4 * 5 * 16)
    let time = Self.time()
    #expect(abs(time.sampling - 2 * 8 * 10 * perToken / (1e9 * 0.5)) < 1e-12)
    #expect(abs(time.training - 2 * 4 * 10 * 3 * perToken / (1e9 * 0.6)) < 1e-12)
    let many = Self.time(Self.settings(), Self.means(threads: 4))
    #expect(abs(many.sampling - time.sampling / 4) < 1e-12 && abs(many.training - time.training / 4) < 1e-12)
  }

  @Test
  func `an adapter's backward pass has no gradients of the base's weights`() throws {
    let layout = ParameterLayout(Self.model)
    let adapter = try AdapterLayout(AdapterConfiguration(rank: 1, alpha: 1, targets: ["q_proj"]), of: layout)
    let time = StepTime(Self.settings(), model: Self.model, adapter: adapter, responseTokens: 10, Self.means())
    #expect(abs(time.training - Self.time().training * 2 / 3) < 1e-12)
    #expect(time.sampling == Self.time().sampling && time.weights < Self.time().weights / 10)
  }

  @Test
  func `a window bounds what attention costs`() {
    var model = Self.model
    model.layerKinds = [.attention(.init(window: 3))]
    let windowed = StepTime(Self.settings(), model: model, responseTokens: 10, Self.means())
    // 3 positions in place of 5.
    #expect(abs(Self.time().sampling - windowed.sampling - 2 * 8 * 10 * Double(2 * 4 * 2 * 16) / (1e9 * 0.5)) < 1e-12)
  }

  @Test
  func `every update moves the gradient and the weights through a rank's link, all but its own shard`() {
    let count = Double(ParameterLayout(Self.model).count)
    let time = Self.time()
    #expect(time.updates == 2)
    #expect(abs(time.sums - 2 * (8 + 4) * count / 2 / 1e6) < 1e-9)
    #expect(abs(Self.time(Self.settings { $0.reduction = .fast }).sums - 2 * (4 + 4) * count / 2 / 1e6) < 1e-9)
    #expect(Self.time(Self.settings { $0.method.miniBatch = 8 }).updates == 1)
    #expect(abs(time.total - (time.sampling + time.training + time.upkeep + time.sums + time.weights)) < 1e-12)
  }

  @Test
  func `one machine has no network, one rank no sums`() {
    let alone = Self.time(Self.settings(), Self.means(linkRate: nil))
    #expect(alone.sums == 0 && alone.weights == 0)
    let oneRank = Self.time(Self.settings(), Self.means(ranks: 1))
    #expect(oneRank.sums == 0 && oneRank.weights > 0)
  }

  @Test(arguments: [
    (0.04, "0.0 s"), (9.94, "9.9 s"), (42.4, "42 s"), (90, "1.5 min"), (5399, "90 min"), (5400, "1.5 h"),
    (129_600, "1.5 days"), (8_640_000, "100 days"),
  ])
  func `a time is said in two digits of the unit that people use`(seconds: Double, expected: String) {
    #expect(StepTime.text(seconds) == expected)
  }
}
