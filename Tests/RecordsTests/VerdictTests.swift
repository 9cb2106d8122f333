// The answers of reward commands: what is a verdict and what is not.

import Records
import Testing

@Suite struct VerdictTests {
  private func read(_ line: String, id: String = "3/0/1") -> Verdict? { Verdict(line: Array(line.utf8), id: id) }

  @Test func `an answer says a reward, a weight, or whether the response counts`() {
    #expect(read(#"{"reward": -0.5}"#) == Verdict(reward: -0.5))
    #expect(read(#" {"vote_weight": 5} "#) == Verdict(voteWeight: 5))
    #expect(read(#"{"valid": false}"#) == Verdict(isValid: false))
    #expect(read(#"{"valid": true}"#) == Verdict())
    #expect(
      read(#"{"reward": 1e-3, "vote_weight": 0, "id": "3/0/1", "why": [1]}"#) == Verdict(reward: 1e-3, voteWeight: 0))
  }

  @Test(arguments: [
    "", "1", "[]", "{}", "reward 1", #"{"why": 1}"#, #"{"reward": "1"}"#, #"{"reward": null}"#, #"{"reward": true}"#,
    #"{"reward": 1e39}"#, #"{"reward": 1e999}"#, #"{"reward": NaN}"#, #"{"vote_weight": -1}"#,
    #"{"vote_weight": 1000001}"#, #"{"valid": 0}"#, #"{"reward": 1"#, #"{"reward": 1} {"reward": 1}"#,
    #"{"reward": 1, "id": "3/0/2"}"#, #"{"reward": 1, "id": 3}"#,
  ])
  func `anything else is none`(_ line: String) {
    #expect(read(line) == nil)
  }

  @Test func `a fault has no values, and its name leads back to it`() {
    for fault in VerdictFault.allCases {
      let verdict = Verdict(fault)
      #expect(!verdict.isValid && verdict.isSound && VerdictFault(name: fault.name) == fault)
      var impossible = verdict
      impossible.reward = 1
      #expect(!impossible.isSound)
    }
    #expect(VerdictFault(name: "tired") == nil)
  }
}
