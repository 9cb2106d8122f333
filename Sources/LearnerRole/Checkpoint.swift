// Checkpoint: the learner's state on disk, whole or not at all.
//
// A checkpoint is a Hugging Face model directory (the published weights) plus what training needs to go on exactly:
// float32 masters, both moments, the optimizer's step, the labels that prompts had (history.json), and the report of
// the step that made it. Everything is written into a temporary directory; a manifest of checksums comes last; then one
// rename. A checkpoint whose manifest is missing or whose checksums are wrong is passed over, and the next older one is
// used. Rank 0 writes and reads it, so any number of learner ranks can go on from it (SharedState).

import Base
import LanguageModel
import Platform
package import Records
package import Runs
package import TTRL
package import Tensors

/// The learner's state at one policy version.
package struct LearnerState: Sendable {
  package var version: PolicyVersion
  package var optimizer: AdamW
  /// What the steps before it came to, per prompt.
  package var history = History()
  /// The report of the step that made the version; empty for version 0.
  package var report: String
}

/// Why no checkpoint can be continued from.
package enum CheckpointError: Error, Sendable, CustomStringConvertible {
  case damaged(path: String, problem: String)

  package var description: String {
    switch self {
    case .damaged(let path, let problem): "checkpoint \(path) is damaged: \(problem)"
    }
  }
}

package struct Checkpoints {
  private let run: Run
  let settings: AdamWSettings
  private static let stateMagic: UInt64 = 0x3154_5354_4C52_5454  // "TTRLTST1"

  package init(_ run: Run) {
    self.run = run
    settings = AdamWSettings(
      beta1: run.method.beta1, beta2: run.method.beta2, epsilon: run.method.epsilon,
      weightDecay: run.method.weightDecay,
      gradientNormMax: run.method.gradientClip > 0 ? run.method.gradientClip : .infinity)
  }

  // MARK: Reading

  /// The newest sound checkpoint, or the model that the run began with.
  ///
  /// - Throws: if not even that can be read.
  package func newest() throws -> LearnerState {
    let names = (try? Files.list(run.directory.checkpoints)) ?? []
    for version in names.compactMap(RunDirectory.version(ofCheckpoint:)).sorted(by: >) {
      let path = run.directory.checkpoint(version)
      do {
        return try read(path, version)
      } catch {
        Log.warning("learner.checkpoint_skipped", ["path": path, "reason": "\(error)"])
      }
    }
    let parameters = try run.model.loadParameters()
    return LearnerState(
      version: PolicyVersion(0), optimizer: AdamW(settings, parameters: parameters), report: "")
  }

  private func read(_ path: String, _ version: PolicyVersion) throws -> LearnerState {
    let manifest = try JSON.parse(try Files.read(path + "/manifest.json"))
    for member in manifest["sha256"]?.members ?? [] {
      guard try SHA256.hex(ofFile: "\(path)/\(member.key)") == member.value.string else {
        throw CheckpointError.damaged(path: path, problem: "\(member.key) does not have its checksum")
      }
    }
    let state = try MappedFile(path + "/trainer.bin")
    let count = run.model.layout.count
    guard state.bytes.count == 32 + 12 * count else {
      throw CheckpointError.damaged(path: path, problem: "trainer.bin has \(state.bytes.count) bytes")
    }
    func word(_ index: Int) -> UInt64 { state.bytes.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self) }
    guard word(0) == Self.stateMagic, word(1) == UInt64(version.number), word(2) == UInt64(count) else {
      throw CheckpointError.damaged(path: path, problem: "trainer.bin is of another model or version")
    }
    func floats(_ part: Int) -> Floats {
      let values = Floats(count: count)
      let source = UnsafeRawBufferPointer(
        rebasing: state.bytes[(32 + 4 * count * part)..<(32 + 4 * count * (part + 1))])
      values.withUnsafeBuffer { UnsafeMutableRawBufferPointer($0).copyMemory(from: source) }
      return values
    }
    guard let history = History(try JSON.parse(try Files.read(path + "/history.json"))) else {
      throw CheckpointError.damaged(path: path, problem: "history.json is no list of prompts and their labels")
    }
    return LearnerState(
      version: version,
      optimizer: AdamW(
        settings, parameters: floats(0), firstMoment: floats(1), secondMoment: floats(2), step: Int(word(3))),
      history: history,
      report: try Files.readText(path + "/report.json"))
  }

  // MARK: Writing

  /// SHA-256 over masters and moments in one fixed order: equal runs have equal states.
  package static func stateDigest(_ optimizer: AdamW) -> String {
    var digest = SHA256()
    for part in [optimizer.parameters, optimizer.firstMoment, optimizer.secondMoment] {
      part.withUnsafeBuffer { digest.update(UnsafeRawBufferPointer($0)) }
    }
    return digest.hex()
  }

  /// Writes a checkpoint and removes those that are no longer kept.
  ///
  /// - Parameters:
  ///   - version: that the state belongs to.
  ///   - optimizer: masters and moments.
  ///   - history: of the steps up to it.
  ///   - report: given the hash of model.safetensors, the step's report to keep with it.
  ///   - keep: how many to keep, this one included.
  /// - Returns: the report.
  /// - Throws: on a full disk or missing rights; older checkpoints are untouched then.
  package func write(
    _ version: PolicyVersion, _ optimizer: AdamW, _ history: History, keep: Int,
    report: (_ weights: String) -> String
  ) throws -> String {
    let final = run.directory.checkpoint(version)
    let temporary = final + ".partial"
    try? Files.removeTree(temporary)
    try Files.createDirectory(temporary)
    try run.model.write(optimizer.parameters, as: run.weightType, to: temporary)
    try writeState(version, optimizer, to: temporary)
    try Files.write(history.json.text(), to: temporary + "/history.json")
    let text = report(try SHA256.hex(ofFile: temporary + "/model.safetensors"))
    try Files.write(text, to: temporary + "/report.json")
    let names = try Files.list(temporary).sorted()
    let sums = try names.map { JSON.Member($0, .string(try SHA256.hex(ofFile: "\(temporary)/\($0)"))) }
    try Files.write(JSON.object([JSON.Member("sha256", .object(sums))]).text(.pretty), to: temporary + "/manifest.json")
    if Files.exists(final) { try Files.removeTree(final) }
    try Files.rename(temporary, to: final)
    try Files.syncDirectory(run.directory.checkpoints)
    try removeOld(keep: keep)
    return text
  }

  private func writeState(_ version: PolicyVersion, _ optimizer: AdamW, to directory: String) throws {
    let file = try AtomicFile(directory + "/trainer.bin")
    var header = ByteWriter()
    header.write(Self.stateMagic)
    header.write(UInt64(version.number))
    header.write(UInt64(optimizer.parameters.count))
    header.write(UInt64(optimizer.step))
    try file.write(header.bytes)
    for part in [optimizer.parameters, optimizer.firstMoment, optimizer.secondMoment] {
      try part.withUnsafeBuffer { try file.write(UnsafeRawBufferPointer($0)) }
    }
    try file.commit()
  }

  private func removeOld(keep: Int) throws {
    let versions = try Files.list(run.directory.checkpoints).compactMap(RunDirectory.version(ofCheckpoint:)).sorted()
    for version in versions.dropLast(keep) { try Files.removeTree(run.directory.checkpoint(version)) }
  }
}
