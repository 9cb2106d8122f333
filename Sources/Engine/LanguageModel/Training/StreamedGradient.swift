// StreamedGradient: the sum of gradients of which no rank ever has a whole one.
//
// The backward pass adds the gradient of a piece (a layer, or a slice of the head) to a pool that has room for the
// largest piece. When a piece is complete, each rank gets the values of its shard, rounds them to integers and adds
// them to its exact sums, which are the only array that is as large as a shard. Then the pool's memory is used again.
// With several ranks the pool has room for one more layer, which is computed while the values before are sent.
//
// What is sent are the float32 values of one micro-batch. A receiver rounds them as the sender would have done, so a
// sum has the same bits as that of whole gradients. Ranks that have no micro-batch in the last round only receive.
//
// The head's gradient is the sum of products of chunks of rows. Slices of the vocabulary need the factors of all
// chunks. If a micro-batch has so many rows that the factors are larger than the head, the whole head is in the pool
// instead.
//
// A tied head's gradient is complete after the head, except in the rows of the micro-batch's tokens. Those rows are
// kept aside until the first layer is done, and the others are sent. If the head has its own weights, the embeddings'
// gradient consists of such rows only. All ranks have the mini-batch, so each knows which rows the others send.

import Base
import Records
import TTRL
import Tensors

final class StreamedGradient: GradientMemory, GradientReceiver {
  private let plan: TransformerPlan
  private let team: Team
  private let ranks: any Collectives
  private let shards: Shards
  private lazy var pool = Floats(count: Self.poolCount(plan, ranks: ranks.size))
  /// This rank's shard of the sum.
  private var sum: ExactGradient?
  /// The gradient of a mini-batch of one micro-batch, if the job has one rank: nothing is added, the values are only
  /// rounded.
  private var one: Floats?
  private var isOne: Bool { microBatches.count == 1 && ranks.size == 1 }
  private var microBatches = MicroBatchList(members: [], ranks: 1)
  /// By micro-batch: the largest magnitude that this rank has added.
  private var largest: [Float] = []
  /// This rank's current micro-batch.
  private var current = 0
  /// What the sum is multiplied by.
  private var scale = 1.0

  /// Where in the pool the next piece begins, if there is room.
  private var next = 0
  /// The pieces that are not complete, and where they are in the pool.
  private var open: [(piece: Range<Int>, place: Range<Int>)] = []
  /// Parts of the pool that are being sent.
  private var leaving: [Int: Range<Int>] = [:]
  private var sentCount = 0
  /// The rows of the current micro-batch's tokens, ascending.
  private var tokens: [Int32] = []
  private var rows: Matrix?
  /// An error of a function that cannot throw.
  private var failure: (any Error)?

  init(_ plan: TransformerPlan, team: Team, ranks: any Collectives) {
    self.plan = plan
    self.team = team
    self.ranks = ranks
    shards = Shards(count: plan.trained.count, size: ranks.size)
  }

  /// The floats of the pool: the largest pieces that are there at the same time. Sums are read through it, a bucket at
  /// a time.
  ///
  /// - Parameter hasHead: whether it has room for the whole head.
  private static func poolCount(_ plan: TransformerPlan, ranks: Int, hasHead: Bool = false) -> Int {
    let piece = plan.gradientPieces.map(\.count).max() ?? 0
    let largest = hasHead ? max(piece, plan.trainedNorm.count + (plan.trainedHead?.count ?? 0)) : piece
    return max(largest + (ranks > 1 ? piece : 0), min(Shards.bucketElements, plan.trained.count))
  }

  /// Whether the whole head takes less memory than its factors.
  private static func hasHead(_ plan: TransformerPlan, rows: Int) -> Bool {
    plan.trainedHead.map { HeadFactors.bytes(plan, rows: rows) > 4 * $0.count } ?? false
  }

  /// Bytes for the gradients of a micro-batch of at most `rows` rows, with the head's factors.
  static func bytes(_ plan: TransformerPlan, ranks: Int, rows: Int) -> Int {
    let hasHead = hasHead(plan, rows: rows)
    return 4 * poolCount(plan, ranks: ranks, hasHead: hasHead)
      + (hasHead || plan.trainedHead == nil ? 0 : HeadFactors.bytes(plan, rows: rows))
  }

  var idle: Floats { pool }

  // MARK: Sums

  func begin(_ microBatches: MicroBatchList) {
    self.microBatches = microBatches
    largest = [Float](repeating: 0, count: microBatches.count)
    if isOne {
      // The memory of exact sums is large enough, if it is there.
      let values = sum?.floats ?? one ?? Floats(count: plan.trained.count)
      values.fill(0, team: team)
      one = values
    } else {
      one = nil
      if let sum { sum.reset(team: team) } else { sum = ExactGradient(count: shards.count(of: ranks.rank)) }
    }
  }

  func receiver(ofMicroBatch index: Int) -> any GradientReceiver {
    if let one { return FlatGradient(one, plan: plan) { _ in } }
    current = index
    next = 0
    return self
  }

  func take() throws { if let failure { throw failure } }

  func reduce() throws {
    guard !isOne else { return }
    let last = microBatches.rounds - 1
    if last >= 0, microBatches.index(round: last, rank: ranks.rank) == nil {
      for piece in plan.gradientPieces { try send(piece, nil, round: last) }
      if plan.trainedEmbedding != nil { try sendRows(round: last) }
    }
    try ranks.finishBuckets()
    let found = try ranks.max(largest.map(Double.init)).map { Float($0) }
    for rank in 0..<ranks.size { try ExactGradient.require(microBatches.indices(of: rank).map { found[$0] }) }
  }

  func sumsOfSquares(scale: Double) throws -> [Double] {
    self.scale = scale
    if let one {
      try ExactGradient.round(one, scale: scale, team: team)
      return one.sumsOfSquares(team: team)
    }
    let count = shards.count(of: ranks.rank)
    return stride(from: 0, to: count, by: Shards.bucketElements).flatMap {
      mean($0..<min($0 + Shards.bucketElements, count)).sumsOfSquares(team: team)
    }
  }

  func apply(to optimizer: inout AdamW, norm: Double, learningRate: Float) {
    if let one { return optimizer.apply(one, norm: norm, learningRate: learningRate, team: team) }
    optimizer.apply(norm: norm, learningRate: learningRate, piece: Shards.bucketElements, team: team) { mean($0) }
  }

  /// A part of this rank's shard of the mean, valid until the next one.
  private func mean(_ range: Range<Int>) -> Floats {
    let out = pool[0..<range.count]
    sum?.write(range, to: out, scale: scale, team: team)
    return out
  }

  // MARK: The backward pass

  func headRoom(rows: Int) -> GradientPart? {
    guard let head = plan.trainedHead, Self.hasHead(plan, rows: rows) else { return nil }
    let count = Self.poolCount(plan, ranks: ranks.size, hasHead: true)
    if pool.count < count {
      attempt { try ranks.advanceBuckets { leaving.isEmpty } }
      // Free the old one before the new one is allocated.
      pool = Floats(count: 0)
      pool = Floats(count: count)
    }
    return room(for: head)
  }

  func room(for piece: Range<Int>) -> GradientPart {
    let start = next + piece.count <= pool.count ? next : 0
    let place = start..<start + piece.count
    attempt { try ranks.advanceBuckets { !leaving.contains { $0.value.overlaps(place) } } }
    next = place.upperBound
    open.append((piece, place))
    let values = pool[place]
    values.fill(0, team: team)
    return GradientPart(values: values, start: piece.lowerBound)
  }

  func complete(_ piece: Range<Int>) {
    // An empty piece lies in every piece that it touches.
    guard
      let index = open.firstIndex(where: { piece.isEmpty ? $0.piece == piece : $0.piece.clamped(to: piece) == piece })
    else { return }
    let found = open[index]
    let start = found.place.lowerBound - found.piece.lowerBound
    // The slices of a whole head are in order.
    if found.piece.upperBound == piece.upperBound { open.remove(at: index) }
    attempt {
      try send(piece, piece.lowerBound + start..<piece.upperBound + start, round: current / ranks.size)
    }
  }

  func completeHead(_ slice: Range<Int>) {
    if plan.isTied, let rows, let part = open.first(where: { $0.piece.clamped(to: slice) == slice }) {
      let gradient = GradientPart(values: pool[part.place], start: part.piece.lowerBound)
      let offset = plan.trainedHead?.lowerBound ?? 0
      for (row, token) in tokens.enumerated() {
        let place = offset + Int(token) * rows.columns
        guard slice.contains(place) else { continue }
        let values = gradient[place..<place + rows.columns]
        rows.row(row).copy(from: values)
        values.fill(0)
      }
    }
    complete(slice)
  }

  func embeddings(of tokens: [Int32]) -> EmbeddingGradient {
    self.tokens = embeddedTokens(of: current)
    let places = Dictionary(uniqueKeysWithValues: self.tokens.enumerated().map { ($1, Int32($0)) })
    let rows = Matrix(rows: self.tokens.count, columns: plan.configuration.hiddenSize)
    self.rows = rows
    return EmbeddingGradient(rows: rows, places: tokens.map { places[$0] ?? 0 })
  }

  func completeEmbeddings() {
    if plan.trainedEmbedding != nil { attempt { try sendRows(round: current / ranks.size) } }
    rows = nil
  }

  func pause() { attempt { try ranks.advanceBuckets() } }

  private func attempt(_ work: () throws -> Void) {
    guard failure == nil else { return }
    do { try work() } catch { failure = error }
  }

  // MARK: Between ranks

  /// Gives every rank its part of a piece.
  ///
  /// - Parameter place: the piece's values, in the pool; nil if this rank has no micro-batch in this round.
  private func send(_ piece: Range<Int>, _ place: Range<Int>?, round: Int) throws {
    guard !piece.isEmpty else { return }
    for bucket in piece.lowerBound / Shards.bucketElements...(piece.upperBound - 1) / Shards.bucketElements {
      let start = shards.bucket(bucket).lowerBound
      let slices = shards.slices(ofBucket: bucket).map {
        (start + $0.lowerBound..<start + $0.upperBound).clamped(to: piece)
      }
      let own = shards.slice(ofBucket: bucket, of: ranks.rank)
      let mine = slices[ranks.rank]
      let inShard = own.shard.lowerBound - own.whole.lowerBound
      let target = mine.isEmpty ? [] : [mine.lowerBound + inShard..<mine.upperBound + inShard]
      let outgoing = slices.map { $0.lowerBound - piece.lowerBound..<$0.upperBound - piece.lowerBound }
      try exchange(
        place.map { pool[$0] }, outgoing: outgoing, targets: slices.indices.map { _ in target }, round: round,
        leaving: place)
    }
  }

  /// Gives every rank its part of the rows of the micro-batch's tokens. The rows of a bucket's size are sent at a time.
  private func sendRows(round: Int) throws {
    let columns = plan.configuration.hiddenSize
    let own = microBatches.index(round: round, rank: ranks.rank)
    let senders = (0..<ranks.size).map { rank in
      rank == ranks.rank && own != nil
        ? tokens : microBatches.index(round: round, rank: rank).map(embeddedTokens) ?? []
    }
    let rowsAtATime = max(1, Shards.bucketElements / columns)
    for start in stride(from: 0, to: senders.map(\.count).max() ?? 0, by: rowsAtATime) {
      let parts = senders.map { $0.dropFirst(start).prefix(rowsAtATime) }
      let targets = parts.map { segments(of: $0, ownedBy: ranks.rank).map(\.shard) }
      guard own != nil, let rows else {
        try exchange(nil, outgoing: parts.map { _ in 0..<0 }, targets: targets, round: round, leaving: nil)
        continue
      }
      // What a rank gets is put together.
      let packed = Floats(count: parts[ranks.rank].count * columns)
      let values = rows.values[start * columns..<start * columns + packed.count]
      var end = 0
      let outgoing = (0..<ranks.size).map { rank in
        let begin = end
        for segment in segments(of: parts[ranks.rank], ownedBy: rank) {
          packed[end..<end + segment.rows.count].copy(from: values[segment.rows])
          end += segment.rows.count
        }
        return begin..<end
      }
      try exchange(packed, outgoing: outgoing, targets: targets, round: round, leaving: nil)
    }
  }

  /// The tokens of a micro-batch, ascending.
  private func embeddedTokens(of microBatch: Int) -> [Int32] {
    var isUsed = [Bool](repeating: false, count: plan.configuration.vocabularySize)
    for member in microBatches.members[microBatch] {
      for token in member.prompt.tokens + member.trajectory.tokens where isUsed.indices.contains(Int(token)) {
        isUsed[Int(token)] = true
      }
    }
    return isUsed.indices.filter { isUsed[$0] }.map(Int32.init)
  }

  /// The elements of some tokens' embeddings that a rank sums: where they are in the rows one after the other, and
  /// where in the rank's shard.
  private func segments(of tokens: ArraySlice<Int32>, ownedBy rank: Int) -> [(rows: Range<Int>, shard: Range<Int>)] {
    let columns = plan.configuration.hiddenSize
    var found: [(rows: Range<Int>, shard: Range<Int>)] = []
    for (row, token) in tokens.enumerated() {
      let start = (plan.trainedEmbedding?.lowerBound ?? 0) + Int(token) * columns
      let all = start..<start + columns
      for bucket in start / Shards.bucketElements...(all.upperBound - 1) / Shards.bucketElements {
        let own = shards.slice(ofBucket: bucket, of: rank)
        let part = own.whole.clamped(to: all)
        guard !part.isEmpty else { continue }
        let (inRow, inShard) = (row * columns - start, own.shard.lowerBound - own.whole.lowerBound)
        found.append(
          (
            part.lowerBound + inRow..<part.upperBound + inRow, part.lowerBound + inShard..<part.upperBound + inShard
          ))
      }
    }
    return found
  }

  /// Adds this rank's part of some values, and begins to send and receive the parts of the other ranks.
  ///
  /// - Parameters:
  ///   - values: nil if this rank has no micro-batch in this round.
  ///   - outgoing: by rank, its part of the values.
  ///   - targets: by rank, where what this rank gets from it belongs, in the shard.
  ///   - leaving: the part of the pool that must not change until the values are sent.
  private func exchange(
    _ values: Floats?, outgoing: [Range<Int>], targets: [[Range<Int>]], round: Int, leaving place: Range<Int>?
  ) throws {
    let own = ranks.rank
    values?[outgoing[own]].withUnsafeBuffer { add(UnsafeBufferPointer($0), to: targets[own], of: round, own) }
    guard ranks.size > 1 else { return }
    let others = (0..<ranks.size).map { $0 != own }
    let leavingParts = outgoing.indices.map { others[$0] && values != nil ? outgoing[$0] : 0..<0 }
    let incoming = targets.indices.map { rank in
      others[rank] && microBatches.index(round: round, rank: rank) != nil
        ? targets[rank].reduce(0) { $0 + $1.count } : 0
    }
    let number = sentCount
    sentCount += 1
    leaving[number] = place
    try (values ?? Floats(count: 0)).withUnsafeBuffer { buffer in
      try ranks.beginExchange(buffer, outgoing: leavingParts, incoming: incoming) { [self] parts in
        for (rank, part) in parts.enumerated() where !part.isEmpty { add(part, to: targets[rank], of: round, rank) }
        leaving[number] = nil
        // Values that are not in the pool stay until here.
        withExtendedLifetime(values) {}
      }
    }
  }

  private func add(_ values: UnsafeBufferPointer<Float>, to targets: [Range<Int>], of round: Int, _ rank: Int) {
    guard let sum, let index = microBatches.index(round: round, rank: rank) else { return }
    var start = 0
    for target in targets {
      let part = UnsafeBufferPointer(rebasing: values[start..<start + target.count])
      // A row is too short to be shared by threads.
      let found = sum.add(part, to: target, team: target.count > Shards.blockElements * 16 ? team : nil)
      largest[index] = found.isFinite && largest[index].isFinite ? max(found, largest[index]) : .infinity
      start += target.count
    }
  }
}
