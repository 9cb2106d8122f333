// What a trajectory is worth: the figures that the method's description gives for a group of 32.

import TTRL
import Testing

@Suite struct AdvantageTests {
  /// A+ = √((m−1)/m · (1−p)/p), A− = −√((m−1)/m · p/(1−p)), p the share of rewarded; values to two places.
  @Test(arguments: [(1, Float(5.48), Float(-0.18)), (8, 1.70, -0.57), (16, 0.98, -0.98), (31, 0.18, -5.48)])
  func `32 trajectories, so many rewarded, are worth this much`(_ rewarded: Int, _ right: Float, _ wrong: Float) {
    let rewards = (0..<32).map { Float($0 < rewarded ? 1 : 0) }
    let result = advantages(of: rewards, normalizesByDeviation: true)
    #expect(abs(result[0] - right) < 0.005 && abs(result[31] - wrong) < 0.005)
    let share = Double(rewarded) / 32
    let exact = (31.0 / 32 * (1 - share) / share).squareRoot()
    // 1e-4: the deviation has 1e-6 added to it, and is at least 0.17.
    #expect(abs(Double(result[0]) - exact) < 1e-4)
  }

  @Test func `without deviation an advantage is the distance from the mean`() {
    #expect(advantages(of: [1, 0, 0, 1], normalizesByDeviation: false) == [0.5, -0.5, -0.5, 0.5])
    #expect(advantages(of: [1, 0, 0, 0], normalizesByDeviation: false) == [0.75, -0.25, -0.25, -0.25])
  }

  @Test func `a group of one, and of none, has nothing to teach`() {
    #expect(advantages(of: [1], normalizesByDeviation: true) == [0])
    #expect(advantages(of: [], normalizesByDeviation: true) == [])
  }

  @Test func `advantages do not depend on the order of the others`() {
    let forward = advantages(of: [1, 0, 0, 1, 0], normalizesByDeviation: true)
    let backward = advantages(of: [0, 1, 0, 0, 1], normalizesByDeviation: true)
    #expect(forward == Array(backward.reversed()))
  }
}
