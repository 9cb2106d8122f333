// PackedTensor: the place of a trained tensor's values in a model that is ready to run.
//
// A version's weights are packed for multiplication, and they are the values that are published. So a rank that has a
// part of the masters needs no other copy of them: it reads them from here.

import Tensors

struct PackedTensor: Sendable {
  enum Place {
    /// Rows of packed weights, from the first one.
    case rows(PackedWeights, first: Int)
    case plain(Floats)
  }

  /// In the flat array.
  let range: Range<Int>
  let place: Place

  /// Copies some of the tensor's values.
  func copy(_ wanted: Range<Int>, to out: Floats, team: Team?) {
    let (start, end) = (wanted.lowerBound - range.lowerBound, wanted.upperBound - range.lowerBound)
    switch place {
    case .plain(let values): out.copy(from: values[start..<end])
    case .rows(let weights, let first):
      let columns = weights.inputs
      let rows = start / columns..<(end + columns - 1) / columns
      func copy(_ part: Range<Int>) {
        let partial = Floats(count: columns)
        for row in rows.lowerBound + part.lowerBound..<rows.lowerBound + part.upperBound {
          let all = row * columns..<(row + 1) * columns
          let wanted = all.clamped(to: start..<end)
          let target = out[wanted.lowerBound - start..<wanted.upperBound - start]
          guard wanted != all else {
            weights.copyRow(first + row, to: target)
            continue
          }
          weights.copyRow(first + row, to: partial)
          target.copy(from: partial[wanted.lowerBound - all.lowerBound..<wanted.upperBound - all.lowerBound])
        }
      }
      if let team { team.share(rows.count) { part, _ in copy(part) } } else { copy(0..<rows.count) }
    }
  }
}

extension PreparedModel {
  /// 64 bits of what is trained, as it is multiplied: equal for equal versions. See Fingerprint.
  package var fingerprint: UInt64 {
    trainedTensors.reduce(1) { chain, tensor in
      let own =
        switch tensor.place {
        case .plain(let values): values.fingerprint
        // Several tensors can have rows of the same weights.
        case .rows(let weights, let first): first == 0 ? weights.fingerprint : 0
        }
      return (chain ^ own) &* 0x9E37_79B9_7F4A_7C15
    }
  }

  /// The trained tensors, in the order of the flat array.
  var trainedTensors: [PackedTensor] {
    var found = plan.adapter == nil ? modelTensors : adapterTensors
    found.sort { $0.range.lowerBound < $1.range.lowerBound }
    return found
  }

  private var modelTensors: [PackedTensor] {
    let layout = plan.layout
    var found = plainTensors.map { PackedTensor(range: layout.tensors[$0.tensor].range, place: .plain($0.values)) }
    func add(_ weights: PackedWeights, _ tensors: [Int]) {
      var first = 0
      for tensor in tensors.map({ layout.tensors[$0] }) {
        found.append(PackedTensor(range: tensor.range, place: .rows(weights, first: first)))
        first += tensor.shape[0]
      }
    }
    for (layer, names) in zip(layers, layout.layers.map(LinearGroups.init)) {
      add(layer.mixer.input.packed, names.mixerInput)
      add(layer.mixer.output.packed, names.mixerOutput)
      add(layer.gateUp.packed, names.gateUp)
      add(layer.down.packed, names.down)
    }
    add(ends.head, [layout.head])
    if !plan.isTied { add(ends.embedding, [layout.embedding]) }
    precondition(
      found.reduce(0) { $0 + $1.range.count } == layout.count, "stored arrays do not have all trained parameters")
    return found
  }

  private var adapterTensors: [PackedTensor] {
    let head = plan.valueHead.map { PackedTensor(range: $0, place: .rows(ends.head, first: 0)) }
    let linear = layers.flatMap { [$0.mixer.input, $0.mixer.output, $0.gateUp, $0.down] }
    return [head].compactMap { $0 }
      + linear.compactMap(\.adapter).flatMap { adapter in
        [PackedTensor(range: adapter.group.down, place: .rows(adapter.down, first: 0))]
          + zip(adapter.group.parts, adapter.up).map {
            PackedTensor(range: $0.up, place: .rows($1.weights, first: 0))
          }
      }
  }
}
