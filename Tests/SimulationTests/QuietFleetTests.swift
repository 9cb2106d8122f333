// The page that shows the system computes what the page that shows the method computes.

import Base
import Records
import Simulation
import Testing

@Suite struct QuietFleetTests {
  /// Seeds draw runs with and without early stop, staleness, a guard that ends them, and all kinds of rewards.
  @Test(arguments: UInt64(1)...60)
  func `a fleet without failures ends with the bits of improve`(_ seed: UInt64) throws {
    let scenario = Scenario(seed: seed)
    let reference = try Reference(scenario)
    var fleet = QuietFleet(scenario)
    try fleet.run()
    let last = Int(scenario.last.number)
    #expect(fleet.isFinished, "seed \(seed)")
    #expect(fleet.policy.state == reference.states[last], "seed \(seed)")
    for round in scenario.expectedRounds {
      let expected = reference.counted(try reference.trajectories(of: round), of: round)
      let found = expected.map { fleet.trajectories[$0.slot] }
      #expect(found == expected, "seed \(seed), \(round.id)")
    }
  }
}
