// WeightSource: where the arrays of a prepared model come from.
//
// They are made of parameters, or they were made earlier and are views of other memory, such as a file that all
// processes of a host have mapped. A model asks for its arrays one after the other, always in the same order, and they
// are stored in this order. It says when another piece of the parameters begins: a layer, the last norm, or a slice of
// a matrix with one row per token. So the parameters can be gathered piece by piece. The arrays follow from the
// parameters, the shapes and the data type alone. They do not depend on the processor or on the order of products.
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
  /// The parameters of the piece that was begun. If there are none, the arrays are zeroes: the model is then thrown
  /// away.
  private var piece: ParameterSource?
  /// Why parameters were not given. After that, no others are asked for.
  private(set) var failure: (any Error)?
  /// The values of tensors that are not packed, by index into the layout, if they are made of parameters.
  private(set) var plainTensors: [(tensor: Int, values: Floats)] = []

  private enum Origin {
    case parameters((Range<Int>) throws -> ParameterSource, team: Team?, spare: SpareMemory?, keeps: Bool)
    case views([UnsafeRawBufferPointer], owner: any Sendable)
  }

  /// - Parameters:
  ///   - spare: memory for packed weights.
  ///   - keeps: whether what is made is kept for `takeMade`.
  convenience init(
    _ plan: TransformerPlan, _ parameters: ParameterSource, team: Team?, spare: SpareMemory? = nil, keeps: Bool = false
  ) {
    let count = plan.layout.count
    precondition(parameters.count == count, "\(parameters.count) parameters for a model of \(count)")
    self.init(plan, team: team, spare: spare, keeps: keeps) { _ in parameters }
  }

  /// - Parameter parameters: gives those of a piece, which are not needed after the next piece is asked for.
  init(
    _ plan: TransformerPlan, team: Team?, spare: SpareMemory?, keeps: Bool = false,
    parameters: @escaping (Range<Int>) throws -> ParameterSource
  ) {
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

  /// The next arrays are made of these parameters.
  func begin(_ range: Range<Int>) {
    guard case .parameters(let parameters, _, _, _) = origin, failure == nil else { return }
    do { piece = try parameters(range) } catch { (piece, failure) = (nil, error) }
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
    case .parameters(_, _, _, let keeps):
      let rounded = rounded(ranges)
      var rest = rounded
      for (tensor, range) in zip(tensors, ranges) {
        plainTensors.append((tensor, rest[0..<range.count]))
        rest = rest[range.count..<rest.count]
      }
      let array = offset == 0 ? rounded : rounded.plus(offset)
      if keeps { made.append(array.memory) }
      return array
    }
  }

  /// Copies, rounded to the model's type.
  private func rounded(_ ranges: [Range<Int>]) -> Floats {
    let copy = Floats(count: ranges.reduce(0) { $0 + $1.count })
    guard let values = piece?.values(ranges) else { return copy }
    switch plan.type {
    case .float32: copy.copy(from: values)
    case .bfloat16: Kernels.best.roundToBFloat16(values, into: copy)
    }
    return copy
  }

  /// The weight of the norm after all layers, as it is multiplied.
  func finalNorm() -> Floats {
    begin(plan.lastNorm)
    return norm(plan.layout.finalNorm)
  }

  /// The weights of a block's last product. It adds to the residual stream if nothing comes between.
  func blockOutput(_ tensor: Int) -> LinearWeights {
    LinearWeights(packed([tensor], addsToResidual: plan.configuration.addsBlocksDirectly))
  }

  /// The weights of linear layers that read the same input, fused.
  func linear(_ tensors: [Int]) -> LinearWeights { LinearWeights(packed(tensors)) }

  /// A matrix with one row per token. It is large, so its parameters are taken in slices.
  func rowsOfTokens(_ tensor: Int) -> PackedWeights {
    let matrix = plan.layout.tensors[tensor]
    let (rowCount, width) = (matrix.shape[0], matrix.shape[1])
    var slice = 0..<0
    return packed([tensor]) { [plan] rows in
      guard rows.clamped(to: slice) != rows else { return }
      slice = rows.lowerBound..<min(rowCount, max(rows.upperBound, rows.lowerBound + plan.sliceRows))
      self.begin(matrix.offset + slice.lowerBound * width..<matrix.offset + slice.upperBound * width)
    }
  }

  /// Matrices that stand one below the other.
  ///
  /// - Parameter willRead: called before their rows are read.
  private func packed(
    _ tensors: [Int], addsToResidual: Bool = false, willRead: (Range<Int>) -> Void = { _ in }
  ) -> PackedWeights {
    let tensors = tensors.map { plan.layout.tensors[$0] }
    let (outputs, inputs) = (tensors.reduce(0) { $0 + $1.shape[0] }, tensors[0].shape[1])
    switch origin {
    case .views:
      let bytes = PackedWeights.byteCount(inputs: inputs, outputs: outputs, type: plan.type)
      return PackedWeights(
        packed: view(byteCount: bytes), outputs: outputs, inputs: inputs, type: plan.type, accumulates: addsToResidual)
    case .parameters(_, let team, let spare, let keeps):
      let weights = PackedWeights(
        outputs: outputs, inputs: inputs, type: plan.type, accumulates: addsToResidual, team: team, spare: spare
      ) { rows in
        willRead(rows)
        return piece?.rows(rows, of: tensors) ?? Matrix(rows: rows.count, columns: inputs)
      }
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

extension Floats {
  /// A copy with something added to every value.
  fileprivate func plus(_ offset: Float) -> Floats {
    let sums = Floats(count: count)
    for index in 0..<count { sums[index] = self[index] + offset }
    return sums
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
    _ = source.finalNorm()
    _ = source.rowsOfTokens(plan.layout.head)
    try give()
    guard !plan.isTied else { return }
    _ = source.rowsOfTokens(plan.layout.embedding)
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
