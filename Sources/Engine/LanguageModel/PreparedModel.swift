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
  /// Whether an adapter is part of the model.
  private let isAdapted: Bool

  /// Packs copies of `plan.layout.count` parameters.
  ///
  /// - Parameter spare: memory for the packed weights.
  package init(
    plan: TransformerPlan, parameters: ParameterSource, team: Team? = nil, spare: SpareMemory? = nil
  ) {
    let layout = plan.layout
    precondition(parameters.count == layout.count, "\(parameters.count) parameters for a model of \(layout.count)")
    self.plan = plan
    isAdapted = false
    var layers: [PreparedLayer] = []
    for layer in layout.layers.indices {
      layers.append(PreparedLayer(layer, plan: plan, parameters: parameters, team: team, spare: spare))
    }
    self.layers = layers
    finalNorm = normWeight(layout.finalNorm, plan: plan, parameters)
    head = PackedWeights(
      outputs: plan.configuration.vocabularySize, inputs: plan.configuration.hiddenSize, type: plan.type, team: team,
      spare: spare
    ) { rows in parameters.rows(rows, of: [layout.tensors[layout.head]]) }
    embedding =
      layout.embedding == layout.head
      ? nil : rounded([layout.embedding], plan: plan, parameters).rows(of: plan.configuration.hiddenSize)
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
  package init(
    adapting base: PreparedModel, parameters: ParameterSource, team: Team? = nil, spare: SpareMemory? = nil
  ) {
    plan = base.plan
    guard let adapter = plan.adapter, !base.isAdapted else { preconditionFailure("the base is for another plan") }
    precondition(
      parameters.count == plan.trained.count,
      "\(parameters.count) parameters for an adapter of \(plan.trained.count)")
    let source = AdapterSource(layout: adapter, type: plan.type, parameters: parameters, team: team, spare: spare)
    layers = zip(base.layers, adapter.layers).map { layer, names in layer.adapted(by: names, source) }
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
  let values = parameters.values(tensors.map { plan.layout.tensors[$0].range })
  let copy = Floats(count: values.count)
  switch plan.type {
  case .float32: copy.copy(from: values)
  case .bfloat16: Kernels.best.roundToBFloat16(values, into: copy)
  }
  return copy
}
