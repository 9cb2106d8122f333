// LayerBuffers: the intermediate results of rows in one layer.
//
// The trainer keeps some for the backward pass; the sampler overwrites all of them in the next layer of the same kind.
// Every buffer has room for whole blocks (`roundedToBlocks`).

import Base
import Tensors

struct LayerBuffers {
  var mixer: MixerBuffers
  var blocks: BlockBuffers

  /// By layer. If they are shared, all layers have the same memory, or all layers of one kind.
  static func layers(_ plan: TransformerPlan, rows: Int, forTraining: Bool, areShared: Bool) -> [LayerBuffers] {
    func mixer(_ kind: ModelConfiguration.LayerKind) -> MixerBuffers {
      MixerBuffers(kind, plan, rows: rows, forTraining: forTraining)
    }
    let kinds = plan.configuration.layerKinds
    guard areShared else {
      return kinds.map { LayerBuffers(mixer: mixer($0), blocks: BlockBuffers(plan, rows: rows)) }
    }
    let shared = BlockBuffers(plan, rows: rows)
    let made = Self.different(kinds).map { ($0, LayerBuffers(mixer: mixer($0), blocks: shared)) }
    return kinds.compactMap { kind in made.first { $0.0.isAttention == kind.isAttention }?.1 }
  }

  /// One of each kind that needs buffers of its own.
  private static func different(_ kinds: [ModelConfiguration.LayerKind]) -> [ModelConfiguration.LayerKind] {
    [kinds.first { $0.isAttention }, kinds.first { !$0.isAttention }].compactMap { $0 }
  }

  /// Bytes per row in training, of all layers.
  static func bytesPerRow(_ plan: TransformerPlan, areShared: Bool) -> Int {
    let kinds = plan.configuration.layerKinds
    let blocks = BlockBuffers.bytesPerRow(plan)
    if areShared {
      return different(kinds).reduce(blocks) { $0 + MixerBuffers.bytesPerRow($1, plan) }
    }
    return kinds.reduce(0) { $0 + MixerBuffers.bytesPerRow($1, plan) + blocks }
  }

  subscript(rows range: Range<Int>) -> LayerBuffers {
    LayerBuffers(mixer: mixer[rows: range], blocks: blocks[rows: range])
  }
}

/// What layers of all kinds have.
struct BlockBuffers {
  var gateUp: Matrix  // [rows, 2F]
  /// What the two blocks compute, before the norms after them; nil without such norms.
  var mixerProduct: Matrix?  // [rows, C]
  var feedForwardProduct: Matrix?

  init(_ plan: TransformerPlan, rows: Int) {
    let c = plan.configuration
    func product() -> Matrix? { c.normPlacement.isAfter ? Matrix(rows: rows, columns: c.hiddenSize) : nil }
    gateUp = Matrix(rows: rows, columns: 2 * c.feedForwardSize)
    mixerProduct = product()
    feedForwardProduct = product()
  }

  static func bytesPerRow(_ plan: TransformerPlan) -> Int {
    let c = plan.configuration
    return (2 * c.feedForwardSize + (c.normPlacement.isAfter ? 2 * c.hiddenSize : 0)) * 4
  }

  subscript(rows range: Range<Int>) -> BlockBuffers {
    var part = self
    part.gateUp = gateUp[rows: range]
    part.mixerProduct = mixerProduct.map { $0[rows: range] }
    part.feedForwardProduct = feedForwardProduct.map { $0[rows: range] }
    return part
  }
}

enum MixerBuffers {
  case attention(AttentionBuffers)
  case deltaRule(DeltaRuleBuffers)

  init(_ kind: ModelConfiguration.LayerKind, _ plan: TransformerPlan, rows: Int, forTraining: Bool) {
    switch kind {
    case .attention: self = .attention(AttentionBuffers(plan, rows: rows, forTraining: forTraining))
    case .deltaRule: self = .deltaRule(DeltaRuleBuffers(plan, rows: rows))
    }
  }

  /// What the layer's output product is computed of.
  var output: Operand {
    switch self {
    case .attention(let buffers): buffers.output
    case .deltaRule(let buffers): buffers.output
    }
  }

  static func bytesPerRow(_ kind: ModelConfiguration.LayerKind, _ plan: TransformerPlan) -> Int {
    switch kind {
    case .attention: AttentionBuffers.bytesPerRow(plan)
    case .deltaRule: DeltaRuleBuffers.bytesPerRow(plan)
    }
  }

  subscript(rows range: Range<Int>) -> MixerBuffers {
    switch self {
    case .attention(let buffers): .attention(buffers[rows: range])
    case .deltaRule(let buffers): .deltaRule(buffers[rows: range])
    }
  }
}

struct AttentionBuffers {
  var queryKeyValue: Matrix  // [rows, W]
  /// The inputs of the norms of queries and keys; only in training, and only if there are such norms.
  var rawQueryKeyValue: Matrix?
  /// Attention's result before the output gates; nil if there are none.
  var ungated: Matrix?  // [rows, H·D]
  var output: Operand  // [rows, H·D]
  var statistics: Matrix?  // [rows, 2H], training only

  init(_ plan: TransformerPlan, rows: Int, forTraining: Bool) {
    let heads = plan.heads
    queryKeyValue = Matrix(rows: rows, columns: heads.width)
    let needsRaw = forTraining && plan.configuration.queryKeyNorm != nil
    rawQueryKeyValue = needsRaw ? Matrix(rows: rows, columns: heads.width) : nil
    ungated = heads.hasGates ? Matrix(rows: rows, columns: heads.queryWidth) : nil
    output = Operand(rows: rows, columns: heads.queryWidth, type: plan.type)
    statistics = forTraining ? Matrix(rows: rows, columns: 2 * heads.query) : nil
  }

  /// In training.
  static func bytesPerRow(_ plan: TransformerPlan) -> Int {
    let heads = plan.heads
    let rows = heads.width * (plan.configuration.queryKeyNorm != nil ? 2 : 1) + 2 * heads.query
    return (rows + (heads.hasGates ? heads.queryWidth : 0)) * 4 + heads.queryWidth * plan.type.bytes
  }

  subscript(rows range: Range<Int>) -> AttentionBuffers {
    var part = self
    part.queryKeyValue = queryKeyValue[rows: range]
    part.rawQueryKeyValue = rawQueryKeyValue.map { $0[rows: range] }
    part.ungated = ungated.map { $0[rows: range] }
    part.output = output[rows: range]
    part.statistics = statistics.map { $0[rows: range] }
    return part
  }
}

struct DeltaRuleBuffers {
  var projected: Matrix  // [rows, q|k|v|z|b|a]
  /// The rule's result, before its norm and gates.
  var core: Matrix  // [rows, H·V]
  var output: Operand  // [rows, H·V]

  init(_ plan: TransformerPlan, rows: Int) {
    guard let heads = plan.configuration.deltaHeads else { preconditionFailure("the model has no such layers") }
    projected = Matrix(rows: rows, columns: heads.width)
    core = Matrix(rows: rows, columns: heads.valueWidth)
    output = Operand(rows: rows, columns: heads.valueWidth, type: plan.type)
  }

  static func bytesPerRow(_ plan: TransformerPlan) -> Int {
    guard let heads = plan.configuration.deltaHeads else { return 0 }
    return (heads.width + heads.valueWidth) * 4 + heads.valueWidth * plan.type.bytes
  }

  subscript(rows range: Range<Int>) -> DeltaRuleBuffers {
    var part = self
    part.projected = projected[rows: range]
    part.core = core[rows: range]
    part.output = output[rows: range]
    return part
  }
}
