// WeightSource: where the arrays of a prepared model come from.
//
// They are made of parameters, or they were made earlier and are views of other memory, such as a file that all
// processes of a host have mapped. A model asks for its arrays one after the other, always in the same order, and they
// are stored in this order. Their bytes follow from the parameters, the shapes and the data type alone. They do not
// depend on the processor or on the order of products.
// Not here: the file (Runs' PackedFile).

import Base
package import Tensors

/// Gives the arrays of one model, one after the other. Used by one thread.
final class WeightSource {
  let plan: TransformerPlan
  private let origin: Origin
  /// What `takeMade` has not given yet.
  private var made: [Memory] = []
  /// How many views have been given.
  private var given = 0
  /// Whether every view had the size that was asked for.
  private var fits = true

  private enum Origin {
    case parameters(ParameterSource, team: Team?, spare: SpareMemory?, keeps: Bool)
    case views([UnsafeRawBufferPointer], owner: any Sendable)
  }

  /// - Parameters:
  ///   - spare: memory for packed weights.
  ///   - keeps: whether what is made is kept for `takeMade`.
  init(
    _ plan: TransformerPlan, _ parameters: ParameterSource, team: Team?, spare: SpareMemory? = nil, keeps: Bool = false
  ) {
    let count = plan.layout.count
    precondition(parameters.count == count, "\(parameters.count) parameters for a model of \(count)")
    self.plan = plan
    origin = .parameters(parameters, team: team, spare: spare, keeps: keeps)
  }

  /// - Parameters:
  ///   - views: what `PreparedModel.forEachArray` gave.
  ///   - owner: keeps the views where they are.
  init(_ plan: TransformerPlan, views: [UnsafeRawBufferPointer], keptBy owner: any Sendable) {
    self.plan = plan
    origin = .views(views, owner: owner)
  }

  /// Whether the views were those of the model, and all have been given.
  var isComplete: Bool {
    guard case .views(let views, _) = origin else { return true }
    return fits && given == views.count
  }

  /// The arrays that have been made since the last call.
  func takeMade() -> [Memory] {
    defer { made = [] }
    return made
  }

  // MARK: Arrays

  /// The values of tensors one after the other, rounded to the model's type.
  func values(_ tensors: [Int]) -> Floats { values(tensors, plus: 0) }

  /// The weight of a norm, as it is multiplied.
  func norm(_ tensor: Int) -> Floats { values([tensor], plus: plan.configuration.hasZeroCentredNorms ? 1 : 0) }

  private func values(_ tensors: [Int], plus offset: Float) -> Floats {
    let ranges = tensors.map { plan.layout.tensors[$0].range }
    switch origin {
    case .views: return Floats(viewing: view(byteCount: ranges.reduce(0) { $0 + $1.count } * 4))
    case .parameters(let parameters, _, _, let keeps):
      let values = parameters.values(ranges)
      let copy = Floats(count: values.count)
      switch plan.type {
      case .float32: copy.copy(from: values)
      case .bfloat16: Kernels.best.roundToBFloat16(values, into: copy)
      }
      if offset != 0 {
        for index in 0..<copy.count { copy[index] += offset }
      }
      if keeps { made.append(copy.memory) }
      return copy
    }
  }

  /// The weights of a block's last product. It adds to the residual stream if nothing comes between.
  func blockOutput(_ tensor: Int) -> LinearWeights {
    LinearWeights(packed([tensor], addsToResidual: plan.configuration.addsBlocksDirectly))
  }

  /// The weights of linear layers that read the same input, fused.
  func linear(_ tensors: [Int]) -> LinearWeights { LinearWeights(packed(tensors)) }

  /// Matrices that stand one below the other.
  func packed(_ tensors: [Int], addsToResidual: Bool = false) -> PackedWeights {
    let tensors = tensors.map { plan.layout.tensors[$0] }
    let (outputs, inputs) = (tensors.reduce(0) { $0 + $1.shape[0] }, tensors[0].shape[1])
    switch origin {
    case .views:
      let bytes = PackedWeights.byteCount(inputs: inputs, outputs: outputs, type: plan.type)
      return PackedWeights(
        packed: view(byteCount: bytes), outputs: outputs, inputs: inputs, type: plan.type, accumulates: addsToResidual)
    case .parameters(let parameters, let team, let spare, let keeps):
      let weights = PackedWeights(
        outputs: outputs, inputs: inputs, type: plan.type, accumulates: addsToResidual, team: team, spare: spare
      ) { rows in parameters.rows(rows, of: tensors) }
      if keeps { made.append(weights.memory) }
      return weights
    }
  }

  /// The next view. If it does not fit, zeroes: the model is then thrown away.
  private func view(byteCount: Int) -> Memory {
    guard case .views(let views, let owner) = origin else { preconditionFailure("there are no views") }
    defer { given += 1 }
    guard given < views.count, views[given].count == byteCount, Memory.isAligned(views[given]) else {
      fits = false
      return Memory(byteCount: byteCount)
    }
    return Memory(viewing: views[given], keptBy: owner)
  }
}

// MARK: - Storing

extension PreparedModel {
  /// The version of the arrays that `forEachArray` gives. It changes with their order or their bytes.
  package static let storedVersion = 1

  /// Makes the arrays of a model and calls `body` with the bytes of each. Never more is in memory than the weights of
  /// one layer, or the head.
  package static func forEachArray(
    _ plan: TransformerPlan, _ parameters: ParameterSource, team: Team? = nil,
    _ body: (UnsafeRawBufferPointer) throws -> Void
  ) throws {
    let source = WeightSource(plan, parameters, team: team, keeps: true)
    func give() throws {
      for array in source.takeMade() { try array.withBytes(body) }
    }
    for layer in plan.layout.layers.indices {
      _ = PreparedLayer(layer, source)
      try give()
    }
    // As PreparedEnds asks for them, but each is given before the next is made: these are the largest.
    _ = source.norm(plan.layout.finalNorm)
    _ = source.packed([plan.layout.head])
    try give()
    guard plan.layout.embedding != plan.layout.head else { return }
    _ = source.packed([plan.layout.embedding])
    try give()
  }

  /// A model whose arrays were made earlier. They are viewed, not copied.
  ///
  /// - Parameters:
  ///   - plan: the model.
  ///   - arrays: what `forEachArray` gave, each aligned to 64 bytes. They are only read.
  ///   - owner: keeps them where they are.
  /// - Returns: nil if they are not those of a model of this plan.
  package convenience init?(
    plan: TransformerPlan, arrays: [UnsafeRawBufferPointer], keptBy owner: any Sendable
  ) {
    let source = WeightSource(plan, views: arrays, keptBy: owner)
    self.init(source)
    guard source.isComplete else { return nil }
  }
}
