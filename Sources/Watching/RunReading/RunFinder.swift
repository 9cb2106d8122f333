// RunFinder: the runs below directories, for `ttrl runs`.
//
// A directory with a settings.json is looked at as a run, and not searched further. Directories whose names begin with
// a dot, and links, are not followed.

import Base
import Ledger
package import Observatory
import Platform
import Records
import Runs
import Settings

package enum RunFinder {
  /// A run that can be read, or a directory that cannot.
  package enum Found: Sendable {
    case run(ListedRun)
    case damaged(UnlistedRun)
  }

  /// Directories below which nothing is searched: a run lies some levels deep, not a hundred.
  private static let depthMax = 16

  /// Calls `body` for each run at or below a directory, in the order of the paths.
  ///
  /// - Returns: how many were found.
  @discardableResult
  package static func forEachRun(at path: String, depth: Int = 0, _ body: (Found) -> Void) -> Int {
    do {
      let directory = RunDirectory(path)
      if try Files.exists(directory.settings) {
        body(.run(try listed(directory)))
        return 1
      }
      guard depth < depthMax else { return 0 }
      let names = try Files.list(path).filter { !$0.hasPrefix(".") && Files.isRealDirectory("\(path)/\($0)") }
      return names.reduce(0) { $0 + forEachRun(at: "\(path)/\($1)", depth: depth + 1, body) }
    } catch {
      body(.damaged(UnlistedRun(path: path, problem: "\(error)")))
      return 1
    }
  }

  private static func listed(_ directory: RunDirectory) throws -> ListedRun {
    let manifest = try RunManifest(reading: directory)
    let settings = manifest.settings
    // A run that is about to begin has no ledger yet.
    let ledger =
      try Files.exists(directory.ledger) ? try Ledger(path: directory.ledger, mode: .readOnly) : nil
    let history = try ledger.map(RunSummary.history) ?? RunHistory(parsing: "")
    let condition = try RunCondition(of: directory, isDelivered: history.delivered != nil)
    let ends = Outcome(history).train
    let begun = try ledger?.rounds().map(\.openedAt).min()
    return ListedRun(
      path: directory.path, id: manifest.id, begun: begun.map { ($0, WallClock.text(of: $0)) },
      model: settings.shownModel, modelSHA256: manifest.json["model_sha256"]?.string ?? "",
      settings: settings.shown.filter { shown in
        !shown.isDefault && shown.name != "model" && SettingTable.named(shown.name)?.effect == .result
      },
      stepsDone: history.steps.count, stepCount: Int(settings.method.steps), state: condition.name,
      before: ends.before?.passAt1, after: ends.after?.passAt1,
      weightsSHA256: try ledger.flatMap { try RunSummary.hashes($0).weights }, manifest: manifest.json)
  }
}
