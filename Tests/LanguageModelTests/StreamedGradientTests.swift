// A gradient that is summed piece by piece has the same bits as one that is whole.

import Base
import LanguageModel
import Records
import TTRL
import Tensors
import Testing

struct StreamedGradientTests {
  private let training = TinyTraining(vocabulary: TinyModel.qwen2.configuration.vocabularySize)

  /// Models with and without tied embeddings, linear attention, and norms of other kinds.
  @Test(arguments: TinyModel.allCases, [1, 3])
  func `a streamed gradient changes no bit on any number of ranks`(_ model: TinyModel, _ threads: Int) throws {
    var training = TinyTraining(vocabulary: model.configuration.vocabularySize)
    training.model = model
    for (type, norm, microBatchTokens) in [
      (DataType.float32, 1, 40), (.bfloat16, .infinity, 40), (.bfloat16, 1e-3, 10_000),
    ] {
      (training.gradientNormMax, training.microBatchTokens, training.isStreamed) = (norm, microBatchTokens, false)
      let whole = try training.train(training.policy(type))
      training.isStreamed = true
      let isSame = try training.train(training.policy(type, threads: threads)) == whole
      #expect(isSame, "\(type), clipped at \(norm), micro-batches of \(microBatchTokens)")
      for size in 2...4 {
        let isSameOnRanks = try training.trainOnRanks(size, type) == whole
        #expect(isSameOnRanks, "\(type), clipped at \(norm), micro-batches of \(microBatchTokens), \(size) ranks")
      }
    }
  }

  @Test(arguments: [TinyModel.qwen2, .llama])
  func `a streamed gradient of several buckets changes no bit`(_ model: TinyModel) throws {
    let vocabulary = 50_000
    var training = TinyTraining(vocabulary: vocabulary)
    (training.model, training.vocabulary, training.method.steps) = (model, vocabulary, 1)
    let count = try training.beginning(.bfloat16).parameters.count
    #expect(Shards(count: count, size: 1).bucketCount > 1)
    let whole = try training.train(training.policy(.bfloat16))
    training.isStreamed = true
    let isSame = try training.train(training.policy(.bfloat16)) == whole
    #expect(isSame)
    for size in 2...3 {
      let isSameOnRanks = try training.trainOnRanks(size, .bfloat16) == whole
      #expect(isSameOnRanks, "on \(size) ranks")
    }
  }

  @Test(arguments: AdapterTargets.allCases)
  func `a streamed gradient changes no bit of an adapter`(_ targets: AdapterTargets) throws {
    var training = training
    training.adapterTargets = targets
    let whole = try training.train(training.policy(.bfloat16))
    training.isStreamed = true
    let isSame = try training.train(training.policy(.bfloat16)) == whole
    #expect(isSame)
    for size in 2...4 {
      let isSameOnRanks = try training.trainOnRanks(size, .bfloat16) == whole
      #expect(isSameOnRanks, "on \(size) ranks")
    }
  }

  @Test func `float32 sums always have a whole gradient`() throws {
    var training = training
    let whole = try training.trainOnRanks(3, .float32, isExact: false)
    training.isStreamed = true
    let isSame = try training.trainOnRanks(3, .float32, isExact: false) == whole
    #expect(isSame)
  }

  @Test(arguments: TinyModel.allCases, DataType.allCases)
  func `a prepared model gives back the parameters that it was made from, rounded to its type`(
    _ model: TinyModel, _ type: DataType
  ) throws {
    let plan = TransformerPlan(model.configuration, type: type)
    let parameters = model.parameters(seed: 3)
    let prepared = PreparedModel(plan: plan, parameters: parameters)
    let whole = publishedBytes(of: parameters, layout: plan.trained, type: type == .bfloat16 ? .bfloat16 : .float32)
    var unpacked: [UInt8] = []
    for start in stride(from: 0, to: plan.trained.count, by: 1001) {
      let part = ParameterSource(prepared).values(start..<min(start + 1001, plan.trained.count))
      for value in part.array {
        let bits = value.bitPattern
        let bytes = [UInt8(truncatingIfNeeded: bits), UInt8(truncatingIfNeeded: bits >> 8)]
        let high = [UInt8(truncatingIfNeeded: bits >> 16), UInt8(truncatingIfNeeded: bits >> 24)]
        unpacked += type == .bfloat16 ? high : bytes + high
      }
    }
    let isSame = unpacked == whole
    #expect(isSame)
  }
}
