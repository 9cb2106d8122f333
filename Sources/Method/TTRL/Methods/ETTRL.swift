// ETTRL: certain responses count more, arXiv 2508.11356 ("entropy-based advantage reshaping").
//
//   r_i = 1[a_i = label],  A_i · (1 + (H̄ − H_i) / H̄)
//
// H_i is a response's mean entropy per token, H̄ the mean of all samples of the prompt. The factor is negative for a
// response whose entropy is more than twice the mean; the paper's formula has no bound, so there is none here. Its
// other half, responses that branch from a tree, needs another sampler.

import Records

func entropyReshaped(_ evidence: Evidence, _ method: Method) -> Estimate {
  var estimate = agreement(evidence, method)
  let entropies = evidence.trajectories.map(\.meanEntropy)
  let mean = entropies.reduce(0, +) / Double(max(entropies.count, 1))
  guard mean > 0 else { return estimate }
  estimate.shaping.factors = .bySample(entropies.map { Float(1 + (mean - $0) / mean) })
  return estimate
}
