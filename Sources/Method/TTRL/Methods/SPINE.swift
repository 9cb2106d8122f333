// SPINE: learn only where responses fork, and keep the entropy there in a band, arXiv 2511.17938.
//
// Most tokens follow from those before them; a few, whose distributions have a high entropy, decide which way a
// response takes. Only these have advantages:
//
//   r_i = 1[a_i = label],  A_it · 1[H_t ≥ τ],  τ so that a fifth of the group's tokens are at or above it
//   loss + λ Σ over these tokens of (ln 2 − H_t) where H_t < ln 2, and of (H_t − ln 8) where H_t > ln 8;  λ = 0.01
//
// H_t is the entropy of the distribution that the token was sampled from; it also decides on which side of the band a
// token is, so its part of the loss has the same direction in all updates of a step. The authors' code could not be
// read. A fifth is the share of arXiv 2506.01939; the band, between two and eight equally likely ways, and λ are
// choices of this program. Tokens without an advantage still count in `denominator`.

import Records

#if canImport(Glibc)
  import Glibc
#endif

func forkingTokens(_ evidence: Evidence, _ method: Method) -> Estimate {
  var estimate = agreement(evidence, method)
  let entropies = evidence.trajectories.map(\.entropies)
  let sorted = entropies.joined().sorted(by: >)
  guard !sorted.isEmpty else { return estimate }
  let threshold = sorted[(sorted.count - 1) / 5]
  let band = (low: Float(log(2.0)), high: Float(log(8.0)))
  estimate.shaping.factors = .byToken(entropies.map { $0.map { $0 >= threshold ? 1 : 0 } })
  estimate.shaping.entropySlopes = entropies.map { values in
    values.map { $0 < threshold ? 0 : $0 < band.low ? -0.01 : $0 > band.high ? 0.01 : 0 }
  }
  return estimate
}
