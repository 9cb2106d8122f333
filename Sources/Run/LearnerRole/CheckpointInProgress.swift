// CheckpointInProgress: the checkpoint that is being written, if any, as the learner's main thread uses it.
//
// Only one checkpoint is written at a time: the next one waits for it. The stall is the total time that the main thread
// waits.

import Base
import Platform
import Records
import Runs
import Settings
import Tensors

/// Not `Sendable`. Only `onEnd` is called on another thread.
final class CheckpointInProgress {
  private let run: Run
  private let keep: Int
  private var pace: CheckpointPace
  private var writer: CheckpointWriter?
  private var pieces = 0..<0
  private var stall = Instant.Span.zero
  /// Called on another thread when a checkpoint is complete or has failed.
  var onEnd: @Sendable () -> Void = {}

  init(_ run: Run, every interval: CheckpointInterval, keep: Int) {
    self.run = run
    self.keep = keep
    pace = CheckpointPace(interval)
  }

  /// Whether a checkpoint of this version should be written now.
  ///
  /// - Throws: the previous checkpoint's error.
  func isDue(_ version: PolicyVersion) throws -> Bool {
    if isEnded { _ = try awaitEnd() }
    return pace.isDue(version.number, at: MonotonicClock.now())
  }

  /// - Parameters:
  ///   - content: the checkpoint's content.
  ///   - arrays: masters and moments, whole; nil if they come in pieces.
  ///   - pieces: the number of pieces.
  /// - Throws: the previous checkpoint's error, or the error of starting a thread.
  func begin(_ content: CheckpointContent, arrays: [Floats]?, pieces: Int) throws {
    _ = try awaitEnd()
    pace.begin(at: MonotonicClock.now())
    writer = try CheckpointWriter(run, content, arrays: arrays, keep: keep, onEnd: onEnd)
    self.pieces = 0..<pieces
  }

  /// The next piece to collect, if any is left.
  var nextPiece: Int? { pieces.first }

  var hasRoom: Bool { writer?.hasRoom ?? true }

  var isEnded: Bool { writer?.isEnded ?? false }

  /// - Throws: the error that stopped the checkpoint.
  func room() throws -> Floats {
    guard let writer else { preconditionFailure("a piece of no checkpoint") }
    return try writer.room()
  }

  func hand(_ room: Floats, count: Int) {
    writer?.hand(room, count: count)
    pieces = pieces.dropFirst()
  }

  /// - Throws: the error that stopped the checkpoint.
  func awaitRead() throws { try stalling { try writer?.awaitRead() } }

  /// - Returns: the checkpoint's report; nil if no checkpoint was being written.
  /// - Throws: the error that stopped it.
  func awaitEnd() throws -> StepReport? {
    try stalling {
      guard let writer else { return nil }
      let (report, cost) = try writer.awaitEnd()
      pace.end(after: cost)
      // A step makes the version of the next number.
      Log.info(
        "learner.checkpoint",
        ["policy": report.step + 1, "seconds": cost.seconds, "pause_seconds": pace.pause?.seconds ?? 0])
      self.writer = nil
      return report
    }
  }

  /// Does work that the learner has to wait for, and adds its time to the stall.
  func stalling<Result>(_ work: () throws -> Result) rethrows -> Result {
    let begun = MonotonicClock.now()
    defer { stall = stall + MonotonicClock.now().since(begun) }
    return try work()
  }

  /// The stall since the last call.
  func takeStall() -> Instant.Span {
    defer { stall = .zero }
    return stall
  }
}
