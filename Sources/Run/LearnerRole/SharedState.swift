// SharedState: how the ranks get the state that they begin with, how rank 0 gets it back for a checkpoint, and how the
// ranks detect that they do not hold the same weights.
//
// Rank 0 reads a checkpoint and sends it to all ranks, bucket by bucket. Each rank keeps its shard of masters and
// moments; the policy gathers the weights from the shards. So the other ranks need no disk, and a job of any size, on
// any machines, continues from the same checkpoint. For a new checkpoint, rank 0 gathers one bucket of one array at a
// time. After each step the ranks compare 64 bits of the weights that they packed. A difference means broken memory or
// a bug, and the run stops.

import Base
import LanguageModel
import Platform
import Records
import Runs
import Settings
import TTRL
package import Tensors

/// The state that a rank begins with.
struct SharedBeginning {
  var version: PolicyVersion
  /// The rank's shard.
  var optimizer: AdamW
  /// The critic's shape, and the rank's shard of it; nil if the objective has none.
  var critic: (plan: TransformerPlan, optimizer: AdamW)?
  /// Policy 0's parameters, if a KL penalty or PRIME needs them.
  var reference: Floats?
  var history: History
}

struct SharedState {
  private let run: Run
  private let ranks: any Collectives
  private let shards: Shards
  /// nil without a critic.
  private let criticShards: Shards?

  init(_ run: Run, _ ranks: any Collectives) {
    self.run = run
    self.ranks = ranks
    shards = Shards(count: run.trained.count, size: ranks.size)
    criticShards = run.critic.map { Shards(count: $0.trained.count, size: ranks.size) }
  }

  private var settings: AdamWSettings { settings(clip: run.method.gradientClip) }

  private func settings(clip: Double) -> AdamWSettings {
    AdamWSettings(
      beta1: run.method.beta1, beta2: run.method.beta2, epsilon: run.method.epsilon,
      weightDecay: run.method.weightDecay, gradientNormMax: clip > 0 ? clip : .infinity)
  }

  /// The largest norm of the gradient of PRIME's critic, as in its recipe.
  private static let processClip = 10.0

  private var criticSettings: AdamWSettings {
    settings(clip: run.method.objective == .prime ? Self.processClip : run.method.gradientClip)
  }

  // MARK: From a checkpoint to the ranks

  /// Gives every rank its part of rank 0's state.
  ///
  /// - Parameter own: rank 0's state; nil on the other ranks.
  /// - Throws: if MPI fails, rank 0 cannot read the model, or rank 0 sends bytes that are not a state.
  func exchange(_ own: SavedState?) throws -> SharedBeginning {
    if let own { try ranks.sendToAll(header(of: own)) }
    let (state, hasMoments) = try own.map { ($0, $0.arrays != nil) } ?? receivedState(try ranks.receiveFromRoot())
    let initial = own != nil && !hasMoments ? try run.initialParameters() : nil
    let optimizer = try dealt(settings, state.step, state.arrays, shards, hasMoments) { range, target in
      if let initial { target.copy(from: initial.values(range)) }
    }
    let critic = try run.critic.map { plan in
      let shards = Shards(count: plan.trained.count, size: ranks.size)
      let optimizer = try dealt(criticSettings, state.criticStep, state.criticArrays, shards, hasMoments) {
        if let initial { run.copyInitialCritic($0, of: initial, to: $1) }
      }
      return (plan: plan, optimizer: optimizer)
    }
    var reference: Floats?
    // A new adapter adds nothing, so policy 0 is the base.
    if run.method.needsReference, run.settings.adapter != RunSettings.newAdapter {
      let values = own == nil ? Floats(count: shards.count) : try run.initialParameters().values(0..<shards.count)
      try copyFromRoot(values)
      reference = values
    }
    return SharedBeginning(
      version: state.version, optimizer: optimizer, critic: critic, reference: reference, history: state.history)
  }

  /// A rank's shard of a model's masters and moments.
  ///
  /// - Parameters:
  ///   - settings: of the optimizer.
  ///   - step: updates that the optimizer has applied.
  ///   - arrays: rank 0's; nil on the other ranks, and for a model that has not been trained yet.
  ///   - shards: of the model.
  ///   - hasMoments: whether it has been trained.
  ///   - copyInitial: copies a range of the masters with which training begins; it does nothing on the other ranks.
  private func dealt(
    _ settings: AdamWSettings, _ step: Int, _ arrays: StateFile?, _ shards: Shards, _ hasMoments: Bool,
    copyInitial: (_ range: Range<Int>, _ target: Floats) -> Void
  ) throws -> AdamW {
    let room = { Floats(count: shards.count(of: ranks.rank)) }
    let (masters, first, second) = (room(), room(), room())
    guard hasMoments else {
      try deal(to: masters, shards, copyInitial)
      return AdamW(settings, parameters: masters, firstMoment: first, secondMoment: second, step: step)
    }
    for (part, array) in [(StateFile.Part.masters, masters), (.firstMoment, first), (.secondMoment, second)] {
      try deal(to: array, shards) { arrays?.copy(part, $0, to: $1) }
    }
    return AdamW(settings, parameters: masters, firstMoment: first, secondMoment: second, step: step)
  }

  /// The frozen model, on every rank; nil if all weights are trained. The ranks of a machine share it. Rank 0 sends it
  /// if a rank does not find it on its machine. All ranks call it.
  ///
  /// - Throws: if MPI fails, rank 0 cannot read the model, or the cache cannot be used.
  func preparedBase(threads: Int) throws -> PreparedModel? {
    guard let base = run.base else { return nil }
    let plan = run.transformer
    let parameters = { try run.model.parameters() }
    var model: PreparedModel?
    if ranks.rank == 0 { model = try BaseModel.shared(base, plan, threads: threads, parameters: parameters) }
    guard ranks.size > 1 else { return model }
    // Rank 0 has made it before the others look.
    _ = try ranks.max([0])
    if ranks.rank != 0 { model = try BaseModel.onThisMachine(base, plan, threads: threads, directory: nil) }
    guard try ranks.max([model == nil ? 1 : 0]) != [0] else { return model }
    if ranks.rank == 0 {
      try forEachPublishedPiece(of: try parameters(), layout: plan.layout.flat, type: run.weightType) {
        try ranks.sendToAll($0)
      }
      return model
    }
    let bytes = try receivedBase(base)
    return try model
      ?? bytes.withBytes { bytes in
        try BaseModel.shared(base, plan, threads: threads) {
          let parameters = ParameterSource(published: bytes, layout: plan.layout.flat, type: plan.type)
          guard let parameters, SHA256.digest(of: bytes) == base.digest else {
            throw LearnerError.notACommand("the base that it sent is damaged")
          }
          return parameters
        }
      }
  }

  private func receivedBase(_ base: PolicyManifest) throws -> HeldBytes {
    .file(
      try MappedFile.withoutName(in: try BuiltIn.cacheDirectory()) { file in
        var count: UInt64 = 0
        while count < base.byteCount {
          let piece = try ranks.receiveFromRoot()
          count += UInt64(piece.count)
          try file.write(piece)
        }
      })
  }

  /// Sends one array from rank 0 to the ranks' shards.
  ///
  /// - Parameters:
  ///   - shard: the rank's own.
  ///   - shards: of the array.
  ///   - copy: copies a range of rank 0's array; it does nothing on the other ranks.
  private func deal(to shard: Floats, _ shards: Shards, _ copy: (_ range: Range<Int>, _ target: Floats) -> Void) throws
  {
    let scratch = Floats(count: ranks.size > 1 ? min(Shards.bucketElements, shards.count) : 0)
    for (bucket, slice) in shards.slices(of: ranks.rank).enumerated() {
      let range = shards.bucket(bucket)
      guard ranks.size > 1 else {
        copy(range, shard[range])
        continue
      }
      let room = scratch[0..<range.count]
      copy(range, room)
      try copyFromRoot(room)
      shard[slice.shard].copy(from: room[shards.slices(ofBucket: bucket)[ranks.rank]])
    }
  }

  private func copyFromRoot(_ values: Floats) throws {
    try values.withUnsafeBuffer { try ranks.copyFromRoot(UnsafeMutableRawBufferPointer($0)) }
  }

  /// Everything except the large arrays. The report stays with rank 0, because only rank 0 publishes.
  private func header(of state: SavedState) -> [UInt8] {
    var writer = ByteWriter()
    writer.write(state.version.number)
    writer.write(UInt64(state.step))
    writer.write(UInt64(state.criticStep))
    writer.write(UInt64(state.arrays == nil ? 0 : 1))
    writer.write(UInt64(shards.count))
    writer.write(state.history.json.text())
    return writer.bytes
  }

  private func receivedState(_ header: [UInt8]) throws -> (SavedState, hasMoments: Bool) {
    var reader = ByteReader(header)
    let version = PolicyVersion(try reader.read(UInt32.self))
    let step = try reader.read(UInt64.self)
    let criticStep = try reader.read(UInt64.self)
    let hasMoments = try reader.read(UInt64.self) != 0
    let count = try reader.read(UInt64.self)
    let text = try reader.readString("history", limit: 1 << 30)
    guard count == UInt64(shards.count), let history = History(try JSON.parse(Array(text.utf8))) else {
      throw CheckpointError.damaged(path: "of rank 0", problem: "it is of another model, or has no history")
    }
    guard let step = Int(exactly: step), let criticStep = Int(exactly: criticStep) else {
      throw CheckpointError.damaged(path: "of rank 0", problem: "it counts more updates than there can be")
    }
    return (SavedState(version: version, step: step, criticStep: criticStep, history: history), hasMoments)
  }

  // MARK: From the ranks to a checkpoint

  /// The policy's shards, and the critic's if there is one.
  private var models: [Shards] { [shards] + [criticShards].compactMap { $0 } }

  /// The number of pieces of masters and moments. Pieces are in the order of the files.
  var pieceCount: Int { models.reduce(0) { $0 + Self.pieceCount($1) } }

  private static func pieceCount(_ shards: Shards) -> Int { StateFile.Part.allCases.count * shards.bucketCount }

  /// Values of the largest piece.
  var roomCount: Int { models.map { min(Shards.bucketElements, $0.count) }.max() ?? 0 }

  /// Gathers a piece at rank 0. All ranks call it.
  ///
  /// - Parameters:
  ///   - index: below `pieceCount`.
  ///   - optimizers: have the rank's shards, in the order of the files.
  ///   - room: memory for one bucket; only rank 0's is filled.
  /// - Returns: the number of values in the piece.
  func gather(piece index: Int, of optimizers: [AdamW], into room: Floats) throws -> Int {
    let first = Self.pieceCount(shards)
    if index >= first, let criticShards {
      return try gather(piece: index - first, of: optimizers[1], criticShards, into: room)
    }
    return try gather(piece: index, of: optimizers[0], shards, into: room)
  }

  private func gather(
    piece index: Int, of optimizer: AdamW, _ shards: Shards, into room: Floats
  ) throws -> Int {
    let arrays = [optimizer.parameters, optimizer.firstMoment, optimizer.secondMoment]
    let bucket = index % shards.bucketCount
    let slices = shards.slices(ofBucket: bucket)
    let own = shards.slice(ofBucket: bucket, of: ranks.rank).shard
    room[slices[ranks.rank]].copy(from: arrays[index / shards.bucketCount][own])
    let count = shards.bucket(bucket).count
    try room[0..<count].withUnsafeBuffer {
      try ranks.gatherToRoot(
        UnsafeMutableRawBufferPointer($0), slices: slices.map { $0.lowerBound * 4..<$0.upperBound * 4 })
    }
    return count
  }
}

/// The ranks do not hold the same weights after a step.
package struct RanksDisagree: LastingError, Sendable, Equatable, CustomStringConvertible {
  package let step: UInt32
  package let rank: Int
  package let size: Int

  package var description: String {
    "ranks disagree: after step \(step) the \(size) learner ranks do not hold the same weights (seen by rank \(rank)). "
      + "They were given the same, so a machine's memory is broken, or their programs differ: compare "
      + "ttrl --version on all of them. The last checkpoint is from before; the run continues from there"
  }
}

package enum Agreement {
  /// Compares 64 bits of every rank's weights. All ranks call it.
  ///
  /// - Throws: `RanksDisagree` on every rank if any rank's weights differ; MPI's error if MPI fails.
  package static func require(_ fingerprint: UInt64, step: UInt32, _ ranks: any Collectives) throws {
    guard try isShared(fingerprint, ranks) else {
      throw RanksDisagree(step: step, rank: ranks.rank, size: ranks.size)
    }
  }

  /// Checks that all ranks are of one release, because what they send to each other has no version. All ranks call it.
  ///
  /// - Throws: `OtherReleases` on every rank if they are not; MPI's error if MPI fails.
  package static func requireRelease(_ release: String, _ ranks: any Collectives) throws {
    let digest = SHA256.digest(of: Array(release.utf8)).prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard try isShared(digest, ranks) else { throw OtherReleases(own: release) }
  }

  /// Whether all ranks have the same number.
  private static func isShared(_ number: UInt64, _ ranks: any Collectives) throws -> Bool {
    // A Double holds each half exactly. The largest negated value gives the smallest value.
    let halves = [Double(number >> 32), Double(number & 0xFFFF_FFFF)]
    let found = try ranks.max(halves + halves.map { -$0 })
    return found[0] == -found[2] && found[1] == -found[3]
  }
}

/// The ranks of a job are of different releases.
package struct OtherReleases: LastingError, Sendable, CustomStringConvertible {
  package let own: String

  package var description: String {
    "the ranks of this job run different releases of ttrl; this one is \(own). Install the same release on all "
      + "machines that have learner ranks (ttrl --version shows it), and start again"
  }
}
