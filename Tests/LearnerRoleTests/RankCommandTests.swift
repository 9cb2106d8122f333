// Commands among ranks: they come out as they went in, and bytes that are not a command are an error.

import Base
import LearnerRole
import Records
import Testing

@Suite struct RankCommandTests {
  private static let batch = (0..<3).map { sample in
    Trajectory(
      slot: Slot(round: .train(step: 7), prompt: 1, sample: sample), policy: PolicyVersion(7),
      // More than a message holds, so that the batch goes in several frames.
      tokens: [Int32](repeating: 5, count: 400_000), logprobs: [Float](repeating: -0.5, count: 400_000),
      entropySum: 1, finish: .stop)
  }

  @Test func `a command comes out as it went in`() throws {
    for command: RankCommand in [
      .train(step: 7, Self.batch), .train(step: 7, []), .gather(piece: 0), .gather(piece: .max), .end,
    ] {
      #expect(try RankCommand(command.bytes) == command)
    }
  }

  @Test func `bytes that are not a command are refused, also those that are cut short or too long`() {
    for command: RankCommand in [.train(step: 7, [Self.batch[0]]), .gather(piece: 9), .end] {
      let bytes = command.bytes
      // Five bytes of a training command are one with an empty batch.
      for length in [0, 1, 4, 8, bytes.count - 1] where length < bytes.count {
        #expect(throws: (any Error).self, "\(length) of \(bytes.count) bytes") {
          try RankCommand(Array(bytes[..<length]))
        }
      }
      #expect(throws: (any Error).self) { try RankCommand(bytes + [0]) }
    }
    #expect(throws: ByteError.truncated(needed: 1, left: 0)) { try RankCommand([]) }
    #expect(throws: ByteError.invalid(field: "command", value: 9)) { try RankCommand([9]) }
  }

  @Test func `a batch of another step than the command's is refused`() {
    var bytes = RankCommand.train(step: 7, [Self.batch[0]]).bytes
    bytes[1] = 8
    #expect(throws: ByteError.self) { try RankCommand(bytes) }
  }
}
