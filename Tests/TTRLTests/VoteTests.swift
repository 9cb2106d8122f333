// The vote, over all groups of up to six samples, each with one of three answers or none: 5,461 groups.

import Answers
import Records
import TTRL
import Testing

@Suite struct VoteTests {
  private static let groups = (0...6).flatMap(allGroups)

  /// The winner by definition: most votes, then the earliest first voter. Written independently of the code.
  private func winner(_ group: [Int?]) -> (label: Int, votes: Int)? {
    var best: (label: Int, votes: Int)?
    for answer in group.compactMap({ $0 }) where answer != best?.label {
      let votes = group.count { $0 == answer }
      if votes > best?.votes ?? 0 { best = (answer, votes) }
    }
    return best
  }

  @Test func `the label is the answer with the most votes; in a tie, the one with the earliest voter`() {
    for group in Self.groups {
      let vote = majority(of: keys(group))
      let expected = winner(group)
      #expect(vote.label == expected.map { key($0.label) }, "\(group)")
      #expect(vote.votes == expected?.votes ?? 0, "\(group)")
    }
  }

  @Test func `"no answer" never wins`() {
    for group in Self.groups {
      #expect((majority(of: keys(group)).label == nil) == group.allSatisfy { $0 == nil }, "\(group)")
    }
    #expect(majority(of: keys([nil, nil, nil, nil, 2])).label == key(2))
  }

  @Test func `ties are reported, and different answers are counted`() {
    for group in Self.groups {
      let counts = [0, 1, 2].map { label in group.count { $0 == label } }
      let most = counts.max() ?? 0
      let vote = majority(of: keys(group))
      #expect(vote.isTie == (most > 0 && counts.count { $0 == most } > 1), "\(group)")
      #expect(vote.answerCount == counts.count { $0 > 0 }, "\(group)")
    }
  }

  @Test func `the label does not depend on the names of the answers`() {
    for group in Self.groups where group.count == 5 {
      let renamed = group.map { $0.map { (2 - $0) * 7 } }
      let label = majority(of: keys(group)).label
      #expect(
        majority(of: keys(renamed)).label
          == group.compactMap { $0 }.first { key($0) == label }.map { key((2 - $0) * 7) })
    }
  }

  @Test func `agreement is 1 for the label, and 0 for other answers and for no answer`() {
    #expect(agreement(of: keys([1, nil, 2, 1]), with: key(1)) == [1, 0, 0, 1])
    #expect(agreement(of: keys([1, nil, 2, 1]), with: nil) == [0, 0, 0, 0])
  }
}
