// MemoryPlan: how much memory sampling and training will use, computed before they begin.
//
// Every item follows from the model's shape and the settings. So a plan that does not fit is refused before anything is
// loaded, and the refusal can name the setting that would make it fit. The items are what the engine allocates. The
// program, its libraries and its message buffers take some tens of megabytes more; `slack` stands for these.
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
  /// The item of a model that is ready to run.
  package static let weightsName = "weights"

  package init(items: [Item]) { self.items = items }

  package var bytes: Int { items.reduce(0) { $0 + $1.bytes } }

  /// What one process takes in addition to the engine's memory.
  package static let slack = 64 << 20

  /// The program with the model's rotary positions.
  package static func programBytes(_ plan: TransformerPlan) -> Int { slack + plan.rotary.byteCount }

  /// A sampling process.
  ///
  /// - Parameters:
  ///   - plan: the model.
  ///   - versions: how many policy versions are held at the same time.
  ///   - threads: each decodes up to `batchRows` samples together.
  ///   - batchRows: how many samples a thread decodes together.
  ///   - positions: tokens of the longest prompt and its response together.
  ///   - keyValueBytesMax: the limit of one thread's keys and values. One sample always runs.
  package static func sampling(
    _ plan: TransformerPlan, versions: Int, threads: Int, batchRows: Int, positions: Int,
    keyValueBytesMax: Int
  ) -> MemoryPlan {
    let one = keyValueBytes(plan, positions: positions)
    // A prompt has a state of its own until all its samples have begun.
    let prompt = plan.stateFloats * 4
    return MemoryPlan(items: [
      Item(name: weightsName, bytes: weightBytes(plan, versions: versions)),
      Item(
        name: "keys and values", bytes: threads * min(max(keyValueBytesMax, one + prompt), batchRows * one + prompt)),
      Item(
        name: "sampling",
        bytes: threads
          * (samplingBytes(plan, batchRows: batchRows) + min(threads, 1 + Crew.guestsMax) * threadBytes(plan))),
      Item(name: "program", bytes: programBytes(plan)),
    ])
  }

  /// A learner rank.
  ///
  /// - Parameters:
  ///   - plan: the model.
  ///   - rank: the rank's number. Rank 0 also publishes weights and writes checkpoints, both from files.
  ///   - ranks: how many ranks there are.
  ///   - microBatchTokens: rows of one pass. A longer sequence is a pass of its own.
  ///   - sequenceTokens: tokens of the longest prompt and its response together.
  ///   - isExact: whether gradients are summed as 64-bit integers.
  ///   - isStreamed: whether a rank never has a whole gradient. Float32 sums always need one.
  ///   - isSingle: whether an update has one micro-batch.
  ///   - recomputes: whether only the layers' inputs are kept for the backward pass.
  ///   - threads: the rank's.
  package static func training(
    _ plan: TransformerPlan, rank: Int, of ranks: Int, microBatchTokens: Int, sequenceTokens: Int, isExact: Bool,
    isStreamed: Bool = false, isSingle: Bool = false, recomputes: Bool, threads: Int = 1
  ) -> MemoryPlan {
    let count = plan.trained.count
    let shard = Shards(count: count, size: ranks).count(of: rank)
    let rows = max(microBatchTokens, sequenceTokens) + Backpropagation.chunkRows
    let c = plan.configuration
    let head = Backpropagation.chunkRows * c.vocabularySize * (plan.type == .float32 ? 4 : 6)
    // Each thread computes one head at a time; linear attention computes its states again.
    let mixer = max(
      Kernels.attentionBackwardScratch(plan.heads, keys: sequenceTokens),
      c.deltaHeads?.backwardScratchFloats(rows: sequenceTokens) ?? 0)
    let backward = rows * (c.hiddenSize + c.projectedWidthMax + c.mixedWidthMax) * 4 + threads * mixer * 4
    let bucket = min(Shards.bucketElements, count)
    let streams = isStreamed && isExact
    // A single micro-batch of a single rank is not added to anything.
    let sums = isExact && !(isSingle && ranks == 1)
    let gradient =
      streams && sums
      ? StreamedGradient.bytes(plan, ranks: ranks, rows: max(microBatchTokens, sequenceTokens)) + 8 * shard
      : (sums ? 12 : 4) * count
    // Buckets for other ranks' gradients, and for the optimizer's state when it is gathered for a checkpoint; the rows
    // of a micro-batch's embeddings, which are kept, and put together for the ranks.
    let embedded = streams && plan.trainedEmbedding != nil ? min(rows, c.vocabularySize) * c.hiddenSize * 4 : 0
    let exchange =
      ranks > 1
      ? (Limits.bucketsInFlight * (isExact && !streams ? 8 : 4) + 2 * 4) * bucket + 2 * embedded : embedded
    return MemoryPlan(items: [
      Item(name: "master weights", bytes: 4 * shard),
      Item(name: "optimizer", bytes: 8 * shard),
      Item(name: weightsName, bytes: weightBytes(plan, versions: 1)),
      Item(name: streams ? "gradient (streamed)" : "gradient", bytes: gradient),
      Item(name: "exchange", bytes: exchange),
      Item(
        name: recomputes ? "activations (recomputed)" : "activations",
        bytes: rows * Backpropagation.bytesPerRow(plan, areRecomputed: recomputes) + backward + head),
      Item(name: "program", bytes: programBytes(plan)),
    ])
  }

  /// The weights of some versions of a prepared model. Versions of an adapter share the base.
  package static func weightBytes(_ plan: TransformerPlan, versions: Int) -> Int {
    guard let adapter = plan.adapter else { return versions * weightBytes(plan) }
    return weightBytes(plan) + versions * adapter.packedBytes(plan.type)
  }

  /// The weights of a prepared model without an adapter. One packed copy serves both directions.
  package static func weightBytes(_ plan: TransformerPlan) -> Int {
    // Norms and biases, which are float32, are too small to matter.
    plan.layout.count * plan.type.bytes
  }

  /// The most keys, values and states of one sample with its prompt.
  package static func keyValueBytes(_ plan: TransformerPlan, positions: Int) -> Int {
    // Prompt and response each can have a page that is not full.
    (((positions + 15) / 16 + 1) * plan.heads.pageFloats * plan.configuration.attentionLayerCount + plan.stateFloats)
      * 4
  }

  private static func samplingBytes(_ plan: TransformerPlan, batchRows: Int) -> Int {
    let c = plan.configuration
    let rows = min(2 * blockRowsMax, roundedToBlocks(batchRows))
    // Rows of all kinds of layers; results of linear attention are there before and after their norm.
    let delta = c.deltaHeads.map { $0.width + 3 * $0.valueWidth } ?? 0
    let gated = plan.heads.hasGates ? plan.heads.queryWidth : 0
    // What a block computes, before and after its norm.
    let products = c.addsBlocksDirectly ? 0 : (c.normPlacement.isAfter ? 4 : 2) * c.hiddenSize
    let mixers = plan.heads.width + plan.heads.queryWidth + gated + delta
    let widths = products + mixers + 3 * c.feedForwardSize + 2 * c.hiddenSize
    return rows * 4 * (widths + c.vocabularySize)
  }

  /// Scratch of each thread of a team: for products and for distributions.
  private static func threadBytes(_ plan: TransformerPlan) -> Int {
    Multiplier.scratchBytes + 16 * plan.configuration.vocabularySize
  }

  /// A table with one item per line, in MiB.
  package var text: String {
    items.filter { $0.bytes > 0 }.map { "  \($0.name): \(MemoryPlan.mebibytes($0.bytes))" }.joined(separator: "\n")
  }

  package static func mebibytes(_ bytes: Int) -> String { "\((bytes + (1 << 20) - 1) >> 20) MiB" }
}
