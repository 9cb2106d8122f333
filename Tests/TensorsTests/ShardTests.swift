// Shards: every parameter belongs to one rank, and sums over parameters do not depend on the number of ranks.

import Base
import Tensors
import Testing

@Suite struct `Shards of the optimizer` {
  /// Less than a block, a block, some blocks, some buckets; and more ranks than blocks.
  private static let cases = [1, 1000, 1024, 5000, 70_001, 1 << 20, (5 << 20) + 77].flatMap { count in
    [1, 2, 3, 4, 7, 64].map { (count: count, size: $0) }
  }

  @Test(arguments: cases) func `give every parameter to one rank, evenly, in whole blocks`(_ count: Int, _ size: Int) {
    let shards = Shards(count: count, size: size)
    let slices = (0..<size).map { shards.slices(of: $0) }
    let all = slices.flatMap { $0.map(\.whole) }.filter { !$0.isEmpty }.sorted { $0.lowerBound < $1.lowerBound }
    #expect(all.first?.lowerBound == 0 && all.last?.upperBound == count)
    #expect(zip(all, all.dropFirst()).allSatisfy { $0.upperBound == $1.lowerBound })
    #expect(all.dropLast().allSatisfy { $0.upperBound % Shards.blockElements == 0 })
    for rank in 0..<size {
      var end = 0
      for (whole, shard) in slices[rank] {
        #expect(shard.lowerBound == end && shard.count == whole.count)
        end = shard.upperBound
      }
      #expect(end == shards.count(of: rank))
      // A difference of one block per bucket, and one for the incomplete last block.
      let uneven = (shards.bucketCount + 1) * Shards.blockElements
      #expect(abs(shards.count(of: rank) - count / size) <= uneven)
    }
  }

  @Test func `give the same bits of a norm, however many there are`() {
    var random = choices(5)
    let count = 70_001
    let gradient = Floats(random.floats(count))
    let whole = gradient.sumsOfSquares()
    for team in [Team(2), Team(3)] { #expect(gradient.sumsOfSquares(team: team) == whole) }
    for size in [2, 3, 7] {
      let shards = Shards(count: count, size: size)
      var sums: [(start: Int, sum: Double)] = []
      for rank in 0..<size {
        for (whole, _) in shards.slices(of: rank) {
          for (block, sum) in gradient[whole].sumsOfSquares().enumerated() {
            sums.append((whole.lowerBound + block * Shards.blockElements, sum))
          }
        }
      }
      #expect(sums.sorted { $0.start < $1.start }.map(\.sum) == whole)
    }
  }

  @Test func `give the same bits of an update as one optimizer of all parameters`() {
    var random = choices(6)
    let count = 70_001
    let (start, gradient) = (random.floats(count), Floats(random.floats(count)))
    let norm = AdamW.norm(ofSquares: gradient.sumsOfSquares())
    var one = AdamW(AdamWSettings(weightDecay: 0.1), parameters: Floats(start))
    #expect(one.apply(gradient, learningRate: 0.01) == norm)
    let shards = Shards(count: count, size: 3)
    for rank in 0..<3 {
      let slices = shards.slices(of: rank)
      func own(_ values: [Float]) -> Floats { Floats(slices.flatMap { Array(values[$0.whole]) }) }
      var part = AdamW(AdamWSettings(weightDecay: 0.1), parameters: own(start))
      part.apply(own(gradient.array), norm: norm, learningRate: 0.01)
      #expect(bits(part.parameters.array) == bits(own(one.parameters.array).array))
      #expect(bits(part.secondMoment.array) == bits(own(one.secondMoment.array).array))
    }
  }
}
