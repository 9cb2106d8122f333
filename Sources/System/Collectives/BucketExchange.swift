// BucketExchange: reduce-scatters and all-gathers that are in progress while this thread does other work.
//
// In a reduce-scatter every rank sends slice q of a bucket to rank q, and adds the slices that it receives to its own
// slice. In an all-gather every rank sends its own slice to all other ranks. In both, each value crosses each link
// once. (MPI has both in a form that can be polled. Open MPI's reduce-scatter of that form goes through rank 0: with
// two ranks it moves 1.5 times the bytes, and the transfers run one after the other.) All ranks begin buckets in the
// same order, so messages need no names. Only a few buckets are in progress at a time, which bounds the memory for
// received bytes; the other buckets wait. Transfers advance only during MPI calls, so `advance` has to be called. Not
// here: when to call it, and how ranks wait for each other (MPICollectives).

import Base
import CMPI

final class BucketExchange {
  private let rank: Int
  private let size: Int
  private var waiting: [Bucket] = []
  private var flying: [Flight] = []
  /// Called when a bucket's transfer starts, and when it is complete. Buckets are numbered in the order in which they
  /// start.
  var observe: ((_ number: Int, _ hasArrived: Bool) -> Void)?
  private var departed = 0
  /// Memory of past transfers. It is kept, because more buckets will come.
  private var idle: [Room] = []

  init(rank: Int, size: Int) {
    self.rank = rank
    self.size = size
  }

  var isIdle: Bool { waiting.isEmpty && flying.isEmpty }

  /// - Parameter slices: one per rank, in bytes.
  /// - Returns: MPI's error code.
  func gather(_ bytes: UnsafeMutableRawBufferPointer, _ slices: [Range<Int>]) -> Int32 {
    precondition(slices.count == size, "\(slices.count) slices for \(size) ranks")
    guard size > 1 else { return 0 }
    waiting.append(Bucket(bytes: bytes, slices: slices, add: nil))
    return advance()
  }

  /// - Returns: MPI's error code.
  func reduceScatter(_ values: UnsafeMutableBufferPointer<Int64>, _ slices: [Range<Int>]) -> Int32 {
    reduceScatter(values, slices) { own, parts in
      for part in parts { for index in own.indices { own[index] &+= part[index] } }
    }
  }

  /// - Returns: MPI's error code.
  func reduceScatter(_ values: UnsafeMutableBufferPointer<Float>, _ slices: [Range<Int>]) -> Int32 {
    let rank = rank
    return reduceScatter(values, slices) { own, parts in
      var ordered = parts
      ordered.insert(own, at: rank)
      // The sum is in the memory of the first part, which is not always the own slice.
      let total = ordered[0]
      for part in ordered.dropFirst() { for index in total.indices { total[index] += part[index] } }
      if rank > 0, let base = total.baseAddress { own.baseAddress?.update(from: base, count: own.count) }
    }
  }

  private func reduceScatter<Number: BitwiseCopyable>(
    _ values: UnsafeMutableBufferPointer<Number>, _ slices: [Range<Int>],
    _ add:
      @escaping (
        _ own: UnsafeMutableBufferPointer<Number>, _ parts: [UnsafeMutableBufferPointer<Number>]
      ) -> Void
  ) -> Int32 {
    precondition(slices.count == size, "\(slices.count) slices for \(size) ranks")
    guard size > 1 else { return 0 }
    let stride = MemoryLayout<Number>.stride
    let own = UnsafeMutableBufferPointer(rebasing: values[slices[rank]])
    let others = size - 1
    waiting.append(
      Bucket(
        bytes: UnsafeMutableRawBufferPointer(values),
        slices: slices.map { $0.lowerBound * stride..<$0.upperBound * stride }
      ) { room in
        let received = room.bindMemory(to: Number.self)
        add(
          own,
          (0..<others).map { UnsafeMutableBufferPointer(rebasing: received[$0 * own.count..<($0 + 1) * own.count]) })
      })
    return advance()
  }

  /// - Returns: MPI's error code.
  func advance() -> Int32 {
    var left: [Flight] = []
    for flight in flying {
      var isComplete: Int32 = 0
      let code = ttrl_mpi_test_all(Int32(flight.requests.count), flight.requests.baseAddress, &isComplete)
      guard ttrl_mpi_is_success(code) != 0 else { return code }
      if isComplete != 0 {
        observe?(flight.number, true)
        if let room = flight.land() { idle.append(room) }
      } else {
        left.append(flight)
      }
    }
    flying = left
    while !waiting.isEmpty, flying.count < Limits.bucketsInFlight {
      let bucket = waiting.removeFirst()
      var room: Room?
      if bucket.add != nil {
        let needed = bucket.slices[rank].count * (size - 1)
        room = idle.popLast() ?? Room(byteCount: needed)
        if room?.bytes.count ?? 0 < needed { room = Room(byteCount: needed) }
      }
      let flight = Flight(bucket, room, number: departed, ranks: size)
      departed += 1
      observe?(flight.number, false)
      let code = flight.depart(rank: rank)
      guard ttrl_mpi_is_success(code) != 0 else { return code }
      flying.append(flight)
    }
    return 0
  }
}

/// A bucket whose transfer has not started.
private struct Bucket {
  let bytes: UnsafeMutableRawBufferPointer
  /// One per rank, in bytes.
  let slices: [Range<Int>]
  /// Adds the other ranks' parts, [size − 1][own slice], to the own slice; nil for an all-gather.
  let add: ((UnsafeMutableRawBufferPointer) -> Void)?
}

/// Memory for received bytes.
private final class Room {
  let bytes: UnsafeMutableRawBufferPointer

  init(byteCount: Int) { bytes = .allocate(byteCount: byteCount, alignment: 64) }

  deinit { bytes.deallocate() }
}

/// A bucket whose transfer is in progress.
private final class Flight {
  private let bucket: Bucket
  /// nil for an all-gather.
  private let room: Room?
  let number: Int
  let requests: UnsafeMutableBufferPointer<ttrl_mpi_request>

  init(_ bucket: Bucket, _ room: Room?, number: Int, ranks: Int) {
    self.number = number
    self.bucket = bucket
    self.room = room
    requests = .allocate(capacity: 2 * (ranks - 1))
    requests.initialize(repeating: ttrl_mpi_request())
  }

  deinit { requests.deallocate() }

  /// - Returns: MPI's error code.
  func depart(rank: Int) -> Int32 {
    guard let requests = requests.baseAddress, let bytes = bucket.bytes.baseAddress else { return 0 }
    let own = bucket.slices[rank]
    for (place, other) in bucket.slices.indices.filter({ $0 != rank }).enumerated() {
      let theirs = bucket.slices[other]
      let (arriving, leaving) = room == nil ? (theirs, own) : (own, theirs)
      let target = room?.bytes.baseAddress?.advanced(by: place * own.count) ?? bytes + theirs.lowerBound
      let code = ttrl_mpi_receive(target, Int32(arriving.count), Int32(other), requests + 2 * place)
      guard ttrl_mpi_is_success(code) != 0 else { return code }
      let sent = ttrl_mpi_send(
        bytes + leaving.lowerBound, Int32(leaving.count), Int32(other), requests + 2 * place + 1)
      guard ttrl_mpi_is_success(sent) != 0 else { return sent }
    }
    return 0
  }

  /// Ends the transfer when all bytes have been received.
  func land() -> Room? {
    if let room { bucket.add?(room.bytes) }
    return room
  }
}
