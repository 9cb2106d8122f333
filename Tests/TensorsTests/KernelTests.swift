// KernelTests: every kernel against its readable reference, and every instruction set against the others.

import Base
import Glibc
import Tensors
import Testing

/// Widths with and without a partly filled last vector, below and above one vector and four vectors.
private let widths = [1, 6, 16, 33, 64, 100, 176]

@Suite struct `The kernels` {
  @Test func `exp and log are within 3e-7 of the library's`() {
    var random = choices(1)
    let x = Floats(random.floats(5001, scale: 87))
    let out = Floats(count: x.count)
    Kernels.best.exponential(x, into: out)
    for index in 0..<x.count {
      let expected = exp(Double(x[index]))
      #expect(abs(Double(out[index]) - expected) <= 3e-7 * expected, "exp(\(x[index]))")
    }
    let logarithms = Floats(count: x.count)
    Kernels.best.logarithm(out, into: logarithms)
    for index in 0..<x.count {
      let expected = log(Double(out[index]))
      #expect(abs(Double(logarithms[index]) - expected) <= 3e-7 * max(1, abs(expected)), "log(\(out[index]))")
    }
  }

  @Test func `exp of minus infinity is 0 and of NaN is NaN`() {
    let out = Floats(count: 3)
    Kernels.best.exponential(Floats([-.infinity, .nan, -100]), into: out)
    #expect(out[0] == 0 && out[1].isNaN && out[2] == 0)
  }

  @Test func `rounding to bfloat16 is to nearest even and keeps NaN`() {
    let values: [(Float, UInt32)] = [
      (Float(bitPattern: 0x3F80_8000), 0x3F80_0000), (Float(bitPattern: 0x3F81_8000), 0x3F82_0000),
      (Float(bitPattern: 0x3F80_8001), 0x3F81_0000), (-0.0, 0x8000_0000), (.infinity, 0x7F80_0000),
    ]
    let out = Floats(count: values.count)
    Kernels.best.roundToBFloat16(Floats(values.map(\.0)), into: out)
    #expect(bits(out.array) == values.map(\.1))
    let notANumber = Floats(count: 1)
    Kernels.best.roundToBFloat16(Floats([Float(bitPattern: 0x7FFF_FFFF)]), into: notANumber)
    #expect(notANumber[0].isNaN)
  }

  @Test(arguments: widths) func `norms and gated units agree with the readable reference`(_ width: Int) {
    var random = choices(2)
    let x = matrix(random.floats(3 * width), columns: width)
    let weight = Floats(random.floats(width))
    let normed = Operand(rows: 4, columns: width, type: .float32)
    Kernels.best.rmsNorm(x, weight: weight, epsilon: 1e-5, into: normed)
    let gateUp = matrix(random.floats(6 * width, scale: 9), columns: 2 * width)
    for row in 0..<3 {
      let range = row * width..<(row + 1) * width
      let norm = Reference.rmsNorm(
        doubles(x.row(row).array), weight: doubles(weight.array), epsilon: 1e-5)
      #expect(worst(Array(normed.array[range]), norm) < 1e-6)
    }
    for activation in GateActivation.allCases {
      let activated = Operand(rows: 3, columns: width, type: .float32)
      Kernels.best.gatedUnit(gateUp, activation, into: activated)
      for row in 0..<3 {
        let found = Array(activated.array[row * width..<(row + 1) * width])
        #expect(worst(found, Reference.gatedUnit(doubles(gateUp.row(row).array), activation)) < 1e-6)
      }
    }
  }

  @Test func `the slope of an activation is that of the readable reference, also of large gates`() {
    let step = 1e-5
    let gates: [Float] = [-1e30, -1e13, -90, -16.5, -3, -0.75, -1e-6, 0, 0.1, 1, 2.5, 5, 16.5, 1e13, 1e30]
    let count = gates.count
    let gateUp = matrix(gates + [Float](repeating: 1, count: count), columns: 2 * count)
    let ones = matrix([Float](repeating: 1, count: count), columns: count)
    for activation in GateActivation.allCases {
      let dgateUp = Operand(rows: 1, columns: 2 * count, type: .float32)
      let activated = Operand(rows: 1, columns: count, type: .float32)
      Kernels.best.gatedUnitBackward(gateUp, activation, dactivated: ones, into: dgateUp, activated: activated)
      func value(_ gate: Double) -> Double { Reference.gatedUnit([gate, 1], activation)[0] }
      for (index, gate) in gates.map(Double.init).enumerated() {
        let found = Double(dgateUp.array[index])
        let expected =
          abs(gate) > 100 ? (gate > 0 ? 1 : 0) : (value(gate + step) - value(gate - step)) / (2 * step)
        #expect(abs(found - expected) < 2e-6, "\(activation) of \(gate): \(found), expected \(expected)")
      }
    }
  }

  @Test(arguments: [(1, 1), (16, 16), (37, 50), (48, 16)], DataType.allCases)
  func `a transposed operand has rows as columns, and zeroes in further columns`(_ size: (Int, Int), _ type: DataType) {
    let (rows, columns) = size
    var random = choices(3)
    let x = Operand(rows: rows, columns: columns, type: type)
    Kernels.best.convert(matrix(random.floats(rows * columns), columns: columns), into: x)
    let out = Operand(rows: columns, columns: 64, type: type)
    Kernels.best.transpose(x, rows: rows, into: out)
    let (before, after) = (x.array, out.array)
    for column in 0..<columns {
      for row in 0..<64 {
        #expect(after[column * 64 + row] == (row < rows ? before[row * columns + column] : 0))
      }
    }
  }

  @Test func `scattering gathered rows adds each row as often as it was gathered`() {
    let table = matrix((0..<30).map(Float.init), columns: 3)
    let index: [Int32] = [9, 0, 9, 4]
    let taken = Matrix(rows: 4, columns: 3)
    Kernels.best.gather(table, index, into: taken)
    #expect(taken.values.array == [27, 28, 29, 0, 1, 2, 27, 28, 29, 12, 13, 14])
    let sums = Matrix(rows: 10, columns: 3)
    Kernels.best.scatterAdd(taken, index, to: sums)
    #expect(sums.row(9).array == [54, 56, 58] && sums.row(4).array == [12, 13, 14] && sums.row(1).array == [0, 0, 0])
  }

  @Test(
    arguments: [
      (Heads(query: 4, keyValue: 2, dimension: 32), 32), (Heads(query: 3, keyValue: 3, dimension: 24), 24),
      (Heads(query: 4, keyValue: 2, dimension: 24, hasGates: true), 6), (Heads(query: 2, keyValue: 1, dimension: 6), 0),
    ], [nil, 1, 9, 16, 17, 40, 69, 70])
  func `attention over pages is softmax attention over the rotated keys in the window`(
    _ shape: (heads: Heads, rotated: Int), _ window: Int?
  ) {
    let (heads, rotated) = shape
    var random = choices(4)
    let count = 70
    let d = heads.dimension
    let rotary = RotaryTable(positions: count, dimension: rotated, theta: 100, scaling: nil)
    let pages = KeyValuePages(heads: heads, layers: 1)
    let rows = RowList(pages, capacity: 1)
    let table = PageTable(pages, positions: count)
    for position in 0..<count { rows.append(position: position, table: table) }
    let raw = matrix(random.floats(count * heads.width), columns: heads.width)
    let qkv = matrix(raw.values.array, columns: heads.width)
    let finish = QueryKeyValueFinish(bias: nil, queryNorm: nil, keyNorm: nil, normEpsilon: 0, rotary: rotary)
    Kernels.best.finishQueryKeyValue(qkv, heads: heads, finish: finish, rows: rows, range: 0..<count, layer: 0)
    let out = Operand(rows: count, columns: heads.queryWidth, type: .float32)
    Kernels.best.attention(
      qkv, heads: heads, window: window, rows: rows, range: 0..<count, layer: 0, into: out, statistics: nil,
      scratch: Floats(count: Kernels.attentionScratch(keys: count)))

    func part(_ position: Int, _ start: Int) -> [Double] { doubles(raw.row(position)[start..<start + d].array) }
    func turned(_ position: Int, _ start: Int) -> [Double] {
      let head = part(position, start)
      let first = Reference.rotate(
        Array(head[..<rotated]), cosines: doubles(rotary.cosines.row(position).array),
        sines: doubles(rotary.sines.row(position).array))
      return first + head[rotated...]
    }
    for position in [0, 8, 15, 16, 47, 69] {
      let seen = max(0, position + 1 - (window ?? count))...position
      for head in 0..<heads.query {
        let group = head / (heads.query / heads.keyValue)
        let keyAt = heads.width - 2 * heads.keyWidth + group * d
        let queryAt = head * (heads.hasGates ? 2 * d : d)
        let expected = Reference.attention(
          query: turned(position, queryAt).map { $0 / Double(d).squareRoot() },
          keys: seen.map { turned($0, keyAt) }, values: seen.map { part($0, keyAt + heads.keyWidth) })
        let start = position * heads.queryWidth + head * d
        #expect(worst(Array(out.array[start..<start + d]), expected) < 2e-6, "position \(position), head \(head)")
      }
    }
  }

  @Test(
    arguments: [
      Heads(query: 4, keyValue: 2, dimension: 32, pageType: .bfloat16),
      Heads(query: 9, keyValue: 3, dimension: 64, pageType: .bfloat16),
      Heads(query: 3, keyValue: 1, dimension: 48, hasGates: true, pageType: .bfloat16),
      Heads(query: 2, keyValue: 2, dimension: 6, pageType: .bfloat16),
    ], [nil, 1, 9, 40])
  func `attention over bfloat16 pages is attention over the rounded keys and values, bit for bit`(
    _ heads: Heads, _ window: Int?
  ) {
    var random = choices(11)
    let (count, shared) = (70, 37)
    // Without rotation, so that finished rows can be finished again.
    let rotary = RotaryTable(positions: count, dimension: 0, theta: 100, scaling: nil)
    let raw = random.floats(count * heads.width)
    func attention(_ heads: Heads, of values: [Float]) -> (qkv: [Float], out: [Float]) {
      let finish = QueryKeyValueFinish(
        bias: nil, queryNorm: nil, keyNorm: nil, normEpsilon: 0, queryScale: 1, rotary: rotary)
      let pages = KeyValuePages(heads: heads, layers: 1)
      let rows = RowList(pages, capacity: count)
      let prefix = PageTable(pages, positions: shared)
      for position in 0..<shared { rows.append(position: position, table: prefix) }
      let table = PageTable(continuing: prefix, after: shared, positions: count)
      for position in shared..<count { rows.append(position: position, table: table) }
      let qkv = matrix(values, columns: heads.width)
      let out = Operand(rows: count, columns: heads.queryWidth, type: .float32)
      Kernels.best.finishQueryKeyValue(qkv, heads: heads, finish: finish, rows: rows, range: 0..<count, layer: 0)
      table.copyEnd(of: prefix, count: shared)
      Kernels.best.attention(
        qkv, heads: heads, window: window, rows: rows, range: 0..<count, layer: 0, into: out, statistics: nil,
        scratch: Floats(count: Kernels.attentionScratch(keys: count)))
      return (qkv.values.array, out.array)
    }
    let found = attention(heads, of: raw)
    let wide = Heads(
      query: heads.query, keyValue: heads.keyValue, dimension: heads.dimension, hasGates: heads.hasGates)
    let expected = attention(wide, of: found.qkv)
    #expect(bits(found.qkv) == bits(expected.qkv) && bits(found.out) == bits(expected.out))
    let queries = heads.width - 2 * heads.keyWidth
    for (index, value) in found.qkv.enumerated() {
      let isQuery = index % heads.width < queries
      #expect(value == (isQuery ? raw[index] : nearestBFloat16(raw[index])), "value \(index)")
    }
  }

  private func nearestBFloat16(_ value: Float) -> Float {
    let values = Floats([value])
    Kernels.best.roundToBFloat16(values, into: values)
    return values[0]
  }

  @Test func `bfloat16 pages take half the memory`() {
    let pages = DataType.allCases.map { Heads(query: 9, keyValue: 3, dimension: 64, pageType: $0).pageFloats }
    #expect(pages == [2 * 3 * 64 * 16, 3 * 64 * 16])
  }

  @Test func `all instruction sets give the same bits`() {
    let results = Kernels.available.map { kernels in (kernels.name, sample(of: kernels)) }
    #expect(!results.isEmpty)
    for (name, result) in results.dropFirst() {
      for (index, values) in result.enumerated() {
        #expect(bits(values) == bits(results[0].1[index]), "\(name) and \(results[0].0) differ in result \(index)")
      }
    }
  }

  /// The results of a set of kernels on the same random numbers.
  private func sample(of kernels: Kernels) -> [[Float]] {
    var random = choices(6)
    var results: [[Float]] = []
    for width in widths {
      let x = matrix(random.floats(5 * width, scale: 4), columns: width)
      let weight = Floats(random.floats(width))
      for type in DataType.allCases {
        let normed = Operand(rows: 5, columns: width, type: type)
        kernels.rmsNorm(x, weight: weight, epsilon: 1e-6, into: normed)
        let gateUp = matrix(random.floats(10 * width, scale: 9), columns: 2 * width)
        let activated = Operand(rows: 5, columns: width, type: type)
        let dgateUp = Operand(rows: 5, columns: 2 * width, type: type)
        results.append(normed.array)
        for activation in GateActivation.allCases {
          kernels.gatedUnit(gateUp, activation, into: activated)
          results.append(activated.array)
          kernels.gatedUnitBackward(gateUp, activation, dactivated: x, into: dgateUp, activated: activated)
          results += [dgateUp.array, activated.array]
        }
      }
      let scaled = Floats(count: width)
      kernels.scale(weight, by: 0.3, into: scaled)
      kernels.add(weight, times: -0.7, to: scaled)
      results.append(scaled.array)
      let dx = Matrix(rows: 5, columns: width)
      let dweight = Floats(count: width)
      kernels.rmsNormBackward(
        x, weight: weight, epsilon: 1e-6, dy: x, dx: dx, dweight: dweight, inverses: Floats(count: 5))
      results += [dx.values.array, dweight.array, [Float(kernels.sumOfSquares(x.values))]]
    }
    for type in DataType.allCases {
      for window in [nil, 7, 16, 21] {
        results += attention(kernels, type, window: window, normWidths: (24, 24), &random)
      }
      results += attention(kernels, type, window: nil, normWidths: (6 * 24, 2 * 24), &random)
    }
    return results + distributions(kernels, &random)
  }

  private func attention(
    _ kernels: Kernels, _ type: DataType, window: Int?, normWidths: (query: Int, key: Int),
    _ random: inout RandomSequence
  ) -> [[Float]] {
    let heads = Heads(query: 6, keyValue: 2, dimension: 24, pageType: type)
    let count = 40
    let finish = QueryKeyValueFinish(
      bias: Floats(random.floats(heads.width)), queryNorm: Floats(random.floats(normWidths.query)),
      keyNorm: Floats(random.floats(normWidths.key)), normEpsilon: 1e-6,
      rotary: RotaryTable(positions: count, dimension: 24, theta: 100, scaling: nil))
    let pages = KeyValuePages(heads: heads, layers: 1)
    let rows = RowList(pages, capacity: count)
    let table = PageTable(pages, positions: count)
    for position in 0..<count { rows.append(position: position, table: table) }
    let qkv = matrix(random.floats(count * heads.width), columns: heads.width)
    let raw = matrix(qkv.values.array, columns: heads.width)
    kernels.finishQueryKeyValue(qkv, heads: heads, finish: finish, rows: rows, range: 0..<count, layer: 0)
    let out = Operand(rows: count, columns: heads.queryWidth, type: .float32)
    let statistics = Matrix(rows: count, columns: 12)
    kernels.attention(
      qkv, heads: heads, window: window, rows: rows, range: 0..<count, layer: 0, into: out, statistics: statistics,
      scratch: Floats(count: Kernels.attentionScratch(keys: count)))
    let dqkv = Matrix(rows: count, columns: heads.width)
    let dout = matrix(random.floats(count * heads.queryWidth), columns: heads.queryWidth)
    kernels.attentionBackward(
      qkv, heads: heads, window: window, groups: 0..<heads.keyValue, prefix: 0..<17, own: 17..<count,
      statistics: statistics, dout: dout, dqkv: dqkv,
      scratch: Floats(count: Kernels.attentionBackwardScratch(heads, keys: count)))
    let (dquery, dkey) = (Floats(count: normWidths.query), Floats(count: normWidths.key))
    kernels.finishQueryKeyValueBackward(
      dqkv, heads: heads, finish: finish, rows: rows, range: 0..<count, raw: raw, dqueryNorm: dquery, dkeyNorm: dkey)
    return [out.array, statistics.values.array, dqkv.values.array, dquery.array, dkey.array]
  }

  private func distributions(_ kernels: Kernels, _ random: inout RandomSequence) -> [[Float]] {
    [1, 48, 1000].flatMap { size -> [[Float]] in
      let z = Floats(random.floats(size, scale: 6))
      let d = kernels.distribution(
        of: z, inverseTemperature: 1.5, topK: 30, topP: 0.9, scratch: DistributionScratch(vocabularySize: size))
      guard let d else { return [] }
      let p = Floats(count: size)
      kernels.scaledProbabilities(z, d, coefficient: -0.3, into: p)
      return [z.array, p.array, [d.maximum, d.logSum, d.entropy], [Float(kernels.sample(z, d, uniform: 0.7))]]
    }
  }
}
