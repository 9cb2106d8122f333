// GGUFWeights: the tensors of a .gguf file as the parameters of a model, a piece at a time.
//
// Two things differ from a model directory: the names, and for Llama models the order of the rows of q and k. ggml
// rotates neighbouring dimensions of a head together, and transformers a dimension of the first half with one of the
// second; so the converter to GGUF moves the rows, and here they are moved back.

import Base
import GGUF

/// Where one tensor of a model comes from.
struct GGUFSource: Sendable {
  var target: ParameterTensor
  var tensor: GGUFFile.Tensor
  /// Rows of a head whose two halves are interleaved in the file; nil if the rows are in order.
  var interleavedRows: Int?

  /// - Throws: every tensor that is missing, has another shape, or is not part of the model.
  static func all(
    of layout: ParameterLayout, _ model: ModelConfiguration, _ family: ModelConfiguration.Family, _ file: GGUFFile
  ) throws(GGUFModelError) -> [GGUFSource] {
    // Looked up, never iterated.
    let tensors = Dictionary(file.tensors.map { ($0.name, $0) }) { first, _ in first }
    var problems: [GGUFModelError.Problem] = []
    var sources: [GGUFSource] = []
    var used: Set<String> = ["rope_freqs.weight"]
    for target in layout.tensors {
      let name = ggufName(of: target.name)
      used.insert(name)
      guard let tensor = tensors[name] else {
        problems.append(.missingTensor(name, shape: target.shape))
        continue
      }
      guard tensor.shape == target.shape else {
        problems.append(.wrongShape(tensor: name, found: tensor.shape, expected: target.shape))
        continue
      }
      let isRotated = family == .llama && (name.hasSuffix("attn_q.weight") || name.hasSuffix("attn_k.weight"))
      sources.append(
        GGUFSource(target: target, tensor: tensor, interleavedRows: isRotated ? model.headDimension : nil))
    }
    problems += file.tensors.filter { !used.contains($0.name) }.map {
      .unexpectedTensor($0.name, architecture: family.rawValue)
    }
    guard problems.isEmpty else { throw GGUFModelError(problems: problems) }
    return sources
  }

  private static let names: [(part: String, gguf: String)] = [
    ("input_layernorm", "attn_norm"), ("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"), ("self_attn.o_proj", "attn_output"), ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"), ("post_attention_layernorm", "ffn_norm"), ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"), ("mlp.down_proj", "ffn_down"), ("model.embed_tokens", "token_embd"),
    ("model.norm", "output_norm"), ("lm_head", "output"),
  ]

  private static func ggufName(of name: String) -> String {
    let parts = name.split(separator: ".")
    guard name.hasPrefix("model.layers."), parts.count > 4 else { return replaced(name) }
    return "blk.\(parts[2])." + replaced(parts.dropFirst(3).joined(separator: "."))
  }

  private static func replaced(_ name: String) -> String {
    guard let entry = names.first(where: { name.hasPrefix($0.part + ".") }) else { return name }
    return entry.gguf + name.dropFirst(entry.part.count)
  }

  /// Calls `body` with all values of the tensor, in pieces of whole rows, in the order of the model.
  func forEachPiece<Failure: Error>(
    in data: UnsafeRawBufferPointer, _ body: (UnsafeBufferPointer<Float>) throws(Failure) -> Void
  ) throws(Failure) {
    let columns = tensor.shape.last ?? 1
    let rows = tensor.count / columns
    // Large enough that writing is not slowed down, and small beside the largest tensors.
    let pieceRows = interleavedRows ?? max(1, min(rows, (1 << 20) / columns))
    let rowBytes = columns / tensor.type.blockCount * tensor.type.blockBytes
    let values = UnsafeMutableBufferPointer<Float>.allocate(capacity: 2 * pieceRows * columns)
    defer { values.deallocate() }
    for start in stride(from: 0, to: rows, by: pieceRows) {
      let count = min(pieceRows, rows - start)
      let piece = UnsafeMutableBufferPointer(rebasing: values[..<(count * columns)])
      let bytes = tensor.bytes.lowerBound + start * rowBytes
      tensor.type.dequantize(UnsafeRawBufferPointer(rebasing: data[bytes..<bytes + count * rowBytes]), into: piece)
      guard interleavedRows != nil else {
        try body(UnsafeBufferPointer(piece))
        continue
      }
      let ordered = UnsafeMutableBufferPointer(rebasing: values[(count * columns)..<(2 * count * columns)])
      for row in 0..<count {
        let place = row % 2 * (count / 2) + row / 2
        for column in 0..<columns { ordered[place * columns + column] = piece[row * columns + column] }
      }
      try body(UnsafeBufferPointer(ordered))
    }
  }
}

extension GGUFFile.Tensor {
  /// All values of a small tensor.
  func values(in data: UnsafeRawBufferPointer) -> [Float] {
    [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
      let target = UnsafeMutableBufferPointer(rebasing: buffer[..<count])
      type.dequantize(UnsafeRawBufferPointer(rebasing: data[bytes]), into: target)
      initialized = count
    }
  }
}

extension GGUFModel {
  /// Calls `body` with all parameters in the order of the layout, in pieces.
  package func forEachPiece<Failure: Error>(
    in data: UnsafeRawBufferPointer, _ body: (UnsafeBufferPointer<Float>) throws(Failure) -> Void
  ) throws(Failure) {
    for source in sources { try source.forEachPiece(in: data, body) }
  }

  /// The smallest type that has every value exactly.
  ///
  /// - Throws: every tensor that has a NaN or an infinity, with the first such element.
  package func exactType(in data: UnsafeRawBufferPointer) throws(GGUFModelError) -> WeightType {
    var problems: [GGUFModelError.Problem] = []
    var fits = (bfloat16: true, float16: true)
    for source in sources {
      var (at, bad): (Int, (index: Int, value: Float)?) = (0, nil)
      source.forEachPiece(in: data) { piece in
        for (index, value) in piece.enumerated() {
          if !value.isFinite, bad == nil { bad = (at + index, value) }
          fits.bfloat16 = fits.bfloat16 && value.bitPattern & 0xFFFF == 0
          fits.float16 = fits.float16 && Float(Float16(value)) == value
        }
        at += piece.count
      }
      if let bad {
        problems.append(.notFinite(tensor: source.tensor.name, index: bad.index, value: bad.value))
      }
    }
    guard problems.isEmpty else { throw GGUFModelError(problems: problems) }
    return fits.bfloat16 ? .bfloat16 : fits.float16 ? .float16 : .float32
  }
}
