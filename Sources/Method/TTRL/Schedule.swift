// Schedule: which prompts a step trains on, which version samples them, and the learning rate. These are pure functions
// of the settings, so nothing here has to be remembered, sent or restored.

import Base
package import Records

#if canImport(Glibc)
  import Glibc
#endif

/// The prompts of a step: B different ones. Each pass over the training set has its own permutation of the prompts.
///
/// No prompt is left out: the last, incomplete batch of a pass is filled with the first prompts of the same pass. (The
/// reference drops that batch; so does `lastBatch` `.drop`.) If a question has several forms, questions are permuted in
/// place of prompts, and each comes with all of its forms.
/// - Returns: min(B, promptCount) indices, ascending.
/// - Precondition: B and the number of prompts are multiples of `Method.forms`.
package func promptsOfStep(_ step: UInt32, promptCount: Int, method: Method) -> [UInt32] {
  let forms = method.forms
  precondition(promptCount >= forms, "a step needs at least one prompt")
  let (count, size) = (promptCount / forms, min(method.promptsPerStep, promptCount) / forms)
  let position = Int(step) % stepsPerPass(promptCount: promptCount, method: method) * size
  let pass = UInt32(passOfStep(step, promptCount: promptCount, method: method))
  var sequence = RandomSequence(seed: method.seed, purpose: .promptOrder, stream: SIMD3(pass, 0, 0))
  let order = sequence.permutation(of: count)
  return (0..<size).map { order[(position + $0) % count] }.sorted()
    .flatMap { question in (0..<forms).map { UInt32(question * forms + $0) } }
}

/// The pass over the training set that a step is in, counted from 0.
package func passOfStep(_ step: UInt32, promptCount: Int, method: Method) -> Int {
  Int(step) / stepsPerPass(promptCount: promptCount, method: method)
}

private func stepsPerPass(promptCount: Int, method: Method) -> Int {
  let size = min(method.promptsPerStep, promptCount)
  return method.lastBatch == .drop ? promptCount / size : (promptCount + size - 1) / size
}

/// The version that samples a step's batch: the one `staleness` steps before the version that the step trains, or
/// version 0. It is exactly that version, even if a newer one is ready: samples must not depend on time.
package func samplingPolicy(ofStep step: UInt32, method: Method) -> PolicyVersion {
  PolicyVersion(step - min(step, method.staleness))
}

/// The round that a step trains on. How many responses each prompt was given, if they are not sampled, the caller adds.
package func trainingRound(ofStep step: UInt32, promptCount: Int, method: Method) -> RoundSpec {
  let prompts = promptsOfStep(step, promptCount: promptCount, method: method)
  var round = RoundSpec(
    id: .train(step: step), policy: samplingPolicy(ofStep: step, method: method), prompts: prompts,
    samples: UInt32(method.objective.takesResponses ? method.trainSamples : method.votes), sampling: method.sampling)
  round.isJudged = method.isJudged
  if method.stopsEarly {
    round.required = prompts.map { prompt in
      trainedSamples(of: method.votes, step: step, prompt: prompt, method: method).map { UInt32($0) }
    }
  }
  return round
}

/// The learning rate of a step. All its updates use it.
///
/// With W warm-up steps of S, floor f, and cos₀(x) = f + (1 − f)·(1 + cos πx) / 2, relative to the peak:
/// `cosine` is min(1, (s + 1) / W) · cos₀(s / S), so the first step already learns; `cosineFromZero` is s / W while
/// s < W, then cos₀((s − W) / (S − W)), as the reference's `get_cosine_schedule_with_warmup`.
package func learningRate(ofStep step: UInt32, method: Method) -> Double {
  let warmup = min(1, Double(step + 1) / Double(max(method.warmupSteps, 1)))
  func cosine(_ progress: Double) -> Double {
    method.learningRateFloor + (1 - method.learningRateFloor) * (0.5 * (1 + cos(Double.pi * progress)))
  }
  switch method.rateSchedule {
  case .constant: return method.learningRate * warmup
  case .cosine: return method.learningRate * warmup * cosine(Double(step) / Double(max(method.steps, 1)))
  case .cosineFromZero:
    guard step >= method.warmupSteps else {
      return method.learningRate * Double(step) / Double(method.warmupSteps)
    }
    let left = max(Int(method.steps) - Int(method.warmupSteps), 1)
    return method.learningRate * cosine(Double(step - method.warmupSteps) / Double(left))
  }
}
