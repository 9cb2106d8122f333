// RotaryScaling: how the rotary frequencies of a model that learned from short texts are changed for long ones.
//
// Each kind has the name that it has in config.json (`rope_type`), and computes what transformers computes
// (modeling_rope_utils.py): one frequency for each pair of dimensions, and a factor on cosines and sines. All of it is
// float64; transformers uses float32, and the table is rounded to float32 in the end. Sources: Llama 3.1; YaRN, arXiv
// 2309.00071.
// Not here: the table itself (RotaryTable.swift), which values a configuration may have (RotaryKeys.swift).

import Glibc

package enum RotaryScaling: Sendable, Hashable {
  /// All frequencies are divided by the factor.
  case linear(factor: Double)
  /// Frequencies change only for texts longer than the context, which the engine refuses; the factor is theirs.
  case dynamic(factor: Double)
  case llama3(Llama3Scaling)
  case yarn(YaRNScaling)
  case longRoPE(LongRoPEScaling)

  /// [D/2] radians for each position.
  func frequencies(theta: Double, dimension: Int) -> [Double] {
    let plain = Self.plainFrequencies(theta: theta, dimension: dimension)
    return switch self {
    case .linear(let factor): plain.map { $0 / factor }
    case .dynamic: plain
    case .llama3(let scaling): plain.map(scaling.stretched)
    case .yarn(let scaling): scaling.stretched(plain, theta: theta, dimension: dimension)
    case .longRoPE(let scaling): zip(plain, scaling.shortFactors).map { $0 / $1 }
    }
  }

  /// [D/2] what each frequency is divided by.
  package func divisors(theta: Double, dimension: Int) -> [Double] {
    zip(Self.plainFrequencies(theta: theta, dimension: dimension), frequencies(theta: theta, dimension: dimension))
      .map { $0 / $1 }
  }

  /// What cosines and sines are multiplied with, so that the scores of attention are multiplied with its square.
  var attentionFactor: Double {
    switch self {
    case .linear, .dynamic, .llama3: 1
    case .yarn(let scaling): scaling.attentionFactor
    case .longRoPE(let scaling): scaling.attentionFactor
    }
  }

  static func plainFrequencies(theta: Double, dimension: Int) -> [Double] {
    (0..<dimension / 2).map { 1 / pow(theta, Double(2 * $0) / Double(dimension)) }
  }
}

/// `llama3`: wavelengths above `originalMaxPositions / lowFrequencyFactor` are stretched by `factor`, those below
/// `originalMaxPositions / highFrequencyFactor` are not, and between the two the factor changes smoothly.
package struct Llama3Scaling: Sendable, Hashable {
  package var factor: Double
  package var lowFrequencyFactor: Double
  package var highFrequencyFactor: Double
  package var originalMaxPositions: Int

  package init(factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalMaxPositions: Int) {
    self.factor = factor
    self.lowFrequencyFactor = lowFrequencyFactor
    self.highFrequencyFactor = highFrequencyFactor
    self.originalMaxPositions = originalMaxPositions
  }

  func stretched(_ frequency: Double) -> Double {
    let (wavelength, positions) = (2 * Double.pi / frequency, Double(originalMaxPositions))
    if wavelength < positions / highFrequencyFactor { return frequency }
    if wavelength > positions / lowFrequencyFactor { return frequency / factor }
    let smooth = (positions / wavelength - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor)
    return (1 - smooth) * frequency / factor + smooth * frequency
  }
}

/// `yarn`: dimensions that turn at least `betaFast` times within the original context are left alone, those that turn
/// at most `betaSlow` times are stretched by `factor`, and between the two the change is linear in the dimension.
package struct YaRNScaling: Sendable, Hashable {
  package var factor: Double
  package var originalMaxPositions: Int
  package var betaFast: Double
  package var betaSlow: Double
  package var attentionFactor: Double
  /// The ends of the linear part are rounded to whole dimensions.
  package var truncates: Bool

  /// - Parameters:
  ///   - factor: of the context.
  ///   - originalMaxPositions: the context of the first training, in tokens.
  ///   - betaFast: turns in that context from which a frequency stays.
  ///   - betaSlow: turns below which a frequency is divided by `factor`.
  ///   - truncates: whether the bounds between the two are whole dimensions.
  ///   - attentionFactor: if nil, it follows from `factor` and `scales`.
  ///   - scales: `mscale` and `mscale_all_dim`, if both are given.
  package init(
    factor: Double, originalMaxPositions: Int, betaFast: Double = 32, betaSlow: Double = 1,
    attentionFactor: Double? = nil, scales: (each: Double, all: Double)? = nil, truncates: Bool = true
  ) {
    func scale(_ by: Double) -> Double { factor <= 1 ? 1 : 0.1 * by * log(factor) + 1 }
    self.factor = factor
    self.originalMaxPositions = originalMaxPositions
    self.betaFast = betaFast
    self.betaSlow = betaSlow
    self.attentionFactor = attentionFactor ?? scales.map { scale($0.each) / scale($0.all) } ?? scale(1)
    self.truncates = truncates
  }

  func stretched(_ frequencies: [Double], theta: Double, dimension: Int) -> [Double] {
    /// The dimension that turns this often within the original context.
    func place(_ turns: Double) -> Double {
      Double(dimension) * log(Double(originalMaxPositions) / (turns * 2 * .pi)) / (2 * log(theta))
    }
    let low = max(truncates ? place(betaFast).rounded(.down) : place(betaFast), 0)
    var high = min(truncates ? place(betaSlow).rounded(.up) : place(betaSlow), Double(dimension - 1))
    if low == high { high += 0.001 }
    return frequencies.enumerated().map { index, frequency in
      let ramp = min(max((Double(index) - low) / (high - low), 0), 1)
      return frequency / factor * ramp + frequency * (1 - ramp)
    }
  }
}

/// `longrope`: each frequency has a divisor of its own.
///
/// There are two lists. A text longer than the original context has the second one, from its first token on. What a
/// token computes would then depend on how long its text becomes, so only the first list is used, and the context ends
/// where it ends.
package struct LongRoPEScaling: Sendable, Hashable {
  /// [D/2] for texts of at most `originalMaxPositions` tokens.
  package var shortFactors: [Double]
  /// [D/2] for longer texts. Not used, only written again.
  package var longFactors: [Double]
  package var originalMaxPositions: Int
  /// The context with `longFactors`. Not used, only written again.
  package var longMaxPositions: Int
  package var attentionFactor: Double

  /// - Parameters:
  ///   - shortFactors: [D/2] of texts within the original context.
  ///   - longFactors: [D/2] of longer texts.
  ///   - originalMaxPositions: the original context, in tokens.
  ///   - longMaxPositions: the longer context.
  ///   - factor: of the context; if nil, what the two contexts say.
  ///   - attentionFactor: if nil, it follows from `factor`.
  package init(
    shortFactors: [Double], longFactors: [Double], originalMaxPositions: Int, longMaxPositions: Int,
    factor: Double? = nil, attentionFactor: Double? = nil
  ) {
    self.shortFactors = shortFactors
    self.longFactors = longFactors
    self.originalMaxPositions = originalMaxPositions
    self.longMaxPositions = longMaxPositions
    let stretch = factor ?? Double(longMaxPositions) / Double(originalMaxPositions)
    self.attentionFactor = attentionFactor ?? Self.attentionFactor(stretch, originalMaxPositions)
  }

  private static func attentionFactor(_ stretch: Double, _ positions: Int) -> Double {
    stretch <= 1 ? 1 : (1 + log(stretch) / log(Double(positions))).squareRoot()
  }

  /// What the two contexts say.
  package var usualAttentionFactor: Double {
    Self.attentionFactor(Double(longMaxPositions) / Double(originalMaxPositions), originalMaxPositions)
  }
}

/// Queries are multiplied with 1 + beta · log(1 + ⌊position / originalMaxPositions⌋), as in Llama 4.
package struct QueryScaling: Sendable, Hashable {
  package var beta: Double
  package var originalMaxPositions: Int

  package init(beta: Double, originalMaxPositions: Int) {
    self.beta = beta
    self.originalMaxPositions = originalMaxPositions
  }

  func scale(at position: Int) -> Float {
    1 + Float(beta) * Float(log(Double(1 + position / originalMaxPositions)))
  }
}
