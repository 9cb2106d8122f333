// Checkpoint: the learner's state on disk, whole or not at all.
//
// A checkpoint is a Hugging Face model directory (the published weights) plus what training needs to go on exactly:
// float32 masters, both moments, the optimizer's step, the labels that prompts had (history.json), and the report of
// the step that made it. Everything is written into a temporary directory; a manifest of checksums comes last; then one
// rename. A checkpoint whose manifest is missing or whose checksums are wrong is passed over, and the next older one is
// used. Its arrays are whole, in the order of the model's layout, and know nothing of ranks: rank 0 writes and reads
// it, so any number of them can go on from it. Here: what a checkpoint is, and how one is found. Writing is
// CheckpointWriter's; how the ranks come by their shards, SharedState's.

import Base
import LanguageModel
import Platform
import Records
package import Runs
import TTRL
import Tensors

/// Why no checkpoint can be continued from.
package enum CheckpointError: Error, Sendable, CustomStringConvertible {
  case damaged(path: String, problem: String)

  package var description: String {
    switch self {
    case .damaged(let path, let problem): "checkpoint \(path) is damaged: \(problem)"
    }
  }
}

/// What can be continued from: everything but the arrays, which are read piece by piece.
struct SavedState {
  var version: PolicyVersion
  /// Updates that the optimizer has applied.
  var step: Int
  /// What the steps before it came to, per prompt.
  var history = History()
  /// The report of the step that made the version, on rank 0; nil for version 0.
  var report: StepReport?
  /// nil: the model that the run began with, and moments of zero.
  var arrays: StateFile?
}

/// trainer.bin: a header of 32 bytes; then masters, first and second moments, float32, little-endian.
struct StateFile {
  static let magic: UInt64 = 0x3154_5354_4C52_5454  // "TTRLTST1"
  static let headerBytes = 32
  /// The arrays, in their order in the file.
  enum Part: Int, CaseIterable { case masters, firstMoment, secondMoment }

  private let file: MappedFile
  private let count: Int
  var step: Int { Int(word(3)) }

  init(_ path: String, _ version: PolicyVersion, count: Int) throws {
    file = try MappedFile(path + "/trainer.bin")
    self.count = count
    guard file.bytes.count == Self.headerBytes + Part.allCases.count * 4 * count else {
      throw CheckpointError.damaged(path: path, problem: "trainer.bin has \(file.bytes.count) bytes")
    }
    guard word(0) == Self.magic, word(1) == UInt64(version.number), word(2) == UInt64(count) else {
      throw CheckpointError.damaged(path: path, problem: "trainer.bin is of another model or version")
    }
  }

  static func header(_ version: PolicyVersion, count: Int, step: Int) -> [UInt8] {
    var header = ByteWriter()
    for word in [magic, UInt64(version.number), UInt64(count), UInt64(step)] { header.write(word) }
    return header.bytes
  }

  private func word(_ index: Int) -> UInt64 { file.bytes.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self) }

  /// Copies a range of an array.
  func copy(_ part: Part, _ range: Range<Int>, to out: Floats) {
    let start = Self.headerBytes + 4 * (count * part.rawValue + range.lowerBound)
    let source = UnsafeRawBufferPointer(rebasing: file.bytes[start..<start + 4 * range.count])
    out.withUnsafeBuffer { UnsafeMutableRawBufferPointer($0).copyMemory(from: source) }
  }
}

package struct Checkpoints {
  private let run: Run

  package init(_ run: Run) { self.run = run }

  /// The newest sound checkpoint, or the model that the run began with.
  ///
  /// - Throws: if the directory cannot be read.
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
    return SavedState(version: PolicyVersion(0), step: 0)
  }

  private func read(_ path: String, _ version: PolicyVersion) throws -> SavedState {
    let manifest = try JSON.parse(try Files.read(path + "/manifest.json"))
    for member in manifest["sha256"]?.members ?? [] {
      guard try SHA256.hex(ofFile: "\(path)/\(member.key)") == member.value.string else {
        throw CheckpointError.damaged(path: path, problem: "\(member.key) does not have its checksum")
      }
    }
    let state = try StateFile(path, version, count: run.model.layout.count)
    guard let history = History(try JSON.parse(try Files.read(path + "/history.json"))) else {
      throw CheckpointError.damaged(path: path, problem: "history.json is not a list of prompts and their labels")
    }
    return SavedState(
      version: version, step: state.step, history: history, report: try report(path, version), arrays: state)
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
