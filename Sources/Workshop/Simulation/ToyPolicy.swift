// ToyPolicy: the smallest policy that the whole of TTRL can improve.
//
// It is a softmax over five tokens per prompt. Four tokens are answers and end the response. With the fifth the
// response continues. So responses differ in length, some reach the token limit, and some give no answer. All prompts
// share a bias, so each step changes every prompt a little, and one wrong trajectory in a batch changes all bits.
// The toy policy works like the real engine where exact bits matter: float32 masters and optimizer state; weights
// rounded to bfloat16, which are sampled from and published; and recomputed log-probabilities, which must agree with
// the recorded ones.
// Not here: transformers (LanguageModel).

package import Answers
import Base
package import Records
package import TTRL

#if canImport(Glibc)
  import Glibc
#endif

/// Why bytes are not a valid toy policy.
package enum ToyPolicyError: Error, Equatable {
  case wrongLength(found: Int, expected: Int)
}

/// A softmax policy in a table. Row r answers the prompts whose first token is r.
package struct ToyPolicy: Policy, Sendable, Equatable {
  /// Tokens 0..<answerCount are answers and stop tokens. After token `answerCount` the response continues.
  static let answerCount = 4
  static let vocabulary = answerCount + 1
  static let stopTokens = (0..<Int32(answerCount)).map { $0 }

  private let rows: Int
  /// The number of steps from which it has learned.
  package private(set) var version: PolicyVersion
  /// The run's seed. The seed and a slot determine a trajectory's random numbers.
  private let seed: UInt64
  /// [(rows + 1) × vocabulary] float32 masters; the last row is shared by all prompts.
  private var master: [Float]
  private var momentum: [Float]
  /// The masters rounded to bfloat16. Every forward pass reads them.
  private var weights: [Float]
  /// Policy 0's weights, if the run begins from another run; nil if they follow from the seed.
  private var beginning: [Float]?
  /// [rows] the critic: the value of every position of a row's responses. Only objective `ppo` changes it.
  private var critic: [Float]
  /// [(rows + 1) × vocabulary] PRIME's critic, minus policy 0. Only objective `prime` changes it.
  private var process: [Float]

  /// The policy with which a run begins. Every prompt has its own prior, so that votes are close but can be won.
  package init(rows: Int, seed: UInt64) {
    self.rows = rows
    self.seed = seed
    version = PolicyVersion(0)
    var noise = RandomSequence(seed: seed, purpose: .initialWeights)
    master = (0..<(rows + 1) * Self.vocabulary).map { _ in Float(noise.uniform() * 2 - 1) }
    momentum = [Float](repeating: 0, count: master.count)
    weights = master.map(Self.rounded)
    critic = [Float](repeating: 0, count: rows)
    process = [Float](repeating: 0, count: master.count)
  }

  /// The policy with which a run begins that begins from another run's version.
  ///
  /// - Parameters:
  ///   - rows: as in the other run.
  ///   - seed: the new run's.
  ///   - published: the version's bytes.
  ///   - carried: the state of the other run's optimizer; nil for a new optimizer.
  package init(rows: Int, seed: UInt64, from published: [UInt8], carried: [UInt8]?) throws {
    let version = PolicyVersion(0)
    try self.init(rows: rows, seed: seed, version: version, published: published)
    if let carried {
      let other = try ToyPolicy(rows: rows, seed: seed, version: version, state: carried)
      (master, momentum) = (other.master, other.momentum)
    }
    beginning = weights
  }

  /// Policy 0 of this policy's run.
  private var first: ToyPolicy {
    var first = ToyPolicy(rows: rows, seed: seed)
    if let beginning { (first.master, first.weights) = (beginning, beginning) }
    return first
  }

  /// This policy as one of a run that begins with another one.
  func beginning(with first: ToyPolicy) -> ToyPolicy {
    var policy = self
    policy.beginning = first.beginning
    return policy
  }

  // MARK: Bytes

  /// What samplers need: the rounded weights, float32 little-endian.
  package var published: [UInt8] {
    var out = ByteWriter(reserving: 4 * weights.count)
    for weight in weights { out.write(weight) }
    return out.bytes
  }

  /// The state from which training continues: masters, momentum, then the critics.
  package var state: [UInt8] {
    var out = ByteWriter(reserving: 12 * master.count + 4 * rows)
    for value in master + momentum + process + critic { out.write(value) }
    return out.bytes
  }

  /// A policy that can sample, from published bytes.
  package init(rows: Int, seed: UInt64, version: PolicyVersion, published bytes: [UInt8]) throws {
    let count = (rows + 1) * Self.vocabulary
    self.rows = rows
    self.version = version
    self.seed = seed
    weights = try Self.floats(bytes, count: count)
    master = weights
    momentum = [Float](repeating: 0, count: count)
    critic = [Float](repeating: 0, count: rows)
    process = momentum
  }

  /// A policy that can continue training, from its state.
  package init(rows: Int, seed: UInt64, version: PolicyVersion, state bytes: [UInt8]) throws {
    let count = (rows + 1) * Self.vocabulary
    self.rows = rows
    self.version = version
    self.seed = seed
    let values = try Self.floats(bytes, count: 3 * count + rows)
    master = Array(values[..<count])
    momentum = Array(values[count..<2 * count])
    process = Array(values[2 * count..<3 * count])
    critic = Array(values[(3 * count)...])
    weights = master.map(Self.rounded)
  }

  private static func floats(_ bytes: [UInt8], count: Int) throws -> [Float] {
    guard bytes.count == 4 * count else {
      throw ToyPolicyError.wrongLength(found: bytes.count, expected: 4 * count)
    }
    var reader = ByteReader(bytes)
    return try (0..<count).map { _ in try reader.readFloat() }
  }

  private static func rounded(_ value: Float) -> Float {
    Float(bitPattern: (value.bitPattern &+ 0x8000) & 0xFFFF_0000)
  }

  // MARK: Policy

  package func sample(_ prompt: Prompt, slots: [Slot], sampling: Sampling) -> [Trajectory] {
    sample(prompt.tokens, slots: slots, sampling: sampling)
  }

  /// - Parameter tokens: the prompt's tokens; the first token selects the row.
  func sample(_ tokens: [Int32], slots: [Slot], sampling: Sampling) -> [Trajectory] {
    let logprobs = logprobs(row: row(of: tokens), temperature: sampling.temperature)
    let entropy = Float(-logprobs.reduce(0) { $0 + exp($1) * $1 })
    return slots.map { slot in
      var trajectory = Trajectory(
        slot: slot, policy: version, tokens: [], logprobs: [], entropySum: 0, finish: .length)
      while trajectory.finish == .length, trajectory.tokens.count < Int(sampling.maxNewTokens) {
        let token = Self.draw(logprobs, at: slot.uniform(at: trajectory.tokens.count, seed: seed))
        trajectory.tokens.append(Int32(token))
        trajectory.logprobs.append(Float(logprobs[token]))
        trajectory.entropySum += entropy
        if sampling.records.contains(.entropies) { trajectory.entropies.append(entropy) }
        if sampling.stopTokens.contains(Int32(token)) { trajectory.finish = .stop }
      }
      // All tokens have the same distribution; log Σ exp z − z is minus a log-probability.
      if sampling.records.contains(.selfCertainty) {
        trajectory.selfCertainty = Float(-logprobs.reduce(0, +) / Double(logprobs.count))
      }
      return trajectory
    }
  }

  /// The token whose interval of cumulative probability contains `point`.
  private static func draw(_ logprobs: [Double], at point: Double) -> Int {
    var sum = 0.0
    for (token, logprob) in logprobs.enumerated() {
      sum += exp(logprob)
      if point < sum { return token }
    }
    return logprobs.count - 1
  }

  package func answer(of trajectory: Trajectory, to prompt: Prompt) -> AnswerKey? {
    guard trajectory.finish == .stop, let token = trajectory.tokens.last else { return nil }
    return Self.key(of: token)
  }

  /// The answer of a stop token.
  package static func key(of token: Int32) -> AnswerKey { answerKey("\(token)", kind: .string) }

  /// Policy 0 is computed again instead of being kept.
  package func referenceLogprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) -> [[Float]] {
    first.logprobs(of: trajectories, sampling: sampling)
  }

  package func logprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) -> [[Float]] {
    trajectories.map { trained in
      let logprobs = logprobs(row: row(of: trained.prompt.tokens), temperature: sampling.temperature)
      return trained.trajectory.tokens.map { Float(logprobs[Int($0)]) }
    }
  }

  package func values(of trajectories: [TrainedTrajectory], sampling: Sampling) -> [[Float]] {
    trajectories.map { trained in
      let value = critic[row(of: trained.prompt.tokens)]
      return [Float](repeating: value, count: trained.trajectory.tokens.count)
    }
  }

  package mutating func update(
    _ miniBatch: MiniBatch, method: Method, learningRate: Double
  ) -> UpdateReport {
    var report = UpdateReport()
    if method.objective == .ppo { report.critic = updateCritic(miniBatch, method: method) }
    var gradient = [Float](repeating: 0, count: master.count)
    for trained in miniBatch.trajectories {
      accumulate(trained, method: method, into: &gradient, &report)
    }
    let scale = Float(1 / miniBatch.divisor)
    let norm = gradient.reduce(0.0) { $0 + Double($1 * scale) * Double($1 * scale) }.squareRoot()
    report.gradientNorm = norm
    for index in master.indices {
      momentum[index] = 0.9 * momentum[index] + gradient[index] * scale
      master[index] -= Float(learningRate) * momentum[index]
    }
    weights = master.map(Self.rounded)
    return report
  }

  /// The critic of PRIME as a policy: policy 0, plus what it has learned.
  private var processPolicy: ToyPolicy {
    var policy = first
    for index in process.indices { policy.weights[index] += process[index] }
    return policy
  }

  package func processLogprobs(of trajectories: [TrainedTrajectory], sampling: Sampling) -> [[Float]] {
    processPolicy.logprobs(of: trajectories, sampling: sampling)
  }

  /// One step of gradient descent on the loss of PRIME's critic.
  package mutating func updateProcessRewards(_ miniBatch: MiniBatch, method: Method) -> CriticReport {
    var report = UpdateReport()
    var gradient = [Float](repeating: 0, count: process.count)
    let policy = processPolicy
    for trained in miniBatch.trajectories {
      let row = row(of: trained.prompt.tokens)
      let logprobs = policy.logprobs(row: row, temperature: method.sampling.temperature)
      let tokens = trained.trajectory.tokens
      let point = processLoss(
        of: trained, logit: processLogit(of: trained, logprobs: tokens.map { Float(logprobs[Int($0)]) }))
      report.lossSum += Double(point.loss) * Double(tokens.count)
      for token in tokens {
        for index in 0..<Self.vocabulary {
          let chosen: Float = index == Int(token) ? 1 : 0
          let slope = point.slope * (chosen - Float(exp(logprobs[index]))) / method.sampling.temperature
          gradient[row * Self.vocabulary + index] += slope
          gradient[rows * Self.vocabulary + index] += slope
        }
      }
    }
    let rate = Float(method.primeLearningRate / miniBatch.sequenceDivisor)
    for index in process.indices { process[index] -= rate * gradient[index] }
    return report.asCritic
  }

  /// One step of gradient descent on the critic's loss.
  private mutating func updateCritic(_ miniBatch: MiniBatch, method: Method) -> CriticReport {
    var report = UpdateReport()
    var gradient = [Float](repeating: 0, count: critic.count)
    for trained in miniBatch.trajectories {
      let row = row(of: trained.prompt.tokens)
      for (old, target) in zip(trained.values, trained.returns) {
        let point = valueLoss(value: critic[row], old: old, target: target, clip: method.valueClip)
        gradient[row] += point.slope / Float(miniBatch.tokenCount)
        report.lossSum += Double(point.loss)
      }
    }
    report.gradientNorm = gradient.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
    for row in critic.indices { critic[row] -= Float(method.criticLearningRate) * gradient[row] }
    return report.asCritic
  }

  /// Adds one trajectory's gradient: dL/d(logit) = (dL/d(lp) · (1[chosen] − p) − dL/dH · p · (lp + H)) / temperature,
  /// for its row and the bias.
  private func accumulate(
    _ trained: TrainedTrajectory, method: Method, into gradient: inout [Float], _ report: inout UpdateReport
  ) {
    let temperature = method.sampling.temperature
    let row = row(of: trained.prompt.tokens)
    let logprobs = logprobs(row: row, temperature: temperature)
    let entropy = Float(-logprobs.reduce(0) { $0 + exp($1) * $1 })
    let ratio = sequenceRatio(of: trained, logprobs: trained.trajectory.tokens.map { Float(logprobs[Int($0)]) })
    for (place, token) in trained.trajectory.tokens.enumerated() {
      let logprob = Float(logprobs[Int(token)])
      // The responses of supervised training were not sampled.
      let old = method.objective == .sft ? logprob : trained.old[place]
      let point = objective(of: trained, at: place, logprob: logprob, sequenceRatio: ratio, method: method)
      report.tokens += 1
      report.lossSum += Double(point.loss)
      report.clippedTokens += point.isClipped ? 1 : 0
      report.logprobGap = max(report.logprobGap, abs(logprob - old))
      let pull = method.entropyCoefficient - (trained.entropySlopes.isEmpty ? 0 : trained.entropySlopes[place])
      for index in 0..<Self.vocabulary {
        let chosen: Float = index == Int(token) ? 1 : 0
        let probability = Float(exp(logprobs[index]))
        let bonus = pull * trained.weight * probability * (Float(logprobs[index]) + entropy)
        let slope = (point.slope * (chosen - probability) + bonus) / temperature
        gradient[row * Self.vocabulary + index] += slope
        gradient[rows * Self.vocabulary + index] += slope
      }
    }
  }

  /// The weights were already rounded after the last update.
  package mutating func publish() { version = version.next }

  private func row(of tokens: [Int32]) -> Int { Int(tokens.first ?? 0) }

  /// [vocabulary] log-probabilities of one row at a temperature.
  private func logprobs(row: Int, temperature: Float) -> [Double] {
    let logits = (0..<Self.vocabulary).map { index in
      Double(weights[row * Self.vocabulary + index] + weights[rows * Self.vocabulary + index]) / Double(temperature)
    }
    let largest = logits.max() ?? 0
    let total = log(logits.reduce(0) { $0 + exp($1 - largest) }) + largest
    return logits.map { $0 - total }
  }
}

/// A 64-bit FNV-1a digest, 8 bytes. It is enough to detect damage by a simulated disk or network.
func digest(_ bytes: [UInt8]) -> [UInt8] {
  var hash = Fingerprint()
  for byte in bytes { hash.mix(UInt64(byte)) }
  var out = ByteWriter(reserving: 8)
  out.write(hash.value)
  return out.bytes
}

/// The same digest, of a chunk of weights.
func chunkDigest(_ bytes: [UInt8]) -> ChunkDigest { ChunkDigest(digest(bytes)) }

/// A running 64-bit hash of numbers. It depends on their order.
struct Fingerprint: Sendable, Equatable {
  private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

  mutating func mix(_ number: UInt64) {
    value = (value ^ number) &* 0x0000_0100_0000_01B3
    // FNV-1a moves bits only upwards. Fold the top back, so that a number's high bits reach the hash's low bits.
    value ^= value >> 32
  }
}
