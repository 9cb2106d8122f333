// AdamW: the optimizer.
//
// Everything is elementwise, so the result does not depend on threads, nor on which learner rank has which parameters
// (Shards). The gradient's norm is summed in float64, first within fixed blocks and then block by block. Parameters and
// both moments are flat arrays in the layout of the model, or a rank's shard of them. The state is these three and a
// count of updates.
// Source: arXiv 1711.05101 (decoupled weight decay), as in torch.optim.AdamW.

import CKernels

/// The settings of an optimizer. All are dimensionless.
package struct AdamWSettings: Sendable, Equatable {
  package var beta1: Float
  package var beta2: Float
  package var epsilon: Float
  package var weightDecay: Float
  /// Gradients with a larger norm are scaled down to this one. Infinity switches this off.
  package var gradientNormMax: Double

  package init(
    beta1: Float = 0.9, beta2: Float = 0.95, epsilon: Float = 1e-8, weightDecay: Float = 0,
    gradientNormMax: Double = 1
  ) {
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.weightDecay = weightDecay
    self.gradientNormMax = gradientNormMax
  }
}

/// Float32 master weights and their moments.
package struct AdamW: Sendable {
  package let settings: AdamWSettings
  package let parameters: Floats
  package let firstMoment: Floats
  package let secondMoment: Floats
  /// Updates applied so far.
  package private(set) var step: Int
  /// Ranges of parameters to which weight decay applies, in order.
  private let decayed: [Range<Int>]

  /// A new optimizer, with moments of zero. It owns `parameters` and writes to them. Weight decay applies to the ranges
  /// `decayed`, which are ascending and disjoint; nil: to all parameters.
  package init(_ settings: AdamWSettings, parameters: Floats, decayed: [Range<Int>]? = nil) {
    self.init(
      settings, parameters: parameters, firstMoment: Floats(count: parameters.count),
      secondMoment: Floats(count: parameters.count), step: 0, decayed: decayed)
  }

  /// An optimizer that continues from saved state.
  package init(
    _ settings: AdamWSettings, parameters: Floats, firstMoment: Floats, secondMoment: Floats, step: Int,
    decayed: [Range<Int>]? = nil
  ) {
    precondition(firstMoment.count == parameters.count, "\(firstMoment.count) first moments")
    precondition(secondMoment.count == parameters.count, "\(secondMoment.count) second moments")
    self.settings = settings
    self.parameters = parameters
    self.firstMoment = firstMoment
    self.secondMoment = secondMoment
    self.step = step
    self.decayed = decayed ?? [0..<parameters.count]
  }

  /// One update with the gradient of the loss. A gradient that is not finite changes nothing. The threads of a team
  /// divide the parameters among themselves, so their number has no influence on the result.
  /// - Returns: the gradient's norm before clipping.
  package mutating func apply(_ gradient: Floats, learningRate: Float, team: Team? = nil) -> Double {
    let norm = AdamW.norm(ofSquares: gradient.sumsOfSquares(team: team))
    apply(gradient, norm: norm, learningRate: learningRate, team: team)
    return norm
  }

  /// The norm of a gradient, from the sums of squares of all its blocks, in order.
  package static func norm(ofSquares sums: [Double]) -> Double { sums.reduce(0, +).squareRoot() }

  /// One update with a shard of the gradient; `norm` is that of the whole gradient.
  package mutating func apply(_ gradient: Floats, norm: Double, learningRate: Float, team: Team? = nil) {
    precondition(gradient.count == parameters.count, "\(gradient.count) gradients for \(parameters.count) parameters")
    apply(norm: norm, learningRate: learningRate, piece: max(1, parameters.count), team: team) { gradient[$0] }
  }

  /// The same with a gradient that is there piece by piece: `gradient` gives that of some parameters.
  package mutating func apply(
    norm: Double, learningRate: Float, piece: Int, team: Team? = nil, gradient: (Range<Int>) -> Floats
  ) {
    guard norm.isFinite else { return }
    step += 1
    let scale = norm > settings.gradientNormMax ? Float(settings.gradientNormMax / norm) : 1
    for start in stride(from: 0, to: parameters.count, by: piece) {
      let piece = start..<min(start + piece, parameters.count)
      let values = gradient(piece)
      var start = piece.lowerBound
      for range in decayed.map({ $0.clamped(to: piece) }) where !range.isEmpty {
        update(start..<range.lowerBound, of: piece, values, learningRate, scale, decay: 0, team)
        update(range, of: piece, values, learningRate, scale, decay: settings.weightDecay, team)
        start = range.upperBound
      }
      update(start..<piece.upperBound, of: piece, values, learningRate, scale, decay: 0, team)
    }
  }

  /// - Parameter gradient: of the parameters `piece`.
  private func update(
    _ range: Range<Int>, of piece: Range<Int>, _ gradient: Floats, _ rate: Float, _ scale: Float, decay: Float,
    _ team: Team?
  ) {
    guard !range.isEmpty else { return }
    let c = ttrl_adamw(
      learning_rate: rate, beta1: settings.beta1, beta2: settings.beta2, epsilon: settings.epsilon,
      weight_decay: decay, gradient_scale: scale, bias_correction1: 1 - power(settings.beta1, step),
      bias_correction2: 1 - power(settings.beta2, step))
    share(range.count, team) { part, _ in
      let part = range.lowerBound + part.lowerBound..<range.lowerBound + part.upperBound
      let place = part.lowerBound - piece.lowerBound..<part.upperBound - piece.lowerBound
      Kernels.best.adamW(
        c, gradient: gradient[place], parameters: parameters[part], first: firstMoment[part], second: secondMoment[part]
      )
    }
  }
}

/// base^exponent by repeated squaring in float64. It gives the same bits with every C library.
private func power(_ base: Float, _ exponent: Int) -> Float {
  var result = 1.0
  var square = Double(base)
  var left = exponent
  while left > 0 {
    if left % 2 == 1 { result *= square }
    square *= square
    left /= 2
  }
  return Float(result)
}
