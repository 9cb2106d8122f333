// Shards: which learner rank keeps the optimizer's state of which parameters.
//
// The flat array of parameters is cut into buckets, which travel one at a time, and every bucket into one slice per
// rank, so that all ranks send and receive all the time. A rank's shard is its slices, one after the other. Slices end
// where blocks end; a block is the unit in which anything is summed over the parameters, and knows nothing of ranks:
// that is why their number cannot be seen in a sum. Not here: how slices travel (Collectives).

package struct Shards: Sendable, Equatable {
  /// Parameters per block. Part of the arithmetic: another number gives another last bit of the gradient's norm.
  package static let blockElements = 1 << 10
  /// Parameters per bucket: 8 MiB of exact sums.
  package static let bucketElements = 1 << 20

  /// Parameters of the model.
  package let count: Int
  /// Ranks.
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

  /// Every rank's parameters of a bucket, as places in the bucket.
  package func slices(ofBucket index: Int) -> [Range<Int>] {
    let length = bucket(index).count
    let blocks = Self.blockCount(of: length)
    let ends = (0...size).map { min(length, blocks * $0 / size * Self.blockElements) }
    return (0..<size).map { ends[$0]..<ends[$0 + 1] }
  }

  /// A rank's parameters of a bucket, and where they are in its shard.
  package func slice(ofBucket index: Int, of rank: Int) -> (whole: Range<Int>, shard: Range<Int>) {
    let slice = slices(ofBucket: index)[rank]
    let start = bucket(index).lowerBound
    // All buckets before it are full, and cut alike.
    let shardStart = index > 0 ? index * slices(ofBucket: 0)[rank].count : 0
    return (
      start + slice.lowerBound..<start + slice.upperBound, shardStart..<shardStart + slice.count
    )
  }

  /// A rank's parameters, bucket by bucket.
  package func slices(of rank: Int) -> [(whole: Range<Int>, shard: Range<Int>)] {
    (0..<bucketCount).map { slice(ofBucket: $0, of: rank) }
  }

  /// Parameters in a rank's shard.
  package func count(of rank: Int) -> Int {
    bucketCount == 0 ? 0 : slice(ofBucket: bucketCount - 1, of: rank).shard.upperBound
  }
}

extension Floats {
  /// The sum of squares of every block, in float64, in one fixed order each.
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
