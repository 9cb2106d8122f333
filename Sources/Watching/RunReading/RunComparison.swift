// RunComparison: two ledgers, read together up to their first difference.
//
// They are read round by round, so that two long equal runs take the memory of one round.

import Base
import Ledger
package import Observatory
import Records
package import Runs
import Settings

package struct RunComparison {
  private let manifests: (left: RunManifest, right: RunManifest)
  private let ledgers: (left: Ledger, right: Ledger)

  package init(_ left: RunDirectory, _ right: RunDirectory) throws {
    manifests = (try RunManifest(reading: left), try RunManifest(reading: right))
    ledgers = (
      try Ledger(path: left.ledger, mode: .readOnly), try Ledger(path: right.ledger, mode: .readOnly)
    )
  }

  package func difference() throws -> RunDifference {
    var difference = RunDifference()
    compareInput(&difference)
    try comparePrompts(&difference)
    try compareResponses(&difference)
    try compareSteps(&difference)
    try comparePolicies(&difference)
    return difference
  }

  private func compareInput(_ difference: inout RunDifference) {
    let names = ["version", "model_sha256"]
    for name in names {
      let (left, right) = (manifests.left.json[name]?.string ?? "", manifests.right.json[name]?.string ?? "")
      if left != right { difference.facts.append((name, left, right)) }
    }
    // A path says where a file was, not what was in it: model and questions are compared by their content.
    for setting in SettingTable.all
    where setting.effect == .result && !["model", "data", "held-out", "transfer"].contains(setting.name) {
      let (left, right) = (
        setting.value(in: manifests.left.settings), setting.value(in: manifests.right.settings)
      )
      if left != right { difference.settings.append((setting.name, left, right)) }
    }
  }

  private func comparePrompts(_ difference: inout RunDifference) throws {
    for (set, name) in [(QuestionSet.training, "prompt"), (.heldOut, "held-out prompt")] {
      let (left, right) = (try ledgers.left.prompts(of: set), try ledgers.right.prompts(of: set))
      if left.count != right.count {
        difference.facts.append(("\(name)s", "\(left.count)", "\(right.count)"))
      } else if let index = zip(left, right).map({ $0.tokens == $1.tokens }).firstIndex(of: false) {
        difference.facts.append(("\(name) #\(index)", "one text", "another"))
      }
    }
  }

  private func compareResponses(_ difference: inout RunDifference) throws {
    let known = try ledgers.right.rounds().map(\.id)
    for round in try ledgers.left.rounds().map(\.id) where known.contains(round) {
      let left = try ledgers.left.trajectories(of: round)
      let right = try ledgers.right.trajectories(of: round)
      // An unfinished run has a part of a round: what both runs have is compared.
      var (index, other) = (0, 0)
      while index < left.count, other < right.count {
        let (mine, theirs) = (left[index], right[other])
        if mine.slot != theirs.slot {
          if mine.slot < theirs.slot { index += 1 } else { other += 1 }
          continue
        }
        if let how = Self.how(mine, theirs) {
          difference.response = "\(mine.slot): \(how)"
          return
        }
        difference.equalResponses += 1
        (index, other) = (index + 1, other + 1)
      }
    }
  }

  /// How two responses of one slot differ, or nil.
  private static func how(_ left: Trajectory, _ right: Trajectory) -> String? {
    if let position = zip(left.tokens, right.tokens).map(==).firstIndex(of: false) {
      return "token \(position + 1) is \(left.tokens[position]) here and \(right.tokens[position]) there"
    }
    if left.tokens.count != right.tokens.count {
      return "\(counted(left.tokens.count, "token")) here, \(right.tokens.count) there"
    }
    let isSame = zip(left.logprobs, right.logprobs).map { $0.bitPattern == $1.bitPattern }
    if let position = isSame.firstIndex(of: false) {
      return "the same tokens, but the log-probability of token \(position + 1) is \(left.logprobs[position]) here and "
        + "\(right.logprobs[position]) there"
    }
    if left.finish != right.finish { return "it ended by \(left.finish.name) here and \(right.finish.name) there" }
    let entropies = [left, right].map { $0.entropies.map(\.bitPattern) + [$0.entropySum.bitPattern] }
    if entropies[0] != entropies[1] { return "the entropy differs" }
    return left.selfCertainty?.bitPattern == right.selfCertainty?.bitPattern ? nil : "the self-certainty differs"
  }

  private func compareSteps(_ difference: inout RunDifference) throws {
    let (left, right) = (try ledgers.left.stepMetrics(), try ledgers.right.stepMetrics())
    for (mine, theirs) in zip(left, right) where mine.step == theirs.step {
      let figures = RunDifference.figures(try MetricsRow.parse(mine.json), try MetricsRow.parse(theirs.json))
      guard figures.isEmpty else {
        difference.step = (Int(mine.step), figures)
        return
      }
      difference.equalSteps += 1
    }
  }

  private func comparePolicies(_ difference: inout RunDifference) throws {
    let (left, right) = (try ledgers.left.policies(), try ledgers.right.policies())
    for (mine, theirs) in zip(left, right) where mine.version == theirs.version {
      guard mine.sha256 == theirs.sha256 else {
        difference.policy = Int(mine.version.number)
        return
      }
      difference.equalPolicies += 1
    }
  }
}
