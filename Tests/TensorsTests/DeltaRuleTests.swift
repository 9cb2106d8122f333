// DeltaRuleTests: linear attention by the gated delta rule, against its readable form and with every instruction set.

import Base
import Tensors
import Testing

/// Heads with and without a partly filled last vector; more than one block of 64 columns; shared key heads.
private let shapes = [
  DeltaHeads(key: 1, value: 1, keyDimension: 16, valueDimension: 16),
  DeltaHeads(key: 2, value: 4, keyDimension: 6, valueDimension: 10),
  DeltaHeads(key: 2, value: 2, keyDimension: 33, valueDimension: 70),
  DeltaHeads(key: 1, value: 3, keyDimension: 8, valueDimension: 129),
]

/// A prompt, two responses that continue it, and another prompt. The prompt is longer than the steps that are prepared
/// together, the first response shorter than the convolution.
private let segments = [
  DeltaSegment(prefix: 0..<0, own: 0..<19), DeltaSegment(prefix: 0..<19, own: 19..<21),
  DeltaSegment(prefix: 0..<19, own: 21..<56), DeltaSegment(prefix: 56..<56, own: 56..<58),
]

private struct Layer {
  let heads: DeltaHeads
  let projected: Matrix
  let convolution: Floats
  let decayLog: Floats
  let stepBias: Floats

  init(_ heads: DeltaHeads, seed: UInt64) {
    var random = choices(seed)
    self.heads = heads
    projected = matrix(random.floats(58 * heads.width, scale: 2), columns: heads.width)
    convolution = Floats(random.floats(4 * heads.convolvedWidth))
    decayLog = Floats(random.floats(heads.value).map { $0 - 2 })
    stepBias = Floats(random.floats(heads.value))
  }

  var weights: DeltaWeights {
    DeltaWeights(heads, convolution: convolution, decayLog: decayLog, stepBias: stepBias)
  }

  func run(_ kernels: Kernels, keyHeads: [Range<Int>]) -> [Float] {
    let out = Matrix(rows: projected.rows, columns: heads.valueWidth)
    let scratch = Floats(count: heads.scratchFloats)
    for part in keyHeads {
      kernels.deltaRule(
        projected, heads: heads, weights: weights, keyHeads: part, segments: segments, states: DeltaStates(heads),
        into: out, scratch: scratch)
    }
    return out.values.array
  }

  /// The readable form, of given rows and weights.
  func reference(_ rows: [[Double]], _ convolution: [Double], _ decayLog: [Double], _ stepBias: [Double]) -> [[Double]]
  {
    let taps = (0..<heads.convolvedWidth).map { Array(convolution[4 * $0..<4 * $0 + 4]) }
    var out: [[Double]] = []
    for segment in segments {
      let all = Reference.deltaRule(
        segment.prefix.map { rows[$0] } + segment.own.map { rows[$0] }, heads: heads, convolution: taps,
        decayLog: decayLog, stepBias: stepBias)
      out += all[segment.prefix.count...]
    }
    return out
  }

  var rows: [[Double]] { (0..<projected.rows).map { doubles(projected.row($0).array) } }
}

@Suite struct `Linear attention` {
  @Test(arguments: shapes) func `agrees with the readable form`(_ heads: DeltaHeads) {
    let layer = Layer(heads, seed: 1)
    let found = layer.run(.best, keyHeads: [0..<heads.key])
    let expected = layer.reference(
      layer.rows, doubles(layer.convolution.array), doubles(layer.decayLog.array), doubles(layer.stepBias.array))
    // 1e-5: some tens of steps in float32, results below 1.
    #expect(worst(found, expected.flatMap { $0 }) < 1e-5)
  }

  @Test(arguments: shapes) func `has the same bits with every instruction set, and however its heads are shared`(
    _ heads: DeltaHeads
  ) {
    let layer = Layer(heads, seed: 2)
    let found = bits(layer.run(.best, keyHeads: [0..<heads.key]))
    #expect(bits(layer.run(.best, keyHeads: (0..<heads.key).reversed().map { $0..<$0 + 1 })) == found)
    for kernels in Kernels.available { #expect(bits(layer.run(kernels, keyHeads: [0..<heads.key])) == found) }
  }

  @Test(arguments: shapes) func `has the same bits token by token`(_ heads: DeltaHeads) {
    let layer = Layer(heads, seed: 3)
    let whole = layer.run(.best, keyHeads: [0..<heads.key])
    let pages = KeyValuePages(
      heads: Heads(query: 1, keyValue: 1, dimension: 2), layers: 1, stateFloats: 2 * heads.stateFloats)
    let rows = RowList(pages, capacity: 4)
    let out = Matrix(rows: 58, columns: heads.valueWidth)
    let scratch = Floats(count: heads.scratchFloats)
    func run(_ range: Range<Int>, of table: PageTable, from position: Int) {
      rows.removeAll()
      for row in range { rows.append(position: position + row - range.lowerBound, table: table) }
      Kernels.best.deltaRule(
        layer.projected[rows: range], heads: heads, weights: layer.weights, keyHeads: 0..<heads.key, rows: rows,
        layer: 1, into: out[rows: range], scratch: scratch)
    }
    let prompt = PageTable(pages, positions: 19)
    for part in [0..<1, 1..<3, 3..<19] { run(part, of: prompt, from: part.lowerBound) }
    for segment in segments[1...2] {
      let table = PageTable(continuing: prompt, after: 19, positions: 64)
      table.copyEnd(of: prompt, count: 19)
      for row in segment.own { run(row..<row + 1, of: table, from: 19 + row - segment.own.lowerBound) }
    }
    let count = 56 * heads.valueWidth
    #expect(bits(Array(out.values.array[..<count])) == bits(Array(whole[..<count])))
  }

  @Test func `two sequences of one list do not touch each other's states`() {
    let heads = shapes[1]
    let layer = Layer(heads, seed: 4)
    let pages = KeyValuePages(
      heads: Heads(query: 1, keyValue: 1, dimension: 2), layers: 1, stateFloats: heads.stateFloats)
    func results(_ sequences: [Int]) -> [[Float]] {
      let rows = RowList(pages, capacity: 4)
      let tables = sequences.map { _ in PageTable(pages, positions: 8) }
      let projected = Matrix(rows: 4 * sequences.count, columns: heads.width)
      for step in 0..<4 {
        for (place, sequence) in sequences.enumerated() {
          projected.row(step * sequences.count + place).copy(from: layer.projected.row(4 * sequence + step))
          rows.append(position: step, table: tables[place])
        }
      }
      let out = Matrix(rows: projected.rows, columns: heads.valueWidth)
      Kernels.best.deltaRule(
        projected, heads: heads, weights: layer.weights, keyHeads: 0..<heads.key, rows: rows, layer: 0, into: out,
        scratch: Floats(count: heads.scratchFloats))
      return sequences.indices.map { place in
        (0..<4).flatMap { out.row($0 * sequences.count + place).array }
      }
    }
    #expect(results([0, 1, 2]) == results([0]) + results([1]) + results([2]))
    #expect(pages.statesInUse == 0)
  }

  @Test(arguments: shapes) func `has the gradient of the readable form, with every instruction set`(
    _ heads: DeltaHeads
  ) {
    let layer = Layer(heads, seed: 5)
    var random = choices(6)
    let slopes = matrix(random.floats(58 * heads.valueWidth), columns: heads.valueWidth)
    func gradients(_ kernels: Kernels, keyHeads: [Range<Int>]) -> [[Float]] {
      let dprojected = Matrix(rows: 58, columns: heads.width)
      let gradients = DeltaGradients(
        convolution: Floats(count: layer.convolution.count), decayLog: Floats(count: heads.value),
        stepBias: Floats(count: heads.value))
      for part in keyHeads {
        for group in [Array(segments[..<3]), [segments[3]]] {
          kernels.deltaRuleBackward(
            layer.projected, heads: heads, weights: layer.weights, keyHeads: part, group: group, dout: slopes,
            dprojected: dprojected, gradients: gradients,
            scratch: Floats(count: heads.backwardScratchFloats(rows: 35)))
        }
      }
      return [dprojected.values, gradients.convolution, gradients.decayLog, gradients.stepBias].map(\.array)
    }
    let found = gradients(.best, keyHeads: [0..<heads.key])
    for kernels in Kernels.available {
      #expect(gradients(kernels, keyHeads: (0..<heads.key).map { $0..<$0 + 1 }).map(bits) == found.map(bits))
    }

    // Finite differences in float64, along a random direction of each part.
    let parts =
      [doubles(layer.projected.values.array), doubles(layer.convolution.array), doubles(layer.decayLog.array)]
      + [doubles(layer.stepBias.array)]
    func loss(_ parts: [[Double]]) -> Double {
      let rows = (0..<58).map { Array(parts[0][$0 * heads.width..<($0 + 1) * heads.width]) }
      let out = layer.reference(rows, parts[1], parts[2], parts[3]).flatMap { $0 }
      return zip(out, slopes.values.array).reduce(0) { $0 + $1.0 * Double($1.1) }
    }
    let names = ["projected rows", "convolution", "A_log", "dt_bias"]
    for part in parts.indices {
      for _ in 0..<4 {
        let direction = random.floats(parts[part].count).map(Double.init)
        func moved(_ step: Double) -> Double {
          var moved = parts
          moved[part] = zip(parts[part], direction).map { $0 + step * $1 }
          return loss(moved)
        }
        let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5
        let predicted = zip(found[part], direction).reduce(0) { $0 + Double($1.0) * $1.1 }
        let size = found[part].reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
        #expect(abs(expected - predicted) < 2e-5 * size, "\(names[part]): \(predicted), expected \(expected)")
      }
    }
  }

  @Test(arguments: [OutputGates.Activation.sigmoid, .silu]) func `output gates have the gradient of their formula`(
    _ activation: OutputGates.Activation
  ) {
    var random = choices(7)
    let heads = Heads(query: 2, keyValue: 1, dimension: 18, hasGates: true)
    let delta = DeltaHeads(key: 1, value: 2, keyDimension: 4, valueDimension: 18)
    let width = activation == .silu ? delta.width : heads.width
    let rows = matrix(random.floats(3 * width, scale: 3), columns: width)
    let gates = activation == .silu ? OutputGates(rows, heads: delta) : OutputGates(rows, heads: heads)
    let x = matrix(random.floats(3 * 36), columns: 36)
    let out = Operand(rows: 3, columns: 36, type: .float32)
    Kernels.best.gate(x, by: gates, into: out)
    let dy = matrix(random.floats(3 * 36), columns: 36)
    let (dx, dgates) = (Matrix(rows: 3, columns: 36), Matrix(rows: 3, columns: width))
    dx.values.copy(from: dy.values)
    Kernels.best.gateBackward(x, by: gates, dy: dx, dgates: dgates)
    for row in 0..<3 {
      for column in 0..<36 {
        let place = gates.column + column / 18 * gates.stride + column % 18
        let (g, value) = (Double(rows.row(row)[place]), Double(x.row(row)[column]))
        let s = Reference.softmax([g, 0])[0]
        let factor = activation == .silu ? g * s : s
        let slope = activation == .silu ? s * (1 + g * (1 - s)) : s * (1 - s)
        let d = Double(dy.row(row)[column])
        #expect(abs(Double(out.array[row * 36 + column]) - value * factor) < 1e-6)
        #expect(abs(Double(dx.row(row)[column]) - d * factor) < 1e-6)
        #expect(abs(Double(dgates.row(row)[place]) - d * value * slope) < 2e-6)
      }
    }
  }
}
