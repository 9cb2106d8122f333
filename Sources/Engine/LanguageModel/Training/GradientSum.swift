// GradientSum: adds a mini-batch's gradient from its micro-batches and ranks, for the optimizer.
//
// Micro-batches add to one flat float32 gradient. If sums are exact, the gradient is added to integers and cleared
// after each micro-batch. Then the ranks run a reduce-scatter: each rank gets the sum of its own shard (Shards), which
// is all that its optimizer needs. A rank's last micro-batch starts the reduce-scatter during its backward pass:
// gradients become complete from the end of the layout to its beginning, and a complete bucket is sent while earlier
// layers are computed. After the optimizer has changed a rank's masters, the ranks gather all weights, in the run's
// data type, into the gradient's memory, which is free at that time. Not here: the passes that compute gradients, and
// MPI.

import Base
import TTRL
import Tensors

/// The micro-batches' report. Its sums are integers, so that the order of additions cannot change them.
struct Tally {
  /// The loss, in units of 2^-30.
  var loss: Int64 = 0
  var clipped: Int64 = 0
  var gap: Float = 0

  mutating func add(_ token: SurrogateToken, gap: Float) {
    let scaled = (Double(token.loss) * 0x1p30).rounded()
    // A loss that is out of range shows in the gradient. Here the conversion must not trap.
    if abs(scaled) < 0x1p52 { loss &+= Int64(scaled) }
    clipped += token.isClipped ? 1 : 0
    // NaN also counts as a disagreement.
    self.gap = gap.isNaN ? .infinity : max(self.gap, gap)
  }
}

/// Sums in exact integers, or in float32 if the settings prefer speed. The memory is expensive to allocate, so it is
/// kept from one mini-batch to the next. Not `Sendable`.
final class GradientSum {
  /// Micro-batches add their gradients here. Float32 sums are computed here; exact sums clear it after every
  /// micro-batch.
  let gradient: Floats
  private let isExact: Bool
  private let team: Team
  private let ranks: any Collectives
  private let shards: Shards
  /// The mini-batch has one micro-batch and the job has one rank: nothing is added, the values are only rounded.
  private var isOne = false
  private var exact: ExactGradient?
  private var tally = Tally()
  /// Whether buckets are sent during the last micro-batch's backward pass.
  private let overlaps: Bool
  /// Micro-batches that this rank still has to add, including the current one.
  private var microBatchesLeft = 0
  /// The last micro-batch's gradient has been added from this index on.
  private var complete = 0
  /// The number of buckets that have not been sent. These are the first ones.
  private var bucketsLeft = 0
  /// An error from `progress`, which cannot throw.
  private var failure: (any Error)?

  init(_ gradient: Floats, isExact: Bool, overlaps: Bool, team: Team, ranks: any Collectives) {
    self.gradient = gradient
    self.isExact = isExact
    self.overlaps = overlaps && ranks.size > 1
    self.team = team
    self.ranks = ranks
    shards = Shards(count: gradient.count, size: ranks.size)
  }

  /// Sets the sum to zero.
  /// - Parameter microBatches: the number of micro-batches that this rank will add.
  func begin(microBatches: Int) {
    gradient.fill(0, team: team)
    tally = Tally()
    isOne = microBatches == 1 && ranks.size == 1
    microBatchesLeft = microBatches
    complete = gradient.count
    bucketsLeft = shards.bucketCount
    guard isExact, !isOne else { return }
    if let exact { exact.reset(team: team) } else { exact = ExactGradient(count: gradient.count) }
  }

  /// Takes a micro-batch that has added its gradient to `gradient`.
  func take(_ part: Tally) throws {
    if let failure { throw failure }
    microBatchesLeft -= 1
    if isExact, !isOne {
      if complete == 0 {
        try exact?.endSummand()
      } else {
        try exact?.add(gradient, team: team)
        gradient.fill(0, team: team)
      }
    }
    tally.loss &+= part.loss
    tally.clipped += part.clipped
    tally.gap = max(tally.gap, part.gap)
  }

  /// This micro-batch's gradients from `start` on are complete.
  func progress(completeFrom start: Int) {
    guard overlaps, microBatchesLeft == 1, failure == nil else { return }
    if start < complete {
      exact?.add(gradient, in: start..<complete, team: team)
      complete = start
    }
    do {
      try sendComplete()
      try ranks.advanceBuckets()
    } catch {
      failure = error
    }
  }

  private func sendComplete() throws {
    while bucketsLeft > 0, shards.bucket(bucketsLeft - 1).lowerBound >= complete {
      bucketsLeft -= 1
      try begin(bucketsLeft)
    }
  }

  /// Adds the ranks' sums. Each rank gets its shard.
  func reduce() throws {
    guard ranks.size > 1 else { return }
    complete = 0
    try sendComplete()
    try ranks.finishBuckets()
    var counts: [Int64] = [tally.loss, tally.clipped]
    try counts.withUnsafeMutableBufferPointer { try ranks.sum($0) }
    tally.loss = counts[0]
    tally.clipped = counts[1]
    tally.gap = Float(try ranks.max([Double(tally.gap)])[0])
  }

  private func begin(_ bucket: Int) throws {
    let (range, slices) = (shards.bucket(bucket), shards.slices(ofBucket: bucket))
    if let exact {
      try exact.withUnsafeBuffer {
        try ranks.beginReduceScatter(UnsafeMutableBufferPointer(rebasing: $0[range]), slices: slices)
      }
    } else {
      try gradient[range].withUnsafeBuffer { try ranks.beginReduceScatter($0, slices: slices) }
    }
  }

  /// This rank's shard of the sum, multiplied by `scale`. The result is a part of `gradient`'s memory.
  func mean(scale: Double) throws -> Floats {
    if isExact, isOne {
      try ExactGradient.round(gradient, scale: scale, team: team)
      return gradient
    }
    var end = 0
    for (whole, shard) in shards.slices(of: ranks.rank) {
      let out = gradient[shard]
      if let exact {
        exact.write(whole, to: out, scale: scale, team: team)
      } else {
        // Copies to the same or a lower index: the values that are overwritten were copied before.
        if shard != whole { out.copy(from: gradient[whole]) }
        out.scale(by: Float(scale), team: team)
      }
      end = shard.upperBound
    }
    return gradient[0..<end]
  }

  /// The norm of the whole gradient, whose shards are on the ranks. Each rank gives its blocks' sums as bit patterns
  /// and zeros for the other blocks, so adding the patterns as integers is exact. Then all ranks add the blocks' sums
  /// in the same order.
  func norm(ofShard shard: Floats) throws -> Double {
    let own = shard.sumsOfSquares(team: team)
    guard ranks.size > 1 else { return AdamW.norm(ofSquares: own) }
    var bits = [Int64](repeating: 0, count: Shards.blockCount(of: shards.count))
    for (whole, shard) in shards.slices(of: ranks.rank) {
      let (first, ownFirst) = (whole.lowerBound / Shards.blockElements, shard.lowerBound / Shards.blockElements)
      for block in 0..<Shards.blockCount(of: whole.count) {
        bits[first + block] = Int64(bitPattern: own[ownFirst + block].bitPattern)
      }
    }
    try bits.withUnsafeMutableBufferPointer { try ranks.sum($0) }
    return AdamW.norm(ofSquares: bits.map { Double(bitPattern: UInt64(bitPattern: $0)) })
  }

  /// Fills the gradient's memory with all ranks' weights, rounded to the data type.
  ///
  /// - Parameter masters: this rank's shard of the masters.
  func gatherWeights(_ masters: Floats, type: DataType) throws {
    switch type {
    case .float32:
      for (bucket, own) in shards.slices(of: ranks.rank).enumerated() {
        gradient[own.whole].copy(from: masters[own.shard])
        let slices = shards.slices(ofBucket: bucket).map { $0.scaled(by: 4) }
        try gradient[shards.bucket(bucket)].withUnsafeBuffer {
          try ranks.beginAllGather(UnsafeMutableRawBufferPointer($0), slices: slices)
        }
      }
      try ranks.finishBuckets()
    case .bfloat16:
      // The weights are sent as 16 bits each, in the second half of the memory. They are widened from its beginning, so
      // no value overwrites one that has not been read yet.
      try gradient.withUnsafeBuffer { values in
        let bytes = UnsafeMutableRawBufferPointer(values)
        try gatherHalves(of: masters, in: UnsafeMutableRawBufferPointer(rebasing: bytes[(2 * values.count)...]))
        for index in values.indices {
          let half = bytes.load(fromByteOffset: 2 * (values.count + index), as: UInt16.self)
          bytes.storeBytes(of: UInt32(half) << 16, toByteOffset: 4 * index, as: UInt32.self)
        }
      }
    }
  }

  /// - Parameter halves: memory for all weights, 2 bytes each.
  private func gatherHalves(of masters: Floats, in halves: UnsafeMutableRawBufferPointer) throws {
    for (bucket, own) in shards.slices(of: ranks.rank).enumerated() {
      masters[own.shard].withUnsafeBuffer { masters in
        for (place, master) in masters.enumerated() {
          let bits = bfloat16Bits(of: master)
          halves.storeBytes(of: bits, toByteOffset: 2 * (own.whole.lowerBound + place), as: UInt16.self)
        }
      }
      let sent = UnsafeMutableRawBufferPointer(rebasing: halves[shards.bucket(bucket).scaled(by: 2)])
      try ranks.beginAllGather(sent, slices: shards.slices(ofBucket: bucket).map { $0.scaled(by: 2) })
    }
    try ranks.finishBuckets()
  }

  var report: UpdateReport {
    var report = UpdateReport()
    report.lossSum = Double(tally.loss) * 0x1p-30
    report.clippedTokens = Int(tally.clipped)
    report.logprobGap = tally.gap
    return report
  }
}

extension Range<Int> {
  fileprivate func scaled(by factor: Int) -> Range<Int> { lowerBound * factor..<upperBound * factor }
}
