// DistributionSettings: which distribution a token is drawn from. The sampler and the trainer share this definition.
//
// z = logit / temperature. The top-k tokens are kept. Of these, in order of falling probability, a token is kept if the
// tokens before it have less than top-p together; so at least one is kept. Probabilities are relative to the kept
// tokens. Among equal tokens, the lower index comes first. Greedy sampling (temperature 0) takes the largest logit and
// records its log-probability under the plain distribution at temperature 1.

package import Records
import Tensors

/// The part of `Sampling` that determines the distribution.
package struct DistributionSettings: Sendable, Hashable {
  package let isGreedy: Bool
  private(set) var inverseTemperature: Float
  let topP: Float
  let topK: Int

  /// The model's own distribution.
  package static let plain = DistributionSettings(temperature: 1, topP: 1, topK: 0)

  /// A temperature of 0 is greedy; a top-k of 0 is off.
  package init(temperature: Float, topP: Float, topK: Int) {
    precondition(temperature >= 0 && temperature.isFinite, "temperature must be at least 0, got \(temperature)")
    precondition(topP > 0 && topP <= 1, "top-p must be above 0 and at most 1, got \(topP)")
    precondition(topK >= 0, "top-k must be at least 0, got \(topK)")
    isGreedy = temperature == 0
    inverseTemperature = isGreedy ? 1 : 1 / temperature
    self.topP = isGreedy ? 1 : topP
    self.topK = isGreedy ? 0 : topK
  }

  package init(_ sampling: Sampling) {
    self.init(temperature: sampling.temperature, topP: sampling.topP, topK: Int(sampling.topK))
  }

  /// The same distribution for a model whose logits are divided by `divisor` before.
  func dividing(by divisor: Float) -> DistributionSettings {
    guard divisor != 1 else { return self }
    var settings = self
    settings.inverseTemperature /= divisor
    return settings
  }

  /// Turns a row of logits into z values; nil if they are not finite.
  func apply(to logits: Floats, scratch: DistributionScratch) -> TokenDistribution? {
    Kernels.best.distribution(
      of: logits, inverseTemperature: inverseTemperature, topK: topK, topP: topP, scratch: scratch)
  }
}
