// PreparedModel: one policy version, ready to run on every thread.
//
// The parameters are one flat array. From it, weights are packed for fast multiplication, once per version; the packed
// weights never change. `TransformerPlan` holds what does not depend on the parameters. In bfloat16 all parameters are
// rounded first, so that sampler and trainer use the same numbers although only the trainer has the float32 masters.
// The rounded norms and biases are then used as float32. The embedding is packed too, which takes half the memory of
// float32 values, and its rows are unpacked. A tied embedding is the head, so its weights are stored once.
// With an adapter, the parameters of a version are those of the adapter, and the versions share the base's weights.
// Not here: a layer's weights (PreparedLayer.swift), where they come from (WeightSource.swift), the arithmetic
// (Transformer.swift, Backpropagation.swift), files (HuggingFace/).

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
  /// Whether the model is a critic: its head gives the value of a position instead of a distribution of tokens.
  package let hasValueHead: Bool
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
    hasValueHead = false
    self.adapter = adapter
    trained = adapter?.tensors ?? layout.flat
    heads = configuration.heads(pageType: type)
    embeddingFactor = configuration.embeddingFactor(type)
    places = configuration.layerKinds.indices.map { layer in
      configuration.layerKinds[..<layer].count { $0.isAttention == configuration.layerKinds[layer].isAttention }
    }
    rotary = RotaryTables(configuration)
  }

  /// The critic of a policy: the same layers with a value head. With an adapter, an adapter and a value head are
  /// trained. It shares the policy's tables.
  package init(criticOf policy: TransformerPlan) {
    configuration = policy.configuration
    type = policy.type
    products = policy.products
    layout = ParameterLayout(configuration, hasValueHead: true)
    hasValueHead = true
    adapter = policy.adapter
    let head = ParameterTensor(
      name: ParameterLayout.valueHeadName, shape: [1, configuration.hiddenSize],
      offset: policy.adapter?.tensors.count ?? 0)
    trained =
      policy.adapter.map { TensorLayout(stored: $0.tensors.stored + [head], count: $0.tensors.count + head.count) }
      ?? layout.flat
    heads = policy.heads
    embeddingFactor = policy.embeddingFactor
    places = policy.places
    rotary = policy.rotary
  }
}

extension TransformerPlan {
  /// Numbers that the head gives for a row.
  var headWidth: Int { hasValueHead ? 1 : configuration.vocabularySize }

  /// How many of a critic's first parameters are those that its policy has too. The others are the value head's.
  package var sharedWithPolicy: Int {
    hasValueHead ? adapter?.tensors.count ?? lastNorm.upperBound : trained.count
  }

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
  let ends: PreparedEnds
  /// The values of tensors that are not packed, by index into the layout. A model of stored arrays has none.
  let plainTensors: [(tensor: Int, values: Floats)]
  /// Whether an adapter is part of the model.
  private let isAdapted: Bool

  /// Packs copies of `plan.layout.count` parameters.
  ///
  /// - Parameter spare: memory for the packed weights.
  package convenience init(
    plan: TransformerPlan, parameters: ParameterSource, team: Team? = nil, spare: SpareMemory? = nil
  ) {
    self.init(WeightSource(plan, parameters, team: team, spare: spare))
  }

  /// Packs copies of the model's parameters, which need not all be there at the same time.
  ///
  /// - Parameters:
  ///   - spare: memory for the packed weights.
  ///   - parameters: gives those of a piece, which are not needed after the next piece is asked for.
  convenience init(
    plan: TransformerPlan, team: Team?, spare: SpareMemory?,
    parameters: @escaping (Range<Int>) throws -> ParameterSource
  ) throws {
    let source = WeightSource(plan, team: team, spare: spare, parameters: parameters)
    self.init(source)
    if let failure = source.failure { throw failure }
  }

  init(_ source: WeightSource) {
    plan = source.plan
    isAdapted = false
    layers = plan.layout.layers.indices.map { PreparedLayer($0, source) }
    ends = PreparedEnds(source)
    plainTensors = source.plainTensors
  }

  var finalNorm: Floats { ends.finalNorm }
  var head: PackedWeights { ends.head }

  /// Packs copies of `plan.layout.count` parameters.
  package convenience init(
    plan: TransformerPlan, parameters: Floats, team: Team? = nil, spare: SpareMemory? = nil
  ) {
    self.init(plan: plan, parameters: ParameterSource(parameters), team: team, spare: spare)
  }

  /// A base, whose weights are shared, with the adapter of a version: copies of `plan.trained.count` parameters.
  ///
  /// - Parameters:
  ///   - base: made for the same plan, or for that of the policy whose critic this is.
  ///   - plan: of a critic; nil: the base's.
  ///   - spare: memory for the packed adapter.
  package convenience init(
    adapting base: PreparedModel, as plan: TransformerPlan? = nil, parameters: ParameterSource, team: Team? = nil,
    spare: SpareMemory? = nil
  ) {
    let count = (plan ?? base.plan).trained.count
    precondition(parameters.count == count, "\(parameters.count) parameters for an adapter of \(count)")
    self.init(adapting: base, as: plan, team: team, spare: spare) { _ in parameters }
  }

  /// - Parameter parameters: as for a model.
  init(
    adapting base: PreparedModel, as adapted: TransformerPlan? = nil, team: Team?, spare: SpareMemory?,
    parameters: (Range<Int>) throws -> ParameterSource
  ) rethrows {
    let plan = adapted ?? base.plan
    self.plan = plan
    guard let adapter = plan.adapter, !base.isAdapted else { preconditionFailure("the base is for another plan") }
    layers = try base.layers.indices.map { layer in
      let source = AdapterSource(
        layout: adapter, type: base.plan.type, parameters: try parameters(base.plan.trainedPiece(ofLayer: layer)),
        team: team, spare: spare)
      return base.layers[layer].adapted(by: adapter.layers[layer], source)
    }
    ends =
      try plan.valueHead.map { head in
        base.ends.with(head: PackedWeights(valueHead: head, of: plan, try parameters(head)))
      } ?? base.ends
    plainTensors = base.plainTensors
    isAdapted = true
  }

  /// The memory of the version's own packed weights, for the next version's. If something else still uses them, they
  /// keep it.
  package var spare: SpareMemory {
    let linear = layers.flatMap { [$0.mixer.input, $0.mixer.output, $0.gateUp, $0.down] }
    return PackedWeights.spare(
      of: isAdapted ? linear.filter { $0.adapter != nil }.flatMap(\.own) : ends.packed + linear.map(\.packed))
  }

  /// x[i] = the embedding of tokens[i], multiplied with the model's factor.
  func embed(_ tokens: [Int32], into x: Matrix, team: Team) {
    team.share(tokens.count) { rows, _ in
      for row in rows { ends.embedding.copyRow(Int(tokens[row]), to: x.row(row)) }
    }
    guard plan.embeddingFactor != 1 else { return }
    let rows = x[rows: 0..<tokens.count].values
    Kernels.best.scale(rows, by: plan.embeddingFactor, into: rows)
  }
}
