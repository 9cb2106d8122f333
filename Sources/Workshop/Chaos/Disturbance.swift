// Disturbance: faults from outside a run, and a seeded schedule of them.
//
// Kills come in blocks: each block kills every kind of process once, in a random order. So a run of one block has seen
// all of them, and no process is killed more often than its supervisor allows. Between two kills there is a milder
// disturbance: a pause, or a fault on a connection. The schedule has no clock and no processes; DisturbedRun waits,
// finds a victim, and asks for the next disturbance.

package import Base
import Records

/// The kinds of process of a run on one machine. The raw values are the names in the output of `ttrl-dev chaos --json`.
package enum ProcessKind: String, Sendable, CaseIterable {
  case coordinator, worker
  /// One MPI rank.
  case learner
  case mpirun
  /// `ttrl train` itself. All other processes die with it, and DisturbedRun starts it again.
  case train
}

package enum Disturbance: Equatable, Sendable {
  /// SIGKILL: the process cannot send or write anything any more.
  case kill(ProcessKind)
  /// SIGSTOP, then SIGCONT.
  case pause(ProcessKind, Instant.Span)
  /// A connection is reset.
  case reset
  /// One bit of one packet is flipped.
  case corrupt
  /// A connection delivers nothing for some time, in both directions.
  case stall(Instant.Span)
}

package struct DisturbanceSchedule: Sendable {
  private var random: RandomSequence
  private var killsLeft: Int
  /// The rest of the block, in reverse order.
  private var block: [ProcessKind] = []
  private var isKillNext = true
  private let meanPause: Instant.Span

  /// - Parameters:
  ///   - seed: determines all choices.
  ///   - run: the number of the run under this seed; each run has another schedule.
  ///   - kills: the number of kills.
  ///   - meanPause: the mean time from one disturbance to the next.
  package init(seed: UInt64, run: Int, kills: Int, meanPause: Instant.Span) {
    random = RandomSequence(seed: seed, purpose: .chaos, stream: SIMD3(UInt32(truncatingIfNeeded: run), 0, 0))
    killsLeft = kills
    self.meanPause = meanPause
  }

  /// The next disturbance and the wait before it; nil when all kills have been given out.
  package mutating func next() -> (after: Instant.Span, Disturbance)? {
    guard killsLeft > 0 else { return nil }
    // Uniform between 0 and twice the mean, so that processes are also hit while they start.
    let wait = Instant.Span(nanoseconds: UInt64(2 * random.uniform() * Double(meanPause.nanoseconds)))
    defer { isKillNext.toggle() }
    guard isKillNext else { return (wait, milder()) }
    killsLeft -= 1
    if block.isEmpty { block = random.permutation(of: ProcessKind.allCases.count).map { ProcessKind.allCases[$0] } }
    return (wait, .kill(block.removeLast()))
  }

  private mutating func milder() -> Disturbance {
    switch random.index(below: 8) {
    case 0, 1: .pause(ProcessKind.allCases[random.index(below: ProcessKind.allCases.count)], pauseTime())
    case 2, 3: .reset
    case 4, 5, 6: .corrupt
    default: .stall(pauseTime())
    }
  }

  /// Usually short; one in six is longer than the silence after which a worker counts as gone.
  private mutating func pauseTime() -> Instant.Span {
    let isLong = random.index(below: 6) == 0
    let milliseconds = isLong ? Double(Limits.silence.milliseconds) + 3000 * random.uniform() : 3000 * random.uniform()
    return .milliseconds(UInt64(milliseconds))
  }

  /// A random index, by which DisturbedRun chooses a victim.
  package mutating func pick(below count: Int) -> Int { random.index(below: count) }
}
