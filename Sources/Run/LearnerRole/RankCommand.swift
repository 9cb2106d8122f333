// RankCommand: what rank 0 tells the other ranks to do, as bytes: a tag, then the tag's data.
//
//   1  train     u32 step, then the batch as frames of the message `batch`
//   2  gather    u64 number of a piece of a checkpoint
//   3  end       nothing
//
// Decoding never traps, although the same program wrote the bytes. A rank that has another version of the program must
// end with an error, and must not train on other data.

import Base
import Fleet
package import Records
import Wire

package enum RankCommand: Sendable, Equatable {
  case train(step: UInt32, [Trajectory])
  case gather(piece: UInt64)
  case end

  private enum Tag: UInt8 { case train = 1, gather, end }

  package var bytes: [UInt8] {
    var out = ByteWriter()
    switch self {
    case .train(let step, let trajectories):
      out.write(Tag.train.rawValue)
      out.write(step)
      for part in parts(of: trajectories) {
        out.append(Frame.encode(.batch(step: step, part: 0, partCount: 1, part)))
      }
    case .gather(let piece):
      out.write(Tag.gather.rawValue)
      out.write(piece)
    case .end: out.write(Tag.end.rawValue)
    }
    return out.bytes
  }

  /// - Throws: `ByteError` or `WireError` if the bytes are not a command.
  package init(_ bytes: [UInt8]) throws {
    var reader = ByteReader(bytes)
    let tag = try reader.read(UInt8.self)
    switch Tag(rawValue: tag) {
    case .train:
      let step = try reader.read(UInt32.self)
      self = .train(step: step, try Self.batch(ofStep: step, try reader.readRaw(count: reader.remaining)))
    case .gather: self = .gather(piece: try reader.read())
    case .end: self = .end
    case nil: throw ByteError.invalid(field: "command", value: UInt64(tag))
    }
    try reader.finish()
  }

  private static func batch(ofStep step: UInt32, _ frames: [UInt8]) throws -> [Trajectory] {
    var decoder = FrameDecoder()
    decoder.append(frames)
    var trajectories: [Trajectory] = []
    while let message = try decoder.next() {
      guard case .batch(step, _, _, let part) = message else { throw ByteError.invalid(field: "batch", value: 0) }
      trajectories += part
    }
    guard decoder.bytesLeft == 0 else { throw ByteError.trailing(count: decoder.bytesLeft) }
    return trajectories
  }
}
