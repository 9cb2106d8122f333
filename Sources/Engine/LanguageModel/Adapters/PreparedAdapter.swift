// PreparedAdapter: linear layers ready to run, with the adapter that one policy version adds to them.
//
// A linear layer computes y = x·Wᵀ, and then adds h·Bᵀ for each targeted part of its outputs, with
// h = scale · (x·Aᵀ), rounded to the model's type as every factor. The scale multiplies h in float32 before that
// rounding. So B is multiplied with exactly as it is published, and the gradient of B needs no scale. The base's
// weights are not changed: models of many versions share them.
// Not here: the products (AdapterPass.swift), which tensors there are (AdapterLayout.swift).

package import Base
import Tensors

/// The weights of linear layers that read the same input, fused, and what an adapter adds to them.
struct LinearWeights: Sendable {
  let packed: PackedWeights
  /// nil: nothing.
  var adapter: PackedAdapter?

  init(_ packed: PackedWeights) { self.packed = packed }

  /// The memory of what a version has of its own: the adapter, or all weights.
  var own: [PackedWeights] { adapter.map { [$0.down] + $0.up.map(\.weights) } ?? [packed] }
}

/// The adapter of linear layers that read the same input.
struct PackedAdapter: Sendable {
  let group: AdapterLayout.Group
  let scale: Float
  /// The As, one below the other.
  let down: PackedWeights
  /// The Bs: of columns of h, to columns of the layers' outputs.
  let up: [ColumnWeights]

  var width: Int { down.outputs }

  fileprivate init(_ group: AdapterLayout.Group, _ source: AdapterSource) {
    self.group = group
    scale = source.layout.configuration.scale
    let rank = source.layout.configuration.rank
    down = source.packed(group.down, outputs: group.parts.count * rank, inputs: group.inputs)
    up = group.parts.enumerated().map { index, part in
      ColumnWeights(
        source.packed(part.up, outputs: part.columns.count, inputs: rank), inputs: index * rank..<(index + 1) * rank,
        outputs: part.columns)
    }
  }
}

/// Where an adapter is taken from.
struct AdapterSource {
  let layout: AdapterLayout
  let type: DataType
  let parameters: ParameterSource
  let team: Team?
  let spare: SpareMemory?

  fileprivate func packed(_ range: Range<Int>, outputs: Int, inputs: Int) -> PackedWeights {
    PackedWeights(outputs: outputs, inputs: inputs, type: type, team: team, spare: spare) { rows in
      let start = range.lowerBound
      return parameters.values(start + rows.lowerBound * inputs..<start + rows.upperBound * inputs).rows(of: inputs)
    }
  }
}

extension PreparedLayer {
  /// The same layer with an adapter.
  func adapted(by layer: AdapterLayout.Layer, _ source: AdapterSource) -> PreparedLayer {
    func adapter(_ group: AdapterLayout.Group?) -> PackedAdapter? { group.map { PackedAdapter($0, source) } }
    var adapted = self
    switch mixer {
    case .attention(var weights):
      weights.queryKeyValue.adapter = adapter(layer.mixerInput)
      weights.output.adapter = adapter(layer.mixerOutput)
      adapted.mixer = .attention(weights)
    case .deltaRule(var weights):
      weights.projection.adapter = adapter(layer.mixerInput)
      weights.output.adapter = adapter(layer.mixerOutput)
      adapted.mixer = .deltaRule(weights)
    }
    adapted.gateUp.adapter = adapter(layer.gateUp)
    adapted.down.adapter = adapter(layer.down)
    return adapted
  }
}

extension AdapterLayout {
  /// The most columns of h, and the rank.
  var widthMax: Int { groups.map { $0.parts.count }.max().map { $0 * configuration.rank } ?? 0 }

  private var groups: [Group] {
    layers.flatMap { [$0.mixerInput, $0.mixerOutput, $0.gateUp, $0.down].compactMap { $0 } }
  }

  /// Bytes of the packed adapter of one version.
  package func packedBytes(_ type: DataType) -> Int {
    groups.reduce(0) { sum, group in
      let down = PackedWeights.byteCount(
        inputs: group.inputs, outputs: group.parts.count * configuration.rank, type: type)
      return group.parts.reduce(sum + down) {
        $0 + PackedWeights.byteCount(inputs: configuration.rank, outputs: $1.columns.count, type: type)
      }
    }
  }
}
