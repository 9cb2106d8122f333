// CheckpointWriter: writes one checkpoint on its own thread, while the learner continues.
//
// It makes no copy that it does not need. With one rank, the thread reads masters and moments from the learner's
// memory, and the next update waits until the thread has read them (`awaitRead`). With several ranks, rank 0 receives
// their shards in pieces, between its other work, and at most two pieces wait to be written. Checksums are computed
// while the files are written, and the files are synced. Checkpoint describes the files. If anything fails, the whole
// checkpoint fails, older checkpoints do not change, and the next call throws the error. Not here: when the pieces are
// collected (LearnerShell).

import Base
import LanguageModel
import Platform
import Records
import Runs
import Synchronization
import Tensors

/// The content of a version's checkpoint.
struct CheckpointContent: Sendable {
  var version: PolicyVersion
  /// The models in training, in the order of their pieces.
  var models: [Model]
  /// The version as it is published.
  var published: HeldBytes
  /// The text of history.json.
  var history: String
  /// Whether this is the run's last version. The last version's report gets the digests of the weights and the state.
  var isLast: Bool
  /// The report that the checkpoint keeps, without digests.
  var report: StepReport

  /// A model whose masters and moments are one file.
  struct Model: Sendable {
    var file: String
    var parameters: Int
    /// Updates that its optimizer has applied.
    var step: Int
  }
}

final class CheckpointWriter: Sendable {
  private struct State: Sendable {
    var free: [Floats] = []
    var full: [(room: Floats, count: Int)] = []
    /// Masters and moments have been read.
    var isRead = false
    /// nil while the thread works.
    var outcome: Result<(report: StepReport, cost: Instant.Span), any Error>?
  }

  /// The most pieces of state that wait to be written. A piece is one bucket of parameters.
  private static let rooms = 2

  private let run: Run
  private let keep: Int
  private let begun = MonotonicClock.now()
  private let state: Mutex<State>
  private let roomBell = Wakeup()
  private let pieceBell = Wakeup()
  private let readBell = Wakeup()
  private let endBell = Wakeup()

  /// Starts the thread.
  ///
  /// - Parameters:
  ///   - run: the checkpoint's run.
  ///   - content: the checkpoint's content.
  ///   - arrays: masters and moments of each model, whole; they must not change until `awaitRead` returns. nil means
  ///     that they come in pieces.
  ///   - keep: how many checkpoints to keep, including this one.
  ///   - onEnd: called on the thread at the end, after success and after failure.
  /// - Throws: if no thread can be started.
  init(
    _ run: Run, _ content: CheckpointContent, arrays: [Floats]?, keep: Int, onEnd: @escaping @Sendable () -> Void
  ) throws {
    self.run = run
    self.keep = keep
    let room = content.models.map { min(Shards.bucketElements, $0.parameters) }.max() ?? 0
    let free = arrays == nil ? (0..<Self.rooms).map { _ in Floats(count: room) } : []
    state = Mutex(State(free: free))
    for _ in free { roomBell.signal() }
    try startThread(named: "checkpoint") {
      let outcome = Result {
        let report = try self.write(content, arrays)
        return (report: report, cost: MonotonicClock.now().since(self.begun))
      }
      self.state.withLock { $0.outcome = outcome }
      // A call that waits for the thread can now return.
      for bell in [self.roomBell, self.readBell, self.endBell] { bell.signal() }
      onEnd()
    }
  }

  // MARK: The learner's side

  var isEnded: Bool { state.withLock { $0.outcome != nil } }

  /// Whether `room` returns without waiting.
  var hasRoom: Bool { state.withLock { !$0.free.isEmpty || $0.outcome != nil } }

  /// Memory for the next piece. Waits until some is free.
  ///
  /// - Throws: the error that stopped the checkpoint.
  func room() throws -> Floats {
    roomBell.wait()
    return try state.withLock { state in
      if case .failure(let error) = state.outcome { throw error }
      guard let room = state.free.popLast() else { preconditionFailure("a checkpoint that is complete has no room") }
      return room
    }
  }

  /// Takes the next piece, in the order of the file.
  ///
  /// - Parameters:
  ///   - room: memory that `room` returned.
  ///   - count: how many of its values belong to the piece.
  func hand(_ room: Floats, count: Int) {
    state.withLock { $0.full.append((room, count)) }
    pieceBell.signal()
  }

  /// Returns when masters and moments have been read.
  ///
  /// - Throws: the error that stopped the checkpoint.
  func awaitRead() throws {
    while true {
      let isRead = try state.withLock { state in
        if case .failure(let error) = state.outcome { throw error }
        return state.isRead
      }
      if isRead { return }
      readBell.wait()
    }
  }

  /// Returns when the checkpoint is durable.
  ///
  /// - Returns: the report that the checkpoint keeps, and how long the checkpoint took.
  /// - Throws: the error that stopped it.
  func awaitEnd() throws -> (report: StepReport, cost: Instant.Span) {
    while true {
      if let outcome = state.withLock({ $0.outcome }) { return try outcome.get() }
      endBell.wait()
    }
  }

  // MARK: The thread

  private func write(_ content: CheckpointContent, _ arrays: [Floats]?) throws -> StepReport {
    let final = run.directory.checkpoint(content.version)
    let temporary = final + ".partial"
    try removePartial()
    try Files.createDirectory(temporary)
    let state = try writeState(content, arrays, to: temporary)
    let weights = try run.write(published: content.published, to: temporary)
    var sums: [(name: String, sum: String)] =
      zip(content.models, state.files).map { (name: $0.file, sum: $1) } + [(name: run.weightsFile, sum: weights)]
    try Files.write(try ModelOrigin.text(of: run, content.version), to: "\(temporary)/\(ModelOrigin.fileName)")
    try Files.write(content.history, to: temporary + "/history.json")
    var report = content.report
    if content.isLast {
      report.weightsDigest = Hexadecimal.bytes(weights)
      report.stateDigest = Hexadecimal.bytes(state.arrays)
    }
    try Files.write(report.json.text(), to: temporary + "/report.json")
    for name in try Files.list(temporary) where !sums.contains(where: { $0.name == name }) {
      sums.append((name, try SHA256.hex(ofFile: "\(temporary)/\(name)")))
    }
    let members = sums.sorted { $0.name < $1.name }.map { JSON.Member($0.name, .string($0.sum)) }
    let manifest: JSON = ["sha256": .object(members)]
    try Files.write(manifest.text(.pretty), to: temporary + "/manifest.json")
    try Files.replaceDirectory(final, with: temporary)
    try Files.syncDirectory(run.directory.checkpoints)
    try removeOld()
    return report
  }

  /// SHA-256 of each model's file, and of the arrays of all of them without the headers.
  private struct StateSums {
    var files: [String] = []
    var arrays = ""
  }

  private func writeState(
    _ content: CheckpointContent, _ arrays: [Floats]?, to directory: String
  ) throws -> StateSums {
    var sums = StateSums()
    var stateSum = SHA256()
    var files: [AtomicFile] = []
    let parts = StateFile.Part.allCases.count
    for (index, model) in content.models.enumerated() {
      let file = try AtomicFile("\(directory)/\(model.file)")
      let own = arrays.map { Array($0[index * parts..<(index + 1) * parts]) }
      sums.files.append(try write(model, content, own, to: file, &stateSum))
      files.append(file)
    }
    state.withLock { $0.isRead = true }
    readBell.signal()
    for file in files { try file.commit() }
    sums.arrays = stateSum.hex()
    return sums
  }

  /// Writes a model's header and arrays.
  ///
  /// - Returns: SHA-256 of the file.
  private func write(
    _ model: CheckpointContent.Model, _ content: CheckpointContent, _ arrays: [Floats]?, to file: AtomicFile,
    _ stateSum: inout SHA256
  ) throws -> String {
    let count = model.parameters
    let header = StateFile.header(content.version, count: count, step: model.step)
    try file.write(header)
    var fileSum = SHA256()
    fileSum.update(header)
    for part in StateFile.Part.allCases {
      for start in stride(from: 0, to: count, by: Shards.bucketElements) {
        let length = min(Shards.bucketElements, count - start)
        let room = arrays?[part.rawValue][start..<start + length] ?? nextPiece(length)
        try room[0..<length].withUnsafeBuffer { values in
          let bytes = UnsafeRawBufferPointer(values)
          fileSum.update(bytes)
          if content.isLast { stateSum.update(bytes) }
          try file.write(bytes)
        }
        if arrays == nil { giveBack(room) }
      }
    }
    return fileSum.hex()
  }

  private func nextPiece(_ length: Int) -> Floats {
    pieceBell.wait()
    return state.withLock { state in
      let (room, count) = state.full.removeFirst()
      precondition(count == length, "a piece of \(count) parameters, expected \(length)")
      return room
    }
  }

  private func giveBack(_ room: Floats) {
    state.withLock { $0.free.append(room) }
    roomBell.signal()
  }

  /// Removes checkpoints that a process left incomplete when it died.
  private func removePartial() throws {
    try Files.createDirectory(run.directory.checkpoints)
    for name in try Files.list(run.directory.checkpoints) where name.hasSuffix(".partial") {
      try Files.removeTree(run.directory.checkpoints + "/" + name)
    }
  }

  private func removeOld() throws {
    let versions = try Files.list(run.directory.checkpoints).compactMap(RunDirectory.version(ofCheckpoint:)).sorted()
    for version in versions.dropLast(keep) { try Files.removeTree(run.directory.checkpoint(version)) }
  }
}
