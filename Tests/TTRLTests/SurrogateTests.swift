// The clipped objective and its slope, against the formula in double precision and finite differences.

import Records
import TTRL
import Testing

#if canImport(Glibc)
  import Glibc
#endif

@Suite struct SurrogateTests {
  private static func method(dualClip: Float = 3) -> Method {
    var method = Method()
    method.clipLow = 0.2
    method.clipHigh = 0.28
    method.dualClip = dualClip
    return method
  }

  /// −A·ρ, clipped, in double precision.
  private func loss(_ logprob: Double, _ recorded: Double, _ advantage: Double, dualClip: Double) -> Double {
    let ratio = exp(logprob - recorded)
    let larger = max(-advantage * ratio, -advantage * min(max(ratio, 0.8), 1.28))
    return advantage < 0 && dualClip > 0 ? min(larger, -advantage * dualClip) : larger
  }

  /// Ratios on both sides of 0.8, 1, 1.28 and 3, where the slope changes.
  @Test(arguments: [0.3, 0.7, 0.79, 0.81, 1, 1.1, 1.27, 1.29, 2, 2.9, 3.1, 5], [-1.5, -0.2, 0, 0.4, 2.5])
  func `loss and slope are those of the formula, clipped or not`(_ ratio: Double, _ advantage: Double) {
    for dualClip in [0.0, 3] {
      let recorded = -1.25
      let logprob = recorded + log(ratio)
      let token = surrogate(
        logprob: Float(logprob), old: Float(recorded), advantage: Float(advantage),
        method: Self.method(dualClip: Float(dualClip)))
      let exact = loss(logprob, recorded, advantage, dualClip: dualClip)
      let step = 1e-5
      let slope =
        (loss(logprob + step, recorded, advantage, dualClip: dualClip)
          - loss(logprob - step, recorded, advantage, dualClip: dualClip)) / (2 * step)
      // 1e-5: float32 results of size 10 at most.
      #expect(abs(Double(token.loss) - exact) < 1e-5, "ρ \(ratio), A \(advantage), dual clip \(dualClip)")
      #expect(abs(Double(token.slope) - slope) < 1e-5, "ρ \(ratio), A \(advantage), dual clip \(dualClip)")
    }
  }

  @Test func `a token whose log-probability is unchanged has slope −A, and is not clipped`() {
    let token = surrogate(logprob: -2, old: -2, advantage: 0.7, method: Self.method())
    #expect(token.loss == -0.7 && token.slope == -0.7 && !token.isClipped)
  }

  @Test func `dual clip limits the loss of one bad token`() {
    let token = surrogate(logprob: -1, old: -9, advantage: -1, method: Self.method())
    #expect(token.loss == 3 && token.slope == 0 && token.isClipped)
    let unbounded = surrogate(logprob: -1, old: -9, advantage: -1, method: Self.method(dualClip: 0))
    #expect(unbounded.loss > 2900 && !unbounded.isClipped)
  }
}
