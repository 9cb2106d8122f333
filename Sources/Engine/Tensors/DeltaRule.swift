// DeltaRule: the kernels of linear attention by the gated delta rule, and of output gates, behind checked Swift calls.
//
// CKernels/delta.h says what they compute and how a state is laid out; Reference.swift shows the rule in readable form.
// Not here: which rows and states belong together (KeyValuePages, ForwardPass).

import CKernels

/// The heads of a layer of linear attention: groups of value heads share the key heads.
package struct DeltaHeads: Sendable, Hashable {
  package let key: Int
  package let value: Int
  package let keyDimension: Int
  package let valueDimension: Int

  /// The rows that the convolution adds up. Others are not supported.
  package static let convolutionTaps = 4

  package init(key: Int, value: Int, keyDimension: Int, valueDimension: Int) {
    precondition(key > 0 && value % key == 0, "\(value) value heads cannot share \(key) key heads")
    precondition(keyDimension > 0 && valueDimension > 0, "a head needs dimensions")
    self.key = key
    self.value = value
    self.keyDimension = keyDimension
    self.valueDimension = valueDimension
  }

  /// The width of q|k|v, which go through the convolution.
  package var convolvedWidth: Int { 2 * key * keyDimension + valueWidth }
  /// The width of the layer's result, and of its output gates.
  package var valueWidth: Int { value * valueDimension }
  /// The width of a projected row q|k|v|z|b|a.
  package var width: Int { convolvedWidth + valueWidth + 2 * value }
  /// Floats that a layer keeps of a sequence.
  package var stateFloats: Int { Int(ttrl_delta_state(c)) }

  /// Floats of scratch for `deltaRule`.
  package var scratchFloats: Int { Int(ttrl_delta_scratch(c)) }

  /// Floats of scratch for `deltaRuleBackward` over segments of at most `rows` rows.
  package func backwardScratchFloats(rows: Int) -> Int { Int(ttrl_delta_backward_scratch(c, Int64(rows))) }

  var c: ttrl_delta_heads {
    ttrl_delta_heads(
      key_heads: Int32(key), value_heads: Int32(value), key_dimension: Int32(keyDimension),
      value_dimension: Int32(valueDimension))
  }
}

/// What the rule needs beside the projections.
package struct DeltaWeights: Sendable {
  /// [4, convolved width]: transposed, the oldest row's weights first.
  package let convolution: Matrix
  package let decayLog: Floats
  package let stepBias: Floats

  /// - Parameters:
  ///   - heads: the layer's.
  ///   - convolution: [convolved width · 4], as a checkpoint stores it.
  ///   - decayLog: [value heads], `A_log`.
  ///   - stepBias: [value heads], `dt_bias`.
  package init(_ heads: DeltaHeads, convolution: Floats, decayLog: Floats, stepBias: Floats) {
    let taps = DeltaHeads.convolutionTaps
    precondition(convolution.count == taps * heads.convolvedWidth, "a convolution has 4 weights for each channel")
    precondition([decayLog.count, stepBias.count] == [heads.value, heads.value], "one number for each value head")
    let transposed = Matrix(rows: taps, columns: heads.convolvedWidth)
    for channel in 0..<heads.convolvedWidth {
      for tap in 0..<taps {
        transposed.values[tap * heads.convolvedWidth + channel] = convolution[channel * taps + tap]
      }
    }
    self.convolution = transposed
    self.decayLog = decayLog
    self.stepBias = stepBias
  }

  var c: ttrl_delta_weights {
    ttrl_delta_weights(convolution: convolution.base, a_log: decayLog.base, dt_bias: stepBias.base)
  }
}

/// Where the gradients of `DeltaWeights` are added, in a checkpoint's layout.
package struct DeltaGradients: Sendable {
  package var convolution: Floats
  package var decayLog: Floats
  package var stepBias: Floats

  package init(convolution: Floats, decayLog: Floats, stepBias: Floats) {
    self.convolution = convolution
    self.decayLog = decayLog
    self.stepBias = stepBias
  }
}

/// Rows of one sequence: a prompt, or a response that continues the prompt before it.
package struct DeltaSegment: Sendable {
  /// The rows of the prompt; empty for a prompt.
  package let prefix: Range<Int>
  package let own: Range<Int>

  package init(prefix: Range<Int>, own: Range<Int>) {
    self.prefix = prefix
    self.own = own
  }

  var c: ttrl_segment {
    ttrl_segment(
      prefix_start: Int64(prefix.lowerBound), prefix_count: Int64(prefix.count), start: Int64(own.lowerBound),
      count: Int64(own.count))
  }
}

/// The states of a prompt and of a response, for one layer.
package struct DeltaStates: Sendable {
  /// [3, state]: the one that every prompt begins with, the current prompt's, the current response's.
  private let memory: Matrix

  package init(_ heads: DeltaHeads) { memory = Matrix(rows: 3, columns: heads.stateFloats) }

  /// The runs of segments, in order: a response begins with the state that its prompt ended with.
  func runs(_ segments: [DeltaSegment]) -> [ttrl_delta_run] {
    let (zero, prompt, response) = (memory.row(0).base, memory.row(1).base, memory.row(2).base)
    return segments.map {
      ttrl_delta_run(
        start: Int64($0.own.lowerBound), count: Int64($0.own.count), state: $0.prefix.isEmpty ? prompt : response,
        initial: $0.prefix.isEmpty ? zero : prompt)
    }
  }
}

/// Output gates: `count` heads with `dimension` gates each, which begin at column `column` of the rows of a matrix.
package struct OutputGates: Sendable {
  package enum Activation: Sendable { case sigmoid, silu }

  package let rows: Matrix
  package let column: Int
  /// From one head's gates to the next one's.
  package let stride: Int
  package let count: Int
  package let dimension: Int
  package let activation: Activation

  /// Those of attention, which are beside the queries.
  package init(_ qkv: Matrix, heads: Heads) {
    precondition(heads.hasGates && qkv.columns == heads.width, "the rows have no gates")
    self.init(
      rows: qkv, column: heads.dimension, stride: 2 * heads.dimension, count: heads.query,
      dimension: heads.dimension, activation: .sigmoid)
  }

  /// Those of linear attention.
  package init(_ projected: Matrix, heads: DeltaHeads) {
    precondition(projected.columns == heads.width, "these are not projected rows")
    self.init(
      rows: projected, column: heads.convolvedWidth, stride: heads.valueDimension, count: heads.value,
      dimension: heads.valueDimension, activation: .silu)
  }

  private init(rows: Matrix, column: Int, stride: Int, count: Int, dimension: Int, activation: Activation) {
    self.rows = rows
    self.column = column
    self.stride = stride
    self.count = count
    self.dimension = dimension
    self.activation = activation
  }

  package var width: Int { count * dimension }

  package subscript(rows range: Range<Int>) -> OutputGates {
    OutputGates(
      rows: rows[rows: range], column: column, stride: stride, count: count, dimension: dimension,
      activation: activation)
  }

  var c: ttrl_gates {
    ttrl_gates(
      values: rows.base + column, row_stride: Int64(rows.columns), head_stride: Int64(stride),
      is_silu: activation == .silu)
  }
}

extension Kernels {
  /// out[rows, value width] = linear attention of the rows of a list, some key heads of it. Each sequence's state, of
  /// which the layer's part begins at `layer` times the heads' floats, becomes that after its last row.
  package func deltaRule(
    _ projected: Matrix, heads: DeltaHeads, weights: DeltaWeights, keyHeads: Range<Int>, rows: RowList, layer: Int,
    into out: Matrix, scratch: Floats
  ) {
    precondition(
      rows.stateFloats >= (layer + 1) * heads.stateFloats && rows.count <= projected.rows && rows.count <= out.rows,
      "deltaRule: rows without a state, or without room")
    run(
      rows.runs, projected, heads, weights, keyHeads, stateOffset: layer * heads.stateFloats, into: out,
      scratch: scratch)
  }

  /// The same for the segments of a batch, in order.
  package func deltaRule(
    _ projected: Matrix, heads: DeltaHeads, weights: DeltaWeights, keyHeads: Range<Int>, segments: [DeltaSegment],
    states: DeltaStates, into out: Matrix, scratch: Floats
  ) {
    for segment in segments { check(segment, projected, out) }
    run(
      states.runs(segments), projected, heads, weights, keyHeads, stateOffset: 0, into: out, scratch: scratch)
  }

  private func run(
    _ runs: [ttrl_delta_run], _ projected: Matrix, _ heads: DeltaHeads, _ weights: DeltaWeights,
    _ keyHeads: Range<Int>, stateOffset: Int, into out: Matrix, scratch: Floats
  ) {
    precondition(projected.columns == heads.width && out.columns == heads.valueWidth, "deltaRule: widths differ")
    precondition(keyHeads.lowerBound >= 0 && keyHeads.upperBound <= heads.key, "there are no key heads \(keyHeads)")
    precondition(scratch.count >= heads.scratchFloats, "deltaRule: the scratch is too small")
    functions.pointee.delta_rule(
      heads.c, weights.c, Int64(keyHeads.lowerBound), Int64(keyHeads.upperBound), runs, Int64(runs.count),
      Int64(stateOffset), projected.base, out.base, scratch.base)
  }

  /// dprojected += the gradient through `deltaRule` (all columns but the output gates) for a prompt and the responses
  /// that continue it, some key heads of it. `scratch` has at least `backwardScratchFloats` floats.
  package func deltaRuleBackward(
    _ projected: Matrix, heads: DeltaHeads, weights: DeltaWeights, keyHeads: Range<Int>, group: [DeltaSegment],
    dout: Matrix, dprojected: Matrix, gradients: DeltaGradients, scratch: Floats
  ) {
    precondition(
      projected.columns == heads.width && dprojected.columns == heads.width && dout.columns == heads.valueWidth,
      "deltaRuleBackward: widths differ")
    precondition(
      gradients.convolution.count == DeltaHeads.convolutionTaps * heads.convolvedWidth
        && gradients.decayLog.count == heads.value && gradients.stepBias.count == heads.value,
      "deltaRuleBackward: gradients do not fit")
    precondition(keyHeads.lowerBound >= 0 && keyHeads.upperBound <= heads.key, "there are no key heads \(keyHeads)")
    for (index, segment) in group.enumerated() {
      check(segment, projected, dout)
      check(segment, dprojected, dout)
      precondition(
        segment.prefix == (index == 0 ? segment.prefix.lowerBound..<segment.prefix.lowerBound : group[0].own),
        "a group is a prompt and the responses that continue it")
    }
    let rows = group.map(\.own.count).max() ?? 0
    precondition(scratch.count >= heads.backwardScratchFloats(rows: rows), "deltaRuleBackward: scratch is too small")
    functions.pointee.delta_rule_backward(
      heads.c, weights.c, Int64(keyHeads.lowerBound), Int64(keyHeads.upperBound), group.map(\.c), Int64(group.count),
      projected.base, dout.base, dprojected.base,
      ttrl_delta_gradients(
        convolution: gradients.convolution.base, a_log: gradients.decayLog.base, dt_bias: gradients.stepBias.base),
      scratch.base)
  }

  private func check(_ segment: DeltaSegment, _ rows: Matrix, _ others: Matrix) {
    precondition(
      !segment.own.isEmpty && max(segment.prefix.upperBound, segment.own.upperBound) <= min(rows.rows, others.rows)
        && segment.own.lowerBound >= 0 && segment.prefix.lowerBound >= 0, "rows of a segment are missing")
  }

  /// out = x · sigmoid(gate), or x · silu(gate), into the first rows of `out`.
  package func gate(_ x: Matrix, by gates: OutputGates, into out: Operand) {
    precondition(x.columns == gates.width && out.columns == gates.width, "gate: widths differ")
    precondition(gates.rows.rows >= x.rows && out.rows >= x.rows, "gate: rows are missing")
    functions.pointee.gate(
      x.base, gates.c, out.base, Int64(x.rows), Int64(gates.count), Int64(gates.dimension), out.isBFloat16)
  }

  /// The gradient through `gate`: of x, in place in `dy`; of the gates, to the same columns of `dgates`.
  package func gateBackward(_ x: Matrix, by gates: OutputGates, dy: Matrix, dgates: Matrix) {
    precondition(x.columns == gates.width && dy.columns == gates.width, "gateBackward: widths differ")
    precondition(
      dgates.columns == gates.rows.columns && [dy.rows, dgates.rows, gates.rows.rows].allSatisfy { $0 >= x.rows },
      "gateBackward: rows are missing")
    functions.pointee.gate_backward(
      x.base, gates.c, dy.base, dgates.base + gates.column, Int64(x.rows), Int64(gates.count), Int64(gates.dimension))
  }
}
