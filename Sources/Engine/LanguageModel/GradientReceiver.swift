// GradientReceiver: where a backward pass adds the gradient of a micro-batch.
//
// The flat gradient is made in pieces: the last norm, the head, then layer after layer from the last to the first, then
// the embeddings of the micro-batch's tokens. The head is large, so it can be made in slices of the vocabulary. A
// receiver has memory for the whole gradient (FlatGradient), or only for some pieces at a time
// (Training/StreamedGradient.swift). A tied head's gradient is also that of the embeddings: each of its elements is a
// sum that begins with the head's terms and ends with the tokens'. Not here: sums over micro-batches (Training/).

import Tensors

/// A part of the flat gradient, in memory.
struct GradientPart {
  let values: Floats
  /// Of the first value, in the flat gradient.
  let start: Int

  subscript(_ range: Range<Int>) -> Floats { values[range.lowerBound - start..<range.upperBound - start] }
}

/// Where the gradients of a micro-batch's embeddings are added.
struct EmbeddingGradient {
  let rows: Matrix
  /// By token of the micro-batch: its row.
  let places: [Int32]
}

protocol GradientReceiver {
  /// Memory for the whole head's gradient, which chunks of `rows` rows add to; nil: the head is made in slices, after
  /// these rows. It is the first piece that is asked for.
  func headRoom(rows: Int) -> GradientPart?
  /// A slice of the head is complete, except for what the embeddings add to it.
  func completeHead(_ slice: Range<Int>)
  /// Memory for the gradients of a piece's parameters, to add to. It is valid until the piece is complete.
  func room(for piece: Range<Int>) -> GradientPart
  /// The gradients of a piece are complete.
  func complete(_ piece: Range<Int>)
  /// Called before a slice of the head is complete. After that, the embeddings of these tokens get more, and no others.
  func embeddings(of tokens: [Int32]) -> EmbeddingGradient
  /// All gradients are complete.
  func completeEmbeddings()
  /// Called many times, between pieces of the work.
  func pause()
}

/// A flat gradient in memory. `progress` gets an index: from there to the end, the gradient is complete.
final class FlatGradient: GradientReceiver {
  private let gradient: Floats
  private let embedding: ParameterTensor
  private let progress: (Int) -> Void
  private var completeFrom: Int

  init(_ gradient: Floats, plan: TransformerPlan, progress: @escaping (Int) -> Void) {
    self.gradient = gradient
    self.progress = progress
    embedding = plan.layout.tensors[plan.layout.embedding]
    completeFrom = gradient.count
  }

  func headRoom(rows: Int) -> GradientPart? { room(for: 0..<gradient.count) }

  func completeHead(_ slice: Range<Int>) {}

  func room(for piece: Range<Int>) -> GradientPart { GradientPart(values: gradient, start: 0) }

  func complete(_ piece: Range<Int>) {
    completeFrom = piece.lowerBound
    progress(completeFrom)
  }

  func embeddings(of tokens: [Int32]) -> EmbeddingGradient {
    EmbeddingGradient(rows: gradient[embedding.range].rows(of: embedding.shape[1]), places: tokens)
  }

  func completeEmbeddings() { progress(0) }

  func pause() { progress(completeFrom) }
}

extension TransformerPlan {
  /// The model's parameters of a layer.
  func piece(ofLayer index: Int) -> Range<Int> {
    let next = index + 1 < layout.layers.count ? layout.layers[index + 1].offset : lastNorm.lowerBound
    return layout.layers[index].offset..<next
  }

  var lastNorm: Range<Int> { layout.tensors[layout.finalNorm].range }

  /// Ranges of a matrix with one row per token, each at most as large as the largest layer.
  func slices(ofTokens tensor: Int) -> [Range<Int>] {
    let tensor = layout.tensors[tensor]
    let rows = sliceRows * tensor.shape[1]
    return stride(from: tensor.range.lowerBound, to: tensor.range.upperBound, by: rows).map {
      $0..<min($0 + rows, tensor.range.upperBound)
    }
  }

  /// Tokens of a slice: whole panels.
  var sliceRows: Int {
    let largest = (0..<configuration.layerCount).map { piece(ofLayer: $0).count }.max() ?? 0
    return max(1, largest / configuration.hiddenSize / 16) * 16
  }

  /// The trained parameters of a layer.
  func trainedPiece(ofLayer index: Int) -> Range<Int> {
    guard let adapter else { return piece(ofLayer: index) }
    let next = index + 1 < adapter.layers.count ? adapter.layers[index + 1].offset : adapter.tensors.count
    return adapter.layers[index].offset..<next
  }

  /// The trained parameters of the last norm.
  var trainedNorm: Range<Int> { adapter.map { $0.tensors.count..<$0.tensors.count } ?? lastNorm }

  /// The trained parameters of the embeddings; nil if they are frozen.
  var trainedEmbedding: Range<Int>? { adapter == nil ? layout.tensors[layout.embedding].range : nil }

  /// The trained parameters of the head; nil if they are frozen.
  var trainedHead: Range<Int>? { adapter == nil ? layout.tensors[layout.head].range : valueHead }

  /// The value head of a critic whose other parameters are an adapter's; nil for all other models.
  var valueHead: Range<Int>? {
    guard hasValueHead, let adapter else { return nil }
    return adapter.tensors.count..<trained.count
  }

  var trainedHeadSlices: [Range<Int>] { adapter == nil ? slices(ofTokens: layout.head) : [valueHead].compactMap { $0 } }

  var isTied: Bool { layout.head == layout.embedding }

  /// The pieces of the gradient in the order in which they are complete, without the embeddings of tokens.
  var gradientPieces: [Range<Int>] {
    [trainedNorm] + trainedHeadSlices + (0..<configuration.layerCount).reversed().map { trainedPiece(ofLayer: $0) }
  }
}
