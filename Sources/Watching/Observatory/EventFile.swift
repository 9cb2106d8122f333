// EventFile: the part of TensorBoard's file format that scalars need.
//
// A file is a sequence of records (TFRecord): a length of 8 bytes, the masked CRC-32C of those, the data, its masked
// CRC-32C; all little-endian. The data is a protocol buffer, tensorflow.Event:
//
//   1 wall_time double   2 step int64   3 file_version string   5 summary { 1 value { 1 tag string, 2 value float } }
//
// The first record is the version, "brain.Event:2". The process that appends can be killed at any byte, so `intactPart`
// says how much of a file is complete; the rest is cut off before more is appended. (Formats: TensorFlow's
// core/lib/io/record_writer.h, core/lib/hash/crc32c.h, core/util/event.proto.)

package import Base

package enum EventFile {
  /// One step's scalars.
  package struct Event: Sendable, Equatable {
    package let wallTime: Double
    package let step: Int
    package let scalars: [(tag: String, value: Float)]

    package init(wallTime: Double, step: Int, scalars: [(tag: String, value: Float)]) {
      self.wallTime = wallTime
      self.step = step
      self.scalars = scalars
    }

    package static func == (left: Self, right: Self) -> Bool {
      left.wallTime == right.wallTime && left.step == right.step
        && left.scalars.elementsEqual(right.scalars) { $0 == $1 }
    }
  }

  /// TensorBoard recognises files by "tfevents" in their names.
  package static let name = "events.out.tfevents.0000000000.ttrl"

  /// The record that a file begins with.
  package static func header(wallTime: Double) -> [UInt8] {
    var event = ProtocolBuffer()
    event.add(1, wallTime)
    event.add(3, "brain.Event:2")
    return record(event.bytes)
  }

  package static func record(_ event: Event) -> [UInt8] {
    var summary = ProtocolBuffer()
    for scalar in event.scalars {
      var value = ProtocolBuffer()
      value.add(1, scalar.tag)
      value.add(2, scalar.value)
      summary.add(1, value.bytes)
    }
    var message = ProtocolBuffer()
    message.add(1, event.wallTime)
    message.add(2, event.step)
    message.add(5, summary.bytes)
    return record(message.bytes)
  }

  // MARK: Records

  static func record(_ data: [UInt8]) -> [UInt8] {
    var writer = ByteWriter(reserving: data.count + 16)
    writer.write(UInt64(data.count))
    writer.write(masked(CRC32C.checksum(writer.bytes)))
    writer.append(data)
    writer.write(masked(CRC32C.checksum(data)))
    return writer.bytes
  }

  /// A checksum of data that contains checksums would be weak; the format therefore rotates it and adds a constant.
  package static func masked(_ checksum: UInt32) -> UInt32 { (checksum >> 15 | checksum << 17) &+ 0xA282_EAD8 }

  /// The intact part of a file.
  package struct IntactPart: Sendable, Equatable {
    /// Up to the first record that is incomplete or damaged.
    package var bytes = 0
    /// Events that have a step, and the largest step.
    package var events = 0
    package var lastStep: Int?
  }

  package static func intactPart(of file: [UInt8]) -> IntactPart {
    var reader = ByteReader(file)
    var intact = IntactPart()
    while reader.remaining > 0, let data = try? next(&reader) {
      intact.bytes = reader.position
      guard let step = step(of: data) else { continue }
      intact.events += 1
      intact.lastStep = max(intact.lastStep ?? step, step)
    }
    return intact
  }

  private static func next(_ reader: inout ByteReader) throws(ByteError) -> [UInt8] {
    var head = ByteWriter()
    head.write(try reader.read(UInt64.self))
    guard masked(CRC32C.checksum(head.bytes)) == (try reader.read(UInt32.self)) else {
      throw .invalid(field: "length", value: 0)
    }
    var length = ByteReader(head.bytes)
    let data = try reader.readRaw(count: Int(clamping: try length.read(UInt64.self)))
    guard masked(CRC32C.checksum(data)) == (try reader.read(UInt32.self)) else {
      throw .invalid(field: "data", value: 0)
    }
    return data
  }

  /// The step of an event that this program wrote; nil if it has none.
  private static func step(of data: [UInt8]) -> Int? {
    // Field 1, a double, comes first; then field 2, a varint.
    guard data.count > 10, data[0] == 0x09, data[9] == 0x10 else { return nil }
    var (value, shift): (UInt64, UInt64) = (0, 0)
    for byte in data[10...].prefix(10) {
      value |= UInt64(byte & 0x7F) << shift
      shift += 7
      if byte < 0x80 { return Int(truncatingIfNeeded: value) }
    }
    return nil
  }

  // MARK: A run's events

  /// A record of the ledger as an event; nil if it has no scalars.
  ///
  /// - Parameters:
  ///   - row: a step's, or an evaluation's.
  ///   - wallTime: when it became durable, seconds since 1970.
  package static func event(of row: JSON, wallTime: Double) -> Event? {
    switch row["kind"]?.string {
    case "step":
      guard let step = row["step"]?.int else { return nil }
      let scalars = StepFigures.all.compactMap { figure in
        row[figure.name]?.double.map { ("train/\(figure.name)", Float($0)) }
      }
      return Event(wallTime: wallTime, step: step, scalars: scalars)
    case "evaluation":
      guard let record = EvaluationRecord(row) else { return nil }
      let set = "eval/\(record.set.rawValue)/"
      var scalars = record.figures.compactMap { figure in figure.value.map { (set + figure.name, Float($0)) } }
      if let ratio = record.majorityRatio { scalars.append((set + "majority_ratio", Float(ratio))) }
      if let ratio = record.noAnswerRatio { scalars.append((set + "no_answer_ratio", Float(ratio))) }
      return Event(wallTime: wallTime, step: record.policy, scalars: scalars)
    default: return nil
    }
  }
}

/// Writes protocol buffer fields; only the kinds that events have.
private struct ProtocolBuffer {
  private var writer = ByteWriter()

  var bytes: [UInt8] { writer.bytes }

  private mutating func varint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      writer.write(UInt8(rest & 0x7F) | 0x80)
      rest >>= 7
    }
    writer.write(UInt8(rest))
  }

  private mutating func key(_ field: UInt64, _ wireType: UInt64) { varint(field << 3 | wireType) }

  mutating func add(_ field: UInt64, _ value: Int) {
    key(field, 0)
    varint(UInt64(bitPattern: Int64(value)))
  }

  mutating func add(_ field: UInt64, _ value: Double) {
    key(field, 1)
    writer.write(value)
  }

  mutating func add(_ field: UInt64, _ value: Float) {
    key(field, 5)
    writer.write(value)
  }

  mutating func add(_ field: UInt64, _ value: [UInt8]) {
    key(field, 2)
    varint(UInt64(value.count))
    writer.append(value)
  }

  mutating func add(_ field: UInt64, _ value: String) { add(field, Array(value.utf8)) }
}
