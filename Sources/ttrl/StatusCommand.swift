// StatusCommand: `ttrl status`, once or continuously.
//
// With --watch it shows what `ttrl train` shows, of a run that another process runs: a block on a terminal, a line per
// step into a pipe, until the run is finished, has failed or was stopped, or Ctrl-C. It only has to be able to read the
// run's directory.

import Base
import Commands
import Foundation
import Ledger
import Observatory
import Platform
import Records
import RunReading
import Runs
import Settings

extension Command {
  @Sendable static func status(_ settings: LookSettings, _ call: CallSettings) throws -> Int32 {
    let directory = RunDirectory(ThisProcess.absolute(settings.run))
    if let course = try course(in: directory), !settings.isWatching { return try status(of: course, call) }
    if settings.isWatching { return try watch(try shownRun(directory)) }
    let manifest = try RunManifest(reading: directory)
    let ledger = try Ledger(path: directory.ledger, mode: .readOnly)
    let status = try RunStatus(directory, manifest, ledger)
    if call.isJSON { showJSON(status.json.text()) } else { show(status.text) }
    return status.isBalanced ? ExitStatus.done : ExitStatus.failed
  }

  /// The stages, then the one that is trained.
  private static func status(of course: CourseDirectory, _ call: CallSettings) throws -> Int32 {
    let view = try course.view(now: WallClock.seconds())
    let current = try course.isFinished ? nil : course.current.flatMap { try status(of: $0) }
    if call.isJSON {
      guard case .object(let members) = view.json else { return ExitStatus.failed }
      showJSON(JSON.object(members + [JSON.Member("stage", current?.json ?? .null)]).text())
    } else {
      show(view.text + (current.map { "\n\n\($0.text)" } ?? ""))
    }
    return current?.isBalanced == false ? ExitStatus.failed : ExitStatus.done
  }

  /// - Returns: nil if the run has no ledger yet.
  private static func status(of run: RunDirectory) throws -> RunStatus? {
    guard try Files.exists(run.ledger) else { return nil }
    return try RunStatus(run, try RunManifest(reading: run), try Ledger(path: run.ledger, mode: .readOnly))
  }

  private static func watch(_ directory: RunDirectory) throws -> Int32 {
    let manifest = try RunManifest(reading: directory)
    // The view waits for a ledger that is not there yet, but not for one that may not be read.
    if try Files.exists(directory.ledger) { _ = try Ledger(path: directory.ledger, mode: .readOnly) }
    let loop = try EventLoop()
    var isInterrupted = false
    try loop.onSignals([Signal.interrupt, Signal.terminate, Signal.hangup]) { _ in
      isInterrupted = true
      loop.stop()
    }
    let progress = ProgressView(directory, steps: Int(manifest.settings.method.steps))
    while !isInterrupted {
      progress.page = pageAddress(of: directory)
      progress.refresh()
      if progress.isFinished {
        progress.finish(keepingBlock: true)
        return ExitStatus.done
      }
      if let banner = progress.endingBanner {
        progress.finish()
        progress.say(banner.text)
        return ExitStatus.failed
      }
      loop.run(until: MonotonicClock.now() + .seconds(1))
    }
    progress.finish(keepingBlock: true)
    return ExitStatus.interrupted
  }

  private static func pageAddress(of directory: RunDirectory) -> String {
    ((try? Files.readText(directory.pageAddress)) ?? "").trimmingCharacters(in: .whitespacesAndNewlines)
  }
}
