// BenchmarkModel: the models that `ttrl-dev bench` measures: a directory's, or a shape with random weights.
//
// Speed does not depend on the values of the weights, so the shapes need no files: `tiny`, `small` and `qwen2.5-0.5b`
// are Qwen2 models with tied embeddings, `smollm2-135m` is a Llama; their random weights are made in memory in a
// second. Each has a workload: the one with which other systems were measured, so that the figures can be compared
// (scripts/compare).

import Answers
import Base
package import LanguageModel
import Platform
import Records
import Runs
package import Tensors

/// Benchmarks give rewards of their own: no response is read.
struct UnreadResponses: ResponseReading {
  func answer(of tokens: [Int32], to prompt: Prompt) -> AnswerKey? { nil }
  func isThinking(atEndOf tokens: [Int32], to prompt: Prompt) -> Bool { false }
}

/// How much is sampled, or trained on.
package struct Workload: Sendable, Equatable {
  package var prompts: Int
  /// Per prompt.
  package var samples: Int
  package var promptTokens: Int
  /// Per sample.
  package var newTokens: Int

  package init(prompts: Int, samples: Int, promptTokens: Int, newTokens: Int) {
    self.prompts = prompts
    self.samples = samples
    self.promptTokens = promptTokens
    self.newTokens = newTokens
  }

  package var sequences: Int { prompts * samples }
}

package struct BenchmarkModel: Sendable {
  package let name: String
  package let configuration: ModelConfiguration
  /// The default workloads of sampling and training.
  package let rollout: Workload
  package let training: Workload
  /// nil: random weights.
  private let directory: ModelDirectory?

  /// The names of the shapes that need no files.
  package static let names = shapes.map(\.name)

  /// - Parameter name: a shape, or a model directory.
  /// - Throws: if it is neither.
  package init(_ name: String) throws {
    if let shape = Self.shapes.first(where: { $0.name == name }) {
      self = shape
      return
    }
    let directory = try ModelDirectory(ThisProcess.absolute(name))
    self.init(
      name: directory.path, directory.configuration.model, directory: directory,
      rollout: Workload(prompts: 1, samples: 64, promptTokens: 64, newTokens: 64),
      training: Workload(prompts: 8, samples: 1, promptTokens: 64, newTokens: 128))
  }

  private init(
    name: String, _ configuration: ModelConfiguration, directory: ModelDirectory? = nil, rollout: Workload,
    training: Workload
  ) {
    self.name = name
    self.configuration = configuration
    self.directory = directory
    self.rollout = rollout
    self.training = training
  }

  private static let shapes = [
    BenchmarkModel(
      name: "tiny", qwen2(vocabulary: 64, hidden: 128, feedForward: 384, layers: 4, heads: (4, 2), positions: 16384),
      rollout: Workload(prompts: 8, samples: 64, promptTokens: 32, newTokens: 64),
      training: Workload(prompts: 64, samples: 1, promptTokens: 32, newTokens: 64)),
    BenchmarkModel(
      name: "small",
      qwen2(vocabulary: 8192, hidden: 512, feedForward: 1408, layers: 8, heads: (8, 2), positions: 16384),
      rollout: Workload(prompts: 1, samples: 64, promptTokens: 64, newTokens: 128),
      training: Workload(prompts: 16, samples: 1, promptTokens: 32, newTokens: 160)),
    BenchmarkModel(
      name: "smollm2-135m",
      ModelConfiguration(
        family: .llama, vocabularySize: 49152, hiddenSize: 576, feedForwardSize: 1536, layerCount: 30, headCount: 9,
        keyValueHeadCount: 3, headDimension: 64, ropeTheta: 100_000, maxPositions: 8192, hasTiedEmbeddings: true,
        hasAttentionBias: false, queryKeyNorm: .none),
      rollout: Workload(prompts: 2, samples: 32, promptTokens: 64, newTokens: 64),
      training: Workload(prompts: 16, samples: 1, promptTokens: 32, newTokens: 160)),
    BenchmarkModel(
      name: "qwen2.5-0.5b",
      qwen2(vocabulary: 151_936, hidden: 896, feedForward: 4864, layers: 24, heads: (14, 2), positions: 32768),
      rollout: Workload(prompts: 1, samples: 32, promptTokens: 128, newTokens: 32),
      training: Workload(prompts: 2, samples: 1, promptTokens: 32, newTokens: 128)),
  ]

  private static func qwen2(
    vocabulary: Int, hidden: Int, feedForward: Int, layers: Int, heads: (query: Int, keyValue: Int), positions: Int
  ) -> ModelConfiguration {
    ModelConfiguration(
      family: .qwen2, vocabularySize: vocabulary, hiddenSize: hidden, feedForwardSize: feedForward, layerCount: layers,
      headCount: heads.query, keyValueHeadCount: heads.keyValue, headDimension: hidden / heads.query,
      ropeTheta: 1_000_000, maxPositions: positions, hasTiedEmbeddings: true, hasAttentionBias: true)
  }

  /// The parameters, to be packed.
  ///
  /// - Throws: if the directory's weights cannot be read.
  package func source() throws -> ParameterSource {
    try directory?.parameters() ?? ParameterSource(parameters())
  }

  /// All parameters, in layout order.
  ///
  /// - Throws: if the directory's weights cannot be read.
  package func parameters() throws -> Floats {
    if let directory { return try directory.loadParameters() }
    let layout = ParameterLayout(configuration)
    let parameters = Floats(count: layout.count)
    for tensor in layout.tensors {
      if tensor.shape.count == 2 {
        fillUniform(parameters[tensor.range], deviation: 0.02, seed: UInt64(tensor.offset))
      } else if tensor.name.hasSuffix("norm.weight") {
        parameters[tensor.range].fill(1)
      }
    }
    return parameters
  }
}

/// Fills with uniform values that have this standard deviation. It is fast: half a billion values take a second.
private func fillUniform(_ values: Floats, deviation: Float, seed: UInt64) {
  let scale = deviation * Float(3).squareRoot() * 0x1p-31
  values.withUnsafeBuffer { buffer in
    for index in buffer.indices {
      // SplitMix64's finalizer (Steele, Lea, Flood, OOPSLA 2014), of a counter.
      var word = (seed &+ UInt64(index) &+ 1) &* 0x9E37_79B9_7F4A_7C15
      word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
      word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
      buffer[index] = Float(Int32(truncatingIfNeeded: word >> 32)) * scale
    }
  }
}
