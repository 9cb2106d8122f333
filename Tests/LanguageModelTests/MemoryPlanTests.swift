// MemoryPlan: the planned memory of a learner rank's optimizer is what the optimizer uses.

import Base
import LanguageModel
import Tensors
import Testing

@Suite struct `A learner rank's plan` {
  private let plan = TransformerPlan(TinyModel.qwen2.configuration, type: .bfloat16)

  private func bytes(_ name: String, rank: Int, of ranks: Int, isAtCoordinator: Bool = false) -> Int {
    MemoryPlan.training(
      plan, rank: rank, of: ranks, microBatchTokens: 64, sequenceTokens: 64, isExact: true, recomputes: false,
      isAtCoordinator: isAtCoordinator
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
      #expect(bytes("published weights", rank: rank, of: ranks) == (rank == 0 ? 4 * count : 0))
      let file = bytes("published weights", rank: rank, of: ranks, isAtCoordinator: true)
      #expect(file == (rank == 0 ? 2 * count : 0))
    }
    let all = (0..<ranks).reduce(0) { $0 + bytes("master weights", rank: $1, of: ranks) }
    #expect(all == 4 * count)
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
