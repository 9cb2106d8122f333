// MultiplicationTests: products are right, and a row's bits do not depend on other rows.

import Base
import Tensors
import Testing

@Suite struct `Matrix multiplication` {
  @Test(arguments: [(5, 24, 40), (33, 128, 48), (70, 100, 17), (3, 1100, 1000)], Multiplication.here)
  func `agrees with the readable reference`(_ size: (Int, Int, Int), _ by: Multiplication) throws {
    let (rows, inputs, outputs) = size
    var random = choices(1)
    let room = roundedToBlocks(rows)
    let x = Operand(rows: room, columns: inputs, type: by.type)
    Kernels.best.convert(matrix(random.floats(rows * inputs), columns: inputs), into: x)
    let weights = random.rounded(outputs * inputs, to: by.type)
    let packed = try by.pack(weights.rows(of: inputs))
    let out = Matrix(rows: room, columns: outputs)
    try Multiplier(order: by.order).multiply(x, rows: rows, by: packed, into: out)
    let xs = doubles(x.array)
    let ws = doubles(weights.array)
    let expected = Reference.multiply(
      (0..<rows).map { Array(xs[$0 * inputs..<($0 + 1) * inputs]) },
      weights: (0..<outputs).map { Array(ws[$0 * inputs..<($0 + 1) * inputs]) })
    for row in 0..<rows { #expect(worst(out.row(row).array, expected[row]) < 2e-5) }
  }

  @Test(arguments: [(128, 384), (24, 40), (1100, 1000)], DataType.allCases)
  func `weights in the memory of others are what they are in fresh memory`(_ size: (Int, Int), _ type: DataType) throws
  {
    let (inputs, outputs) = size
    var random = choices(9)
    func weights() -> Matrix { matrix(random.floats(outputs * inputs), columns: inputs) }
    let (old, new) = (weights(), weights())
    func rows(_ packed: PackedWeights) -> [UInt32] {
      let row = Floats(count: inputs)
      return (0..<outputs).flatMap { index -> [UInt32] in
        packed.copyRow(index, to: row)
        return bits(row.array)
      }
    }
    let kept = try PackedWeights(old, type: type)
    let keptRows = rows(kept)
    // The one that is still used keeps its memory; the other one's is taken, once.
    let spare = PackedWeights.spare(of: [kept, try PackedWeights(old, type: type)])
    let packed = try PackedWeights(new, type: type, spare: spare)
    let another = try PackedWeights(new, type: type, spare: spare)
    #expect(spare.count == 1 && rows(kept) == keptRows)
    let expected = rows(try PackedWeights(new, type: type))
    #expect(rows(packed) == expected && rows(another) == expected)
  }

  @Test(arguments: [(128, 384), (384, 128), (24, 40), (64, 320), (1100, 1000)], Multiplication.here)
  func `a row's bits do not depend on its place or its neighbours`(_ size: (Int, Int), _ by: Multiplication) throws {
    let (inputs, outputs) = size
    var random = choices(2)
    for accumulates in [false, true] {
      let weights = matrix(random.floats(outputs * inputs), columns: inputs)
      let packed = try by.pack(weights, accumulates: accumulates)
      let multiplier = Multiplier(order: by.order)
      let row = random.floats(inputs)
      func product(at place: Int, of rows: Int, scale: Double) throws -> [UInt32] {
        let values = matrix(random.floats(rows * inputs, scale: scale), columns: inputs)
        values.row(place).copy(from: row)
        let x = Operand(rows: roundedToBlocks(rows), columns: inputs, type: by.type)
        Kernels.best.convert(values, into: x)
        let out = Matrix(rows: roundedToBlocks(rows), columns: outputs)
        out.values.fill(0.7)
        try multiplier.multiply(x, rows: rows, by: packed, into: out)
        return bits(out.row(place).array)
      }
      let alone = try product(at: 0, of: 1, scale: 0)
      let places = [(0, 64, 1.0), (5, 6, 1), (15, 16, 1), (16, 40, 1e4), (31, 64, 1), (47, 96, 1), (95, 130, 1e-6)]
      for (place, rows, scale) in places {
        #expect(try product(at: place, of: rows, scale: scale) == alone, "row \(place) of \(rows)")
      }
    }
  }

  @Test(arguments: [(128, 384), (384, 128), (24, 23), (1100, 1000)], Multiplication.here)
  func `equal rows give equal rows everywhere in a block`(_ size: (Int, Int), _ by: Multiplication) throws {
    let (inputs, outputs) = size
    var random = choices(4)
    let packed = try by.pack(matrix(random.floats(outputs * inputs), columns: inputs))
    let row = random.floats(inputs)
    let x = Operand(rows: blockRowsMax, columns: inputs, type: by.type)
    let equal = Array(repeatElement(row, count: blockRowsMax).joined())
    Kernels.best.convert(matrix(equal, columns: inputs), into: x)
    let out = Matrix(rows: blockRowsMax, columns: outputs)
    try Multiplier(order: by.order).multiply(x, rows: blockRowsMax, by: packed, into: out)
    let first = bits(out.row(0).array)
    for place in 0..<blockRowsMax { #expect(bits(out.row(place).array) == first, "row \(place)") }
  }

  @Test(arguments: Multiplication.here) func `an outer product adds dyᵀ·x`(_ by: Multiplication) throws {
    var random = choices(3)
    let (rows, inputs, outputs) = (20, 24, 50)
    let dy = Operand(rows: 64, columns: outputs, type: by.type)
    let x = Operand(rows: 64, columns: inputs, type: by.type)
    Kernels.best.convert(matrix(random.floats(rows * outputs), columns: outputs), into: dy)
    Kernels.best.convert(matrix(random.floats(rows * inputs), columns: inputs), into: x)
    let some = 3..<outputs - 1
    let gradient = Matrix(rows: some.count, columns: inputs)
    gradient.values.fill(1)
    try Multiplier(Team(2), order: by.order).addOuterProduct(
      dy, outputs: some, x, rows: rows, to: gradient, method: by.method)
    let (dys, xs) = (doubles(dy.array), doubles(x.array))
    for output in some {
      let expected = (0..<inputs).map { input in
        (0..<rows).reduce(1.0) { $0 + dys[$1 * outputs + output] * xs[$1 * inputs + input] }
      }
      #expect(worst(gradient.row(output - some.lowerBound).array, expected) < 1e-5)
    }
  }

  @Test(arguments: [(5, 24, 40), (96, 128, 48), (70, 100, 17), (3, 1100, 1000)], Multiplication.here)
  func `the backward product uses the same weights`(_ size: (Int, Int, Int), _ by: Multiplication) throws {
    let (rows, inputs, outputs) = size
    var random = choices(5)
    let dy = Operand(rows: roundedToBlocks(rows), columns: outputs, type: by.type)
    Kernels.best.convert(matrix(random.floats(rows * outputs), columns: outputs), into: dy)
    let weights = random.rounded(outputs * inputs, to: by.type).rows(of: inputs)
    let packed = try by.pack(weights, isForTraining: true)
    let dx = Matrix(rows: roundedToBlocks(rows), columns: inputs)
    try Multiplier(Team(2), order: by.order).multiplyBackward(dy, rows: rows, by: packed, into: dx)
    let (dys, ws) = (doubles(dy.array), doubles(weights.values.array))
    // The rounding error grows with the number of terms. A library's order of addition depends on the processor.
    let tolerance = max(2e-5, 4e-8 * Double(outputs))
    for row in 0..<rows {
      let expected = (0..<inputs).map { input in
        (0..<outputs).reduce(0.0) { $0 + dys[row * outputs + $1] * ws[$1 * inputs + input] }
      }
      #expect(worst(dx.row(row).array, expected) < tolerance)
    }
  }

  @Test(arguments: DataType.allCases, ProductOrder.allCases)
  func `products of columns have the bits of whole products, on all instruction sets and numbers of threads`(
    _ type: DataType, _ order: ProductOrder
  ) throws {
    var random = choices(10)
    let rows = 29
    // Beside each other, with gaps, at places that are not multiples of 16.
    let places = [(0..<5, 3..<86), (5..<10, 86..<87), (11..<51, 90..<190)]
    let (inputs, outputs) = (53, 200)
    let parts = try places.map { part in
      let weights = random.rounded(part.0.count * part.1.count, to: type).rows(of: part.0.count)
      return ColumnWeights(
        try PackedWeights(weights, type: type, accumulates: true), inputs: part.0, outputs: part.1)
    }
    func operand(_ width: Int) -> Operand {
      let operand = Operand(rows: rows, columns: width, type: type)
      Kernels.best.convert(matrix(random.floats(rows * width), columns: width), into: operand)
      return operand
    }
    func filled(_ width: Int) -> Matrix {
      let matrix = Matrix(rows: rows, columns: width)
      for index in 0..<matrix.values.count { matrix.values[index] = Float(index % 7) / 8 }
      return matrix
    }
    func columns(_ range: Range<Int>, of x: Operand) -> Operand {
      let part = Operand(rows: rows, columns: range.count, type: type)
      x.copy(columns: range, rows: rows, to: part)
      return part
    }
    func columns(_ range: Range<Int>, of x: Matrix) -> Matrix {
      matrix((0..<rows).flatMap { x.row($0)[range].array }, columns: range.count)
    }
    let (x, dy) = (operand(inputs), operand(outputs))
    let (expectedOut, expectedDx) = (filled(outputs), filled(inputs))
    let plain = Multiplier(order: order)
    for part in parts {
      let (out, dx) = (columns(part.outputs, of: expectedOut), columns(part.inputs, of: expectedDx))
      try plain.multiply(columns(part.inputs, of: x), rows: rows, by: part.weights, into: out)
      try plain.multiplyBackward(columns(part.outputs, of: dy), rows: rows, by: part.weights, into: dx)
      for row in 0..<rows {
        expectedOut.row(row)[part.outputs].copy(from: out.row(row))
        expectedDx.row(row)[part.inputs].copy(from: dx.row(row))
      }
    }
    for kernels in Kernels.available {
      for threads in [1, 2, 3] {
        let multiplier = Multiplier(Team(threads), kernels: kernels, order: order)
        let (out, dx) = (filled(outputs), filled(inputs))
        multiplier.addColumns(x, rows: rows, by: parts, into: out)
        multiplier.multiplyColumnsBackward(dy, rows: rows, by: parts, into: dx)
        #expect(bits(out.values.array) == bits(expectedOut.values.array), "\(kernels.name), \(threads) threads")
        #expect(bits(dx.values.array) == bits(expectedDx.values.array), "\(kernels.name), \(threads) threads")
      }
    }
  }

  @Test(arguments: DataType.allCases, ProductOrder.allCases)
  func `a backward product can be added to what is there`(_ type: DataType, _ order: ProductOrder) throws {
    var random = choices(11)
    let (rows, inputs, outputs) = (29, 83, 21)
    let weights = random.rounded(outputs * inputs, to: type).rows(of: inputs)
    let packed = try PackedWeights(weights, type: type)
    let dy = Operand(rows: rows, columns: outputs, type: type)
    Kernels.best.convert(matrix(random.floats(rows * outputs), columns: outputs), into: dy)
    let (dx, whole) = (Matrix(rows: rows, columns: inputs), Matrix(rows: rows, columns: inputs))
    dx.values.fill(0.75)
    try Multiplier(Team(2), order: order).multiplyBackward(dy, rows: rows, by: packed, into: dx, adds: true)
    try Multiplier(order: order).multiplyBackward(dy, rows: rows, by: packed, into: whole)
    for row in 0..<rows { #expect(worst(dx.row(row).array, doubles(whole.row(row).array).map { $0 + 0.75 }) < 2e-6) }
  }

  @Test(arguments: DataType.allCases) func `rows can be read back from packed weights`(_ type: DataType) throws {
    var random = choices(6)
    let weights = random.rounded(37 * 300, to: type).rows(of: 300)
    let packed = try PackedWeights(weights, type: type)
    let row = Floats(count: 300)
    for index in 0..<37 {
      packed.copyRow(index, to: row)
      #expect(bits(row.array) == bits(weights.row(index).array), "row \(index)")
    }
  }

  @Test(arguments: DataType.allCases, ProductOrder.allCases)
  func `all instruction sets and numbers of threads multiply to the same bits`(
    _ type: DataType, _ order: ProductOrder
  ) throws {
    var random = choices(7)
    let (rows, inputs, outputs) = (29, 700, 83)
    let weights = random.rounded(outputs * inputs, to: type).rows(of: inputs)
    let x = Operand(rows: rows, columns: inputs, type: type)
    Kernels.best.convert(matrix(random.floats(rows * inputs), columns: inputs), into: x)
    func products(_ kernels: Kernels, threads: Int) throws -> [[UInt32]] {
      let multiplier = Multiplier(Team(threads), kernels: kernels, order: order)
      let packed = try PackedWeights(weights, type: type)
      let y = Matrix(rows: rows, columns: outputs)
      let dx = Matrix(rows: rows, columns: inputs)
      let dw = Matrix(rows: outputs, columns: inputs)
      let dwFew = Matrix(rows: 7, columns: inputs)
      try multiplier.multiply(x, rows: rows, by: packed, into: y)
      let dy = Operand(rows: rows, columns: outputs, type: type)
      kernels.convert(y, into: dy)
      try multiplier.multiplyBackward(dy, rows: rows, by: packed, into: dx)
      try multiplier.addOuterProduct(dy, outputs: 0..<outputs, x, rows: rows, to: dw)
      try multiplier.addOuterProduct(dy, outputs: 5..<12, x, rows: rows, to: dwFew)
      #expect(bits(dwFew.values.array) == bits(dw[rows: 5..<12].values.array))
      return [y, dx, dw].map { bits($0.values.array) }
    }
    let expected = try products(.best, threads: 1)
    for kernels in Kernels.available {
      for threads in [1, 2, 3] {
        #expect(try products(kernels, threads: threads) == expected, "\(kernels.name), \(threads) threads")
      }
    }
  }
}

/// A type, and what multiplies it.
struct Multiplication: CustomTestStringConvertible, Sendable {
  let type: DataType
  let method: MultiplicationMethod
  /// Of bfloat16 products by the kernels.
  var order = ProductOrder.pair

  /// All that this processor can compute.
  static let here =
    (DataType.allCases.flatMap { type in
      [.kernels, .library].map { Multiplication(type: type, method: $0) }
    } + [Multiplication(type: .bfloat16, method: .kernels, order: .tile)])
    .filter { (try? $0.pack(Matrix(rows: 16, columns: 16))) != nil }

  var testDescription: String { "\(type) by \(method), \(order)" }

  func pack(
    _ weights: Matrix, accumulates: Bool = false, isForTraining: Bool = false
  ) throws -> PackedWeights {
    try PackedWeights(weights, type: type, accumulates: accumulates, isForTraining: isForTraining, method: method)
  }
}
