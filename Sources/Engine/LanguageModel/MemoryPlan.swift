// MemoryPlan: what sampling and training will hold in memory, before they begin.
//
// Every item follows from the model's shape and the settings, so a plan that does not fit is refused before anything is
// loaded, and says which setting would make it fit. Estimates are of what the engine allocates; programs, libraries and
// buffers of messages take some tens of megabytes more, which `slack` stands for.
// Not here: how much memory there is (Platform's Machine), when to refuse (Runs).

import Base
import Tensors

/// Bytes by purpose.
package struct MemoryPlan: Sendable, Equatable {
  package struct Item: Sendable, Equatable {
    package var name: String
    package var bytes: Int

    package init(name: String, bytes: Int) {
      self.name = name
      self.bytes = bytes
    }
  }

  package let items: [Item]

  package init(items: [Item]) { self.items = items }

  package var bytes: Int { items.reduce(0) { $0 + $1.bytes } }

  /// One process beside what the engine allocates.
  package static let slack = 64 << 20

  /// A sampling process.
  ///
  /// - Parameters:
  ///   - plan: the model.
  ///   - versions: policy versions held at a time.
  ///   - threads: each samples up to `batchRows` samples at a time.
  ///   - batchRows: samples that a thread decodes together.
  ///   - positions: tokens of the longest prompt and its response together.
  ///   - keyValueBytesMax: the bound of one thread.
  package static func sampling(
    _ plan: TransformerPlan, versions: Int, threads: Int, batchRows: Int, positions: Int,
    keyValueBytesMax: Int
  ) -> MemoryPlan {
    let keysAndValues = batchRows * ((positions + 15) / 16 + 1) * pageBytes(plan)
    return MemoryPlan(items: [
      Item(name: "weights", bytes: versions * weightBytes(plan)),
      Item(name: "keys and values", bytes: threads * min(keyValueBytesMax, keysAndValues)),
      Item(name: "sampling", bytes: threads * samplingBytes(plan, batchRows: batchRows)),
      Item(name: "program", bytes: slack),
    ])
  }

  /// A learner rank.
  ///
  /// - Parameters:
  ///   - plan: the model.
  ///   - rank: which one. The first also publishes, and writes checkpoints.
  ///   - ranks: how many there are.
  ///   - microBatchTokens: rows of one pass; a longer sequence is a pass of its own.
  ///   - sequenceTokens: of the longest prompt and response.
  ///   - isExact: gradients are summed as 64-bit integers.
  ///   - recomputes: only the layers' inputs are kept for the way back.
  package static func training(
    _ plan: TransformerPlan, rank: Int, of ranks: Int, microBatchTokens: Int, sequenceTokens: Int, isExact: Bool,
    recomputes: Bool
  ) -> MemoryPlan {
    let count = plan.layout.count
    let shard = Shards(count: count, size: ranks).count(of: rank)
    let rows = max(microBatchTokens, sequenceTokens) + Backpropagation.chunkRows
    let c = plan.configuration
    let head = Backpropagation.chunkRows * c.vocabularySize * (plan.type == .float32 ? 4 : 6)
    let backward = rows * (c.hiddenSize + plan.heads.width + plan.heads.queryWidth) * 4
    let bucket = min(Shards.bucketElements, count)
    // Buckets of the others' gradients that arrive, and of states that are gathered for a checkpoint.
    let exchange = ranks > 1 ? (Limits.bucketsInFlight * (isExact ? 8 : 4) + 2 * 4) * bucket : 0
    return MemoryPlan(items: [
      Item(name: "master weights", bytes: 4 * shard),
      Item(name: "optimizer", bytes: 8 * shard),
      Item(name: "weights", bytes: weightBytes(plan)),
      Item(name: "gradient", bytes: (isExact ? 12 : 4) * count),
      Item(name: "exchange", bytes: exchange),
      // The version that a checkpoint is being written of may be another than the last.
      Item(name: "published weights", bytes: rank == 0 ? 2 * plan.type.bytes * count : 0),
      Item(
        name: recomputes ? "activations (recomputed)" : "activations",
        bytes: rows * Backpropagation.bytesPerRow(plan, areRecomputed: recomputes) + backward + head),
      Item(name: "program", bytes: slack),
    ])
  }

  /// Of a prepared model.
  package static func weightBytes(_ plan: TransformerPlan) -> Int {
    let hasOwnEmbedding =
      plan.layout.embedding != plan.layout.head || MultiplicationMethod.standard(for: plan.type) == .library
    let embedding = hasOwnEmbedding ? plan.layout.tensors[plan.layout.embedding].count * 4 : 0
    return plan.layout.count * plan.type.bytes + embedding
  }

  /// Of 16 positions of one sequence, all layers.
  static func pageBytes(_ plan: TransformerPlan) -> Int { plan.heads.pageFloats * 4 * plan.configuration.layerCount }

  private static func samplingBytes(_ plan: TransformerPlan, batchRows: Int) -> Int {
    let c = plan.configuration
    let rows = min(2 * blockRowsMax, roundedToBlocks(batchRows))
    let widths = plan.heads.width + plan.heads.queryWidth + 3 * c.feedForwardSize + 2 * c.hiddenSize
    return rows * 4 * (widths + c.vocabularySize) + 16 * c.vocabularySize
  }

  /// A table: an item a line, in MiB.
  package var text: String {
    items.filter { $0.bytes > 0 }.map { "  \($0.name): \(MemoryPlan.mebibytes($0.bytes))" }.joined(separator: "\n")
  }

  package static func mebibytes(_ bytes: Int) -> String { "\((bytes + (1 << 20) - 1) >> 20) MiB" }
}
