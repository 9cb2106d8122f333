// WholeGradient: a gradient of all parameters on every rank, and its sum.
//
// Micro-batches add to one flat float32 gradient. If sums are exact, the gradient is added to integers and cleared
// after each micro-batch. Then the ranks run a reduce-scatter. A rank's last micro-batch starts the reduce-scatter
// during its backward pass: gradients become complete from the end of the layout to its beginning, and a complete
// bucket is sent while earlier layers are computed.

import Base
import Tensors

/// Sums in exact integers, or in float32 if the settings prefer speed. Not `Sendable`.
final class WholeGradient: GradientMemory {
  /// Micro-batches add their gradients here. Float32 sums are computed here; exact sums clear it after every
  /// micro-batch.
  private let gradient: Floats
  private let plan: TransformerPlan
  private let isExact: Bool
  private let team: Team
  private let ranks: any Collectives
  private let shards: Shards
  /// The mini-batch has one micro-batch and the job has one rank: nothing is added, the values are only rounded.
  private var isOne = false
  private var exact: ExactGradient?
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
  /// This rank's shard of the mean. It is a part of `gradient`'s memory.
  private var mean: Floats

  init(_ plan: TransformerPlan, isExact: Bool, overlaps: Bool, team: Team, ranks: any Collectives) {
    gradient = Floats(count: plan.trained.count)
    self.plan = plan
    self.isExact = isExact
    self.overlaps = overlaps && ranks.size > 1
    self.team = team
    self.ranks = ranks
    shards = Shards(count: gradient.count, size: ranks.size)
    mean = gradient[0..<0]
  }

  var idle: Floats { gradient }

  func begin(_ microBatches: MicroBatchList) {
    gradient.fill(0, team: team)
    microBatchesLeft = microBatches.indices(of: ranks.rank).count
    isOne = microBatchesLeft == 1 && ranks.size == 1
    complete = gradient.count
    bucketsLeft = shards.bucketCount
    guard isExact, !isOne else { return }
    if let exact { exact.reset(team: team) } else { exact = ExactGradient(count: gradient.count) }
  }

  func receiver(ofMicroBatch index: Int) -> any GradientReceiver {
    FlatGradient(gradient, plan: plan) { [unowned self] in progress(completeFrom: $0) }
  }

  func take() throws {
    if let failure { throw failure }
    microBatchesLeft -= 1
    guard isExact, !isOne else { return }
    if complete == 0 {
      try exact?.endSummand()
    } else {
      try exact?.add(gradient, team: team)
      gradient.fill(0, team: team)
    }
  }

  /// This micro-batch's gradients from `start` on are complete.
  private func progress(completeFrom start: Int) {
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

  func reduce() throws {
    guard ranks.size > 1 else { return }
    complete = 0
    try sendComplete()
    try ranks.finishBuckets()
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

  func sumsOfSquares(scale: Double) throws -> [Double] {
    mean = try mean(scale: scale)
    return mean.sumsOfSquares(team: team)
  }

  func apply(to optimizer: inout AdamW, norm: Double, learningRate: Float) {
    optimizer.apply(mean, norm: norm, learningRate: learningRate, team: team)
  }

  private func mean(scale: Double) throws -> Floats {
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
}
