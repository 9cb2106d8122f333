// Shards: which learner rank keeps the optimizer's state of which parameters.
//
// The flat array of parameters is cut into buckets, which are sent one at a time. Every bucket is cut into one slice
// per rank, so that all ranks send and receive all the time. A rank's shard consists of its slices, one after the
// other. Sums over parameters are made block by block. Blocks do not depend on the ranks, and slices end at the ends of
// blocks; so the number of ranks has no influence on a sum. Not here: how slices are sent (Collectives).

package struct Shards: Sendable, Equatable {
  /// Parameters per block. It is part of the arithmetic: a different number changes the last bits of the gradient's
  /// norm.
  package static let blockElements = 1 << 10
  /// Parameters per bucket: 8 MiB of exact sums.
  package static let bucketElements = 1 << 20

  /// The number of the model's parameters.
  package let count: Int
  /// The number of ranks.
  package let size: Int

  package init(count: Int, size: Int) {
    precondition(size > 0, "shards for \(size) ranks")
    self.count = count
    self.size = size
  }

  package var bucketCount: Int { (count + Self.bucketElements - 1) / Self.bucketElements }

  package static func blockCount(of count: Int) -> Int { (count + blockElements - 1) / blockElements }

  /// A bucket's parameters.
  package func bucket(_ index: Int) -> Range<Int> {
    index * Self.bucketElements..<min(count, (index + 1) * Self.bucketElements)
  }

  /// By rank: its parameters of a bucket, as a range in the bucket.
  package func slices(ofBucket index: Int) -> [Range<Int>] {
    let length = bucket(index).count
    let blocks = Self.blockCount(of: length)
    let ends = (0...size).map { min(length, blocks * $0 / size * Self.blockElements) }
    return (0..<size).map { ends[$0]..<ends[$0 + 1] }
  }

  /// A rank's parameters of a bucket: where they are in the whole array, and where in the rank's shard.
  package func slice(ofBucket index: Int, of rank: Int) -> (whole: Range<Int>, shard: Range<Int>) {
    let slice = slices(ofBucket: index)[rank]
    let start = bucket(index).lowerBound
    // All buckets before it are full, so they are all cut in the same way.
    let shardStart = index > 0 ? index * slices(ofBucket: 0)[rank].count : 0
    return (
      start + slice.lowerBound..<start + slice.upperBound, shardStart..<shardStart + slice.count
    )
  }

  /// A rank's parameters, bucket by bucket.
  package func slices(of rank: Int) -> [(whole: Range<Int>, shard: Range<Int>)] {
    (0..<bucketCount).map { slice(ofBucket: $0, of: rank) }
  }

  /// The number of parameters in a rank's shard.
  package func count(of rank: Int) -> Int {
    bucketCount == 0 ? 0 : slice(ofBucket: bucketCount - 1, of: rank).shard.upperBound
  }
}

extension Floats {
  /// By block: the sum of squares, in float64, in a fixed order.
  package func sumsOfSquares(team: Team? = nil) -> [Double] {
    let size = Shards.blockElements
    var sums = [Double](repeating: 0, count: Shards.blockCount(of: count))
    sums.withUnsafeMutableBufferPointer { sums in
      share(count, team, unit: size) { range, _ in
        for start in stride(from: range.lowerBound, to: range.upperBound, by: size) {
          sums[start / size] = Kernels.best.sumOfSquares(self[start..<min(start + size, range.upperBound)])
        }
      }
    }
    return sums
  }
}
