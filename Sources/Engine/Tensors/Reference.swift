// Reference: what the kernels compute, in readable form.
//
// One plain function per kernel, in float64, on arrays, with exp and log of the C library. Tests compare the kernels
// with these, up to the rounding of float32; nothing else calls them. Gradients are not here: tests compare those of
// the whole model with finite differences.

import Glibc

/// The readable form of the kernels.
package enum Reference {
  /// x / sqrt(mean(x²) + epsilon) · weight, for one row.
  package static func rmsNorm(_ x: [Double], weight: [Double], epsilon: Double) -> [Double] {
    let meanSquare = x.reduce(0) { $0 + $1 * $1 } / Double(x.count)
    let inverse = 1 / (meanSquare + epsilon).squareRoot()
    return zip(x, weight).map { $0 * inverse * $1 }
  }

  /// activation(gate) · up, for one row [gate | up].
  package static func gatedUnit(_ gateUp: [Double], _ activation: GateActivation) -> [Double] {
    let width = gateUp.count / 2
    return (0..<width).map { activated(gateUp[$0], activation) * gateUp[width + $0] }
  }

  private static func activated(_ x: Double, _ activation: GateActivation) -> Double {
    switch activation {
    case .silu: x / (1 + exp(-x))
    case .geluTanh: x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x))) / 2
    }
  }

  /// One head, rotated by the angles of its position: dimension i of the first half with dimension i of the second.
  package static func rotate(_ x: [Double], cosines: [Double], sines: [Double]) -> [Double] {
    let half = x.count / 2
    let first = (0..<half).map { x[$0] * cosines[$0] - x[half + $0] * sines[$0] }
    let second = (0..<half).map { x[half + $0] * cosines[$0] + x[$0] * sines[$0] }
    return first + second
  }

  /// Softmax attention of one query (already scaled) over keys and values in order.
  package static func attention(query: [Double], keys: [[Double]], values: [[Double]]) -> [Double] {
    let scores = keys.map { key in zip(query, key).reduce(0) { $0 + $1.0 * $1.1 } }
    let weights = softmax(scores)
    return query.indices.map { d in zip(weights, values).reduce(0) { $0 + $1.0 * $1.1[d] } }
  }

  /// Linear attention by the gated delta rule over the projected rows q|k|v|z|b|a of one sequence: the results of all
  /// value heads, before their norm and gates. The convolution is [channels][4], the newest row's weight last.
  package static func deltaRule(
    _ rows: [[Double]], heads: DeltaHeads, convolution: [[Double]], decayLog: [Double], stepBias: [Double]
  ) -> [[Double]] {
    let (keys, values) = (heads.keyDimension, heads.valueDimension)
    let gates = heads.convolvedWidth + heads.valueWidth
    let zero = [Double](repeating: 0, count: keys)
    var states = (0..<heads.value).map { _ in (0..<values).map { _ in zero } }  // [head][V][K]
    return rows.indices.map { position in
      let convolved = (0..<heads.convolvedWidth).map { channel in
        let x = (0..<4).reduce(0) { sum, tap in
          let row = position - 3 + tap
          return row < 0 ? sum : sum + convolution[channel][tap] * rows[row][channel]
        }
        return x / (1 + exp(-x))
      }
      return (0..<heads.value).flatMap { head -> [Double] in
        let group = head / (heads.value / heads.key)
        let query = unit(convolved[group * keys..<(group + 1) * keys]).map { $0 / Double(keys).squareRoot() }
        let key = unit(convolved[(heads.key + group) * keys..<(heads.key + group + 1) * keys])
        let first = 2 * heads.key * keys + head * values
        let strength = 1 / (1 + exp(-rows[position][gates + head]))
        let step = log1p(exp(rows[position][gates + heads.value + head] + stepBias[head]))
        let decay = exp(-exp(decayLog[head]) * step)
        return (0..<values).map { column in
          let old = states[head][column].map { $0 * decay }
          let error = convolved[first + column] - zip(old, key).reduce(0) { $0 + $1.0 * $1.1 }
          let new = zip(old, key).map { $0 + $1 * strength * error }
          states[head][column] = new
          return zip(new, query).reduce(0) { $0 + $1.0 * $1.1 }
        }
      }
    }
  }

  private static func unit(_ x: ArraySlice<Double>) -> [Double] {
    let length = (x.reduce(0) { $0 + $1 * $1 } + 1e-6).squareRoot()
    return x.map { $0 / length }
  }

  package static func softmax(_ x: [Double]) -> [Double] {
    let maximum = x.max() ?? 0
    let weights = x.map { exp($0 - maximum) }
    let total = weights.reduce(0, +)
    return weights.map { $0 / total }
  }

  /// The tokens' probabilities: temperature, then top-k (0 is off), then top-p. Dropped tokens have probability 0.
  package static func probabilities(_ logits: [Double], temperature: Double, topK: Int, topP: Double) -> [Double] {
    let z = logits.map { $0 / temperature }
    var ranked = z.indices.sorted { (-z[$0], $0) < (-z[$1], $1) }
    if topK > 0 { ranked = Array(ranked.prefix(topK)) }
    let shares = softmax(ranked.map { z[$0] })
    var before = 0.0
    var kept: [Int] = []
    for (token, share) in zip(ranked, shares) where topP >= 1 || before < topP {
      kept.append(token)
      before += share
    }
    var result = [Double](repeating: 0, count: z.count)
    for (token, share) in zip(kept, softmax(kept.map { z[$0] })) { result[token] = share }
    return result
  }

  /// x[rows, inner] · weightsᵀ, weights [outputs, inner].
  package static func multiply(_ x: [[Double]], weights: [[Double]]) -> [[Double]] {
    x.map { row in weights.map { weight in zip(row, weight).reduce(0) { $0 + $1.0 * $1.1 } } }
  }
}
