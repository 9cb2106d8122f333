// BucketExchange: exchanges, reduce-scatters and all-gathers that are in progress while this thread does other work.
//
// In a reduce-scatter every rank sends slice q of a bucket to rank q, and adds the slices that it receives to its own
// slice. In an all-gather every rank sends its own slice to all other ranks. In both, each value crosses each link
// once. (MPI has both in a form that can be polled. Open MPI's reduce-scatter of that form goes through rank 0: with
// two ranks it moves 1.5 times the bytes, and the transfers run one after the other.) All ranks begin buckets in the
// same order, so messages need no names. Only a few buckets are in progress at a time, which bounds the memory for
// received bytes; the other buckets wait. Transfers advance only during MPI calls, so `advance` has to be called. With
// a cipher, a message is sealed when its transfer starts, and opened when it is complete. Not here: when to call it,
// and how ranks wait for each other (MPICollectives).

import Base
import CMPI
import Platform

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
  /// nil: messages go as they are.
  var cipher: RankCipher?
  /// In place of MPI's error code: a message is not what its sender sent.
  static let forged: Int32 = -1

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
    let own = slices[rank]
    let transfers = others.map { Transfer(other: $0, leaving: own, arriving: .bytes(slices[$0])) }
    waiting.append(Bucket(bytes: bytes, transfers: transfers))
    return advance()
  }

  /// Sends the own slice to rank 0, which receives those of all others.
  ///
  /// - Parameter slices: one per rank, in bytes.
  /// - Returns: MPI's error code.
  func gatherToRoot(_ bytes: UnsafeMutableRawBufferPointer, _ slices: [Range<Int>]) -> Int32 {
    guard size > 1 else { return 0 }
    let transfers =
      rank == 0
      ? others.map { Transfer(other: $0, leaving: 0..<0, arriving: .bytes(slices[$0])) }
      : [Transfer(other: 0, leaving: slices[rank], arriving: .bytes(0..<0))]
    waiting.append(Bucket(bytes: bytes, transfers: transfers))
    return advance()
  }

  /// - Returns: MPI's error code.
  func exchange(
    _ values: UnsafeMutableBufferPointer<Float>, _ outgoing: [Range<Int>], _ incoming: [Int],
    _ land: @escaping ([UnsafeBufferPointer<Float>]) -> Void
  ) -> Int32 {
    precondition(outgoing.count == size && incoming.count == size, "an exchange needs a part for each of \(size) ranks")
    precondition(outgoing[rank].isEmpty && incoming[rank] == 0, "a rank keeps its own part")
    let stride = MemoryLayout<Float>.stride
    let ends = incoming.indices.map { incoming[...$0].reduce(0, +) }
    func part(_ rank: Int) -> Range<Int> { ends[rank] - incoming[rank]..<ends[rank] }
    let transfers = others.map { other in
      Transfer(
        other: other, leaving: outgoing[other].lowerBound * stride..<outgoing[other].upperBound * stride,
        arriving: .room(part(other).lowerBound * stride..<part(other).upperBound * stride))
    }
    let count = ends.last ?? 0
    waiting.append(
      Bucket(bytes: UnsafeMutableRawBufferPointer(values), transfers: transfers, roomBytes: count * stride) { room in
        let received = UnsafeBufferPointer(room.bindMemory(to: Float.self))
        land(incoming.indices.map { UnsafeBufferPointer(rebasing: received[part($0)]) })
      })
    return advance()
  }

  private var others: [Int] { (0..<size).filter { $0 != rank } }

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
    let parts = size - 1
    let transfers = others.enumerated().map { place, other in
      Transfer(
        other: other, leaving: slices[other].lowerBound * stride..<slices[other].upperBound * stride,
        arriving: .room(place * own.count * stride..<(place + 1) * own.count * stride))
    }
    waiting.append(
      Bucket(
        bytes: UnsafeMutableRawBufferPointer(values), transfers: transfers, roomBytes: parts * own.count * stride
      ) { room in
        let received = room.bindMemory(to: Number.self)
        add(
          own,
          (0..<parts).map { UnsafeMutableBufferPointer(rebasing: received[$0 * own.count..<($0 + 1) * own.count]) })
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
        guard flight.open() else { return Self.forged }
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
      if bucket.land != nil {
        room = idle.popLast() ?? Room(byteCount: bucket.roomBytes)
        if room?.bytes.count ?? 0 < bucket.roomBytes { room = Room(byteCount: bucket.roomBytes) }
      }
      let flight = Flight(bucket, room, number: departed, cipher)
      departed += 1
      observe?(flight.number, false)
      let code = flight.depart()
      guard ttrl_mpi_is_success(code) != 0 else { return code }
      flying.append(flight)
    }
    return 0
  }
}

/// What goes to and comes from another rank. Without bytes there is no message.
private struct Transfer {
  enum Place {
    /// In the bucket's own bytes.
    case bytes(Range<Int>)
    /// In memory for received bytes.
    case room(Range<Int>)

    var count: Int {
      switch self {
      case .bytes(let range), .room(let range): range.count
      }
    }
  }

  let other: Int
  /// Of the bucket's bytes.
  let leaving: Range<Int>
  let arriving: Place
}

/// A bucket whose transfer has not started.
private struct Bucket {
  let bytes: UnsafeMutableRawBufferPointer
  let transfers: [Transfer]
  var roomBytes = 0
  /// Takes the received bytes; nil for an all-gather, which receives into `bytes`.
  var land: ((UnsafeMutableRawBufferPointer) -> Void)?
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
  private let memory: UnsafeMutableBufferPointer<ttrl_mpi_request>
  private var count = 0
  private let cipher: RankCipher?
  /// What is sent and received in sealed form, with the place and the name of each received message.
  private var leaving: [Room] = []
  private var arriving: [(room: Room, target: UnsafeMutableRawBufferPointer, nonce: MessageNonce)] = []

  var requests: UnsafeMutableBufferPointer<ttrl_mpi_request> { UnsafeMutableBufferPointer(rebasing: memory[..<count]) }

  init(_ bucket: Bucket, _ room: Room?, number: Int, _ cipher: RankCipher?) {
    self.number = number
    self.cipher = cipher
    self.bucket = bucket
    self.room = room
    memory = .allocate(capacity: max(1, 2 * bucket.transfers.count))
    memory.initialize(repeating: ttrl_mpi_request())
  }

  deinit { memory.deallocate() }

  /// - Returns: MPI's error code.
  func depart() -> Int32 {
    guard let requests = memory.baseAddress else { return 0 }
    for transfer in bucket.transfers {
      if transfer.arriving.count > 0, let target = target(of: transfer.arriving) {
        let bytes = receiving(UnsafeMutableRawBufferPointer(start: target, count: transfer.arriving.count), transfer)
        let code = ttrl_mpi_receive(
          bytes.baseAddress, Int32(bytes.count), Int32(transfer.other), requests + count)
        guard ttrl_mpi_is_success(code) != 0 else { return code }
        count += 1
      }
      if !transfer.leaving.isEmpty {
        let bytes = sending(UnsafeRawBufferPointer(rebasing: bucket.bytes[transfer.leaving]), transfer)
        let code = ttrl_mpi_send(bytes.baseAddress, Int32(bytes.count), Int32(transfer.other), requests + count)
        guard ttrl_mpi_is_success(code) != 0 else { return code }
        count += 1
      }
    }
    return 0
  }

  /// Where a message is received: at its target, or sealed.
  private func receiving(
    _ target: UnsafeMutableRawBufferPointer, _ transfer: Transfer
  ) -> UnsafeMutableRawBufferPointer {
    guard let cipher else { return target }
    let room = Room(byteCount: target.count + MessageCipher.tagBytes)
    arriving.append((room, target, cipher.next(from: transfer.other)))
    return room.bytes
  }

  /// What is sent: the bytes, or their sealed form.
  private func sending(_ bytes: UnsafeRawBufferPointer, _ transfer: Transfer) -> UnsafeRawBufferPointer {
    guard let cipher else { return bytes }
    let room = Room(byteCount: bytes.count + MessageCipher.tagBytes)
    leaving.append(room)
    cipher.seal(bytes, to: transfer.other, into: room.bytes)
    return UnsafeRawBufferPointer(room.bytes)
  }

  /// Opens what has been received.
  ///
  /// - Returns: whether it is what the others sent.
  func open() -> Bool {
    guard let cipher else { return true }
    return arriving.allSatisfy { cipher.open(UnsafeRawBufferPointer($0.room.bytes), $0.nonce, into: $0.target) }
  }

  private func target(of place: Transfer.Place) -> UnsafeMutableRawPointer? {
    switch place {
    case .bytes(let range): bucket.bytes.baseAddress?.advanced(by: range.lowerBound)
    case .room(let range): room?.bytes.baseAddress?.advanced(by: range.lowerBound)
    }
  }

  /// Ends the transfer when all bytes have been received.
  func land() -> Room? {
    if let room { bucket.land?(room.bytes) }
    return room
  }
}
