// EventFileWriter: RUN/tensorboard, kept up to date.
//
// Two files, one for steps and one for evaluations. They are appended to record by record, because TensorBoard keeps a
// file open and reads what is added. The process that wrote before can have been killed in the middle of a record, so
// the incomplete end of a file is cut off first. If a disk is full, writing is tried again later, and nothing else
// waits for it. Not here: the format (Observatory.EventFile).

import Base
package import Ledger
import Observatory
import Platform
import Records
package import Runs

/// Appends what is new in a run's ledger to its event files.
package final class EventFileWriter {
  private let directory: String
  /// The end of each file; nil until the file has been read.
  private var steps: Tail?
  private var evaluations: Tail?
  private var hasComplained = false

  private struct Tail {
    let path: String
    var lastStep: Int
    var events: Int
  }

  /// Rows in one call.
  private static let rowsAtOnce = 200

  package init(_ directory: RunDirectory) { self.directory = directory.tensorboard }

  /// Appends what is new. If it cannot be written, the next call tries again.
  ///
  /// - Returns: whether the ledger has more rows to append.
  /// - Throws: `LedgerError`.
  @discardableResult
  package func refresh(_ ledger: Ledger) throws(LedgerError) -> Bool {
    do {
      let hasMore = try addSteps(ledger)
      try addEvaluations(ledger)
      hasComplained = false
      return hasMore
    } catch let error as LedgerError {
      throw error
    } catch {
      // Once: a disk that stays full must not fill the log, too.
      if !hasComplained { Log.warning("tensorboard.waits", ["reason": "\(error)"]) }
      hasComplained = true
      return false
    }
  }

  private func addSteps(_ ledger: Ledger) throws -> Bool {
    var tail = try self.steps ?? opened("steps")
    defer { self.steps = tail }
    let rows = try ledger.stepMetrics(after: tail.lastStep, limit: Self.rowsAtOnce)
    var events: [[UInt8]] = []
    for row in rows {
      let time = try ledger.timeMade(byStep: Int(row.step)) ?? WallClock.seconds()
      guard let json = try? MetricsRow.parse(row.json), let event = EventFile.event(of: json, wallTime: time) else {
        continue
      }
      events.append(EventFile.record(event))
    }
    guard let last = rows.last else { return false }
    if !events.isEmpty { try Files.append(events.flatMap { $0 }, to: tail.path) }
    tail.lastStep = Int(last.step)
    return rows.count == Self.rowsAtOnce
  }

  /// Evaluations in the order in which they ended; the file has the first of them already.
  private func addEvaluations(_ ledger: Ledger) throws {
    let count = try ledger.evaluationCount()
    guard count != evaluations?.events else { return }
    var tail = try self.evaluations ?? opened("evaluations")
    defer { self.evaluations = tail }
    let times = try ledger.rounds().reduce(into: [RoundID: Double]()) { $0[$1.id] = $1.closedAt }
    let rows = try ledger.evaluationMetrics().sorted { left, right in
      (times[left.round] ?? 0, left.round) < (times[right.round] ?? 0, right.round)
    }
    var bytes: [UInt8] = []
    for row in rows.dropFirst(tail.events) {
      guard let json = try? MetricsRow.parse(row.json),
        let event = EventFile.event(of: json, wallTime: times[row.round] ?? WallClock.seconds())
      else { continue }
      bytes += EventFile.record(event)
    }
    if !bytes.isEmpty { try Files.append(bytes, to: tail.path) }
    tail.events = max(tail.events, rows.count)
  }

  /// Makes the file, or cuts off its incomplete end.
  private func opened(_ name: String) throws -> Tail {
    let path = "\(directory)/\(name)/\(EventFile.name)"
    try Files.createDirectory("\(directory)/\(name)", mode: 0o755)
    let bytes = try Files.exists(path) ? Files.read(path) : []
    let intact = EventFile.intactPart(of: bytes)
    if intact.bytes < bytes.count { try Files.shorten(path, to: intact.bytes) }
    if intact.bytes == 0 { try Files.append(EventFile.header(wallTime: WallClock.seconds()), to: path) }
    return Tail(path: path, lastStep: intact.lastStep ?? -1, events: intact.events)
  }
}
