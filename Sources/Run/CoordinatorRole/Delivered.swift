// Delivered: writes the version that is the run's result, as a directory that other programs can open.
//
// The last version is in its checkpoint. Any other version was published and its bytes were kept for this purpose. The
// bytes are the weights, so a Hugging Face model directory can be made from them without the learner. The directory is
// written under a temporary name and then renamed, so a directory with the final name is complete.

import Base
import LanguageModel
import Platform
import Records
import Runs
import Settings
import TTRL

/// Why a run ended before its plan was complete, and after which step.
struct EarlyEnd {
  package var step: UInt32
  /// The alarm that said that the run was collapsing; nil after a plateau.
  package var collapse: RaisedAlarm?
}

package enum Delivered {
  /// - Parameters:
  ///   - version: the run's result.
  ///   - early: nil if the plan was complete.
  ///   - bytes: gives a version's bytes, as published.
  /// - Returns: the line of metrics.jsonl, which is also the member of summary.json; nil if nothing was trained.
  /// - Throws: on a full disk or missing rights.
  static func make(
    _ version: PolicyVersion, of run: Run, early: EarlyEnd?,
    _ bytes: (PolicyVersion) throws(PlatformError) -> [UInt8]
  ) throws -> JSON? {
    guard run.method.steps > 0 else { return nil }
    let checkpoint = run.directory.checkpoint(version)
    let isCheckpoint = try version.number == run.method.steps && Files.exists(checkpoint)
    let path = isCheckpoint ? checkpoint : run.directory.delivered
    if !isCheckpoint { try write(version, try bytes(version), of: run, to: path) }
    var (collapse, plateau): (JSON, JSON) = (.null, .null)
    if let early, let raised = early.collapse {
      collapse = ["step": .int(Int(early.step)), "alarm": .string(raised.alarm.rawValue)]
    } else if let early {
      plateau = ["step": .int(Int(early.step))]
    }
    return [
      "kind": "delivered", "policy": .int(Int(version.number)),
      "rule": .string(early?.collapse != nil ? "guard" : run.settings.delivery.rawValue),
      "collapse": collapse, "plateau": plateau,
      "directory": .string(String(path.dropFirst(run.directory.path.count + 1))),
      "weights_sha256": .string(try SHA256.hex(ofFile: "\(path)/\(run.weightsFile)")),
    ]
  }

  private static func write(_ version: PolicyVersion, _ bytes: [UInt8], of run: Run, to path: String) throws {
    guard bytes.count == run.trained.count * run.weightType.byteCount else {
      throw CoordinatorFailure.broken(
        "the version to deliver has \(bytes.count) bytes, expected those of \(run.trained.count) parameters")
    }
    let temporary = path + ".partial"
    try? Files.removeTree(temporary)
    try Files.createDirectory(temporary)
    _ = try run.write(published: .array(bytes), to: temporary)
    try Files.write(try ModelOrigin.text(of: run, version), to: "\(temporary)/\(ModelOrigin.fileName)")
    if try Files.exists(path) { try Files.removeTree(path) }
    try Files.rename(temporary, to: path)
    try Files.syncDirectory(run.directory.path)
  }
}
