// The objective against PyTorch's automatic differentiation (Tests/Fixtures/objectives, which has the script that made
// it), and the KL penalty against its formulas.

import Base
import Foundation
import Records
import TTRL
import Testing

/// One setting of the objective, and PyTorch's results for it.
struct ObjectiveCase: Sendable, CustomTestStringConvertible {
  let method: Method
  let loss: Double
  /// [S][T]
  let advantages: [[Double]]
  /// [S][T] d loss / d logprob.
  let slopes: [[Double]]
  /// [S][T] of a critic: what its values should be, and d (its loss) / d value.
  let returns: [[Double]]
  let valueSlopes: [[Double]]

  var testDescription: String {
    let kl = "\(method.klEstimator) × \(method.klCoefficient) in the \(method.klPlace)"
    let objective = "\(method.objective.rawValue), \(method.nftPromptWeight.rawValue)"
    return
      "\(objective), \(method.advantage.rawValue), \(method.denominator.rawValue), \(kl), clip \(method.clipHigh)"
  }
}

struct ObjectiveFixture: Sendable {
  /// S sequences, in the order in which they were drawn.
  let groups: [TrainedGroup]
  /// [S][T] the log-probabilities under the policy in training, and the critic's values.
  let logprobs: [[Float]]
  private(set) var values: [[Float]] = []
  let cases: [ObjectiveCase]

  static let made: ObjectiveFixture? = {
    do { return try ObjectiveFixture("objectives") } catch {
      Issue.record("the fixture cannot be read: \(error)")
      return nil
    }
  }()
  /// The other objectives.
  static let losses: ObjectiveFixture? = {
    do { return try ObjectiveFixture("losses") } catch {
      Issue.record("the fixture cannot be read: \(error)")
      return nil
    }
  }()

  private init(_ name: String) throws {
    let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Fixtures/objectives/\(name).json")
    let json = try JSON.parse(Array(try Data(contentsOf: path)))
    let tokensMax = try #require(json["max_new_tokens"]?.int)
    var groups: [TrainedGroup] = []
    var logprobs: [[Float]] = []
    for (index, sequence) in (json["sequences"]?.elements ?? []).enumerated() {
      let group = try #require(sequence["group"]?.int)
      let recorded = row(sequence["recorded"]).map(Float.init)
      var member = TrainedTrajectory(
        prompt: Prompt(index: UInt32(group), tokens: [1], kind: .math),
        trajectory: Trajectory(
          slot: Slot(round: .train(step: 0), prompt: UInt32(group), sample: UInt32(index)), policy: PolicyVersion(0),
          tokens: recorded.map { _ in 0 }, logprobs: recorded, entropySum: 0, finish: .stop),
        reward: Float(try #require(sequence["reward"]?.int)))
      member.reference = row(sequence["reference"]).map(Float.init)
      member.values = row(sequence["old_values"]).map(Float.init)
      // PRIME's critic has log-probabilities, and there is one set of them.
      member.returns = row(sequence["values"]).map(Float.init)
      values.append(row(sequence["values"]).map(Float.init))
      if group == groups.count { groups.append(TrainedGroup(members: [])) }
      groups[group].members.append(member)
      logprobs.append(row(sequence["logprobs"]).map(Float.init))
    }
    self.groups = groups
    self.logprobs = logprobs
    cases = try (json["cases"]?.elements ?? []).map { try ObjectiveCase($0, tokensMax: tokensMax) }
  }
}

extension ObjectiveFixture {
  /// The sequences, with what the critic of an objective says about them.
  func groups(for method: Method) -> [TrainedGroup] {
    var groups = groups
    guard method.objective == .prime else { return groups }
    for group in groups.indices {
      for member in groups[group].members.indices {
        groups[group].members[member].values = groups[group].members[member].returns
      }
    }
    return groups
  }
}

private func row(_ json: JSON?) -> [Double] { (json?.elements ?? []).compactMap(\.double) }

extension ObjectiveCase {
  fileprivate init(_ json: JSON, tokensMax: Int) throws {
    func name<Choice: RawRepresentable<String>>(_ key: String) throws -> Choice {
      try #require(json[key]?.string.flatMap(Choice.init(rawValue:)))
    }
    func number(_ key: String) throws -> Float { Float(try #require(json[key]?.double)) }
    var method = Method()
    if json["objective"] != nil {
      method.objective = try name("objective")
      method.nftPromptWeight = try name("nft_prompt_weight")
    }
    method.advantage = try name("advantage")
    method.denominator = try name("denominator")
    method.klEstimator = try name("kl_estimator")
    method.klPlace = try name("kl_in")
    method.klCoefficient = try number("kl_coefficient")
    method.clipLow = try number("clip_low")
    method.clipHigh = try number("clip_high")
    method.dualClip = try number("dual_clip")
    method.sampling.maxNewTokens = Int32(tokensMax)
    loss = try #require(json["loss"]?.double)
    advantages = (json["advantages"]?.elements ?? []).map { row($0) }
    slopes = (json["slopes"]?.elements ?? []).map { row($0) }
    returns = (json["returns"]?.elements ?? []).map { row($0) }
    valueSlopes = (json["value_slopes"]?.elements ?? []).map { row($0) }
    if method.objective == .ppo {
      method.gamma = try #require(json["gamma"]?.double)
      method.lambda = try #require(json["lambda"]?.double)
      method.valueClip = try number("value_clip")
    }
    if method.objective == .awr {
      method.awrTemperature = try number("awr_temperature")
      method.awrCap = try number("awr_cap")
    }
    self.method = method
  }
}

@Suite struct ObjectiveTests {
  @Test func `the fixture covers every estimator, denominator and KL`() throws {
    let methods = try #require(ObjectiveFixture.made).cases.map(\.method)
    #expect(Set(methods.map(\.advantage)) == Set(AdvantageEstimator.allCases))
    #expect(Set(methods.map(\.denominator)) == Set(Denominator.allCases))
    for place in KLPlace.allCases {
      let estimators = methods.filter { $0.hasKL(in: place) }.map(\.klEstimator)
      #expect(Set(estimators) == Set(KLEstimator.allCases), "in the \(place)")
    }
  }

  @Test func `the second fixture covers every objective, and every weight of a prompt`() throws {
    let methods = try #require(ObjectiveFixture.losses).cases.map(\.method)
    #expect(Set(methods.map(\.objective)) == Set(PolicyObjective.allCases.filter { $0 != .clip }))
    #expect(Set(methods.filter { $0.objective == .nft }.map(\.nftPromptWeight)) == Set(NFTPromptWeight.allCases))
  }

  @Test(arguments: (ObjectiveFixture.made?.cases ?? []) + (ObjectiveFixture.losses?.cases ?? []))
  func `advantages and slopes are those of automatic differentiation`(_ expected: ObjectiveCase) throws {
    let fixture = try #require(expected.method.objective == .clip ? ObjectiveFixture.made : .losses)
    var groups = fixture.groups(for: expected.method)
    assignAdvantages(to: &groups, method: expected.method)
    var members = groups.flatMap(\.members)
    let scale = LossScale(lengths: members.map(\.advantages.count), method: expected.method)
    for (index, weight) in scale.weights.enumerated() { members[index].weight = weight }
    try #require(members.count == expected.slopes.count)
    var loss = 0.0
    defer {
      // The surrogates' losses are without a KL penalty, so they are compared where there is none.
      if expected.method.klCoefficient == 0 { #expect(abs(loss - expected.loss) < 2e-6, "\(loss)") }
    }
    for (index, member) in members.enumerated() {
      // 2e-6: float32 numbers of size 3 at most, on both sides of an exp.
      #expect(worst(member.advantages, expected.advantages[index]) < 2e-6, "sequence \(index)")
      let ratio = sequenceRatio(of: member, logprobs: fixture.logprobs[index])
      let tokens = fixture.logprobs[index].enumerated().map { place, logprob in
        objective(of: member, at: place, logprob: logprob, sequenceRatio: ratio, method: expected.method)
      }
      loss += tokens.reduce(0) { $0 + Double($1.loss * member.weight) } / scale.divisor
      let slopes = tokens.map { $0.slope / Float(scale.divisor) }
      #expect(worst(slopes, expected.slopes[index]) < 2e-6, "sequence \(index)")
    }
  }

  @Test(arguments: ObjectiveFixture.losses?.cases.filter { $0.method.objective == .ppo } ?? [])
  func `returns and slopes of a critic are those of automatic differentiation`(_ expected: ObjectiveCase) throws {
    let fixture = try #require(ObjectiveFixture.losses)
    var groups = fixture.groups
    assignAdvantages(to: &groups, method: expected.method)
    let members = groups.flatMap(\.members)
    try #require(members.count == expected.returns.count)
    let tokens = Float(members.reduce(0) { $0 + $1.values.count })
    var clipped = 0
    for (index, member) in members.enumerated() {
      #expect(worst(member.returns, expected.returns[index]) < 2e-6, "sequence \(index)")
      let losses = fixture.values[index].indices.map { place in
        valueLoss(
          value: fixture.values[index][place], old: member.values[place], target: member.returns[place],
          clip: expected.method.valueClip)
      }
      clipped += losses.count { $0.isClipped }
      #expect(worst(losses.map { $0.slope / tokens }, expected.valueSlopes[index]) < 2e-6, "sequence \(index)")
    }
    #expect(clipped > 0 && clipped < Int(tokens), "\(clipped) of \(tokens) values are clipped")
  }

  @Test(arguments: ObjectiveFixture.losses?.cases.filter { $0.method.objective == .prime } ?? [])
  func `slopes of PRIME's critic are those of automatic differentiation`(_ expected: ObjectiveCase) throws {
    let fixture = try #require(ObjectiveFixture.losses)
    let members = fixture.groups(for: expected.method).flatMap(\.members)
    try #require(members.count == expected.valueSlopes.count)
    for (index, member) in members.enumerated() {
      let loss = processLoss(of: member, logit: processLogit(of: member, logprobs: member.values))
      let slopes = member.values.map { _ in loss.slope / Float(members.count) }
      #expect(worst(slopes, expected.valueSlopes[index]) < 2e-6, "sequence \(index)")
    }
  }

  @Test func `the fixture has tokens that are clipped on both sides, and by the dual clip`() throws {
    let fixture = try #require(ObjectiveFixture.made)
    let ratios = zip(fixture.groups.flatMap(\.members), fixture.logprobs).flatMap { member, logprobs in
      zip(logprobs, member.trajectory.logprobs).map { exp(Double($0) - Double($1)) }
    }
    #expect(ratios.contains { $0 < 0.8 } && ratios.contains { $0 > 1.2 } && ratios.contains { 0.9 < $0 && $0 < 1.1 })
    let zero = fixture.cases.map { $0.slopes.joined().count { $0 == 0 } }
    #expect(Set(zero).count > 2, "clips are the same in all cases")
  }

  private func worst(_ found: [Float], _ expected: [Double]) -> Double {
    guard found.count == expected.count else { return .infinity }
    return zip(found, expected).map { abs(Double($0) - $1) }.max() ?? 0
  }
}

@Suite struct KLPenaltyTests {
  @Test(arguments: KLEstimator.allCases) func `the slope is the derivative of the value`(_ name: KLEstimator) {
    for logprob in [-6.0, -2.5, -1, -0.01] {
      for reference in [-5.0, -2.5, -0.5] {
        func value(_ logprob: Double) -> Double {
          let d = reference - logprob
          switch name {
          case .k1: return -d
          case .k2: return d * d / 2
          case .k3: return min(exp(d) - d - 1, 10)
          }
        }
        let penalty = klPenalty(logprob: Float(logprob), reference: Float(reference), estimator: name)
        let step = 1e-6
        let slope = (value(logprob + step) - value(logprob - step)) / (2 * step)
        // 1e-5: float32 results of size 6 at most. With -6 and -0.5, k3 is beyond its bound.
        #expect(abs(Double(penalty.value) - value(logprob)) < 1e-5, "\(logprob), \(reference)")
        #expect(abs(Double(penalty.slope) - slope) < 1e-5, "\(logprob), \(reference)")
      }
    }
  }

  @Test func `k3 has the reference's bound`() {
    let bounded = klPenalty(logprob: -9, reference: -1, estimator: .k3)
    #expect(bounded.value == 10 && bounded.slope == 0)
    #expect(klPenalty(logprob: -1, reference: -9, estimator: .k3).value < 8)
  }

  @Test(arguments: KLEstimator.allCases) func `a policy that equals policy 0 has no penalty`(_ estimator: KLEstimator) {
    #expect(klPenalty(logprob: -1.5, reference: -1.5, estimator: estimator).value == 0)
  }

  /// "Approximating KL divergence": k1 and k3 have the expectation KL(p ‖ q). Here for a distribution of four tokens.
  @Test func `k1 and k3 have the divergence as their expectation`() {
    let p = [0.1, 0.2, 0.3, 0.4]
    let q = [0.25, 0.25, 0.2, 0.3]
    let divergence = zip(p, q).reduce(0) { $0 + $1.0 * log($1.0 / $1.1) }
    for estimator in [KLEstimator.k1, .k3] {
      let mean = zip(p, q).reduce(0) { sum, token in
        let penalty = klPenalty(
          logprob: Float(log(token.0)), reference: Float(log(token.1)), estimator: estimator)
        return sum + token.0 * Double(penalty.value)
      }
      #expect(abs(mean - divergence) < 1e-6)
    }
  }
}
