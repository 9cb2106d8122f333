// Scenario: what one seed simulates: the run, the fleet, and the faults.
//
// The settings are drawn as in swarm testing. Every fault is off in about half of the scenarios. In the others its rate
// differs by orders of magnitude, because a run in which everything fails all the time never gets far enough to reach
// interesting failures. Rounds are small (a few dozen slots) and last seconds, so that faults occur at every point of a
// round.

import Answers
import Base
import Fleet
package import Records
import TTRL

/// A kind of fault. The raw value is its name in reports.
package enum FaultKind: String, CaseIterable, Sendable {
  // Processes. Kills happen between two events, crashes between two effects of one event.
  case killCoordinator = "kill_coordinator"
  case killLearner = "kill_learner"
  case killWorker = "kill_worker"
  case crashBetweenEffects = "crash_between_effects"
  case pauseCoordinator = "pause_coordinator"
  case pauseLearner = "pause_learner"
  case pauseWorker = "pause_worker"
  /// A worker's engine makes no progress for minutes, while the worker continues to send messages.
  case stallEngine = "stall_engine"
  case drainWorker = "drain_worker"
  /// A worker that left is replaced by a new one.
  case joinWorker = "join_worker"
  /// A supervisor takes the learner for dead and starts another one while the first is running.
  case secondLearner = "second_learner"

  // The network.
  case cutConnection = "cut_connection"
  case refuseConnection = "refuse_connection"
  case delayPacket = "delay_packet"

  // Disks: bytes that differ from what was written.
  case damageInstall = "damage_install"
  case damagePublication = "damage_publication"
  case damageCheckpoint = "damage_checkpoint"

  // Workers that relay weights: they send wrong bytes, or none.
  case lieAsRelay = "lie_as_relay"
  case swallowAsRelay = "swallow_as_relay"

  // Drawn from separate dice, so that old seeds give the same run.
  /// A commit finds the disk full: the coordinator ends, and is started again when there is space.
  case fullDisk = "full_disk"
  /// The coordinator dies while it writes a policy: half a file is left under the policy's name.
  case tornPolicy = "torn_policy"
  /// The learner dies while it writes a checkpoint: half of the checkpoint is left.
  case tornCheckpoint = "torn_checkpoint"
  /// The learner's training hangs until its watchdog ends the process.
  case hangLearner = "hang_learner"

  // Only where there is a standby; drawn from its own dice too.
  case killStandby = "kill_standby"
  case pauseStandby = "pause_standby"
  /// The leading process dies, and its disk is gone.
  case loseDisk = "lose_disk"
  /// Coordinator and standby do not reach each other.
  case partition

  var isLater: Bool { [.fullDisk, .tornPolicy, .tornCheckpoint, .hangLearner].contains(self) }
  var isOfStandby: Bool { [.killStandby, .pauseStandby, .loseDisk, .partition].contains(self) }

  /// Whether the fault occurs at random times; the other faults occur by chance, at each opportunity.
  var isTimed: Bool {
    switch self {
    case .crashBetweenEffects, .refuseConnection, .delayPacket, .damageInstall, .damagePublication, .damageCheckpoint,
      .lieAsRelay, .swallowAsRelay, .fullDisk, .tornPolicy, .tornCheckpoint, .hangLearner:
      false
    default: true
    }
  }
}

/// The properties of one worker.
struct WorkerTraits: Sendable {
  /// Time to sample one slot.
  var slotTime: Instant.Span
  /// Slots that the worker holds at a time.
  var capacity: Int
  /// When the worker is started; some workers join late.
  var joinsAt: Instant
  /// Whether other workers can fetch chunks from it.
  var relays: Bool
  /// Whether it is on the coordinator's machine, and finds versions there as files.
  var sharesDisk = false
}

/// The standby of a run that has one.
struct StandbyTraits: Sendable {
  var durability: Durability
  var joinsAt: Instant
  var patience: Instant.Span
}

/// What a finished stage of a course left for the next one.
struct StageResult: Sendable {
  var prompts: Int
  var heldOut: Int
  /// The bytes of the version that it delivered.
  var published: [UInt8]
  /// The learner's state of that version, if the next stage carries the optimizer.
  var carried: [UInt8]?
}

/// The run, fleet and faults of one seed, before the run begins.
package struct Scenario: Sendable {
  package let seed: UInt64
  let method: Method
  let prompts: [Prompt]
  let heldOut: [Prompt]
  /// The answers by training prompt. The method reads them only if labels are `.truth`.
  let truth: [AnswerKey?]
  /// The policy with which the run begins.
  let initialPolicy: ToyPolicy
  let plan: [RoundSpec]

  /// The base's bytes, if versions are adapters.
  let base: [UInt8]?
  let workers: [WorkerTraits]
  /// nil if there is none.
  let standby: StandbyTraits?
  /// Whether the learner leaves versions in files of the coordinator's machine.
  let learnerSharesDisk: Bool
  /// The shortest time that a packet takes; the longest usual time is four times that.
  let latency: Instant.Span
  /// Weight bytes per chunk and trajectories per batch part. They are small, so that there are several chunks and
  /// parts.
  let chunkBytes: Int
  let partTrajectories: Int
  /// The learner writes a checkpoint once every this many versions. The last version always gets one.
  let checkpointEvery: UInt32
  /// The longest time for a training step, for verifying a policy, and for the restart of a killed process.
  let trainTime: Instant.Span
  let verifyTime: Instant.Span
  let restartTime: Instant.Span

  /// The probability per opportunity, or the mean interval in seconds for faults at random times; 0 means off.
  private let rates: [Double]
  /// A guard's score of each step. The best step's version can be the result.
  private let scores: [Int]
  private let deliversBest: Bool
  /// The version at which a guard or a plateau ends the run; nil if none does.
  let end: PolicyVersion?
  /// After a plateau, the last version is the result, unless the best one is asked for.
  private let endsAtPlateau: Bool
  /// No fault begins after `faultsUntil`. The run must end by `deadline`.
  let faultsUntil: Instant
  let deadline: Instant

  /// Rows of the toy policy: the training prompts, then the held-out prompts.
  var rows: Int { prompts.count + heldOut.count }

  func rate(of kind: FaultKind) -> Double { FaultKind.allCases.firstIndex(of: kind).map { rates[$0] } ?? 0 }

  package init(seed: UInt64) { self.init(seed: seed, prompts: nil, heldOut: nil) { ToyPolicy(rows: $0, seed: seed) } }

  /// A stage that begins with what another one left.
  ///
  /// - Throws: `ToyPolicyError` if that is not a policy.
  init(seed: UInt64, after stage: StageResult) throws {
    let first = try ToyPolicy(
      rows: stage.prompts + stage.heldOut, seed: seed, from: stage.published, carried: stage.carried)
    self.init(seed: seed, prompts: stage.prompts, heldOut: stage.heldOut) { _ in first }
  }

  /// - Parameters:
  ///   - seed: decides everything else.
  ///   - prompts: how many; nil for a number that the seed decides.
  ///   - heldOut: likewise.
  ///   - initialPolicy: makes policy 0, given its rows.
  private init(seed: UInt64, prompts givenPrompts: Int?, heldOut givenHeldOut: Int?, initialPolicy: (Int) -> ToyPolicy)
  {
    var dice = Dice(seed: seed, stream: .scenario)
    self.seed = seed
    let drawn = (prompts: dice.count(1...6), heldOut: dice.count(0...2))
    let promptCount = givenPrompts ?? drawn.prompts
    let heldOutCount = givenHeldOut ?? drawn.heldOut
    self.initialPolicy = initialPolicy(promptCount + heldOutCount)
    prompts = (0..<promptCount).map { Prompt(index: UInt32($0), tokens: [Int32($0)], kind: .math) }
    heldOut = (0..<heldOutCount).map {
      Prompt(index: UInt32($0), tokens: [Int32(promptCount + $0)], kind: .math)
    }
    truth = (0..<promptCount).map { $0 == 3 ? nil : ToyPolicy.key(of: Int32($0 % ToyPolicy.answerCount)) }
    method = Self.method(seed: seed, promptCount: promptCount, &dice)
    plan = Self.plan(method, promptCount: promptCount, heldOutCount: heldOutCount, &dice)

    let slotTime = dice.wildSpan(.milliseconds(4), doublings: 6)
    var diskDice = Dice(seed: seed, stream: .disks)
    learnerSharesDisk = diskDice.chance(0.5)
    workers = (0..<dice.count(1...5)).map { index in
      WorkerTraits(
        // Some workers are up to sixteen times slower than the others.
        slotTime: dice.chance(0.3) ? dice.wildSpan(slotTime, doublings: 4) : slotTime,
        capacity: dice.count(1...48),
        joinsAt: index == 0 || dice.chance(0.6) ? .zero : .zero + dice.span(.zero, .seconds(20)),
        relays: dice.chance(0.8), sharesDisk: diskDice.chance(0.5))
    }
    latency = dice.wildSpan(Instant.Span(nanoseconds: 50_000), doublings: 10)
    chunkBytes = dice.count(16...120)
    partTrajectories = dice.count(3...64)
    checkpointEvery = dice.pick([1, 1, 2, 3])
    trainTime = dice.wildSpan(.milliseconds(10), doublings: 8)
    verifyTime = dice.wildSpan(.milliseconds(1), doublings: 10)
    restartTime = dice.wildSpan(.milliseconds(100), doublings: 6)

    var baseDice = Dice(seed: seed, stream: .base)
    base = baseDice.chance(0.3) ? (0..<4 * baseDice.count(1...150)).map { _ in UInt8(baseDice.count(0...255)) } : nil

    var laterDice = Dice(seed: seed, stream: .laterFaults)
    var standbyDice = Dice(seed: seed, stream: .standby)
    let hasStandby = standbyDice.chance(0.5)
    standby =
      hasStandby
      ? StandbyTraits(
        durability: method.isJudged || standbyDice.chance(0.5) ? .replicated : .local,
        joinsAt: .zero + standbyDice.span(.zero, .seconds(5)),
        patience: standbyDice.wildSpan(.milliseconds(1500), doublings: 4)) : nil
    rates = FaultKind.allCases.map { kind in
      if kind.isOfStandby {
        let mean = standbyDice.wildSpan(.seconds(2), doublings: 5).seconds
        return hasStandby && standbyDice.chance(0.45) ? mean : 0
      }
      if kind.isLater { return laterDice.chance(0.45) ? laterDice.pick([0.001, 0.01, 0.1]) : 0 }
      guard dice.chance(0.45) else { return 0 }
      if kind.isTimed { return dice.wildSpan(.milliseconds(500), doublings: 6).seconds }
      // Few chunks are sent from worker to worker, so these probabilities are higher.
      return dice.pick([.lieAsRelay, .swallowAsRelay].contains(kind) ? [0.03, 0.1, 0.3] : [0.001, 0.01, 0.1])
    }
    faultsUntil = .zero + dice.wildSpan(.seconds(4), doublings: 5)
    let steps = method.steps
    scores = (0..<steps).map { _ in dice.count(0...3) }
    deliversBest = dice.chance(0.3)
    end = dice.chance(0.3) ? PolicyVersion(UInt32(dice.count(1...Int(steps)))) : nil
    var plateauDice = Dice(seed: seed, stream: .plateau)
    endsAtPlateau = plateauDice.chance(0.5)
    // After the last fault has begun: an engine can stand still for another 200 s, its leases for 120 s, and a learner
    // for 600 s. A full disk can keep the coordinator away for a minute. Then the slowest worker possibly has to sample
    // the whole plan alone, with pauses for training and fetching between the rounds.
    let slowest = workers.map(\.slotTime).max() ?? .zero
    let slots = UInt64(plan.reduce(0) { $0 + $1.slotCount })
    deadline =
      faultsUntil + .seconds(hasStandby ? 1500 : 1100) + slowest * slots + (trainTime + verifyTime + .seconds(30))
      * UInt64(plan.count)
  }

  /// The run's course after the steps that made this version. The best version is the newest one with the highest
  /// score.
  func course(at version: PolicyVersion) -> RunCourse {
    var best: UInt32?
    for step in 0..<version.number where scores[Int(step)] >= best.map({ scores[Int($0)] }) ?? 1 { best = step }
    func sampler(_ step: UInt32) -> PolicyVersion { samplingPolicy(ofStep: step, method: method) }
    let hasEnded = end.map { version >= $0 } ?? false
    let keepsBest = !hasEnded || !endsAtPlateau || deliversBest
    return RunCourse(
      best: keepsBest ? best.map(sampler) : nil, judged: version.number == 0 ? nil : sampler(version.number - 1),
      deliversBest: deliversBest, end: hasEnded ? end : nil)
  }

  /// The version with which the run ends, and the version that is its result.
  package var last: PolicyVersion { end ?? PolicyVersion(method.steps) }
  var delivered: PolicyVersion { course(at: last).delivered(last: last) }

  /// All rounds that must be closed at the end.
  package var expectedRounds: [RoundSpec] {
    let planned = plan.filter { end == nil || last.number == method.steps || $0.id.step < last.number }
    let evaluations = plan.filter { $0.id.purpose == .evaluate && $0.id.step == method.steps }
    return planned
      + evaluations.map { spec in
        var spec = spec
        spec.id = .evaluate(spec.id.set, at: delivered)
        spec.policy = delivered
        return spec
      }.filter { spec in !planned.contains { $0.id == spec.id } }
  }

  private static func method(seed: UInt64, promptCount: Int, _ dice: inout Dice) -> Method {
    var method = Method()
    method.seed = seed
    method.steps = UInt32(dice.count(1...6))
    method.promptsPerStep = dice.count(1...promptCount)
    method.votes = dice.count(2...24)
    method.trainSamples = dice.count(2...method.votes)
    method.selection = dice.pick([.random, .first])
    method.labels = dice.pick([.vote, .vote, .vote, .truth, .random])
    method.sampling = Sampling(
      temperature: dice.pick([0.7, 1]), maxNewTokens: Int32(dice.count(1...4)), stopTokens: ToyPolicy.stopTokens)
    method.miniBatch = dice.count(2...40)
    method.advantage = dice.pick([.grpo, .drGRPO, .rloo, .reinforcePlusPlus, .reinforcePlusPlusBaseline])
    method.zeroAdvantageGroups = dice.pick(ZeroAdvantageGroups.allCases)
    method.denominator = dice.pick(Denominator.allCases)
    method.klCoefficient = dice.pick([0, 0, 0.01])
    method.klEstimator = dice.pick(KLEstimator.allCases)
    method.klPlace = dice.pick(KLPlace.allCases)
    method.entropyCoefficient = dice.pick([0, 0.01])
    method.learningRate = 0.5
    drawVote(&method)
    drawStaleness(&method)
    drawMethod(&method)
    drawObjective(&method)
    drawVerdicts(&method)
    drawGiven(&method)
    drawForms(&method, promptCount: promptCount)
    return method
  }

  /// In how many forms a question is asked; drawn from separate dice too. Every question has to have all of its forms.
  private static func drawForms(_ method: inout Method, promptCount: Int) {
    var dice = Dice(seed: method.seed, stream: .forms)
    let orders = dice.pick([1, 1, 2, 3])
    if method.estimator == .coRewarding, promptCount % method.forms != 0 { method.estimator = .vote }
    let canVoteTogether =
      method.estimator.traits.usesLabel && method.estimator != .coRewarding && !method.stopsEarly
      && !method.objective.takesResponses
    if canVoteTogether, promptCount % orders == 0 { method.choiceOrders = orders }
    guard method.forms > 1 else { return }
    method.isJudged = false
    method.promptsPerStep = max(1, method.promptsPerStep / method.forms) * method.forms
  }

  /// Whether the steps learn given responses; drawn from separate dice too. Then nothing votes, and nothing is stale.
  private static func drawGiven(_ method: inout Method) {
    var dice = Dice(seed: method.seed, stream: .given)
    guard dice.chance(0.15) else { return }
    method.objective = dice.pick(PolicyObjective.allCases.filter(\.takesResponses))
    (method.awrTemperature, method.awrCap) = (dice.pick([0.5, 1]), dice.pick([2, 20]))
    (method.estimator, method.labels, method.earlyStop) = (.vote, .vote, .off)
    (method.promptWeights, method.isJudged, method.sampling.records) = (.equal, false, [])
    (method.klCoefficient, method.staleness) = (0, 0)
    if [.maxRL, .fixed].contains(method.advantage) { method.advantage = .grpo }
  }

  /// The responses that a round was given, in slot order. Every step has others.
  func given(_ spec: RoundSpec) -> [Trajectory] {
    zip(spec.prompts, spec.given).flatMap { prompt, count in
      (0..<count).map { sample in
        let slot = Slot(round: spec.id, prompt: prompt, sample: sample)
        var words = RandomSequence(
          seed: seed, purpose: .randomLabels, stream: SIMD3(spec.id.code | 1 << 31, prompt, sample))
        let length = Int(words.uniform() * Double(method.sampling.maxNewTokens))
        let answer = Int32(words.uniform() * Double(ToyPolicy.answerCount))
        let tokens = [Int32](repeating: Int32(ToyPolicy.answerCount), count: length) + [answer]
        var trajectory = Trajectory(
          slot: slot, policy: spec.policy, tokens: tokens, logprobs: tokens.map { _ in -1 }, entropySum: 0,
          finish: .stop)
        if method.objective == .awr { trajectory.verdict = Verdict(reward: Float(words.uniform())) }
        return trajectory
      }
    }
  }

  /// The younger estimators, selections, advantages and prompt weights, from separate dice too, so that an old seed's
  /// other settings stay what they were. Only combinations that the settings allow.
  private static func drawMethod(_ method: inout Method) {
    var dice = Dice(seed: method.seed, stream: .methods)
    if method.stopsEarly, dice.chance(0.4) {
      method.earlyStop = .bayes
      method.earlyStopError = dice.pick([0.05, 0.3])
    }
    guard method.labels == .vote, dice.chance(0.4) else { return }
    let estimators = RewardEstimator.allCases.filter { ![.vote, .softVote, .entropy, .confidence, .snr].contains($0) }
    method.estimator = dice.pick(estimators)
    method.earlyStop = .off
    method.ties = method.estimator.traits.usesLabel ? method.ties : .first
    method.minimumShare = method.estimator.traits.usesLabel ? method.minimumShare : 0
    method.sampling.records = method.estimator.traits.records
    method.promptWeights = dice.pick(PromptWeights.allCases)
    if method.estimator == .ddrl || dice.chance(0.3) { method.selection = .balanced }
    let drawn = dice.pick(AdvantageEstimator.allCases)
    if method.estimator.traits.rewards == .binary, !method.hasKL(in: .reward), !drawn.comparesPrompts {
      method.advantage = drawn
    }
    if method.estimator.traits.hasCandidates, method.advantage.comparesPrompts { method.advantage = .grpo }
    if method.estimator == .ddrl {
      method.advantage = .fixed
      method.klPlace = .loss
    }
  }

  /// The rules of the vote. They are drawn from separate dice, so that a seed's other settings do not depend on them.
  private static func drawVote(_ method: inout Method) {
    guard method.labels == .vote else { return }
    var dice = Dice(seed: method.seed, stream: .vote)
    method.estimator = dice.chance(0.7) ? .vote : dice.pick([.vote, .softVote, .entropy, .confidence, .snr])
    guard method.estimator == .vote else { return }
    method.ties = dice.pick(TieRule.allCases)
    method.minimumShare = dice.pick([0, 0, 0.3, 0.6])
    method.earlyStop = method.trainSamples < method.votes && dice.chance(0.7) ? .on : .off
  }

  /// The staleness, drawn from separate dice too.
  private static func drawStaleness(_ method: inout Method) {
    var dice = Dice(seed: method.seed, stream: .staleness)
    if dice.chance(0.5) { method.staleness = UInt32(dice.count(1...3)) }
    method.importanceCap = dice.pick([1, 1.2, 2])
  }

  /// The objective, drawn from separate dice too. NFT and PRIME need rewards of 0 and 1.
  private static func drawObjective(_ method: inout Method) {
    var dice = Dice(seed: method.seed, stream: .objective)
    let drawn = dice.chance(0.5) ? .clip : dice.pick(PolicyObjective.allCases.filter { !$0.takesResponses })
    guard drawn != .nft || !method.hasKL(in: .reward) else { return }
    guard ![.nft, .prime].contains(drawn) || method.estimator == .vote else { return }
    method.objective = drawn
    method.nftPromptWeight = dice.pick(NFTPromptWeight.allCases)
    (method.gamma, method.lambda) = (dice.pick([1, 0.9]), dice.pick([1, 0.8]))
    method.criticLearningRate = 0.5
    method.primeUpdate = dice.pick(PrimeUpdate.allCases)
    method.primeLearningRate = 5
  }

  /// Whether there is a reward command; drawn from separate dice too. Its rewards can be any numbers.
  private static func drawVerdicts(_ method: inout Method) {
    var dice = Dice(seed: method.seed, stream: .verdicts)
    guard ![.nft, .prime].contains(method.objective) else { return }
    method.isJudged = !method.stopsEarly && method.labels != .random && dice.chance(0.3)
  }

  /// What the reward command says about a response: a reward, a weight of its vote, that it is not valid, or nothing.
  ///
  /// The program is as unhelpful as it can be: once a verdict is durable, it says something else. So a run has the
  /// reference's bits only if nothing asks again, or if what is said then is not used.
  func verdict(of slot: Slot, isDurable: Bool) -> Verdict {
    var said = RandomSequence(
      seed: isDurable ? ~seed : seed, purpose: .randomLabels, stream: SIMD3(slot.round.code, slot.prompt, slot.sample))
    let number = Float(Int(said.uniform() * 8))
    switch said.uniform() {
    case ..<0.4: return Verdict(reward: number - 3)
    case ..<0.7: return Verdict(voteWeight: number)
    case ..<0.8: return Verdict()
    case ..<0.9: return Verdict(isValid: false)
    default: return Verdict(VerdictFault.allCases[Int(number) % VerdictFault.allCases.count])
    }
  }

  /// Training rounds, with evaluations of every version, of some versions, or of none. There is always an evaluation of
  /// the last version, because a plan ends with the last version that training makes. That evaluation is empty if
  /// nothing is evaluated.
  private static func plan(
    _ method: Method, promptCount: Int, heldOutCount: Int, _ dice: inout Dice
  ) -> [RoundSpec] {
    let every = dice.pick([UInt32(1), 2, 1000])
    let samples = UInt32(dice.count(1...6))
    let evaluation = Sampling(
      temperature: 0.6, maxNewTokens: method.sampling.maxNewTokens, stopTokens: method.sampling.stopTokens)
    var plan: [RoundSpec] = []
    for version in 0...method.steps {
      if version < method.steps {
        var round = trainingRound(ofStep: version, promptCount: promptCount, method: method)
        if method.objective.takesResponses {
          round.given = round.prompts.map { 1 + ($0 + version) % UInt32(method.trainSamples) }
        }
        plan.append(round)
      }
      guard version % every == 0 || version == method.steps else { continue }
      let isEmpty = every == 1000 && version == method.steps
      for (set, count) in [(QuestionSet.training, promptCount), (.heldOut, heldOutCount)]
      where count > 0 || set == .training {
        plan.append(
          RoundSpec(
            id: .evaluate(set, at: PolicyVersion(version)), prompts: isEmpty ? [] : (0..<UInt32(count)).map { $0 },
            samples: samples, sampling: evaluation))
      }
    }
    return plan.sorted { ($0.policy, $0.id) < ($1.policy, $1.id) }
  }
}
