// ThreadRanks: learner ranks as threads of the test's process.

import Glibc
import Synchronization
import Tensors

/// Learner ranks as threads of this process. They meet and exchange values, as MPI does between processes.
final class ThreadRanks: Sendable {
  private struct State: Sendable {
    var arrived = 0
    var generation = 0
    var brought: [Int: [Int64]] = [:]
    /// By parity of the generation, because no rank can be two meetings ahead of another.
    var seen: [[[Int64]]] = [[], []]
  }

  let size: Int
  private let state = Mutex(State())

  init(size: Int) { self.size = size }

  /// Brings one rank's values and waits for those of the others. Returns all, by rank.
  func meet(_ rank: Int, _ own: [Int64]) -> [[Int64]] {
    let mine = state.withLock { state in
      let generation = state.generation
      state.brought[rank] = own
      state.arrived += 1
      if state.arrived == size {
        state.seen[generation % 2] = (0..<size).map { state.brought[$0] ?? [] }
        state.arrived = 0
        state.generation += 1
      }
      return generation
    }
    while true {
      if let all = state.withLock({ $0.generation > mine ? $0.seen[mine % 2] : nil }) { return all }
      sched_yield()
    }
  }
}

struct ThreadRank: Collectives {
  let ranks: ThreadRanks
  let rank: Int
  var size: Int { ranks.size }

  func sum(_ values: UnsafeMutableBufferPointer<Int64>) {
    let all = ranks.meet(rank, Array(values))
    for index in values.indices { values[index] = all.reduce(0) { $0 &+ $1[index] } }
  }

  func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Int64>, slices: [Range<Int>]) {
    let all = ranks.meet(rank, Array(values))
    for index in slices[rank] { values[index] = all.reduce(0) { $0 &+ $1[index] } }
  }

  func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Float>, slices: [Range<Int>]) {
    let all = ranks.meet(rank, values.map { Int64($0.bitPattern) })
    for index in slices[rank] {
      values[index] = all.reduce(0) { $0 + Float(bitPattern: UInt32($1[index])) }
    }
  }

  func beginExchange(
    _ values: UnsafeMutableBufferPointer<Float>, outgoing: [Range<Int>], incoming: [Int],
    land: ([UnsafeBufferPointer<Float>]) -> Void
  ) {
    // To whom, how many, and the values.
    let parcels = outgoing.flatMap { part in [Int64(part.count)] + values[part].map { Int64($0.bitPattern) } }
    let parts = ranks.meet(rank, parcels).enumerated().map { sender, parcels in
      var rest = parcels[...]
      for _ in 0..<rank { rest = rest.dropFirst(1 + Int(rest[rest.startIndex])) }
      let part = rest.dropFirst().prefix(Int(rest[rest.startIndex])).map { Float(bitPattern: UInt32($0)) }
      precondition(part.count == incoming[sender], "rank \(rank) expects \(incoming[sender]) values from \(sender)")
      return part
    }
    let buffers = parts.map { part in
      let buffer = UnsafeMutableBufferPointer<Float>.allocate(capacity: part.count)
      _ = buffer.initialize(from: part)
      return buffer
    }
    land(buffers.map { UnsafeBufferPointer($0) })
    for buffer in buffers { buffer.deallocate() }
  }

  func advanceBuckets() {}
  func advanceBuckets(until isDone: () -> Bool) { precondition(isDone(), "an exchange has not ended") }
  func finishBuckets() {}

  func beginAllGather(_ bytes: UnsafeMutableRawBufferPointer, slices: [Range<Int>]) {
    let all = ranks.meet(rank, bytes.map { Int64($0) })
    for (other, slice) in slices.enumerated() {
      for index in slice { bytes[index] = UInt8(all[other][index]) }
    }
  }

  func max(_ values: [Double]) -> [Double] {
    let all = ranks.meet(rank, values.map { Int64(bitPattern: $0.bitPattern) })
    return values.indices.map { index in
      all.map { Double(bitPattern: UInt64(bitPattern: $0[index])) }.max() ?? values[index]
    }
  }

  // A trainer calls none of these.
  func sendToAll(_ bytes: [UInt8]) {}
  func receiveFromRoot() -> [UInt8] { [] }
  func copyFromRoot(_ bytes: UnsafeMutableRawBufferPointer) {}
  func gatherToRoot(_ bytes: UnsafeMutableRawBufferPointer, slices: [Range<Int>]) {}
}
