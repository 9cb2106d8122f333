// Checkpoint: the learner's state on disk. A checkpoint is either complete or skipped.
//
// A checkpoint is a Hugging Face model directory or a PEFT adapter (the published weights) and the state that training
// needs to continue exactly: float32 masters, both moments, the optimizer's step, the labels that prompts had
// (history.json), and the report of the step that made the version. All files are written into a temporary directory. A
// manifest of checksums is written last. Then the directory is renamed once. A checkpoint that has no manifest, or has
// a wrong checksum, is skipped, and the next older one is used. The arrays are whole, in the order of the model's
// layout. They do not depend on the number of ranks: rank 0 writes and reads them, so any number of ranks can continue
// from them. A critic's state is in a second file of the same form. This file says what a checkpoint is and how one is
// found. CheckpointWriter writes a checkpoint. SharedState gives the ranks their shards.

import Base
import LanguageModel
import Platform
import Records
package import Runs
import Settings
import TTRL
import Tensors

/// The reason why a checkpoint cannot be used.
package enum CheckpointError: Error, Sendable, CustomStringConvertible {
  case damaged(path: String, problem: String)

  package var description: String {
    switch self {
    case .damaged(let path, let problem): "checkpoint \(path) is damaged: \(problem)"
    }
  }
}

/// The state that a learner continues from: everything except the arrays, which are read in pieces.
struct SavedState {
  var version: PolicyVersion
  /// Updates that the optimizer has applied, and those that the critic's has.
  var step: Int
  var criticStep = 0
  /// Each prompt's earlier labels.
  var history = History()
  /// The report of the step that made the version, on rank 0; nil for version 0.
  var report: StepReport?
  /// nil means the model that the run begins with, and moments of zero.
  var arrays: StateFile?
  /// nil without a critic.
  var criticArrays: StateFile?
}

/// trainer.bin, or critic.bin. It has a header of 32 bytes, then the masters, the first moments and the second moments:
/// float32, little-endian.
struct StateFile {
  static let magic: UInt64 = 0x3154_5354_4C52_5454  // "TTRLTST1"
  static let headerBytes = 32
  static let policyName = RunSource.stateFile
  static let criticName = RunSource.criticFile
  /// The arrays, in the order of the file.
  enum Part: Int, CaseIterable { case masters, firstMoment, secondMoment }

  private let file: MappedFile
  private let count: Int
  var step: Int { Int(word(3)) }

  /// - Parameters:
  ///   - path: the checkpoint's directory.
  ///   - name: of the file.
  ///   - version: the checkpoint's.
  ///   - count: of the model's trained parameters.
  init(_ path: String, _ name: String, _ version: PolicyVersion, count: Int) throws {
    file = try MappedFile("\(path)/\(name)")
    self.count = count
    guard file.bytes.count == Self.headerBytes + Part.allCases.count * 4 * count else {
      throw CheckpointError.damaged(path: path, problem: "\(name) has \(file.bytes.count) bytes")
    }
    guard word(0) == Self.magic, word(1) == UInt64(version.number), word(2) == UInt64(count) else {
      throw CheckpointError.damaged(path: path, problem: "\(name) is of another model or version")
    }
  }

  static func header(_ version: PolicyVersion, count: Int, step: Int) -> [UInt8] {
    var header = ByteWriter()
    for word in [magic, UInt64(version.number), UInt64(count), UInt64(step)] { header.write(word) }
    return header.bytes
  }

  private func word(_ index: Int) -> UInt64 { file.bytes.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self) }

  func copy(_ part: Part, _ range: Range<Int>, to out: Floats) {
    let start = Self.headerBytes + 4 * (count * part.rawValue + range.lowerBound)
    let source = UnsafeRawBufferPointer(rebasing: file.bytes[start..<start + 4 * range.count])
    out.withUnsafeBuffer { UnsafeMutableRawBufferPointer($0).copyMemory(from: source) }
  }
}

package struct Checkpoints {
  private let run: Run

  package init(_ run: Run) { self.run = run }

  /// The newest checkpoint that is not damaged, or what the run begins with.
  ///
  /// - Throws: if the directory cannot be read, or the run cannot begin.
  func newest() throws -> SavedState {
    let names = (try? Files.list(run.directory.checkpoints)) ?? []
    for version in names.compactMap(RunDirectory.version(ofCheckpoint:)).sorted(by: >) {
      let path = run.directory.checkpoint(version)
      do {
        return try read(path, version)
      } catch {
        Log.warning("learner.checkpoint_skipped", ["path": path, "reason": "\(error)"])
      }
    }
    return try beginning()
  }

  /// Removes the checkpoints of versions that are newer than this one.
  ///
  /// - Throws: if one cannot be removed.
  func removeNewer(than version: PolicyVersion) throws {
    let versions = try Files.list(run.directory.checkpoints).compactMap(RunDirectory.version(ofCheckpoint:))
    for newer in versions where newer > version { try Files.removeTree(run.directory.checkpoint(newer)) }
  }

  /// Version 0: the model and a new optimizer, or the state that another run's learner had.
  ///
  /// - Throws: `RunSourceError.changed`, `RunError.damagedManifest`, or `CheckpointError` if the state is not of this
  ///   model.
  private func beginning() throws -> SavedState {
    guard run.settings.optimizer == .carry else { return SavedState(version: PolicyVersion(0), step: 0) }
    guard let carried = run.carried else {
      throw RunError.damagedManifest(
        path: run.directory.path, problem: "optimizer is carry, and \"from\" does not say which state")
    }
    try carried.check()
    let (state, critic) = try arrays(carried.path, carried.version)
    // The labels of earlier steps stay behind: this run can have other questions, and its steps count from 0.
    return SavedState(
      version: PolicyVersion(0), step: state.step, criticStep: critic?.step ?? 0, arrays: state, criticArrays: critic)
  }

  private func arrays(_ path: String, _ version: PolicyVersion) throws -> (policy: StateFile, critic: StateFile?) {
    let policy = try StateFile(path, StateFile.policyName, version, count: run.trained.count)
    let critic = try run.critic.map { try StateFile(path, StateFile.criticName, version, count: $0.trained.count) }
    return (policy, critic)
  }

  private func read(_ path: String, _ version: PolicyVersion) throws -> SavedState {
    let manifest = try JSON.parse(try Files.read(path + "/manifest.json"))
    for member in manifest["sha256"]?.members ?? [] {
      guard try SHA256.hex(ofFile: "\(path)/\(member.key)") == member.value.string else {
        throw CheckpointError.damaged(path: path, problem: "\(member.key) does not have its checksum")
      }
    }
    let (state, critic) = try arrays(path, version)
    guard let history = History(try JSON.parse(try Files.read(path + "/history.json"))) else {
      throw CheckpointError.damaged(path: path, problem: "history.json is not a list of prompts and their labels")
    }
    return SavedState(
      version: version, step: state.step, criticStep: critic?.step ?? 0, history: history,
      report: try report(path, version), arrays: state, criticArrays: critic)
  }

  private func report(_ path: String, _ version: PolicyVersion) throws -> StepReport {
    let report: StepReport
    do {
      report = try StepReport(parsing: try Files.readText(path + "/report.json"))
    } catch let error as StepReportError {
      throw CheckpointError.damaged(path: path, problem: "report.json: \(error)")
    }
    guard PolicyVersion(report.step).next == version else {
      throw CheckpointError.damaged(path: path, problem: "report.json is of step \(report.step)")
    }
    return report
  }
}
