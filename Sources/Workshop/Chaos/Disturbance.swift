// Disturbance: what can be done to a run from outside, and a seeded schedule of it.
//
// Kills come in blocks: every kind of process once per block, in an order of chance, so that a run that lives for one
// block has seen all of them, and no process is killed more often than its supervisor forgives. Between two kills comes
// something milder: a pause, or trouble on a connection. The schedule knows no clock and no process; whoever carries it
// out waits, looks for a victim, and asks for the next.

package import Base
import Records

/// The kinds of process of a run on one machine. The raw values are the names in `ttrl chaos --json`.
package enum ProcessKind: String, Sendable, CaseIterable {
  case coordinator, worker
  /// One MPI rank.
  case learner
  case mpirun
  /// `ttrl train` itself, which takes all others with it and is started again by hand.
  case train
}

package enum Disturbance: Equatable, Sendable {
  /// SIGKILL: no last words, nothing written back.
  case kill(ProcessKind)
  /// SIGSTOP, then SIGCONT.
  case pause(ProcessKind, Instant.Span)
  /// A connection is reset.
  case reset
  /// One bit of one packet is flipped.
  case corrupt
  /// A connection delivers nothing for a while, in both directions.
  case stall(Instant.Span)
}

package struct DisturbanceSchedule: Sendable {
  private var random: RandomSequence
  private var killsLeft: Int
  /// The rest of the block, last one first.
  private var block: [ProcessKind] = []
  private var isKillNext = true
  private let meanPause: Instant.Span

  /// - Parameters:
  ///   - seed: of all choices.
  ///   - run: number of the run under this seed; each has a schedule of its own.
  ///   - kills: how many.
  ///   - meanPause: from one disturbance to the next, in the mean.
  package init(seed: UInt64, run: Int, kills: Int, meanPause: Instant.Span) {
    random = RandomSequence(seed: seed, purpose: .chaos, stream: SIMD3(UInt32(truncatingIfNeeded: run), 0, 0))
    killsLeft = kills
    self.meanPause = meanPause
  }

  /// The next disturbance and how long to wait before it; nil when all kills are spent.
  package mutating func next() -> (after: Instant.Span, Disturbance)? {
    guard killsLeft > 0 else { return nil }
    // Evenly between nothing and twice the mean: processes are struck while they start, too.
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

  /// Mostly short; one in six is longer than the silence after which a worker counts as gone.
  private mutating func pauseTime() -> Instant.Span {
    let isLong = random.index(below: 6) == 0
    let milliseconds = isLong ? Double(Limits.silence.milliseconds) + 3000 * random.uniform() : 3000 * random.uniform()
    return .milliseconds(UInt64(milliseconds))
  }

  /// One of so many, for whoever carries it out.
  package mutating func pick(below count: Int) -> Int { random.index(below: count) }
}
