// MPICollectives: the ranks of an MPI job.
//
// MPI libraries wait by spinning, and our ranks share their cores with workers. So each call begins with a barrier that
// is polled with sleeps between the polls; this covers the time that ranks wait for the slowest rank. When all ranks
// have arrived, MPI's own blocking call runs, and spins only while the bytes move. A sleep is never longer than the
// wait so far, so short waits stay short.
//
// Calls are made only from the main thread. Long arrays are sent in pieces, which also bounds the library's scratch
// memory.

import CMPI
import Glibc
package import Platform
import Tensors

package final class MPICollectives: Collectives {
  package let rank: Int
  package let size: Int

  /// Elements per MPI call: far below MPI's 31-bit counts, and small enough that the scratch memory stays in the cache.
  /// Open MPI 4.1.4, two ranks on one machine, 2^24 64-bit sums: 90 ms in one piece, 50 ms in pieces of 2^20 or 2^18,
  /// 110 ms in pieces of 2^14.
  package static let pieceElements = 1 << 20
  /// Bytes per broadcast call, for the same reasons.
  package static let pieceBytes = 1 << 23
  /// The sleep between two polls of a barrier. The shortest is not much below the resolution of the kernel's timers.
  /// With the longest, polling costs less than 1% of a core (measured: 0.4% for a rank that waits).
  private static let shortestSleepMicroseconds: UInt32 = 50
  private static let longestSleepMicroseconds: UInt32 = 5_000
  private let buckets: BucketExchange

  /// Joins the job in which `mpirun` (or a similar launcher) started this process. Without a launcher, the job has one
  /// rank.
  ///
  /// Called once per process, on its main thread. `finish()` must follow; otherwise the launcher counts the process as
  /// failed.
  /// - Throws: `.failed`, `.noThreads`.
  package init() throws(CollectivesError) {
    var (needed, provided, rank, size): (Int32, Int32, Int32, Int32) = (0, 0, -1, 0)
    try Self.check(ttrl_mpi_init(&needed, &provided), "start", rank: -1)
    guard provided >= needed else { throw .noThreads(library: Self.libraryVersion) }
    try Self.check(ttrl_mpi_rank(&rank), "tell the rank", rank: -1)
    try Self.check(ttrl_mpi_size(&size), "tell the number of ranks", rank: Int(rank))
    self.rank = Int(rank)
    self.size = Int(size)
    buckets = BucketExchange(rank: self.rank, size: self.size)
  }

  /// Seals everything that ranks send to each other from now on, except barriers and lengths of messages. All ranks
  /// call it.
  ///
  /// - Parameter key: the cluster's.
  /// - Throws: `.failed`; `.otherKey` if a rank has another key, or another program takes part.
  package func protect(with key: ClusterKey) throws {
    precondition(size <= RankCipher.ranksMax, "\(size) ranks")
    let bytes = MessageCipher.contributionBytes
    var all = [UInt8](repeating: 0, count: size * bytes)
    all.replaceSubrange(rank * bytes..<(rank + 1) * bytes, with: MessageCipher.contribution)
    try gatherAll(&all, each: bytes)
    let contributions = (0..<size).map { Array(all[$0 * bytes..<($0 + 1) * bytes]) }
    buckets.cipher = RankCipher(try MessageCipher(key, contributions: contributions), rank: rank, size: size)
    let first = Result { () throws(CollectivesError) in try self.max([0]) }
    if case .failure(.forged) = first { throw CollectivesError.otherKey(rank: rank, key: key.id) }
    _ = try first.get()
  }

  /// - Parameters:
  ///   - bytes: of each rank, in their order; the own ones are there.
  ///   - count: bytes of one rank.
  private func gatherAll(_ bytes: inout [UInt8], each count: Int) throws(CollectivesError) {
    let slices = (0..<size).map { $0 * count..<($0 + 1) * count }
    try bytes.withUnsafeMutableBufferPointer { buffer throws(CollectivesError) in
      try beginAllGather(UnsafeMutableRawBufferPointer(buffer), slices: slices)
      try finishBuckets()
    }
  }

  /// Every rank's values, in the order of the ranks.
  private func gathered<Number: BitwiseCopyable>(
    _ values: UnsafeBufferPointer<Number>
  ) throws(CollectivesError) -> [[Number]] {
    let bytes = values.count * MemoryLayout<Number>.stride
    var all = [UInt8](repeating: 0, count: size * bytes)
    all.replaceSubrange(rank * bytes..<(rank + 1) * bytes, with: UnsafeRawBufferPointer(values))
    try gatherAll(&all, each: bytes)
    return all.withUnsafeBytes { raw in
      (0..<size).map { rank in
        (0..<values.count).map {
          raw.loadUnaligned(fromByteOffset: rank * bytes + $0 * MemoryLayout<Number>.stride, as: Number.self)
        }
      }
    }
  }

  /// Leaves the job. No other call can follow. Returns when every rank leaves.
  package func finish() throws(CollectivesError) {
    try barrier()
    try check(ttrl_mpi_finalize(), "finish")
  }

  /// Ends all ranks of the job at once: if one rank cannot continue, the others would wait forever.
  package func abort(status: Int32) -> Never {
    _ = ttrl_mpi_abort(status)
    exit(status)
  }

  /// The library's name and version, on one line.
  package static var libraryVersion: String {
    let text = text { ttrl_mpi_library_version($0, $1) }
    return text.split { $0.isNewline || $0 == "," }.first.map(String.init) ?? "an unknown MPI"
  }

  /// The number of the job's ranks on this machine. They share its cores.
  package func countHere() throws(CollectivesError) -> Int {
    try barrier()
    var count: Int32 = 0
    try check(ttrl_mpi_size_here(&count), "tell the ranks of one machine")
    return Swift.max(1, Int(count))
  }

  // MARK: Together

  package func sum(_ values: UnsafeMutableBufferPointer<Int64>) throws(CollectivesError) {
    if buckets.cipher != nil {
      let all = try gathered(UnsafeBufferPointer(values))
      for index in values.indices { values[index] = all.reduce(0) { $0 &+ $1[index] } }
      return
    }
    try inPieces(values, "sum integers") { ttrl_mpi_sum_int64($0, $1) }
  }

  package func beginReduceScatter(
    _ values: UnsafeMutableBufferPointer<Int64>, slices: [Range<Int>]
  ) throws(CollectivesError) { try check(buckets.reduceScatter(values, slices), "begin a reduce-scatter") }

  package func beginReduceScatter(
    _ values: UnsafeMutableBufferPointer<Float>, slices: [Range<Int>]
  ) throws(CollectivesError) { try check(buckets.reduceScatter(values, slices), "begin a reduce-scatter") }

  package func beginAllGather(
    _ bytes: UnsafeMutableRawBufferPointer, slices: [Range<Int>]
  ) throws(CollectivesError) { try check(buckets.gather(bytes, slices), "begin an all-gather") }

  package func beginExchange(
    _ values: UnsafeMutableBufferPointer<Float>, outgoing: [Range<Int>], incoming: [Int],
    land: @escaping ([UnsafeBufferPointer<Float>]) -> Void
  ) throws(CollectivesError) { try check(buckets.exchange(values, outgoing, incoming, land), "begin an exchange") }

  package func advanceBuckets(until isDone: () -> Bool) throws(CollectivesError) {
    var sleep = Self.shortestSleepMicroseconds
    while true {
      try advanceBuckets()
      if isDone() { return }
      usleep(sleep)
      sleep = min(2 * sleep, Self.longestSleepMicroseconds)
    }
  }

  package func advanceBuckets() throws(CollectivesError) { try check(buckets.advance(), "move buckets") }

  package func finishBuckets() throws(CollectivesError) {
    // As in the other calls: sleep until the slowest rank has arrived, then poll without sleeping.
    try barrier { () throws(CollectivesError) in try self.advanceBuckets() }
    while !buckets.isIdle {
      try advanceBuckets()
      sched_yield()
    }
  }

  /// Sets a function for a timeline: it is called when a bucket's transfer starts, and when it is complete.
  package func observeBuckets(_ observe: ((_ number: Int, _ hasArrived: Bool) -> Void)?) { buckets.observe = observe }

  package func gatherToRoot(
    _ bytes: UnsafeMutableRawBufferPointer, slices: [Range<Int>]
  ) throws(CollectivesError) {
    try barrier()
    if buckets.cipher != nil {
      try check(buckets.gatherToRoot(bytes, slices), "gather slices at rank 0")
      return try finishBuckets()
    }
    let rank = Int32(rank)
    precondition(slices.count == size && bytes.count <= Self.pieceBytes, "\(bytes.count) bytes, \(slices.count) slices")
    let (counts, offsets) = (slices.map { Int32($0.count) }, slices.map { Int32($0.lowerBound) })
    try check(ttrl_mpi_gather_to_root(rank, bytes.baseAddress, counts, offsets), "gather slices at rank 0")
  }

  /// MPI's own all-reduce of the whole array in one call, which spins. Benchmarks compare with it.
  package func sumPlainly(_ values: UnsafeMutableBufferPointer<Int64>) throws(CollectivesError) {
    try check(ttrl_mpi_sum_int64(values.baseAddress, Int32(values.count)), "sum integers")
  }

  package func sumPlainly(_ values: UnsafeMutableBufferPointer<Float>) throws(CollectivesError) {
    try check(ttrl_mpi_sum_float(values.baseAddress, Int32(values.count)), "sum floats")
  }

  package func sum(_ values: [Double]) throws(CollectivesError) -> [Double] {
    if buckets.cipher != nil { return try combined(values, +) }
    return try reduced(values, "sum") { ttrl_mpi_sum_double($0, $1) }
  }

  package func max(_ values: [Double]) throws(CollectivesError) -> [Double] {
    if buckets.cipher != nil { return try combined(values, Swift.max) }
    return try reduced(values, "find the largest") { ttrl_mpi_max_double($0, $1) }
  }

  /// Combines the ranks' values, in the order of the ranks.
  private func combined(
    _ values: [Double], _ combine: (Double, Double) -> Double
  ) throws(CollectivesError) -> [Double] {
    let all = try values.withUnsafeBufferPointer { values throws(CollectivesError) in try gathered(values) }
    return values.indices.map { index in all.dropFirst().reduce(all[0][index]) { combine($0, $1[index]) } }
  }

  package func sendToAll(_ bytes: [UInt8]) throws(CollectivesError) {
    precondition(rank == 0, "only rank 0 sends to all")
    var bytes = bytes
    try broadcast(&bytes)
  }

  package func receiveFromRoot() throws(CollectivesError) -> [UInt8] {
    precondition(rank != 0, "rank 0 receives nothing from itself")
    var bytes: [UInt8] = []
    try broadcast(&bytes)
    return bytes
  }

  package func copyFromRoot(_ bytes: UnsafeMutableRawBufferPointer) throws(CollectivesError) {
    try barrier()
    try broadcastPieces(bytes.bindMemory(to: UInt8.self))
  }

  package func barrier() throws(CollectivesError) { try barrier { () throws(CollectivesError) in } }

  /// - Parameter meanwhile: called after each poll that finds ranks missing.
  private func barrier(_ meanwhile: () throws(CollectivesError) -> Void) throws(CollectivesError) {
    var isMain: Int32 = 0
    try check(ttrl_mpi_is_main_thread(&isMain), "tell the main thread")
    precondition(isMain != 0, "MPI was called from another thread than the main one")
    var request = ttrl_mpi_request()
    try check(ttrl_mpi_start_barrier(&request), "start a barrier")
    var isComplete: Int32 = 0
    var sleep = Self.shortestSleepMicroseconds
    while true {
      try check(ttrl_mpi_test(&request, &isComplete), "wait for the other ranks")
      if isComplete != 0 { return }
      try meanwhile()
      usleep(sleep)
      sleep = min(2 * sleep, Self.longestSleepMicroseconds)
    }
  }

  // MARK: Pieces

  private func broadcast(_ bytes: inout [UInt8]) throws(CollectivesError) {
    try barrier()
    var count = UInt64(bytes.count)
    let code = withUnsafeMutableBytes(of: &count) { broadcastPiece($0) }
    try check(code, "send a length to all")
    if rank != 0 { bytes = [UInt8](repeating: 0, count: Int(count)) }
    try bytes.withUnsafeMutableBufferPointer { buffer throws(CollectivesError) in try broadcastPieces(buffer) }
  }

  private func broadcastPieces(_ bytes: UnsafeMutableBufferPointer<UInt8>) throws(CollectivesError) {
    for start in stride(from: 0, to: bytes.count, by: Self.pieceBytes) {
      let piece = UnsafeMutableBufferPointer(rebasing: bytes[start..<min(start + Self.pieceBytes, bytes.count)])
      try check(broadcastPiece(UnsafeMutableRawBufferPointer(piece)), "send bytes to all")
    }
  }

  /// - Returns: MPI's error code.
  private func broadcastPiece(_ bytes: UnsafeMutableRawBufferPointer) -> Int32 {
    func send(_ bytes: UnsafeMutableRawBufferPointer) -> Int32 {
      ttrl_mpi_broadcast_bytes(bytes.bindMemory(to: UInt8.self).baseAddress, Int32(bytes.count), 0)
    }
    return buckets.cipher?.broadcast(bytes, send) ?? send(bytes)
  }

  private func inPieces<Number>(
    _ values: UnsafeMutableBufferPointer<Number>, _ operation: String,
    _ reduce: (UnsafeMutablePointer<Number>?, Int32) -> Int32
  ) throws(CollectivesError) {
    try barrier()
    for start in stride(from: 0, to: values.count, by: Self.pieceElements) {
      let count = Int32(min(Self.pieceElements, values.count - start))
      try check(reduce(values.baseAddress?.advanced(by: start), count), operation)
    }
  }

  private func reduced(
    _ values: [Double], _ operation: String, _ reduce: (UnsafeMutablePointer<Double>?, Int32) -> Int32
  ) throws(CollectivesError) -> [Double] {
    var values = values
    try values.withUnsafeMutableBufferPointer { buffer throws(CollectivesError) in
      try inPieces(buffer, operation, reduce)
    }
    return values
  }

  // MARK: Errors

  private func check(_ code: Int32, _ operation: String) throws(CollectivesError) {
    try Self.check(code, operation, rank: rank)
  }

  private static func check(_ code: Int32, _ operation: String, rank: Int) throws(CollectivesError) {
    guard ttrl_mpi_is_success(code) == 0 else { return }
    guard code != BucketExchange.forged else { throw .forged(operation: operation, rank: rank) }
    throw .failed(operation: operation, rank: rank, text: text { ttrl_mpi_error_text(code, $0, $1) })
  }

  private static func text(_ fill: (UnsafeMutablePointer<CChar>, UnsafeMutablePointer<Int32>) -> Int32) -> String {
    let capacity = Int(ttrl_mpi_max_text())
    return withUnsafeTemporaryAllocation(of: CChar.self, capacity: capacity) { buffer in
      var length: Int32 = 0
      guard let start = buffer.baseAddress, ttrl_mpi_is_success(fill(start, &length)) != 0 else { return "unknown" }
      let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<min(Int(length), capacity)])
      return String(decoding: bytes, as: UTF8.self)
    }
  }
}
