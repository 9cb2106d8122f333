// SharedState: how all ranks begin with the same state, and how they notice that they no longer have it.
//
// Rank 0 reads a checkpoint; the others are given what it read over MPI, so that a rank needs no disk of its own and a
// job of any size, on any machines, goes on from the same checkpoint. Masters and moments go straight into the arrays
// that training will use: nothing is held twice. After each step the ranks compare 64 bits of their masters. They
// compute the same sums, so a difference is broken memory, unlike libraries or a bug, and the run stops.

import Base
package import Collectives
import LanguageModel
import Records
import Runs
import TTRL
import Tensors

struct SharedState {
  private let run: Run
  private let ranks: any Collectives

  init(_ run: Run, _ ranks: any Collectives) {
    self.run = run
    self.ranks = ranks
  }

  /// Gives rank 0's state to all.
  ///
  /// - Parameter own: rank 0's; nil on the others.
  /// - Returns: the state on every rank, and policy 0's parameters where a KL penalty asks for them.
  /// - Throws: if MPI fails, or rank 0 sends what is no state.
  func exchange(_ own: LearnerState?) throws -> (LearnerState, reference: Floats?) {
    if let own { try ranks.sendToAll(header(of: own)) }
    let state = try own ?? state(header: try ranks.receiveFromRoot())
    for part in [state.optimizer.parameters, state.optimizer.firstMoment, state.optimizer.secondMoment] {
      try copyFromRoot(part)
    }
    guard run.method.klCoefficient > 0 else { return (state, nil) }
    let reference = own == nil ? Floats(count: run.model.layout.count) : try run.model.loadParameters()
    try copyFromRoot(reference)
    return (state, reference)
  }

  private func copyFromRoot(_ values: Floats) throws {
    try values.withUnsafeBuffer { try ranks.copyFromRoot(UnsafeMutableRawBufferPointer($0)) }
  }

  /// Everything but the large arrays. The report stays with rank 0, which alone publishes.
  private func header(of state: LearnerState) -> [UInt8] {
    var writer = ByteWriter()
    writer.write(state.version.number)
    writer.write(UInt64(state.optimizer.step))
    writer.write(UInt64(state.optimizer.parameters.count))
    writer.write(state.history.json.text())
    return writer.bytes
  }

  /// A state with room for the arrays.
  private func state(header: [UInt8]) throws -> LearnerState {
    var reader = ByteReader(header)
    let version = PolicyVersion(try reader.read(UInt32.self))
    let step = try reader.read(UInt64.self)
    let count = try reader.read(UInt64.self)
    let text = try reader.readString("history", limit: 1 << 30)
    guard count == UInt64(run.model.layout.count), let history = History(try JSON.parse(Array(text.utf8))) else {
      throw CheckpointError.damaged(path: "of rank 0", problem: "it is of another model, or has no history")
    }
    let room = { Floats(count: Int(count)) }
    return LearnerState(
      version: version,
      optimizer: AdamW(
        Checkpoints(run).settings, parameters: room(), firstMoment: room(), secondMoment: room(), step: Int(step)),
      history: history, report: "")
  }
}

/// After a step the ranks do not hold the same weights.
package struct RanksDisagree: Error, Sendable, Equatable, CustomStringConvertible {
  package let step: UInt32
  package let rank: Int
  package let size: Int

  package var description: String {
    "ranks disagree: after step \(step) the \(size) learner ranks do not hold the same weights (seen by rank \(rank)). "
      + "They compute the same sums, so a machine's memory is broken, or their libraries or processors differ: compare "
      + "ttrl --version on all of them. The last checkpoint is from before; the run continues from there"
  }
}

package enum Agreement {
  /// Compares 64 bits of every rank's weights. All ranks call it.
  ///
  /// - Throws: `RanksDisagree` on every rank if one differs; whatever MPI refuses.
  package static func require(_ fingerprint: UInt64, step: UInt32, _ ranks: any Collectives) throws {
    // Halves are exact in a Double. The largest, and the largest negative, which is the smallest.
    let halves = [Double(fingerprint >> 32), Double(fingerprint & 0xFFFF_FFFF)]
    let found = try ranks.max(halves + halves.map { -$0 })
    guard found[0] == -found[2], found[1] == -found[3] else {
      throw RanksDisagree(step: step, rank: ranks.rank, size: ranks.size)
    }
  }
}
