// VerdictBook: which responses of one round the reward command has judged, and which it has still to be asked about.
//
// It is asked about a prompt's responses when all of them are settled, because the request names the label that they
// vote for. The first verdict of a slot counts, and only verdicts that are not durable yet are asked for: a restarted
// coordinator is told which ones the ledger has. Not here: the program (CoordinatorRole), what a verdict does (TTRL).

import Base
package import Records

package struct VerdictBook: Sendable {
  private struct Group: Sendable {
    var isSettled: [Bool]
    var isJudged: [Bool]
    var settledCount = 0
  }

  private let round: RoundID
  private let samples: Int
  private var groups = SortedMap<UInt32, Group>()
  /// Prompts whose responses are all settled, and about which the program has not been asked since this process began.
  private var complete: [UInt32] = []
  package private(set) var judgedCount = 0

  package init(_ spec: RoundSpec) {
    round = spec.id
    samples = Int(spec.samples)
    let none = [Bool](repeating: false, count: samples)
    for prompt in spec.prompts { groups[prompt] = Group(isSettled: none, isJudged: none) }
  }

  package var isComplete: Bool { judgedCount == groups.count * samples }

  /// A response is durable.
  package mutating func settle(_ slot: Slot) {
    let isComplete =
      groups.update(slot.prompt) { group -> Bool in
        let sample = Int(slot.sample)
        guard group.isSettled.indices.contains(sample), !group.isSettled[sample] else { return false }
        group.isSettled[sample] = true
        group.settledCount += 1
        return group.settledCount == group.isSettled.count
      } ?? false
    if isComplete { complete.append(slot.prompt) }
  }

  /// A verdict is durable, or is about to be.
  ///
  /// - Returns: false if the slot has one already, or if the round has no such slot.
  package mutating func judge(_ slot: Slot) -> Bool {
    let isFirst =
      groups.update(slot.prompt) { group -> Bool in
        let sample = Int(slot.sample)
        guard group.isJudged.indices.contains(sample), !group.isJudged[sample] else { return false }
        group.isJudged[sample] = true
        return true
      } ?? false
    if isFirst { judgedCount += 1 }
    return isFirst
  }

  /// The slots to ask about now, each group once.
  package mutating func takeQuestions() -> [Slot] {
    defer { complete = [] }
    return complete.flatMap { prompt -> [Slot] in
      guard let group = groups[prompt] else { return [] }
      return group.isJudged.indices.filter { !group.isJudged[$0] }
        .map { Slot(round: round, prompt: prompt, sample: UInt32($0)) }
    }
  }
}
