// The simulator's own claims: seeds hold, a seed is one life, and a fleet that makes mistakes is found out.
//
// A few hundred seeds here keep a change honest; thousands belong on the command line (`ttrl-dev simulate --seeds N`).

import Base
import Simulation
import Testing

@Suite struct SimulationTests {
  @Test func `runs end at the reference's bits, whatever happens to the fleet`() {
    var campaign = Campaign()
    for seed in UInt64(1)...300 { campaign.add(simulate(seed: seed)) }
    #expect(campaign.failures.map { "seed \($0.seed): \($0.violation ?? "")" } == [])
    // A fault that never strikes is not tested at all.
    for kind in FaultKind.allCases { #expect(campaign.faults[kind.rawValue] ?? 0 > 0, "\(kind) never struck") }
    #expect(campaign.faults["checkpoint lost"] ?? 0 > 0, "no learner died between publishing and its checkpoint")
  }

  @Test(arguments: [UInt64(3), 17, 1025])
  func `a seed lives the same life twice, recorded or not`(_ seed: UInt64) {
    let first = simulate(seed: seed)
    let second = simulate(seed: seed, isRecording: true)
    #expect(first.fingerprint == second.fingerprint && first.happenings == second.happenings)
    #expect(first.transcript.isEmpty && !second.transcript.isEmpty)
  }

  @Test func `different seeds live different lives`() {
    #expect(Set((1...20).map { simulate(seed: $0).fingerprint }).count == 20)
  }

  /// Mistakes that a shell or a machine could make, and that must not pass unnoticed.
  @Test(arguments: PlantedBug.allCases.filter { $0 != .forgetUnsettled })
  func `a planted mistake is noticed within some hundred seeds`(_ bug: PlantedBug) {
    let found = (UInt64(1)...400).first { simulate(seed: $0, bug: bug).violation != nil }
    #expect(found != nil, "400 seeds did not notice \(bug)")
  }

  @Test func `a worker that forgets what a broken connection left unacknowledged costs work and not results`() {
    for seed in UInt64(1)...60 {
      let outcome = simulate(seed: seed, bug: .forgetUnsettled)
      #expect(outcome.violation == nil, "seed \(seed)")
    }
  }

  /// One worker and one slot. Larger worlds, and all deaths in them: `ttrl-dev simulate --enumerate`.
  @Test func `every order of events in a small world ends with the run complete`() {
    var size = SmallWorldSize()
    (size.workers, size.slots, size.crashes) = (1, 1, 0)
    let walked = Enumeration(size)
    #expect(walked.violation == nil, "\(walked.path.joined(separator: "; "))")
    #expect(walked.isComplete && walked.worlds > 300 && walked.schedules > 1e9)
  }

  @Test func `the first few thousand worlds in which a process dies hold too`() {
    var size = SmallWorldSize()
    (size.workers, size.steps, size.staleness) = (1, 2, 1)
    let walked = Enumeration(size, worldsMax: 3000)
    #expect(walked.violation == nil, "\(walked.path.joined(separator: "; "))")
    #expect(walked.worlds == 3000 && !walked.isComplete)
  }

  @Test(arguments: [PlantedBug.acknowledgeBeforeStore, .forgetSettledOnRestart, .dropCloseRound])
  func `a mistake shows in some order of a small world`(_ bug: PlantedBug) {
    var size = SmallWorldSize()
    (size.workers, size.slots) = (1, 1)
    let walked = Enumeration(size, bug: bug)
    #expect(walked.violation != nil && !walked.path.isEmpty)
  }

  @Test func `a failing seed says what happened, in order, and ends with what was wrong`() throws {
    let seed = try #require(
      (UInt64(1)...400).first { simulate(seed: $0, bug: .forgetSettledOnRestart).violation != nil })
    let outcome = simulate(seed: seed, bug: .forgetSettledOnRestart, isRecording: true)
    let last = try #require(outcome.transcript.last)
    #expect(last.contains("WRONG: ") && last.contains("was stored twice"))
  }
}
