// PreparedModel: one policy version, ready to run on every thread.
//
// The parameters are one flat array. From it, weights are packed for fast multiplication, once per version; the packed
// weights never change. `TransformerPlan` holds what does not depend on the parameters. In bfloat16 all parameters are
// rounded first, so that sampler and trainer use the same numbers although only the trainer has the float32 masters.
// The rounded norms, biases and embeddings are then used as float32. A tied embedding is read from the packed head, so
// its weights are stored once.
// With an adapter, the parameters of a version are those of the adapter, and the versions share the base's weights.
// Not here: a layer's weights (PreparedLayer.swift), the arithmetic (Transformer.swift, Backpropagation.swift), files
// (HuggingFace/).

package import Base
package import Tensors

/// The parts of a model that do not depend on its parameters. Made once per process.
package struct TransformerPlan: Sendable {
  package let configuration: ModelConfiguration
  package let layout: ParameterLayout
  /// nil: all parameters are trained.
  package let adapter: AdapterLayout?
  /// What is trained, and what a policy version consists of: the adapter, or the model's parameters.
  package let trained: TensorLayout
  package let type: DataType
  /// Of bfloat16 products.
  package let products: ProductOrder
  let heads: Heads
  let rotary: RotaryTables
  /// What embeddings are multiplied with.
  let embeddingFactor: Float
  /// By layer: its number among the layers of its kind, which is its place in pages or states.
  let places: [Int]

  package init(
    _ configuration: ModelConfiguration, type: DataType, products: ProductOrder = .pair, adapter: AdapterLayout? = nil
  ) {
    self.configuration = configuration
    self.type = type
    self.products = products
    layout = ParameterLayout(configuration)
    self.adapter = adapter
    trained = adapter?.tensors ?? layout.flat
    heads = configuration.heads(pageType: type)
    embeddingFactor = configuration.embeddingFactor(type)
    places = configuration.layerKinds.indices.map { layer in
      configuration.layerKinds[..<layer].count { $0.isAttention == configuration.layerKinds[layer].isAttention }
    }
    rotary = RotaryTables(configuration)
  }
}

extension TransformerPlan {
  /// Memory for the pages and states of sequences, for all layers.
  func pages() -> KeyValuePages {
    KeyValuePages(heads: heads, layers: configuration.attentionLayerCount, stateFloats: stateFloats)
  }

  /// Floats of the states of one sequence.
  var stateFloats: Int {
    (configuration.deltaHeads?.stateFloats ?? 0) * (configuration.layerCount - configuration.attentionLayerCount)
  }
}

/// The parameters of one policy version, packed for multiplication. Immutable, shared by all threads.
package final class PreparedModel: Sendable {
  package let plan: TransformerPlan
  let layers: [PreparedLayer]
  let finalNorm: Floats
  let head: PackedWeights
  /// The embedding matrix [V, C]; nil if it is tied to the head, whose packed weights return their rows.
  private let embedding: Matrix?
  /// The values of tensors that are not packed, by index into the layout.
  let plainTensors: [(tensor: Int, values: Floats)]
  /// Whether an adapter is part of the model.
  private let isAdapted: Bool

  /// Packs copies of the model's parameters.
  ///
  /// - Parameters:
  ///   - spare: memory for the packed weights.
  ///   - parameters: gives those of a piece, which are not needed after the next piece is asked for.
  init<Failure: Error>(
    plan: TransformerPlan, team: Team?, spare: SpareMemory?,
    parameters: (Range<Int>) throws(Failure) -> ParameterSource
  ) throws(Failure) {
    let layout = plan.layout
    let width = plan.configuration.hiddenSize
    self.plan = plan
    isAdapted = false
    var plain: [(Int, Floats)] = []
    // In slices, so that not all of it has to be there.
    func packedHead() throws(Failure) -> PackedWeights {
      let tensor = layout.tensors[layout.head]
      var (rowsHere, source): (Range<Int>, ParameterSource?) = (0..<0, nil)
      var failure: Failure?
      let packed = PackedWeights(
        outputs: tensor.shape[0], inputs: width, type: plan.type, team: team, spare: spare
      ) { rows in
        if rowsHere.clamped(to: rows) != rows, failure == nil {
          let end = min(tensor.shape[0], max(rows.upperBound, rows.lowerBound + plan.sliceRows))
          rowsHere = rows.lowerBound..<end
          do throws(Failure) {
            source = try parameters(tensor.offset + rows.lowerBound * width..<tensor.offset + end * width)
          } catch { failure = error }
        }
        guard let source, failure == nil else { return Matrix(rows: rows.count, columns: width) }
        return source.rows(rows, of: [tensor])
      }
      if let failure { throw failure }
      return packed
    }
    let tied = plan.isTied ? try packedHead() : nil
    if plan.isTied {
      embedding = nil
    } else {
      let table = Matrix(rows: plan.configuration.vocabularySize, columns: width)
      let start = layout.tensors[layout.embedding].offset
      for slice in plan.slices(ofTokens: layout.embedding) {
        table.values[slice.lowerBound - start..<slice.upperBound - start].copy(
          from: rounded(try parameters(slice).values(slice), plan.type))
      }
      embedding = table
      plain.append((layout.embedding, table.values))
    }
    var layers: [PreparedLayer] = []
    for layer in layout.layers.indices {
      let source = try parameters(plan.piece(ofLayer: layer))
      layers.append(PreparedLayer(layer, plan: plan, parameters: source, team: team, spare: spare))
      plain += layout.layers[layer].plainTensors.map { ($0, rounded([$0], plan: plan, source)) }
    }
    self.layers = layers
    let last = try parameters(plan.lastNorm)
    finalNorm = normWeight(layout.finalNorm, plan: plan, last)
    plain.append((layout.finalNorm, rounded([layout.finalNorm], plan: plan, last)))
    if let tied { head = tied } else { head = try packedHead() }
    plainTensors = plain
  }

  /// Packs copies of `plan.layout.count` parameters.
  ///
  /// - Parameter spare: memory for the packed weights.
  package convenience init(
    plan: TransformerPlan, parameters: ParameterSource, team: Team? = nil, spare: SpareMemory? = nil
  ) {
    precondition(
      parameters.count == plan.layout.count, "\(parameters.count) parameters for a model of \(plan.layout.count)")
    self.init(plan: plan, team: team, spare: spare) { _ in parameters }
  }

  /// Packs copies of `plan.layout.count` parameters.
  package convenience init(
    plan: TransformerPlan, parameters: Floats, team: Team? = nil, spare: SpareMemory? = nil
  ) {
    self.init(plan: plan, parameters: ParameterSource(parameters), team: team, spare: spare)
  }

  /// A base, whose weights are shared, with the adapter of a version: copies of `plan.trained.count` parameters.
  ///
  /// - Parameters:
  ///   - base: made for the same plan.
  ///   - spare: memory for the packed adapter.
  package convenience init(
    adapting base: PreparedModel, parameters: ParameterSource, team: Team? = nil, spare: SpareMemory? = nil
  ) {
    precondition(
      parameters.count == base.plan.trained.count,
      "\(parameters.count) parameters for an adapter of \(base.plan.trained.count)")
    self.init(adapting: base, team: team, spare: spare) { _ in parameters }
  }

  /// - Parameter parameters: as for a model.
  init(
    adapting base: PreparedModel, team: Team?, spare: SpareMemory?,
    parameters: (Range<Int>) throws -> ParameterSource
  ) rethrows {
    plan = base.plan
    guard let adapter = plan.adapter, !base.isAdapted else { preconditionFailure("the base is for another plan") }
    layers = try base.layers.indices.map { layer in
      let source = AdapterSource(
        layout: adapter, type: base.plan.type, parameters: try parameters(base.plan.trainedPiece(ofLayer: layer)),
        team: team, spare: spare)
      return base.layers[layer].adapted(by: adapter.layers[layer], source)
    }
    plainTensors = base.plainTensors
    finalNorm = base.finalNorm
    head = base.head
    embedding = base.embedding
    isAdapted = true
  }

  /// The memory of the version's own packed weights, for the next version's. If something else still uses them, they
  /// keep it.
  package var spare: SpareMemory {
    let linear = layers.flatMap { [$0.mixer.input, $0.mixer.output, $0.gateUp, $0.down] }
    return PackedWeights.spare(
      of: isAdapted ? linear.filter { $0.adapter != nil }.flatMap(\.own) : [head] + linear.map(\.packed))
  }

  /// x[i] = the embedding of tokens[i], multiplied with the model's factor.
  func embed(_ tokens: [Int32], into x: Matrix, team: Team) {
    if let embedding {
      Kernels.best.gather(embedding, tokens, into: x)
    } else {
      team.share(tokens.count) { rows, _ in
        for row in rows { head.copyRow(Int(tokens[row]), to: x.row(row)) }
      }
    }
    guard plan.embeddingFactor != 1 else { return }
    let rows = x[rows: 0..<tokens.count].values
    Kernels.best.scale(rows, by: plan.embeddingFactor, into: rows)
  }
}

/// The weight of a norm, as it is multiplied.
func normWeight(_ tensor: Int, plan: TransformerPlan, _ parameters: ParameterSource) -> Floats {
  let weight = rounded([tensor], plan: plan, parameters)
  if plan.configuration.hasZeroCentredNorms {
    for index in 0..<weight.count { weight[index] += 1 }
  }
  return weight
}

/// The values of tensors one after the other, rounded to the model's type.
func rounded(_ tensors: [Int], plan: TransformerPlan, _ parameters: ParameterSource) -> Floats {
  rounded(parameters.values(tensors.map { plan.layout.tensors[$0].range }), plan.type)
}

/// A copy, rounded to a type.
func rounded(_ values: Floats, _ type: DataType) -> Floats {
  let copy = Floats(count: values.count)
  switch type {
  case .float32: copy.copy(from: values)
  case .bfloat16: Kernels.best.roundToBFloat16(values, into: copy)
  }
  return copy
}
