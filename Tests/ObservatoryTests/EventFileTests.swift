// TensorBoard's files: the bytes that TensorFlow would write, and what is left of a file that was cut anywhere.

import Base
import Observatory
import Testing

@Suite struct EventFileTests {
  private static let event = EventFile.Event(wallTime: 1.5, step: 300, scalars: [("train/entropy", 0.25)])

  /// Written by TensorFlow's own writer for the same event: tensorboard.compat.proto.event_pb2.Event(wall_time=1.5,
  /// step=300, summary=Summary(value=[Value(tag="train/entropy", simple_value=0.25)])), framed by
  /// tensorboard.summary.writer.record_writer.RecordWriter (tensorboard 2.21.0).
  private static let golden =
    "2400000000000000422b804d09000000000000f83f10ac022a160a140a0d747261696e2f656e74726f7079150000803e0330"
    + "a002"

  @Test func `an event is written as TensorFlow writes it`() {
    #expect(Hexadecimal.text(EventFile.record(Self.event)) == Self.golden)
  }

  @Test func `a checksum is masked as in TensorFlow`() {
    #expect(CRC32C.checksum(Array("123456789".utf8)) == 0xE306_9283)
    #expect(EventFile.masked(0xE306_9283) == 0xC78A_B0E5)
  }

  @Test func `a file that was cut anywhere is whole up to its last whole record`() {
    var file = EventFile.header(wallTime: 1)
    var ends = [0, file.count]
    for step in 0..<4 {
      file += EventFile.record(EventFile.Event(wallTime: 2, step: step * 1000, scalars: [("a", 1), ("b", -2)]))
      ends.append(file.count)
    }
    for cut in 0...file.count {
      let intact = EventFile.intactPart(of: Array(file.prefix(cut)))
      let whole = ends.last { $0 <= cut } ?? 0
      #expect(intact.bytes == whole)
      let events = max(0, ends.count { $0 <= cut } - 2)
      #expect(intact.events == events && intact.lastStep == (events > 0 ? (events - 1) * 1000 : nil))
    }
  }

  @Test func `a damaged byte ends the intact part, before its record`() {
    let header = EventFile.header(wallTime: 1)
    let file = header + EventFile.record(Self.event) + EventFile.record(Self.event)
    for index in header.count..<file.count {
      var damaged = file
      damaged[index] ^= 0x10
      #expect(EventFile.intactPart(of: damaged).bytes <= index)
    }
  }

  @Test func `any bytes are read without a trap`() {
    var random = RandomSequence(seed: 7, purpose: .promptOrder)
    for _ in 0..<2000 {
      let bytes = (0..<Int(random.uniform() * 64)).map { _ in UInt8(random.uniform() * 255) }
      #expect(EventFile.intactPart(of: bytes).bytes <= bytes.count)
    }
    #expect(EventFile.intactPart(of: [UInt8](repeating: 0xFF, count: 64)).bytes == 0)
  }

  @Test func `every figure of a step is a scalar of the same name`() throws {
    let line = try #require(MadeUpRun().metrics().split(separator: "\n").first { $0.contains("\"step\"") })
    let row = try JSON.parse(Array(line.utf8))
    let event = try #require(EventFile.event(of: row, wallTime: 3))
    #expect(event.scalars.contains { $0.tag == "train/majority_ratio" })
    for scalar in event.scalars {
      let name = String(scalar.tag.dropFirst("train/".count))
      #expect(row[name]?.double.map(Float.init) == scalar.value)
    }
  }
}
