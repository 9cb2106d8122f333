// Support: models small enough to print, and random numbers for tests.

import Answers
import Base
import LanguageModel
import Records
import Tensors
import Testing

/// A tiny model of each family.
enum TinyModel: String, CaseIterable, CustomTestStringConvertible {
  case qwen2, llama, qwen3, qwen35, windows, granite, olmo2
  /// Norms on both sides of a block, other gates, and a scaled embedding.
  case gemma

  var testDescription: String { rawValue }

  var configuration: ModelConfiguration {
    switch self {
    case .qwen2:
      ModelConfiguration(
        family: .qwen2, vocabularySize: 23, hiddenSize: 24, feedForwardSize: 40, layerCount: 2, headCount: 4,
        keyValueHeadCount: 2, headDimension: 6, ropeTheta: 1000, maxPositions: 96, hasTiedEmbeddings: true,
        hasAttentionBias: true)
    case .llama:
      ModelConfiguration(
        family: .llama, vocabularySize: 37, hiddenSize: 32, feedForwardSize: 48, layerCount: 2, headCount: 2,
        keyValueHeadCount: 2, headDimension: 16, normEpsilon: 1e-5, ropeTheta: 500,
        ropeScaling: .llama3(
          .init(factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPositions: 32)),
        maxPositions: 96, hasTiedEmbeddings: false, hasAttentionBias: false)
    case .qwen3:
      ModelConfiguration(
        family: .qwen3, vocabularySize: 29, hiddenSize: 20, feedForwardSize: 33, layerCount: 2, headCount: 6,
        keyValueHeadCount: 2, headDimension: 24, ropeTheta: 1000,
        ropeScaling: .yarn(.init(factor: 4, originalMaxPositions: 24)), maxPositions: 96, hasTiedEmbeddings: true,
        hasAttentionBias: false, queryKeyNorm: .head)
    case .qwen35:
      ModelConfiguration(
        family: .qwen35, vocabularySize: 31, hiddenSize: 20, feedForwardSize: 33, layerCount: 3, headCount: 4,
        keyValueHeadCount: 2, headDimension: 24, ropeTheta: 1000, maxPositions: 96, hasTiedEmbeddings: false,
        hasAttentionBias: false, queryKeyNorm: .head, rotatedDimension: 6, hasOutputGates: true,
        hasZeroCentredNorms: true, layerKinds: [.deltaRule, .attention(.whole), .deltaRule],
        deltaHeads: DeltaHeads(key: 2, value: 4, keyDimension: 10, valueDimension: 20))
    case .windows:
      ModelConfiguration(
        family: .ministral3, vocabularySize: 31, hiddenSize: 20, feedForwardSize: 33, layerCount: 4, headCount: 4,
        keyValueHeadCount: 2, headDimension: 24, ropeTheta: 1000, ropeScaling: .linear(factor: 2), maxPositions: 96,
        hasTiedEmbeddings: false, hasAttentionBias: false,
        layerKinds: [
          .attention(.init(window: 9)), .attention(.init(isRotated: false)),
          .attention(.init(window: 20, isRotated: false)), .attention(.init(window: 17)),
        ], windowRotary: .init(theta: 50), queryScaling: QueryScaling(beta: 0.5, originalMaxPositions: 10))
    case .granite: scaled
    case .olmo2: normedAfter
    case .gemma: normedTwice
    }
  }

  private var scaled: ModelConfiguration {
    var configuration = ModelConfiguration(
      family: .granite, vocabularySize: 27, hiddenSize: 24, feedForwardSize: 33, layerCount: 2, headCount: 4,
      keyValueHeadCount: 2, headDimension: 8, ropeTheta: 1000, maxPositions: 96, hasTiedEmbeddings: true,
      hasAttentionBias: false)
    configuration.embeddingScale = .factor(2.5)
    configuration.attentionScale = 0.2
    configuration.residualScale = 0.4
    configuration.logitDivisor = 3
    return configuration
  }

  private var normedAfter: ModelConfiguration {
    var configuration = ModelConfiguration(
      family: .olmo2, vocabularySize: 25, hiddenSize: 20, feedForwardSize: 33, layerCount: 2, headCount: 4,
      keyValueHeadCount: 2, headDimension: 6, ropeTheta: 1000, maxPositions: 96, hasTiedEmbeddings: false,
      hasAttentionBias: false, queryKeyNorm: .allHeads)
    configuration.normPlacement = .after
    return configuration
  }

  private var normedTwice: ModelConfiguration {
    var configuration = ModelConfiguration(
      family: .qwen3, vocabularySize: 29, hiddenSize: 24, feedForwardSize: 40, layerCount: 2, headCount: 4,
      keyValueHeadCount: 2, headDimension: 10, ropeTheta: 1000, maxPositions: 96, hasTiedEmbeddings: true,
      hasAttentionBias: false, queryKeyNorm: .head, hasZeroCentredNorms: true)
    configuration.normPlacement = .both
    configuration.gateActivation = .geluTanh
    configuration.embeddingScale = .rootOfWidth
    configuration.attentionScale = 0.25
    return configuration
  }

  /// Random parameters; norms and biases differ from 1 and 0.
  func parameters(seed: UInt64) -> Floats {
    let parameters = initialParameters(configuration, scales: InitialScales(embedding: 0.7, head: 1), seed: seed)
    var random = RandomSequence(seed: seed, purpose: .initialWeights, stream: SIMD3(9, 9, 9))
    for tensor in ParameterLayout(configuration).tensors where tensor.shape.count == 1 {
      for index in tensor.range { parameters[index] += Float(random.uniform() - 0.5) * 0.6 }
      // Heads that forget at once have results of (q·k)·v; their norm jumps where q·k changes its sign, and then no
      // finite difference is a slope.
      if tensor.name.hasSuffix("A_log") { for index in tensor.range { parameters[index] -= 3 } }
    }
    return parameters
  }
}

/// Random numbers for the choices of a test.
func choices(_ seed: UInt64) -> RandomSequence {
  RandomSequence(seed: seed, purpose: .questions, stream: SIMD3(7, 7, 7))
}

extension RandomSequence {
  mutating func tokens(_ count: Int, below vocabulary: Int) -> [Int32] {
    (0..<count).map { _ in Int32(index(below: vocabulary)) }
  }
}

/// All trajectories of some requests, in slot order.
func generate(
  _ requests: [GenerationRequest], model: PreparedModel, sampling: Sampling, seed: UInt64 = 5, batchRows: Int
) throws -> [Trajectory] {
  let generator = Generator(
    model: model, policy: PolicyVersion(3), seed: seed, sampling: sampling, batchRows: batchRows)
  for request in requests { try generator.add(request) }
  var trajectories: [Trajectory] = []
  while generator.hasWork { trajectories += try generator.advance() }
  return trajectories.sorted { $0.slot < $1.slot }
}

/// The sum of a response's tokens determines one of three answers, or none.
struct SumOfTokens: ResponseReading {
  func answer(of tokens: [Int32], to prompt: Prompt) -> AnswerKey? {
    let choice = tokens.reduce(0, +) % 4
    return choice == 3 ? nil : answerKey("\(choice)", kind: prompt.kind)
  }

  func isThinking(atEndOf tokens: [Int32], to prompt: Prompt) -> Bool { false }
}

/// The slope of a loss along one random direction of a tensor's parameters, measured and predicted. One direction per
/// tensor shows a wrong element and needs few evaluations.
struct DirectionalSlope {
  let measured: Double
  let predicted: Double
  /// The standard deviation of the slopes along such directions.
  let scale: Double

  /// - Parameters:
  ///   - range: the tensor's, among all parameters.
  ///   - parameters: around which the loss is measured.
  ///   - gradient: of the loss, by parameter.
  ///   - random: draws the direction.
  ///   - loss: of other parameters.
  init(
    _ range: Range<Int>, _ parameters: Floats, gradient: [Double], _ random: inout RandomSequence,
    loss: (Floats) throws -> Double
  ) rethrows {
    let direction = range.map { _ in Float(random.uniform() - 0.5) }
    // Balances the rounding of float32 (about 1e-5 of the loss) and curvature.
    let step = 0.02 / Float(range.count).squareRoot()
    func moved(_ sign: Float) throws -> Double {
      let copy = Floats(parameters.array)
      for (index, place) in range.enumerated() { copy[place] += sign * step * direction[index] }
      return try loss(copy)
    }
    measured = try (moved(1) - moved(-1)) / Double(2 * step)
    predicted = zip(range, direction).reduce(0) { $0 + gradient[$1.0] * Double($1.1) }
    scale = (range.reduce(0) { $0 + gradient[$1] * gradient[$1] } / 12).squareRoot()
  }
}
