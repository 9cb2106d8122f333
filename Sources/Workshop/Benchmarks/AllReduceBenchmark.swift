// AllReduceBenchmark: sums over learner ranks, compared with MPI's own all-reduce of the same array.
//
// The learner's way is that of an update: a reduce-scatter in buckets, then an all-gather of the slices. Ranks sleep
// while they wait for each other. The ceiling is a plain MPI program: one MPI_Allreduce of the whole array, with busy
// waiting. Rank 0 times both in turns, in the same processes, each from a barrier to rank 0's end. Every sum is
// checked. All ranks run this; rank 0's result counts.

import Base
import Ceilings
package import Collectives
import Platform
import Tensors

/// - Parameters:
///   - ranks: the job's ranks.
///   - megabytes: the sizes of the arrays, in 10⁶ bytes, ascending.
///   - runs: the number of timed runs of each array, after one that is not timed. Medians count.
/// - Returns: the rate for the largest array of integers, in 10⁹ bytes of it per second. The parts have all arrays.
/// - Throws: if MPI fails.
package func benchmarkAllReduce(
  _ ranks: MPICollectives, megabytes: [Int] = [1, 16, 256], runs: Int
) throws -> BenchmarkResult {
  let integers = try megabytes.map { size in
    try measure(ranks, name: "int64, \(size) MB", count: size * 1_000_000 / 8, runs: runs) {
      (begin: { try ranks.beginReduceScatter($0, slices: $1) }, plain: { try ranks.sumPlainly($0) }, of: Int64.init)
    }
  }
  let floats = try megabytes.map { size in
    try measure(ranks, name: "float32, \(size) MB", count: size * 1_000_000 / 4, runs: runs) {
      (begin: { try ranks.beginReduceScatter($0, slices: $1) }, plain: { try ranks.sumPlainly($0) }, of: Float.init)
    }
  }
  let bytes = Double(megabytes.last ?? 0) * 1e6
  let largest = integers.last
  return BenchmarkResult(
    name: "allreduce", value: bytes / median(largest?.own ?? []) / 1e9, unit: "GB/s",
    ceiling: bytes / median(largest?.plain ?? []) / 1e9, peakBytes: Machine.peakResidentBytes,
    conditions: [
      .init("ranks", .int(ranks.size)), .init("megabytes", .int(megabytes.last ?? 0)),
      .init("library", .string(MPICollectives.libraryVersion)),
    ],
    parts: (integers + floats).flatMap { timing in
      [
        .init(name: "\(timing.name), reduce-scatter", seconds: median(timing.scatter), gigaflops: nil),
        .init(name: "\(timing.name), reduce-scatter and all-gather", seconds: median(timing.own), gigaflops: nil),
        .init(name: "\(timing.name), plain MPI", seconds: median(timing.plain), gigaflops: nil),
      ]
    },
    times: largest?.own ?? [], limits: [], hash: "")
}

/// Seconds of each run.
private struct Timing {
  var name: String
  var scatter: [Double] = []
  var own: [Double] = []
  var plain: [Double] = []
}

private typealias Ways<Number> = (
  begin: (UnsafeMutableBufferPointer<Number>, [Range<Int>]) throws -> Void,
  plain: (UnsafeMutableBufferPointer<Number>) throws -> Void, of: (Int) -> Number
)

private func measure<Number: Numeric & BitwiseCopyable>(
  _ ranks: MPICollectives, name: String, count: Int, runs: Int, _ ways: () -> Ways<Number>
) throws -> Timing {
  let ways = ways()
  let values = UnsafeMutableBufferPointer<Number>.allocate(capacity: count)
  defer { values.deallocate() }
  let shards = Shards(count: count, size: ranks.size)
  let stride = MemoryLayout<Number>.stride
  // The values are so small that floats are added without rounding.
  func fill() { for index in values.indices { values[index] = ways.of(index % 97 + ranks.rank) } }
  func check() {
    let offset = ranks.size * (ranks.size - 1) / 2
    let isRight = values.indices.allSatisfy { values[$0] == ways.of($0 % 97 * ranks.size + offset) }
    precondition(isRight, "a sum over \(ranks.size) ranks is wrong")
  }
  var timing = Timing(name: name)
  for _ in 0...runs {
    fill()
    try ranks.barrier()
    let scatter = try elapsed {
      for bucket in (0..<shards.bucketCount).reversed() {
        try ways.begin(
          UnsafeMutableBufferPointer(rebasing: values[shards.bucket(bucket)]), shards.slices(ofBucket: bucket))
      }
      try ranks.finishBuckets()
    }
    let gather = try elapsed {
      let bytes = UnsafeMutableRawBufferPointer(values)
      for index in 0..<shards.bucketCount {
        let bucket = shards.bucket(index)
        let part = bytes[bucket.lowerBound * stride..<bucket.upperBound * stride]
        let slices = shards.slices(ofBucket: index).map { $0.lowerBound * stride..<$0.upperBound * stride }
        try ranks.beginAllGather(UnsafeMutableRawBufferPointer(rebasing: part), slices: slices)
      }
      try ranks.finishBuckets()
    }
    check()
    fill()
    try ranks.barrier()
    let plain = try elapsed { try ways.plain(values) }
    check()
    timing.scatter.append(scatter)
    timing.own.append(scatter + gather)
    timing.plain.append(plain)
  }
  // The first run does not count: it allocates memory and opens connections.
  timing.scatter.removeFirst()
  timing.own.removeFirst()
  timing.plain.removeFirst()
  return timing
}
