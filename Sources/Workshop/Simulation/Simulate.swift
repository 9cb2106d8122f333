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

/// Simulates one seed.
///
/// - Parameters:
///   - seed: decides the run, its faults and their times.
///   - bug: a mistake to make on purpose.
///   - isRecording: whether to write the transcript, which takes longer than the simulation.
package func simulate(seed: UInt64, bug: PlantedBug? = nil, isRecording: Bool = false) -> Outcome {
  let world: World
  do {
    world = try World(Scenario(seed: seed), bug: bug, isRecording: isRecording)
  } catch {
    return Outcome(
      seed: seed, violation: "the reference run failed: \(error)", faults: SortedMap(), fingerprint: 0,
      duration: .zero, happenings: 0, transcript: [])
  }
  world.run()
  return Outcome(
    seed: seed, violation: world.violation, faults: world.strikes,
    fingerprint: world.transcript.fingerprint.value, duration: world.clock.since(.zero),
    happenings: world.happenings, transcript: world.transcript.lines)
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
