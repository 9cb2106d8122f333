// MemoryPlan: the planned memory of a learner rank's optimizer is what the optimizer uses.

import Base
import LanguageModel
import Tensors
import Testing

@Suite struct `A learner rank's plan` {
  private let plan = TransformerPlan(TinyModel.qwen2.configuration, type: .bfloat16)

  private func bytes(_ name: String, rank: Int, of ranks: Int) -> Int {
    MemoryPlan.training(
      plan, rank: rank, of: ranks, microBatchTokens: 64, sequenceTokens: 64, isExact: true, recomputes: false
    ).items.first { $0.name == name }?.bytes ?? -1
  }

  @Test(arguments: 1...4) func `divides masters and moments among the ranks, and nothing else`(_ ranks: Int) {
    let count = plan.layout.count
    let shards = Shards(count: count, size: ranks)
    for rank in 0..<ranks {
      let optimizer = AdamW(AdamWSettings(), parameters: Floats(count: shards.count(of: rank)))
      #expect(bytes("master weights", rank: rank, of: ranks) == 4 * optimizer.parameters.count)
      let moments = optimizer.firstMoment.count + optimizer.secondMoment.count
      #expect(bytes("optimizer", rank: rank, of: ranks) == 4 * moments)
      #expect(bytes("gradient", rank: rank, of: ranks) == 12 * count)
    }
    let all = (0..<ranks).reduce(0) { $0 + bytes("master weights", rank: $1, of: ranks) }
    #expect(all == 4 * count)
  }
}

@Suite struct `The plan of a rank with streamed gradients` {
  /// As in their config.json. A vocabulary of 152,000 tokens.
  private func qwen(
    hidden: Int, feedForward: Int, layers: Int, heads: (query: Int, keyValue: Int), isTied: Bool
  ) -> TransformerPlan {
    TransformerPlan(
      ModelConfiguration(
        family: .qwen2, vocabularySize: isTied ? 151_936 : 152_064, hiddenSize: hidden, feedForwardSize: feedForward,
        layerCount: layers, headCount: heads.query, keyValueHeadCount: heads.keyValue,
        headDimension: hidden / heads.query, ropeTheta: 1_000_000, maxPositions: 32768, hasTiedEmbeddings: isTied,
        hasAttentionBias: true), type: .bfloat16)
  }

  private func bytes(
    _ plan: TransformerPlan, rank: Int = 0, of ranks: Int, tokens: Int = 4096, isStreamed: Bool = true,
    isSingle: Bool = false
  ) -> MemoryPlan {
    MemoryPlan.training(
      plan, rank: rank, of: ranks, microBatchTokens: tokens, sequenceTokens: 1024, isExact: true,
      isStreamed: isStreamed, isSingle: isSingle, recomputes: true)
  }

  private func perParameter(_ plan: TransformerPlan, _ memory: MemoryPlan) -> Double {
    let names = ["master weights", "optimizer", "weights", "gradient", "gradient (streamed)"]
    let bytes = memory.items.filter { names.contains($0.name) }.reduce(0) { $0 + $1.bytes }
    return Double(bytes) / Double(plan.trained.count)
  }

  @Test(arguments: [1, 2, 4, 8]) func `has 2 bytes per parameter, the largest piece, and 20 in shards`(_ ranks: Int) {
    let half = qwen(hidden: 896, feedForward: 4864, layers: 24, heads: (14, 2), isTied: true)
    let seven = qwen(hidden: 3584, feedForward: 18944, layers: 28, heads: (28, 4), isTied: false)
    // A tied head of 0.5B is 0.28 of all parameters, and a layer 0.03. Few rows need no whole head.
    #expect(perParameter(half, bytes(half, of: ranks, tokens: 1024)) < 3 + 20 / Double(ranks))
    #expect(perParameter(half, bytes(half, of: ranks)) < 3.25 + 20 / Double(ranks))
    #expect(perParameter(seven, bytes(seven, of: ranks)) < 2.6 + 20 / Double(ranks))
    for plan in [half, seven, self.plan] {
      for isSingle in [false, true] {
        let streamed = bytes(plan, of: ranks, isSingle: isSingle)
        let whole = bytes(plan, of: ranks, isStreamed: false, isSingle: isSingle)
        #expect(perParameter(plan, streamed) <= perParameter(plan, whole))
      }
    }
  }

  private let plan = TransformerPlan(TinyModel.qwen2.configuration, type: .bfloat16)

  @Test func `has 18 bytes per parameter for a single micro-batch of a single rank, in both forms`() {
    let half = qwen(hidden: 896, feedForward: 4864, layers: 24, heads: (14, 2), isTied: true)
    for isStreamed in [false, true] {
      let found = perParameter(half, bytes(half, of: 1, isStreamed: isStreamed, isSingle: true))
      #expect(abs(found - 18) < 0.01)
    }
  }

  @Test func `of 7B on 8 machines is at most 48 GB`() {
    let seven = qwen(hidden: 3584, feedForward: 18944, layers: 28, heads: (28, 4), isTied: false)
    for rank in 0..<8 { #expect(bytes(seven, rank: rank, of: 8).bytes < 48_000_000_000) }
    #expect(bytes(seven, rank: 1, of: 8, isStreamed: false).bytes > 115_000_000_000)
  }
}

@Suite struct `A prepared model's plan` {
  @Test func `counts the rotary positions, twice if layers with a window have their own`() {
    var model = TinyModel.qwen2.configuration
    func program() -> Int {
      MemoryPlan.sampling(
        TransformerPlan(model, type: .float32), versions: 1, threads: 1, batchRows: 1, positions: 8,
        keyValueBytesMax: 0
      ).items.first { $0.name == "program" }?.bytes ?? 0
    }
    model.maxPositions = 262_144
    let one = program()
    #expect(one == MemoryPlan.slack + 262_144 * 6 * 4)
    model.windowRotary = .init(theta: 50)
    #expect(program() - one == 262_144 * 6 * 4)
  }

  @Test func `keys and values take half as much in bfloat16`() {
    var model = TinyModel.qwen2.configuration
    model.headDimension = 64
    let bytes = DataType.allCases.map { MemoryPlan.keyValueBytes(TransformerPlan(model, type: $0), positions: 100) }
    #expect(bytes[0] == 2 * bytes[1])
  }

  @Test(arguments: [TinyModel.qwen2, TinyModel.llama]) func `counts what is packed, once`(_ model: TinyModel) {
    let plan = TransformerPlan(model.configuration, type: .bfloat16)
    // One packed copy serves both directions, and embeddings are read from it.
    #expect(MemoryPlan.weightBytes(plan) == 2 * plan.layout.count)
  }
}
