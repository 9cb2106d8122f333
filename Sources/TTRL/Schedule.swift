// Schedule: which prompts a step trains on and how fast it learns. Pure functions of the settings, so nothing of it
// needs to be remembered, sent or restored.

import Base
package import Records

#if canImport(Glibc)
  import Glibc
#endif

/// The prompts of a step: B distinct ones, drawn from a fresh permutation per pass over the set.
///
/// No prompt is skipped: the last, incomplete batch of a pass is filled from the front of the same pass. (The reference
/// drops it: `lastBatch`.)
/// - Returns: min(B, promptCount) indices, ascending.
package func promptsOfStep(_ step: UInt32, promptCount: Int, method: Method) -> [UInt32] {
  precondition(promptCount > 0, "a step needs at least one prompt")
  let size = min(method.promptsPerStep, promptCount)
  let stepsPerPass = method.lastBatch == .drop ? promptCount / size : (promptCount + size - 1) / size
  let pass = UInt32(Int(step) / stepsPerPass)
  let position = Int(step) % stepsPerPass * size
  var sequence = RandomSequence(seed: method.seed, purpose: .promptOrder, stream: SIMD3(pass, 0, 0))
  let order = sequence.permutation(of: promptCount)
  return (0..<size).map { UInt32(order[(position + $0) % promptCount]) }.sorted()
}

/// The learning rate of a step: linear warm-up, then a cosine down to `learningRateFloor` of the peak.
///
/// The first step already learns; the reference's first rate is 0, a step for nothing.
package func learningRate(ofStep step: UInt32, method: Method) -> Double {
  let warmup = min(1, Double(step + 1) / Double(max(method.warmupSteps, 1)))
  let progress = Double(step) / Double(max(method.steps, 1))
  let cosine = 0.5 * (1 + cos(Double.pi * progress))
  return method.learningRate * warmup * (method.learningRateFloor + (1 - method.learningRateFloor) * cosine)
}
