// MultiplicationTests: products are right, and a row's bits are its own.

import Base
import Tensors
import Testing

@Suite struct `Matrix multiplication` {
  @Test(arguments: [(5, 24, 40), (33, 128, 48), (70, 100, 17), (3, 1100, 1000)], DataType.supported)
  func `agrees with the reference`(_ size: (Int, Int, Int), _ type: DataType) throws {
    let (rows, inputs, outputs) = size
    var random = choices(1)
    let room = roundedToBlocks(rows)
    let x = Operand(rows: room, columns: inputs, type: type)
    Kernels.best.convert(matrix(random.floats(rows * inputs), columns: inputs), into: x)
    let plain = Floats(random.floats(outputs * inputs))
    let weights = Floats(count: plain.count)
    if type == .bfloat16 { Kernels.best.roundToBFloat16(plain, into: weights) } else { weights.copy(from: plain) }
    let packed = try PackedWeights(weights.rows(of: inputs), isTransposed: true, type: type)
    let out = Matrix(rows: room, columns: outputs)
    try Multiplier().multiply(x, rows: rows, by: packed, into: out)
    let xs = doubles(x.array)
    let ws = doubles(weights.array)
    let expected = Reference.multiply(
      (0..<rows).map { Array(xs[$0 * inputs..<($0 + 1) * inputs]) },
      weights: (0..<outputs).map { Array(ws[$0 * inputs..<($0 + 1) * inputs]) })
    for row in 0..<rows { #expect(worst(out.row(row).array, expected[row]) < 2e-5) }
  }

  @Test(arguments: [(128, 384), (384, 128), (24, 40), (64, 320), (1100, 1000)], DataType.supported)
  func `a row's bits do not depend on its place or its neighbours`(_ size: (Int, Int), _ type: DataType) throws {
    let (inputs, outputs) = size
    var random = choices(2)
    for accumulates in [false, true] {
      let weights = matrix(random.floats(outputs * inputs), columns: inputs)
      let packed = try PackedWeights(weights, isTransposed: true, type: type, accumulates: accumulates)
      let multiplier = Multiplier()
      let row = random.floats(inputs)
      func product(at place: Int, of rows: Int, scale: Double) throws -> [UInt32] {
        let values = matrix(random.floats(rows * inputs, scale: scale), columns: inputs)
        values.row(place).copy(from: row)
        let x = Operand(rows: roundedToBlocks(rows), columns: inputs, type: type)
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

  @Test(arguments: [(128, 384), (384, 128), (24, 23), (1100, 1000)], DataType.supported)
  func `equal rows give equal rows everywhere in a block`(_ size: (Int, Int), _ type: DataType) throws {
    let (inputs, outputs) = size
    var random = choices(4)
    let packed = try PackedWeights(
      matrix(random.floats(outputs * inputs), columns: inputs), isTransposed: true, type: type)
    let row = random.floats(inputs)
    let x = Operand(rows: blockRowsMax, columns: inputs, type: type)
    let equal = Array(repeatElement(row, count: blockRowsMax).joined())
    Kernels.best.convert(matrix(equal, columns: inputs), into: x)
    let out = Matrix(rows: blockRowsMax, columns: outputs)
    try Multiplier().multiply(x, rows: blockRowsMax, by: packed, into: out)
    let first = bits(out.row(0).array)
    for place in 0..<blockRowsMax { #expect(bits(out.row(place).array) == first, "row \(place)") }
  }

  @Test(.enabled(if: !DataType.supported.contains(.bfloat16)))
  func `without AVX-512, bfloat16 is refused with a way out`() {
    let error = #expect(throws: MultiplicationError.self) {
      try PackedWeights(Matrix(rows: 16, columns: 16), isTransposed: true, type: .bfloat16)
    }
    #expect(error?.description.contains("--dtype float32") == true)
  }

  @Test(arguments: DataType.supported) func `an outer product adds dyᵀ·x`(_ type: DataType) throws {
    var random = choices(3)
    let (rows, inputs, outputs) = (20, 24, 10)
    let dy = Operand(rows: 64, columns: outputs, type: type)
    let x = Operand(rows: 64, columns: inputs, type: type)
    Kernels.best.convert(matrix(random.floats(rows * outputs), columns: outputs), into: dy)
    Kernels.best.convert(matrix(random.floats(rows * inputs), columns: inputs), into: x)
    let transposed = Operand(rows: outputs, columns: 64, type: type)
    Kernels.best.transpose(dy, rows: rows, into: transposed)
    let gradient = Matrix(rows: outputs, columns: inputs)
    gradient.values.fill(1)
    try Multiplier().addOuterProduct(transposed, x, to: gradient)
    let (dys, xs) = (doubles(dy.array), doubles(x.array))
    for output in 0..<outputs {
      let expected = (0..<inputs).map { input in
        (0..<rows).reduce(1.0) { $0 + dys[$1 * outputs + output] * xs[$1 * inputs + input] }
      }
      #expect(worst(gradient.row(output).array, expected) < 1e-5)
    }
  }
}
