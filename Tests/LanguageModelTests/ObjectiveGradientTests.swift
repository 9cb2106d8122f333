// The gradient of the whole objective through the whole model, against finite differences. It covers everything between
// a mini-batch and the optimizer's first moment. The loss is written again here, in double precision.

import Answers
import Base
import Glibc
import LanguageModel
import Records
import TTRL
import Tensors
import Testing

/// A mini-batch, and a model so small that every tensor can be varied.
private struct Trial {
  let plan = TransformerPlan(TinyModel.qwen2.configuration, type: .float32)
  let parameters = TinyModel.qwen2.parameters(seed: 4)
  let method: Method
  /// Log-probabilities minus the old ones: ratios of 0.67 to 4.06, on both sides of all points where the slope changes,
  /// and not close to them.
  private static let distances: [Float] = [0, 0.1, -0.1, 0.4, -0.4, 1.4]
  /// Old log-probabilities minus those that an older version recorded: ratios of 0.55 to 2.7.
  private static let lags: [Float] = [0.2, -0.6, 1, 0, 0.5]
  private(set) var batch = MiniBatch(step: 0, index: 1, trajectories: [])

  init(_ method: Method) throws {
    var method = method
    method.sampling = Sampling(temperature: 0.8, maxNewTokens: 20, stopTokens: [])
    self.method = method
    var random = choices(6)
    let v = plan.configuration.vocabularySize
    let prompts = [5, 16].enumerated().map {
      Prompt(index: UInt32($0.offset), tokens: random.tokens($0.element, below: v), kind: .string)
    }
    var members = [(0, 7), (0, 1), (0, 14), (1, 20), (1, 3)].enumerated().map { index, shape in
      TrainedTrajectory(
        prompt: prompts[shape.0],
        trajectory: Trajectory(
          slot: Slot(round: .train(step: 0), prompt: UInt32(shape.0), sample: UInt32(index)),
          policy: PolicyVersion(0), tokens: random.tokens(shape.1, below: v), logprobs: [], entropySum: 0,
          finish: .length))
    }
    let scored = try score(members, parameters)
    var policy = try policy()
    let reference = try policy.referenceLogprobs(of: members, sampling: method.sampling)
    let scale = LossScale(lengths: members.map(\.trajectory.tokens.count), method: method)
    for index in members.indices {
      members[index].weight = scale.weights[index]
      members[index].reference = reference[index]
      // The first has none, as where an estimator asks for slopes in some groups only.
      if method.estimator == .spine, index > 0 {
        members[index].entropySlopes = scored[index].logprobs.indices.map { Float((3 * index + $0) % 5) / 4 - 0.5 }
      }
      members[index].advantages = scored[index].logprobs.indices.map { Float((7 * index + 3 * $0) % 11) / 5 - 0.9 }
      if [.gspo, .nft].contains(method.objective) {
        members[index].advantages = members[index].advantages.map { _ in members[index].advantages[0] }
        members[index].agreement = 0.4
      }
      members[index].trajectory.logprobs = scored[index].logprobs.enumerated().map { place, logprob in
        logprob - Self.distances[(index + place) % 6]
      }
      guard method.staleness > 0 else { continue }
      members[index].starting = members[index].trajectory.logprobs
      for place in scored[index].logprobs.indices {
        let lag = Self.lags[(2 * index + place) % 5]
        members[index].trajectory.logprobs[place] -= lag
        members[index].importance.append(Float(min(exp(Double(lag)), Double(method.importanceCap))))
      }
    }
    batch = MiniBatch(step: 0, index: 1, trajectories: members)
    batch.divisor = scale.divisor
  }

  func policy() throws -> LanguageModelPolicy {
    try LanguageModelPolicy(
      plan: plan,
      optimizer: AdamW(
        AdamWSettings(beta1: 0.5, gradientNormMax: .infinity), parameters: Floats(parameters.array)),
      version: PolicyVersion(0), reference: TinyModel.qwen2.parameters(seed: 5),
      options: TrainerOptions(microBatchTokens: 40, isExact: true, threads: 1), seed: 1,
      reader: SumOfTokens())
  }

  func score(_ members: [TrainedTrajectory], _ parameters: Floats) throws -> [ScoredSequence] {
    try Backpropagation(plan).score(
      members.map {
        TrainingSequence(prompt: $0.prompt.tokens, response: $0.trajectory.tokens, group: $0.prompt.index)
      }, model: PreparedModel(plan: plan, parameters: parameters),
      distribution: DistributionSettings(method.sampling))
  }

  /// Σ w·(min(π/μ, C)·surrogate + β·KL + (slope − c)·entropy) / divisor, from the formulas.
  func loss(_ parameters: Floats) throws -> Double {
    var total = 0.0
    for (member, scored) in zip(batch.trajectories, try score(batch.trajectories, parameters)) {
      for place in scored.logprobs.indices {
        let logprob = Double(scored.logprobs[place])
        let a = Double(member.advantages[place])
        let recorded = Double(member.trajectory.logprobs[place])
        let old = method.staleness > 0 ? Double(member.starting[place]) : recorded
        var ratio = exp(logprob - old)
        if method.objective == .gspo {
          let distances = scored.logprobs.indices.map { Double(scored.logprobs[$0]) - Double(member.old[$0]) }
          ratio = exp(distances.reduce(0, +) / Double(distances.count))
        }
        var loss = max(-a * ratio, -a * min(max(ratio, 1 - Double(method.clipLow)), 1 + Double(method.clipHigh)))
        if a < 0 { loss = min(loss, -a * Double(method.dualClip)) }
        if method.objective == .nft {
          let remainder = (1 - 0.4 * ratio) / 0.6
          // A straight-through slope is that of the remainder itself.
          loss = a > 0 ? -a * log(ratio) : a * (remainder > 1 ? log(remainder) : remainder - 1)
        }
        if method.objective.takesResponses { loss = -a * logprob }
        loss *= min(exp(old - recorded), Double(method.importanceCap))
        if method.klPlace == .loss {
          let d = Double(member.reference[place]) - logprob
          loss += Double(method.klCoefficient) * divergence(d)
        }
        let slope = member.entropySlopes.isEmpty ? 0 : Double(member.entropySlopes[place])
        loss += (slope - Double(method.entropyCoefficient)) * Double(scored.entropies[place])
        total += Double(member.weight) * loss
      }
    }
    return total / batch.divisor
  }

  private func divergence(_ d: Double) -> Double {
    switch method.klEstimator {
    case .k1: -d
    case .k2: d * d / 2
    case .k3: min(exp(d) - d - 1, 10)
    }
  }

  /// The gradient in `update`: with beta1 = 1/2, the first moment after one update is half of it.
  func gradient() throws -> [Double] {
    var policy = try policy()
    _ = try policy.update(batch, method: method, learningRate: 0)
    return policy.optimizer.firstMoment.array.map { 2 * Double($0) }
  }
}

/// An objective to differentiate.
private func objectives() -> [Method] {
  func method(_ change: (inout Method) -> Void) -> Method {
    var method = Method()
    method.clipHigh = 0.28
    change(&method)
    return method
  }
  var all = [method { _ in }]
  all += Denominator.allCases.map { denominator in method { $0.denominator = denominator } }
  all += KLEstimator.allCases.map { estimator in
    method {
      $0.klCoefficient = 0.5
      $0.klEstimator = estimator
    }
  }
  all.append(method { $0.entropyCoefficient = 0.5 })
  // Slopes of entropies by token, alone and together with the bonus.
  for bonus: Float in [0, 0.5] {
    all.append(
      method {
        $0.estimator = .spine
        $0.entropyCoefficient = bonus
      })
  }
  all.append(method { $0.clipLow = 0.5 })
  all.append(method { $0.clipHigh = 1 })
  all.append(method { $0.dualClip = 6 })
  all.append(method { $0.staleness = 1 })
  all.append(
    method {
      $0.objective = .gspo
      $0.clipHigh = 0.3
    })
  all.append(
    method {
      $0.objective = .gspo
      $0.denominator = .sequenceMean
      $0.klCoefficient = 0.3
      $0.entropyCoefficient = 0.2
      $0.clipHigh = 1
    })
  all.append(method { $0.objective = .nft })
  all.append(
    method {
      $0.objective = .nft
      $0.denominator = .fixedLength
      $0.staleness = 1
      $0.klCoefficient = 0.3
    })
  all.append(method { $0.objective = .sft })
  all.append(
    method {
      $0.objective = .awr
      $0.denominator = .sequenceMean
      $0.entropyCoefficient = 0.2
    })
  all.append(
    method {
      $0.staleness = 1
      $0.importanceCap = 1.3
      $0.klCoefficient = 0.5
    })
  all.append(
    method {
      $0.klCoefficient = 0.3
      $0.entropyCoefficient = 0.2
      $0.denominator = .microBatch
    })
  return all
}

@Suite struct `The gradient of the objective` {
  @Test(arguments: objectives())
  func `agrees with finite differences in every tensor`(_ method: Method) throws {
    let trial = try Trial(method)
    let gradient = try trial.gradient()
    var random = choices(5)
    for tensor in trial.plan.layout.tensors {
      let found = try DirectionalSlope(tensor.range, trial.parameters, gradient: gradient, &random, loss: trial.loss)
      let tolerance = 0.006 * found.scale + 0.001 * 45 / trial.batch.divisor
      #expect(abs(found.measured - found.predicted) < tolerance, "\(tensor.name): \(found)")
    }
  }

  @Test func `every objective has a different gradient from the default`() throws {
    let gradients = try objectives().dropFirst().map { try Trial($0).gradient() }
    let base = try Trial(objectives()[0]).gradient()
    // The first of the others is the token mean, which is the default.
    #expect(gradients[0] == base)
    for (index, gradient) in gradients.dropFirst().enumerated() { #expect(gradient != base, "objective \(index)") }
  }

  /// With top-p, the entropy is that of the truncated distribution, and the set of kept tokens is constant.
  @Test(arguments: [Float(1), 0.7])
  func `the entropy's gradient with respect to the logits agrees with finite differences`(_ topP: Float) throws {
    var random = choices(8)
    for size in [5, 16, 33, 400] {
      let row = (0..<size).map { _ in Float(random.uniform() * 6 - 3) }
      let z = Floats(row)
      let d = try #require(
        Kernels.best.distribution(
          of: z, inverseTemperature: 1, topK: 0, topP: topP, scratch: DistributionScratch(vocabularySize: size)))
      let kept = z.array.map { $0 > -.infinity }
      func entropy(_ logits: [Double]) -> Double {
        let total = zip(logits, kept).reduce(0) { $1.1 ? $0 + exp($1.0) : $0 }
        return zip(logits, kept).reduce(0) { sum, token in
          let p = exp(token.0) / total
          return token.1 ? sum - p * log(p) : sum
        }
      }
      let out = Floats(count: size)
      Kernels.best.entropyGradient(z, d, coefficient: 0, entropyCoefficient: -1, into: out)
      for index in 0..<size {
        var up = row.map(Double.init)
        var down = up
        up[index] += 1e-5
        down[index] -= 1e-5
        let measured = kept[index] ? (entropy(up) - entropy(down)) / 2e-5 : 0
        // 1e-6: float32 probabilities times logarithms of size 6.
        #expect(abs(Double(out[index]) - measured) < 1e-6, "\(size) tokens, top-p \(topP), token \(index)")
      }
    }
  }
}
