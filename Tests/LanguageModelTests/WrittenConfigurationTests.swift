// WrittenConfigurationTests: a config.json that is written is the configuration again when it is read.

import LanguageModel
import Tensors
import Testing

@Suite struct `A written configuration` {
  @Test(arguments: ModelConfiguration.Family.allCases)
  func `is the same when it is read`(family: ModelConfiguration.Family) throws {
    let scalings: [RotaryScaling] = [
      .linear(factor: 2), .dynamic(factor: 4),
      .llama3(.init(factor: 2, lowFrequencyFactor: 1.25, highFrequencyFactor: 3, originalMaxPositions: 17)),
      .yarn(.init(factor: 3, originalMaxPositions: 17)),
      .yarn(
        .init(
          factor: 3, originalMaxPositions: 17, betaFast: 9, betaSlow: 0.1, scales: (each: 0.3, all: 0.7),
          truncates: false)),
    ]
    for scaling in [nil] + scalings.map(Optional.some) { try expectSameAfterWriting(family, scaling) }
  }

  private func expectSameAfterWriting(_ family: ModelConfiguration.Family, _ scaling: RotaryScaling?) throws {
    var model = ModelConfiguration(
      family: family, vocabularySize: 1000, hiddenSize: 96, feedForwardSize: 100, layerCount: 2, headCount: 6,
      keyValueHeadCount: 3, headDimension: 20, normEpsilon: 1e-5, ropeTheta: 123456.7,
      ropeScaling: scaling, maxPositions: 77, hasTiedEmbeddings: family == .qwen3, hasAttentionBias: family == .qwen2,
      queryKeyNorm: family == .qwen3 ? .head : nil)
    let scaling = model.ropeScaling
    switch family {
    case .phi3:
      model.rotatedDimension = 14
      model.ropeScaling = scaling.map { _ in
        .longRoPE(
          .init(
            shortFactors: (1...7).map(Double.init), longFactors: (2...8).map(Double.init), originalMaxPositions: 77,
            longMaxPositions: 500, attentionFactor: 1.5))
      }
    case .mistral: model.layerKinds = Array(repeating: .attention(.init(window: 5)), count: 2)
    case .qwen2: model.layerKinds = [.attention(.whole), .attention(.init(window: 5))]
    case .qwen3, .ministral: model.layerKinds = [.attention(.init(window: 5)), .attention(.whole)]
    case .smolLM3:
      model.layerKinds = [.attention(.init(isRotated: false)), .attention(.init(window: 5))]
    case .ministral3: model.queryScaling = QueryScaling(beta: 0.1, originalMaxPositions: scaling == nil ? 9 : 17)
    case .granite:
      model.embeddingScale = .factor(12)
      model.attentionScale = 0.015625
      model.residualScale = 0.22
      model.logitDivisor = 8
    case .olmo2, .olmo3:
      model.normPlacement = .after
      model.queryKeyNorm = .allHeads
      guard family == .olmo3 else { break }
      model.layerKinds = [.attention(.whole), .attention(.init(window: 5))]
      model.windowRotary = .init(theta: 500_000)
    case .gemma3:
      model.normPlacement = .both
      model.queryKeyNorm = .head
      model.hasZeroCentredNorms = true
      model.gateActivation = .geluTanh
      model.embeddingScale = .rootOfWidth
      model.attentionScale = Float(1 / Double(168).squareRoot())
      model.layerKinds = [.attention(.init(window: 5)), .attention(.whole)]
      model.windowRotary = .init(theta: 77)
    case .llama, .qwen35: break
    }
    if family == .qwen35 {
      model.queryKeyNorm = .head
      model.rotatedDimension = 6
      model.hasOutputGates = true
      model.hasZeroCentredNorms = true
      model.layerKinds = [.deltaRule, .attention(.whole)]
      model.deltaHeads = DeltaHeads(key: 3, value: 6, keyDimension: 10, valueDimension: 12)
    }
    for stops: [Int32] in [[], [3], [4, 3]] {
      let written = CheckpointConfiguration(model: model, bosToken: 1, eosTokens: stops, weightType: .bfloat16)
      let file = written.configFile()
      #expect(try CheckpointConfiguration(config: file) == written)
      #expect(try CheckpointConfiguration(config: file, generation: written.generationFile()) == written)
    }
  }
}
