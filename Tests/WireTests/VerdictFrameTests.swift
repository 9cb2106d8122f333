// Verdicts in frames: every one comes back, and bytes that are not a verdict are refused.

import Base
import Records
import Testing
import Wire

@Suite struct VerdictFrameTests {
  private func batch(_ verdict: Verdict?) -> Message {
    var trajectory = Samples.trajectory
    trajectory.verdict = verdict
    return .batch(step: 7, part: 0, partCount: 1, [trajectory])
  }

  @Test(
    arguments: [
      nil, Verdict(), Verdict(isValid: false), Verdict(reward: 0), Verdict(reward: -1e30, voteWeight: 0),
      Verdict(voteWeight: 1_000_000, isValid: false),
    ] + VerdictFault.allCases.map { Verdict($0) })
  func `a verdict comes back`(_ verdict: Verdict?) throws {
    #expect(try decode(Frame.encode(batch(verdict))) == [batch(verdict)])
  }

  /// The last bytes of a trajectory that has the fault `late`: 8, 1.
  @Test(
    arguments: [[8, 0], [8, 6], [9, 1], [24, 1], [16], [2, 0, 0, 128, 127], [4, 0, 0, 128, 191], [8], []] as [[UInt8]])
  func `bytes that are not a verdict are refused`(_ bytes: [UInt8]) {
    let whole = Frame.encode(batch(Verdict(.late)))
    let payload = Array(whole[Frame.headerBytes...].dropLast(2)) + bytes
    #expect(throws: WireError.self) { try decode(frame(kind: 31, payload: payload)) }
  }
}
