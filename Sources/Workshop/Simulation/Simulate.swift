// Simulation: whole runs on a simulated fleet, to find the faults that break a run.
//
// The state machines and the frames are those of the real programs. The network, the disks and the clock are simulated.
// One seed determines one run: processes are killed between any two effects, connections are cut, packets are late,
// machines are paused, and disks return wrong bytes. Whatever happens, the run must end, and its result must equal what
// `improve` computes on one thread, bit for bit. A seed that fails can be replayed: `ttrl-dev simulate --seed S
// --transcript`. The idea comes from FoundationDB and TigerBeetle. Not here: real sockets, files and processes; `ttrl
// chaos` kills real processes.

package import Base

/// The result of one seed.
package struct Outcome: Sendable {
  package let seed: UInt64
  /// What went wrong; nil if nothing did.
  package let violation: String?
  /// How often each fault occurred, by name.
  package let faults: SortedMap<String, Int>
  /// A hash of everything that happened, in order: equal for equal seeds.
  package let fingerprint: UInt64
  /// Simulated time from the first process's start to the last one's end.
  package let duration: Instant.Span
  package let happenings: Int
  /// What happened, one line for each event; empty unless it was requested.
  package let transcript: [String]
}

/// Simulates one seed: a run, or for some seeds a course of three runs, each of which begins with what the one before
/// delivered.
///
/// - Parameters:
///   - seed: decides the runs, their faults and their times.
///   - bug: a mistake to make on purpose.
///   - isRecording: whether to write the transcript, which takes longer than the simulation.
package func simulate(seed: UInt64, bug: PlantedBug? = nil, isRecording: Bool = false) -> Outcome {
  var dice = Dice(seed: seed, stream: .course)
  let stages = dice.chance(courseChance) ? 3 : 1
  var total = Outcome(
    seed: seed, violation: nil, faults: SortedMap(), fingerprint: 0, duration: .zero, happenings: 0, transcript: [])
  do {
    var scenario = Scenario(seed: seed)
    for stage in 0..<stages {
      let world = try World(scenario, bug: bug, isRecording: isRecording)
      world.run()
      total = total.adding(world, isFirst: stage == 0)
      guard total.violation == nil, stage + 1 < stages else { break }
      let carries = dice.chance(0.5)
      // The seeds of later stages are far from those that are simulated for themselves.
      scenario = try Scenario(seed: seed ^ UInt64(stage + 1) << 48, after: try world.result(carries: carries))
    }
    return total
  } catch {
    return Outcome(
      seed: seed, violation: "the reference run failed: \(error)", faults: SortedMap(), fingerprint: 0,
      duration: .zero, happenings: 0, transcript: [])
  }
}

/// The share of seeds that are courses.
private let courseChance = 0.06

extension Outcome {
  /// This outcome with another stage's run. The outcome of a single run is that run's.
  fileprivate func adding(_ world: World, isFirst: Bool) -> Outcome {
    var faults = faults
    for (kind, count) in world.strikes { faults[kind] = (faults[kind] ?? 0) + count }
    var combined = Fingerprint()
    if !isFirst { combined.mix(fingerprint) }
    combined.mix(world.transcript.fingerprint.value)
    return Outcome(
      seed: seed, violation: world.violation, faults: faults,
      fingerprint: isFirst ? world.transcript.fingerprint.value : combined.value,
      duration: duration + world.clock.since(.zero), happenings: happenings + world.happenings,
      transcript: transcript + world.transcript.lines)
  }
}

extension World {
  /// What the next stage of a course begins with: what the fleet's disks have, not what the reference says.
  ///
  /// - Parameter carries: whether it takes the optimizer too. It can only if the delivered version has a checkpoint.
  /// - Throws: `ToyPolicyError` if the delivered version is not kept.
  fileprivate func result(carries: Bool) throws -> StageResult {
    let delivered = scenario.delivered
    guard let bytes = self[disk: finisher].policies[delivered] else {
      throw ToyPolicyError.wrongLength(found: 0, expected: 1)
    }
    let newest = checkpoints.newest
    return StageResult(
      prompts: scenario.prompts.count, heldOut: scenario.heldOut.count, published: bytes,
      carried: carries && newest.version == delivered ? newest.state : nil)
  }
}

/// The results of a range of seeds.
package struct Campaign: Sendable {
  package private(set) var seeds = 0
  package private(set) var failures: [Outcome] = []
  package private(set) var faults = SortedMap<String, Int>()
  package private(set) var happenings = 0
  package private(set) var simulatedSeconds = 0.0
  private var combined = Fingerprint()

  package init() {}

  /// One hash of all transcripts so far, in order.
  package var fingerprint: UInt64 { combined.value }

  package mutating func add(_ outcome: Outcome) {
    seeds += 1
    if outcome.violation != nil { failures.append(outcome) }
    for (kind, count) in outcome.faults { faults[kind] = (faults[kind] ?? 0) + count }
    happenings += outcome.happenings
    simulatedSeconds += outcome.duration.seconds
    combined.mix(outcome.fingerprint)
  }
}
