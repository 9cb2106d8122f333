// OptimizerTests: exact sums, and AdamW against its formula.

import Base
import Glibc
import Tensors
import Testing

@Suite struct `The exact gradient` {
  @Test func `does not depend on the order or grouping of its summands`() throws {
    var random = choices(1)
    let parts = (0..<9).map { _ in Floats(random.floats(1003, scale: 1e-3)) }
    let forwards = ExactGradient(count: 1003)
    for part in parts { try forwards.add(part) }
    for seed in UInt64(1)...5 {
      var order = choices(100 + seed)
      let ranks = (0..<3).map { _ in ExactGradient(count: 1003) }
      for part in order.permutation(of: 9) { try ranks[order.index(below: 3)].add(parts[part]) }
      try ranks[0].add(ranks[2])
      try ranks[0].add(ranks[1])
      #expect(ranks[0].array == forwards.array, "seed \(seed)")
    }
    let sum = Floats(count: 1003)
    forwards.write(to: sum, scale: 0.5)
    for index in 0..<1003 {
      let expected = 0.5 * parts.reduce(0.0) { $0 + Double($1[index]) }
      // Half a unit in the last place of a float32 below 2^-7, and half of 2^-40 for every summand.
      #expect(abs(Double(sum[index]) - expected) < 2.4e-10)
    }
  }

  @Test func `of one summand is that summand, rounded in place`() throws {
    var random = choices(3)
    // So many values that a team divides them, among them values that round to 0 and to -0.
    let count = (1 << 15) + 5
    let values = [0, -0.0, 1e-13, -1e-13, 0x1p-41, -0x1p-41] + random.floats(count - 6, scale: 1e-3)
    let sum = ExactGradient(count: count)
    try sum.add(Floats(values))
    let expected = Floats(count: count)
    sum.write(to: expected, scale: 1.0 / 3)
    for team in [nil, Team(2), Team(3)] {
      let rounded = Floats(values)
      try ExactGradient.round(rounded, scale: 1.0 / 3, team: team)
      #expect(rounded.array.map(\.bitPattern) == expected.array.map(\.bitPattern))
      let shared = ExactGradient(count: count)
      try shared.add(Floats(values), team: team)
      let written = Floats(count: count)
      shared.write(to: written, scale: 1.0 / 3, team: team)
      #expect(shared.array == sum.array && written.array == expected.array)
    }
    let tooLarge = ExactGradientError.tooLarge(magnitudes: 70000, limit: 65536)
    #expect(throws: tooLarge) { try ExactGradient.round(Floats([1, -70000]), scale: 1) }
    #expect(throws: ExactGradientError.notFinite) { try ExactGradient.round(Floats([.nan, 1]), scale: 1) }
  }

  @Test func `reports what it cannot add`() throws {
    let sum = ExactGradient(count: 3)
    try sum.add(Floats([60000, 0, -60000]))
    let tooLarge = ExactGradientError.tooLarge(magnitudes: 66000, limit: 65536)
    #expect(throws: tooLarge) { try sum.add(Floats([0, -6000, 0])) }
    let other = ExactGradient(count: 3)
    #expect(throws: ExactGradientError.notFinite) { try other.add(Floats([0, .nan, 1])) }
    #expect(throws: ExactGradientError.notFinite) { try other.add(Floats([0, -.infinity, 1])) }
    other.reset()
    try other.add(Floats([1, 2, 3]))
    #expect(other.array[1] == 2 << 40)
  }
}

@Suite struct `The optimizer` {
  @Test func `gives the same bits with any number of threads`() {
    var random = choices(4)
    let (start, gradient) = (random.floats(50_003), Floats(random.floats(50_003, scale: 1e-3)))
    let ends = [nil, Team(2), Team(3)].map { team in
      var optimizer = AdamW(AdamWSettings(weightDecay: 0.1), parameters: Floats(start), decayed: [17..<40_000])
      for _ in 0..<3 { _ = optimizer.apply(gradient, learningRate: 0.01, team: team) }
      return optimizer.parameters.array
    }
    #expect(ends[1] == ends[0] && ends[2] == ends[0])
  }

  @Test func `follows its formula, with clipping, and with decay in its ranges`() {
    var random = choices(2)
    let settings = AdamWSettings(beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weightDecay: 0.1, gradientNormMax: 1)
    let start = random.floats(37)
    var optimizer = AdamW(settings, parameters: Floats(start), decayed: [3..<20])
    var p = doubles(start)
    var m = [Double](repeating: 0, count: 37)
    var v = m
    for step in 1...5 {
      let gradient = random.floats(37, scale: step % 2 == 0 ? 1 : 0.01)
      let norm = doubles(gradient).reduce(0) { $0 + $1 * $1 }.squareRoot()
      #expect(abs(optimizer.apply(Floats(gradient), learningRate: 0.01) - norm) < 1e-12)
      for index in 0..<37 {
        let g = Double(gradient[index]) * min(1, 1 / norm)
        m[index] = 0.9 * m[index] + 0.1 * g
        v[index] = 0.98 * v[index] + 0.02 * g * g
        let step = Double(step)
        p[index] -= 0.01 * ((3..<20).contains(index) ? 0.1 : 0) * p[index]
        p[index] -= 0.01 * (m[index] / (1 - pow(0.9, step))) / ((v[index] / (1 - pow(0.98, step))).squareRoot() + 1e-8)
      }
    }
    #expect(worst(optimizer.parameters.array, p) < 1e-5)
    #expect(optimizer.step == 5)
  }

  @Test func `continues from saved state with the same bits`() {
    var random = choices(3)
    let start = random.floats(100)
    let gradients = (0..<6).map { _ in Floats(random.floats(100)) }
    var whole = AdamW(AdamWSettings(), parameters: Floats(start))
    for gradient in gradients { _ = whole.apply(gradient, learningRate: 0.01) }
    var first = AdamW(AdamWSettings(), parameters: Floats(start))
    for gradient in gradients[..<3] { _ = first.apply(gradient, learningRate: 0.01) }
    var second = AdamW(
      first.settings, parameters: Floats(first.parameters.array), firstMoment: Floats(first.firstMoment.array),
      secondMoment: Floats(first.secondMoment.array), step: first.step)
    for gradient in gradients[3...] { _ = second.apply(gradient, learningRate: 0.01) }
    #expect(bits(second.parameters.array) == bits(whole.parameters.array))
  }

  @Test func `a gradient that is not finite changes nothing`() {
    var optimizer = AdamW(AdamWSettings(), parameters: Floats([1, 2]))
    #expect(optimizer.apply(Floats([.nan, 1]), learningRate: 0.1).isNaN)
    #expect(optimizer.parameters.array == [1, 2] && optimizer.step == 0)
  }
}
