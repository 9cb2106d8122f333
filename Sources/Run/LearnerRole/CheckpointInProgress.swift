// CheckpointInProgress: the checkpoint that is being written, if there is one, as the learner's main thread sees it.
//
// One at a time: the next waits for it. What the main thread waits, for any of it, is added up: the stall.

import Base
import Platform
import Records
import Runs
import Tensors

/// Not `Sendable`; `onEnd` alone is called elsewhere.
final class CheckpointInProgress {
  private let run: Run
  private let keep: Int
  private var writer: CheckpointWriter?
  private var pieces = 0..<0
  private var stall = Instant.Span.zero
  /// Called on another thread when a checkpoint is complete, or cannot be.
  var onEnd: @Sendable () -> Void = {}

  init(_ run: Run, keep: Int) {
    self.run = run
    self.keep = keep
  }

  /// - Parameters:
  ///   - content: of the checkpoint.
  ///   - arrays: masters and moments, whole; nil where they come as pieces.
  ///   - pieces: how many.
  /// - Throws: what kept the one before from being written, or a thread from being started.
  func begin(_ content: CheckpointContent, arrays: [Floats]?, pieces: Int) throws {
    _ = try awaitEnd()
    writer = try CheckpointWriter(run, content, arrays: arrays, keep: keep, onEnd: onEnd)
    self.pieces = 0..<pieces
  }

  /// The next piece to be collected, if there is one.
  var nextPiece: Int? { pieces.first }

  var hasRoom: Bool { writer?.hasRoom ?? true }

  var isEnded: Bool { writer?.isEnded ?? false }

  /// - Throws: what kept the checkpoint from being written.
  func room() throws -> Floats {
    guard let writer else { preconditionFailure("a piece of no checkpoint") }
    return try writer.room()
  }

  func hand(_ room: Floats, count: Int) {
    writer?.hand(room, count: count)
    pieces = pieces.dropFirst()
  }

  /// - Throws: what kept the checkpoint from being written.
  func awaitRead() throws { try stalling { try writer?.awaitRead() } }

  /// - Returns: the report that the checkpoint has; nil if none was being written.
  /// - Throws: what kept it from being written.
  func awaitEnd() throws -> StepReport? {
    try stalling {
      let report = try writer?.awaitEnd()
      writer = nil
      return report
    }
  }

  /// Does something that the learner has to wait for.
  func stalling<Result>(_ work: () throws -> Result) rethrows -> Result {
    let begun = MonotonicClock.now()
    defer { stall = stall + MonotonicClock.now().since(begun) }
    return try work()
  }

  /// What was waited since the last call.
  func takeStall() -> Instant.Span {
    defer { stall = .zero }
    return stall
  }
}

/// What rank 0 tells the others to do. A batch's frames are for training, nothing at all is the end, and eight bytes
/// are the number of a piece to gather.
enum RankCommand {
  static func piece(_ index: Int) -> [UInt8] {
    var writer = ByteWriter()
    writer.write(UInt64(index))
    return writer.bytes
  }

  static func piece(_ bytes: [UInt8]) -> Int? {
    guard bytes.count == 8 else { return nil }
    var reader = ByteReader(bytes)
    return (try? reader.read(UInt64.self)).map(Int.init)
  }
}
