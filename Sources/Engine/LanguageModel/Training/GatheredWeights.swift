// GatheredWeights: all weights, from the shards of masters that the ranks have, one piece at a time.
//
// Each rank rounds its masters to the data type and sends them to the other ranks. A piece (a layer, or the embeddings)
// is gathered in memory for one piece and packed, and then the next one is. So no rank holds all weights in float32.

import Base
import Tensors

struct GatheredWeights {
  /// This rank's shard.
  private let masters: Floats
  private let type: DataType
  private let ranks: any Collectives
  private let shards: Shards
  private let room: Floats

  /// - Parameters:
  ///   - masters: this rank's shard.
  ///   - count: of all parameters.
  ///   - room: memory for the largest piece.
  init(_ masters: Floats, of count: Int, type: DataType, _ ranks: any Collectives, room: Floats) {
    self.masters = masters
    self.type = type
    self.ranks = ranks
    self.room = room
    shards = Shards(count: count, size: ranks.size)
  }

  /// The parameters of a piece. All ranks call it. It is valid until the next piece.
  func source(of piece: Range<Int>) throws -> ParameterSource {
    let bytes = room[0..<piece.count].withUnsafeBuffer {
      UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer($0)[..<(piece.count * type.bytes)])
    }
    if !piece.isEmpty { try gather(piece, into: bytes) }
    let part = ParameterSource.Part(
      range: piece, bytes: UnsafeRawBufferPointer(bytes), type: type == .bfloat16 ? .bfloat16 : .float32)
    return ParameterSource(part, of: shards.count, keptBy: room)
  }

  private func gather(_ piece: Range<Int>, into bytes: UnsafeMutableRawBufferPointer) throws {
    for bucket in piece.lowerBound / Shards.bucketElements...(piece.upperBound - 1) / Shards.bucketElements {
      let range = shards.bucket(bucket)
      let whole = range.clamped(to: piece)
      let own = shards.slice(ofBucket: bucket, of: ranks.rank)
      let mine = own.whole.clamped(to: piece)
      if !mine.isEmpty {
        let start = own.shard.lowerBound - own.whole.lowerBound
        write(
          masters[start + mine.lowerBound..<start + mine.upperBound],
          to: UnsafeMutableRawBufferPointer(rebasing: bytes[part(mine, from: piece.lowerBound)]))
      }
      let slices = shards.slices(ofBucket: bucket).map {
        part(
          (range.lowerBound + $0.lowerBound..<range.lowerBound + $0.upperBound).clamped(to: whole),
          from: whole.lowerBound)
      }
      try ranks.beginAllGather(
        UnsafeMutableRawBufferPointer(rebasing: bytes[part(whole, from: piece.lowerBound)]), slices: slices)
    }
    try ranks.finishBuckets()
  }

  /// In bytes.
  private func part(_ range: Range<Int>, from start: Int) -> Range<Int> {
    (range.lowerBound - start) * type.bytes..<(range.upperBound - start) * type.bytes
  }

  private func write(_ masters: Floats, to bytes: UnsafeMutableRawBufferPointer) {
    masters.withUnsafeBuffer { masters in
      switch type {
      case .float32: bytes.copyMemory(from: UnsafeRawBufferPointer(masters))
      case .bfloat16:
        for (place, master) in masters.enumerated() {
          bytes.storeBytes(of: bfloat16Bits(of: master), toByteOffset: 2 * place, as: UInt16.self)
        }
      }
    }
  }
}
