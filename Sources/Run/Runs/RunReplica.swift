// RunReplica: which files of a run a standby copies, and how its directory becomes a run's.
//
// Besides the ledger these are the files that a coordinator reads when it starts: settings and questions, given
// responses, the adapter, what the run took from the run that it begins from, and the model. A copy of the model is in
// the directory's `model`, because the path in settings.json is one of another machine. Not here: published versions.

import Platform
import Records

package enum RunReplica {
  package static let ledgerName = "ledger.sqlite"
  /// Where new files are until all of them are complete.
  package static let incomingName = "incoming"

  /// The paths of the files, and their names in a copy. A copy is made from the last one to the first: a directory with
  /// settings is a run.
  ///
  /// - Throws: `PlatformError`.
  package static func files(of run: Run) throws -> [(path: String, name: String)] {
    let directory = run.directory
    var files: [(path: String, name: String)] = []
    func add(_ path: String, as name: String) throws {
      if try Files.exists(path) { files.append((path, name)) }
    }
    func addAll(in path: String, as name: String, without left: [String] = []) throws {
      guard Files.isDirectory(path) else { return }
      for entry in try Files.list(path) where !Files.isDirectory("\(path)/\(entry)") && !left.contains(entry) {
        files.append(("\(path)/\(entry)", "\(name)/\(entry)"))
      }
    }
    let own =
      [directory.settings] + QuestionSet.allCases.map(directory.questions)
      + [directory.promptFilter, directory.responses]
    for path in own { try add(path, as: String(path.dropFirst(directory.path.count + 1))) }
    try addAll(in: directory.adapter, as: "adapter")
    try addAll(in: directory.start, as: RunDirectory.startName)
    // With a model of the run's own, it is in start/. A model can be a checkpoint, with an optimizer's state.
    if run.model.path != directory.start {
      try addAll(
        in: run.model.path, as: RunDirectory.modelName, without: [RunSource.stateFile, RunSource.criticFile])
    }
    return files
  }

  /// Whether a name from another process leads to a place in the directory.
  package static func isSafe(_ name: String) -> Bool {
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    return parts.count <= 2 && parts.allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." && !$0.contains("\0") }
  }
}
