// RankExchange: the trainer's exchange with the other ranks, over their collectives.

package import Collectives
import LanguageModel

/// The trainer's exchange over the ranks' collectives.
package struct RankExchange: GradientExchange {
  private let ranks: any Collectives

  package init(_ ranks: any Collectives) { self.ranks = ranks }

  package var rank: Int { ranks.rank }
  package var size: Int { ranks.size }
  package func sum(_ values: UnsafeMutableBufferPointer<Int64>) throws { try ranks.sum(values) }
  package func maximum(_ value: Float) throws -> Float { Float(try ranks.max([Double(value)])[0]) }

  package func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Int64>, slices: [Range<Int>]) throws {
    try ranks.beginReduceScatter(values, slices: slices)
  }
  package func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Float>, slices: [Range<Int>]) throws {
    try ranks.beginReduceScatter(values, slices: slices)
  }
  package func advance(completeFrom start: Int) throws { try ranks.advanceBuckets() }
  package func finishBuckets() throws { try ranks.finishBuckets() }
  package func beginAllGather(_ bytes: UnsafeMutableRawBufferPointer, slices: [Range<Int>]) throws {
    try ranks.beginAllGather(bytes, slices: slices)
  }
}
