// ForwardPass: computes the rows of a micro-batch through the layers, and keeps what the backward pass needs.
//
// Either every layer keeps its intermediate results, or every layer keeps only its input and the backward pass
// recomputes the rest, one layer at a time. Recomputation uses the same functions on the same numbers, so it gives the
// same bits. It takes a third more work and a fraction of the memory. Only the available memory decides between them.

import Base
import Tensors

/// What the forward pass keeps for the backward pass.
struct Activations {
  /// How many rows there is room for.
  let rows: Int
  /// Whether only inputs are kept. Then `middles` has one element, and `buffers` share their memory, for the layer that
  /// is being computed.
  let areRecomputed: Bool
  /// [layers + 1] x before each layer, and after the last one; each [rows, C].
  let inputs: [Matrix]
  /// By layer: x between attention and feed-forward.
  private let middles: [Matrix]
  private let buffers: [LayerBuffers]

  init(_ plan: TransformerPlan, rows wanted: Int, areRecomputed: Bool) {
    let chunk = Backpropagation.chunkRows
    let count = (wanted + chunk - 1) / chunk * chunk
    rows = count
    self.areRecomputed = areRecomputed
    let c = plan.configuration
    let kept = areRecomputed ? 1 : c.layerCount
    buffers = LayerBuffers.layers(plan, rows: count, forTraining: true, areShared: areRecomputed)
    inputs = (0...c.layerCount).map { _ in Matrix(rows: count, columns: c.hiddenSize) }
    middles = (0..<kept).map { _ in Matrix(rows: count, columns: c.hiddenSize) }
  }

  func middle(_ layer: Int) -> Matrix { middles[areRecomputed ? 0 : layer] }

  func buffers(_ layer: Int) -> LayerBuffers { buffers[layer] }

  /// Bytes per row.
  static func bytesPerRow(_ plan: TransformerPlan, areRecomputed: Bool) -> Int {
    let c = plan.configuration
    let middles = areRecomputed ? 1 : c.layerCount
    return LayerBuffers.bytesPerRow(plan, areShared: areRecomputed) + (middles + c.layerCount + 1) * c.hiddenSize * 4
  }

  /// The chunks of the first `count` rows, each with the rows that it can write to.
  func chunks(of count: Int) -> [(rows: Range<Int>, room: Range<Int>)] {
    let size = Backpropagation.chunkRows
    return stride(from: 0, to: count, by: size).map { ($0..<min($0 + size, count), $0..<$0 + size) }
  }
}

/// The forward pass of one micro-batch.
struct ForwardPass {
  let batch: TrainingBatch
  let model: PreparedModel
  let transformer: Transformer
  let activations: Activations

  /// Computes the embeddings and all layers.
  func run() throws(ModelError) {
    model.embed(batch.tokens, into: activations.inputs[0], team: transformer.team)
    for layer in model.layers.indices { try self.layer(layer) }
  }

  /// One layer, from its input to its output.
  func layer(_ index: Int) throws(ModelError) {
    try mixer(index)
    for chunk in activations.chunks(of: batch.tokens.count) {
      let middle = activations.middle(index)[rows: chunk.room]
      let output = activations.inputs[index + 1][rows: chunk.room]
      output.values.copy(from: middle.values, team: transformer.team)
      try transformer.feedForward(
        model, layer: index, source: middle, x: output, count: chunk.rows.count,
        buffers: activations.buffers(index)[rows: chunk.room])
    }
  }

  /// Recomputes what `layer` stored in the layer's buffers. The layer's output is computed only if a norm after its
  /// last product needs that product.
  func recompute(_ index: Int) throws(ModelError) {
    if model.layers[index].feedForwardNorms.after != nil { return try layer(index) }
    try mixer(index)
    for chunk in activations.chunks(of: batch.tokens.count) {
      try transformer.gateUp(
        model, layer: index, source: activations.middle(index)[rows: chunk.room], count: chunk.rows.count,
        buffers: activations.buffers(index)[rows: chunk.room])
    }
  }

  /// From a layer's input to its middle.
  private func mixer(_ index: Int) throws(ModelError) {
    switch (model.layers[index].mixer, activations.buffers(index).mixer) {
    case (.attention(let weights), .attention(let buffers)): try attention(index, weights, buffers)
    case (.deltaRule(let weights), .deltaRule(let buffers)): try deltaRule(index, weights, buffers)
    default: preconditionFailure("the buffers are for another kind of layer")
    }
  }

  private func attention(
    _ index: Int, _ weights: PreparedAttention, _ buffers: AttentionBuffers
  ) throws(ModelError) {
    let chunks = activations.chunks(of: batch.tokens.count)
    for chunk in chunks {
      try transformer.project(
        weights, norm: model.layers[index].mixerNorms.before, x: activations.inputs[index][rows: chunk.room],
        rows: batch.rows, range: chunk.rows, buffers: buffers[rows: chunk.room], pageLayer: 0)
    }
    for segment in batch.segments {
      if let prefix = segment.prefixTable { segment.table.copyEnd(of: prefix, count: segment.prefix.count) }
    }
    for chunk in chunks {
      transformer.attend(
        weights, rows: batch.rows, range: chunk.rows, buffers: buffers[rows: chunk.room], pageLayer: 0)
      try addMixed(index, chunk.rows, chunk.room)
    }
  }

  private func deltaRule(
    _ index: Int, _ weights: PreparedDeltaRule, _ buffers: DeltaRuleBuffers
  ) throws(ModelError) {
    let chunks = activations.chunks(of: batch.tokens.count)
    for chunk in chunks {
      try transformer.project(
        weights, norm: model.layers[index].mixerNorms.before, x: activations.inputs[index][rows: chunk.room],
        count: chunk.rows.count, buffers: buffers[rows: chunk.room])
    }
    transformer.runDeltaRule(weights, segments: batch.segments.map(\.delta), buffers: buffers)
    for chunk in chunks {
      transformer.finish(weights, count: chunk.rows.count, buffers: buffers[rows: chunk.room])
      try addMixed(index, chunk.rows, chunk.room)
    }
  }

  /// A chunk of the layer's middle: its input, and what the mixer computed.
  private func addMixed(_ index: Int, _ rows: Range<Int>, _ room: Range<Int>) throws(ModelError) {
    let middle = activations.middle(index)[rows: room]
    middle.values.copy(from: activations.inputs[index][rows: room].values, team: transformer.team)
    try transformer.addMixed(
      model, layer: index, to: middle, count: rows.count, buffers: activations.buffers(index)[rows: room])
  }
}
