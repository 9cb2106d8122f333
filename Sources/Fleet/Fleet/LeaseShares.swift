// LeaseShares: how a round is cut into leases, and how much work a worker may hold, so that all workers are done at the
// same time.
//
// A lease goes to one thread of a worker. So a round has leases for all threads, also if it has few prompts. And a
// worker gets no lease while it holds more than its share of what is left to sample, by its pace: otherwise a slow
// worker would still be sampling long after the others. A slot's trajectory is the same on every worker, so shares have
// no influence on the result.
// Not here: which slots (RoundBook), who holds what (LeaseBook), what paces are measured from (PeerBook).

import Base
import Records

enum LeaseShares {
  /// The work of a lease beside its samples, in slots: its prompt is computed by each thread that samples it.
  private static let promptSlots = 4
  /// A prompt is not divided into smaller leases than this, which would mostly compute the prompt.
  private static let slotsMin = 8
  /// How many ways to divide a prompt are tried.
  private static let partsMax = 16

  /// Slots per lease of a round, so that `threads` threads are done with it as soon as possible: as many as a lease can
  /// have, or fewer if that is better.
  static func slotsPerLease(of spec: RoundSpec, threads: Int) -> Int {
    let (samples, most) = (max(1, Int(spec.samples)), Limits.slotsPerLease)
    guard threads > 1 else { return most }
    func work(_ slots: Int) -> Int {
      let leases = spec.prompts.count * quotient(samples, slots)
      return quotient(leases, threads) * (min(slots, samples) + promptSlots)
    }
    var best = (slots: most, work: work(most))
    // A prompt's samples in even parts.
    let fewest = quotient(samples, most)
    for parts in fewest..<fewest + partsMax {
      let slots = quotient(samples, parts)
      if slots >= slotsMin, work(slots) < best.work { best = (slots, work(slots)) }
    }
    return best.slots
  }

  /// Rounded up.
  private static func quotient(_ a: Int, _ b: Int) -> Int { (a + b - 1) / b }

  /// Whether a worker that holds `held` slots has less than its share of all slots that are held or pending.
  ///
  /// - Parameters:
  ///   - pace: the worker's.
  ///   - paces: the sum of all workers' paces, this one's included.
  static func isBehind(held: Int, ofAll slots: Int, pace: Double, paces: Double) -> Bool {
    held == 0 || Double(held) * paces < Double(slots) * pace
  }
}
