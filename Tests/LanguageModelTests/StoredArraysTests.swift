// StoredArraysTests: a model whose arrays were stored computes the same as one whose arrays were made.

import Base
import LanguageModel
import Records
import Tensors
import Testing

/// Aligned memory with some bytes.
private func copy(_ bytes: UnsafeRawBufferPointer, alignedBy offset: Int = 0) -> Memory {
  let memory = Memory(byteCount: bytes.count + offset)
  Floats(viewing: memory).withUnsafeBuffer { values in
    UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(values)[offset...]).copyMemory(from: bytes)
  }
  return memory
}

private func bytes(of memory: Memory) -> UnsafeRawBufferPointer { memory.withBytes { $0 } }

@Suite struct `Stored arrays of a model` {
  private func plan(_ tiny: TinyModel, _ type: DataType) -> TransformerPlan {
    TransformerPlan(tiny.configuration, type: type)
  }

  private func stored(_ plan: TransformerPlan, _ tiny: TinyModel) throws -> [Memory] {
    var arrays: [Memory] = []
    try PreparedModel.forEachArray(plan, ParameterSource(tiny.parameters(seed: 8))) { arrays.append(copy($0)) }
    return arrays
  }

  private func responses(_ model: PreparedModel) throws -> [Trajectory] {
    var random = choices(6)
    let vocabulary = model.plan.configuration.vocabularySize
    let requests = (0..<2).map { prompt in
      GenerationRequest(
        prompt: random.tokens(20, below: vocabulary), round: .train(step: 0), promptIndex: UInt32(prompt),
        samples: [0, 1, 2])
    }
    return try generate(
      requests, model: model, sampling: Sampling(temperature: 1, maxNewTokens: 12, stopTokens: []), batchRows: 4)
  }

  @Test(arguments: TinyModel.allCases, DataType.allCases)
  func `give a model with the same results, in every bit, and nothing writes to them`(
    _ tiny: TinyModel, _ type: DataType
  ) throws {
    let plan = plan(tiny, type)
    let arrays = try stored(plan, tiny)
    let views = arrays.map(bytes)
    let before = views.map(Array.init)
    let model = try #require(PreparedModel(plan: plan, arrays: views, keptBy: arrays))
    let made = PreparedModel(plan: plan, parameters: tiny.parameters(seed: 8))
    #expect(try responses(model) == responses(made))
    // The next version must not be written into a file that others read.
    #expect(model.spare.count == 0 && made.spare.count > 0)
    #expect(views.map(Array.init) == before)
  }

  @Test func `are in the memory of their owner, which they keep`() throws {
    let plan = plan(.llama, .bfloat16)
    var arrays = try stored(plan, .llama)
    let views = arrays.map(bytes)
    let model = try #require(PreparedModel(plan: plan, arrays: views, keptBy: arrays))
    let expected = try responses(model)
    arrays = []
    #expect(try responses(model) == expected)
  }

  @Test func `do not depend on the order of products, or on an adapter`() throws {
    let configuration = TinyModel.qwen3.configuration
    let layout = ParameterLayout(configuration)
    let adapter = try AdapterLayout(
      AdapterConfiguration(rank: 2, alpha: 2, targets: AdapterTargets.all.names(in: layout)), of: layout)
    func bytes(_ plan: TransformerPlan) throws -> [[UInt8]] {
      var bytes: [[UInt8]] = []
      try PreparedModel.forEachArray(plan, ParameterSource(TinyModel.qwen3.parameters(seed: 3))) {
        bytes.append(Array($0))
      }
      return bytes
    }
    let plain = try bytes(TransformerPlan(configuration, type: .bfloat16, products: .pair))
    #expect(try plain == bytes(TransformerPlan(configuration, type: .bfloat16, products: .tile, adapter: adapter)))
  }

  @Test func `of another shape, too few, too many or not aligned are refused`() throws {
    let plan = plan(.qwen2, .bfloat16)
    let arrays = try stored(plan, .qwen2)
    let views = arrays.map(bytes)
    func model(_ views: [UnsafeRawBufferPointer]) -> PreparedModel? {
      PreparedModel(plan: plan, arrays: views, keptBy: arrays)
    }
    #expect(model(views) != nil)
    #expect(model([]) == nil)
    #expect(model(views.dropLast()) == nil)
    #expect(model(views + [views[0]]) == nil)
    for index in views.indices {
      var cut = views
      cut[index] = UnsafeRawBufferPointer(rebasing: views[index].dropLast(4))
      #expect(model(cut) == nil)
    }
    let moved = copy(views[0], alignedBy: 4)
    var shifted = views
    shifted[0] = UnsafeRawBufferPointer(rebasing: bytes(of: moved).dropFirst(4))
    #expect(model(shifted) == nil)
    withExtendedLifetime((arrays, moved)) {}
  }

  @Test func `are given one by one, and an error ends their making`() throws {
    struct Full: Error {}
    let plan = plan(.llama, .float32)
    var count = 0
    #expect(throws: Full.self) {
      try PreparedModel.forEachArray(plan, ParameterSource(TinyModel.llama.parameters(seed: 8))) { _ in
        count += 1
        if count == 2 { throw Full() }
      }
    }
    #expect(count == 2)
  }
}
