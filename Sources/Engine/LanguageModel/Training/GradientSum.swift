// GradientSum: adds a mini-batch's gradient from its micro-batches and ranks, for the optimizer.
//
// Each rank gets the sum of its own shard (Shards), which is all that its optimizer needs. The sum's memory has one of
// two forms: WholeGradient keeps a whole gradient and its exact sums on every rank, and adds the ranks' sums once per
// update. StreamedGradient has memory for a few layers, and gives each layer's gradient to the ranks that sum it while
// the backward pass continues. Exact sums are the same bits in both forms. Not here: the passes that compute gradients,
// and MPI.

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

/// A mini-batch's micro-batches, which the ranks take in turns.
struct MicroBatchList {
  let members: [[TrainedTrajectory]]
  let ranks: Int

  var count: Int { members.count }

  /// The micro-batches of a rank.
  func indices(of rank: Int) -> [Int] { Array(stride(from: rank, to: count, by: ranks)) }

  /// In a round, every rank has one micro-batch; in the last round, some ranks have none.
  var rounds: Int { (count + ranks - 1) / ranks }

  /// The micro-batch of a rank in a round; nil if it has none.
  func index(round: Int, rank: Int) -> Int? {
    let index = round * ranks + rank
    return index < count ? index : nil
  }
}

/// The memory of a gradient and its sum. It is expensive to allocate, so it is kept from one mini-batch to the next.
/// Not `Sendable`.
protocol GradientMemory: AnyObject {
  /// Memory that nothing else uses between updates.
  var idle: Floats { get }
  /// Sets the sum to zero.
  func begin(_ microBatches: MicroBatchList)
  /// What takes the gradient of one of this rank's micro-batches. They come in order.
  func receiver(ofMicroBatch index: Int) -> any GradientReceiver
  /// That gradient is complete.
  func take() throws
  /// Adds the ranks' sums. Each rank gets its shard.
  func reduce() throws
  /// By block of this rank's shard: the sums of the squares of the sum, multiplied by `scale`.
  func sumsOfSquares(scale: Double) throws -> [Double]
  /// One update with that gradient; `norm` is that of the whole gradient.
  func apply(to optimizer: inout AdamW, norm: Double, learningRate: Float)
}

/// A mini-batch's sums: of gradients, and of the tokens' report. Not `Sendable`.
final class GradientSum {
  let memory: any GradientMemory
  private let ranks: any Collectives
  private let shards: Shards
  private var tally = Tally()

  init(_ memory: any GradientMemory, parameters: Int, ranks: any Collectives) {
    self.memory = memory
    self.ranks = ranks
    shards = Shards(count: parameters, size: ranks.size)
  }

  func begin(_ microBatches: MicroBatchList) {
    memory.begin(microBatches)
    tally = Tally()
  }

  /// Takes a micro-batch whose gradient is complete.
  func take(_ part: Tally) throws {
    try memory.take()
    tally.loss &+= part.loss
    tally.clipped += part.clipped
    tally.gap = max(tally.gap, part.gap)
  }

  func reduce() throws {
    try memory.reduce()
    guard ranks.size > 1 else { return }
    var counts: [Int64] = [tally.loss, tally.clipped]
    try counts.withUnsafeMutableBufferPointer { try ranks.sum($0) }
    tally.loss = counts[0]
    tally.clipped = counts[1]
    tally.gap = Float(try ranks.max([Double(tally.gap)])[0])
  }

  /// The norm of the whole gradient, multiplied by `scale`, whose shards are on the ranks. Each rank gives its blocks'
  /// sums as bit patterns and zeros for the other blocks, so adding the patterns as integers is exact. Then all ranks
  /// add the blocks' sums in the same order.
  func norm(scale: Double) throws -> Double {
    let own = try memory.sumsOfSquares(scale: scale)
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

  var report: UpdateReport {
    var report = UpdateReport()
    report.lossSum = Double(tally.loss) * 0x1p-30
    report.clippedTokens = Int(tally.clipped)
    report.logprobGap = tally.gap
    return report
  }
}
