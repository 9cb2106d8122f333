// RankCipher: seals what goes from rank to rank, so that a network between machines sees only lengths and times.
//
// Messages between two ranks arrive in the order in which they were sent, so both sides count them, and the number is a
// part of the nonce: a message that is repeated, left out or put elsewhere cannot be opened.

import Platform

final class RankCipher {
  private let cipher: MessageCipher
  private let rank: Int
  /// [rank] messages to and from each rank so far.
  private var sent: [UInt64]
  private var received: [UInt64]
  private var broadcasts: UInt64 = 0

  /// In a nonce, in place of a receiver: all ranks.
  private static let everyone = UInt16.max
  /// The most ranks of a job, so that a rank is never `everyone`.
  static let ranksMax = Int(UInt16.max)

  init(_ cipher: MessageCipher, rank: Int, size: Int) {
    self.cipher = cipher
    self.rank = rank
    sent = Array(repeating: 0, count: size)
    received = sent
  }

  /// Seals the next message to a rank.
  func seal(_ plain: UnsafeRawBufferPointer, to other: Int, into sealed: UnsafeMutableRawBufferPointer) {
    cipher.seal(plain, MessageNonce(sender: UInt16(rank), receiver: UInt16(other), number: sent[other]), into: sealed)
    sent[other] += 1
  }

  /// Names the next message from a rank, which can be opened later.
  func next(from other: Int) -> MessageNonce {
    defer { received[other] += 1 }
    return MessageNonce(sender: UInt16(other), receiver: UInt16(rank), number: received[other])
  }

  func open(
    _ sealed: UnsafeRawBufferPointer, _ nonce: MessageNonce, into plain: UnsafeMutableRawBufferPointer
  ) -> Bool { cipher.open(sealed, nonce, into: plain) }

  /// The nonce of the next broadcast from rank 0.
  private func nextBroadcast() -> MessageNonce {
    defer { broadcasts += 1 }
    return MessageNonce(sender: 0, receiver: Self.everyone, number: broadcasts)
  }

  /// Sends bytes of rank 0 to all.
  ///
  /// - Parameters:
  ///   - bytes: rank 0's; the other ranks get them here.
  ///   - send: broadcasts bytes, and returns MPI's error code.
  /// - Returns: MPI's error code, or `BucketExchange.forged`.
  func broadcast(_ bytes: UnsafeMutableRawBufferPointer, _ send: (UnsafeMutableRawBufferPointer) -> Int32) -> Int32 {
    let nonce = nextBroadcast()
    return withUnsafeTemporaryAllocation(byteCount: bytes.count + MessageCipher.tagBytes, alignment: 64) { sealed in
      if rank == 0 { cipher.seal(UnsafeRawBufferPointer(bytes), nonce, into: sealed) }
      let code = send(sealed)
      guard code == 0, rank != 0 else { return code }
      return cipher.open(UnsafeRawBufferPointer(sealed), nonce, into: bytes) ? 0 : BucketExchange.forged
    }
  }
}
