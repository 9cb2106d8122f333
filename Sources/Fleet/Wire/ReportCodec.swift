// ReportCodec: a step's report as bytes and back, within the message `publish`.
//
// As total as MessageCodec, and every report has one encoding: bytes that would be read and written differently are
// refused.

import Base
import Records

extension MessageCodec {
  /// Bits of a prompt's flags.
  private struct Flags: OptionSet {
    let rawValue: UInt8
    static let hasLabel = Flags(rawValue: 1)
    static let isTie = Flags(rawValue: 2)
    static let hasZeroAdvantage = Flags(rawValue: 4)
    static let isFlipKnown = Flags(rawValue: 8)
    static let isFlip = Flags(rawValue: 16)
    static let hasTruth = Flags(rawValue: 32)
    static let isLabelRight = Flags(rawValue: 64)
    static let all = Flags(rawValue: 127)
  }

  /// What a prompt's report takes at least: one without a label and without truth.
  private static let promptBytes = 34
  /// The same for a process: one without a name and without times.
  private static let processBytes = 12

  /// The figures that a version of the protocol has. Others are not sent to a process that speaks only that version.
  private static func figureNames(in version: UInt16) -> [FigureName] {
    version >= ProtocolVersions.moreFigures
      ? FigureName.allCases : Array(FigureName.allCases.prefix { $0 != .criticLoss })
  }

  /// Words that say which figures are known: a bit for each.
  private static func wordCount(of names: [FigureName]) -> Int { (names.count + 63) / 64 }

  // MARK: Encoding

  static func encode(_ report: StepReport, version: UInt16, into out: inout ByteWriter) {
    let names = figureNames(in: version)
    out.write(report.step)
    encode(report.figures, names, into: &out)
    out.write(report.weightsDigest ?? [])
    out.write(report.stateDigest ?? [])
    out.write(UInt32(report.prompts.count))
    for prompt in report.prompts { encode(prompt, into: &out) }
    out.write(UInt32(report.processes.count))
    for process in report.processes {
      out.write(process.process)
      encode(process.seconds, names, into: &out)
    }
    guard version >= ProtocolVersions.moreFigures else { return }
    out.write(UInt32(report.positions.count))
    for count in report.positions { out.write(count) }
  }

  private static func encode(_ figures: FigureValues, _ names: [FigureName], into out: inout ByteWriter) {
    let known = names.enumerated().filter { figures[$0.element] != nil }
    for word in 0..<wordCount(of: names) {
      out.write(known.reduce(UInt64(0)) { $1.offset / 64 == word ? $0 | 1 << UInt64($1.offset % 64) : $0 })
    }
    for (_, name) in known {
      guard let value = figures[name] else { continue }
      if name.isCount { out.write(UInt64(value)) } else { out.write(value) }
    }
  }

  private static func encode(_ prompt: PromptReport, into out: inout ByteWriter) {
    var flags: Flags = []
    if prompt.label != nil { flags.insert(.hasLabel) }
    if prompt.isTie { flags.insert(.isTie) }
    if prompt.hasZeroAdvantage { flags.insert(.hasZeroAdvantage) }
    if let isFlip = prompt.isFlip { flags.formUnion(isFlip ? [.isFlipKnown, .isFlip] : .isFlipKnown) }
    if let truth = prompt.truth { flags.formUnion(truth.isLabelRight ? [.hasTruth, .isLabelRight] : .hasTruth) }
    out.write(prompt.prompt)
    out.write(flags.rawValue)
    out.write(code(of: prompt.abstention))
    if let label = prompt.label { out.write(label) }
    for count in [
      prompt.labelVotes, prompt.samples, prompt.unneeded, prompt.withoutAnswer, prompt.truncated,
      prompt.truncatedThinking, prompt.answerCount, prompt.rewarded,
    ] {
      out.write(count)
    }
    if let truth = prompt.truth {
      out.write(truth.right)
      out.write(truth.rightRewards)
    }
  }

  private static func code(of abstention: Abstention?) -> UInt8 {
    switch abstention {
    case nil: 0
    case .tie: 1
    case .share: 2
    case .entropy: 3
    case .skipped: 4
    }
  }

  // MARK: Decoding

  static func report(_ reader: inout ByteReader, version: UInt16) throws(ByteError) -> StepReport {
    let names = figureNames(in: version)
    let step = try reader.read(UInt32.self)
    let figures = try figures(&reader, names)
    let weights = try digestOrNone("weights digest", &reader)
    let state = try digestOrNone("state digest", &reader)
    let count = try reader.readCount("prompts", limit: StepReport.promptsMax, elementBytes: promptBytes)
    var prompts: [PromptReport] = []
    prompts.reserveCapacity(count)
    for _ in 0..<count { prompts.append(try promptReport(&reader)) }
    var report = StepReport(
      step: step, figures: figures, weightsDigest: weights, stateDigest: state, prompts: prompts)
    let processCount = try reader.readCount("processes", limit: StepReport.processesMax, elementBytes: processBytes)
    for _ in 0..<processCount {
      report.processes.append(
        ProcessTimes(process: try text(&reader, "process"), seconds: try Self.figures(&reader, names)))
    }
    guard version >= ProtocolVersions.moreFigures else { return report }
    let places = try reader.readCount("positions", limit: StepReport.positionsMax, elementBytes: 4)
    for _ in 0..<places { report.positions.append(try reader.read()) }
    return report
  }

  private static func figures(
    _ reader: inout ByteReader, _ names: [FigureName]
  ) throws(ByteError) -> FigureValues {
    var known: [UInt64] = []
    for _ in 0..<wordCount(of: names) { known.append(try reader.read(UInt64.self)) }
    let last = known[known.count - 1]
    guard last >> UInt64(names.count % 64) == 0 else { throw .invalid(field: "figures", value: last) }
    var figures = FigureValues()
    for (bit, name) in names.enumerated() where known[bit / 64] >> UInt64(bit % 64) & 1 == 1 {
      let bits = try reader.read(UInt64.self)
      // A count beyond what a double holds exactly is rounded up, and refused as well.
      let value = name.isCount ? Double(bits) : Double(bitPattern: bits)
      guard name.allows(value), !name.isCount || UInt64(value) == bits else {
        throw .invalid(field: name.rawValue, value: bits)
      }
      figures[name] = value
    }
    return figures
  }

  private static func digestOrNone(_ field: String, _ reader: inout ByteReader) throws(ByteError) -> [UInt8]? {
    let bytes = try reader.readBytes(field, limit: StepReport.digestBytes)
    guard bytes.isEmpty || bytes.count == StepReport.digestBytes else {
      throw .invalid(field: field, value: UInt64(bytes.count))
    }
    return bytes.isEmpty ? nil : bytes
  }

  private static func promptReport(_ reader: inout ByteReader) throws(ByteError) -> PromptReport {
    var prompt = PromptReport(prompt: try reader.read())
    let raw = try reader.read(UInt8.self)
    let flags = Flags(rawValue: raw)
    // A bit that says what is not known has no meaning.
    guard flags.isSubset(of: .all), !flags.contains(.isFlip) || flags.contains(.isFlipKnown),
      !flags.contains(.isLabelRight) || flags.contains(.hasTruth)
    else { throw .invalid(field: "flags", value: UInt64(raw)) }
    let code = try reader.read(UInt8.self)
    guard code <= Abstention.allCases.count else { throw .invalid(field: "abstention", value: UInt64(code)) }
    prompt.abstention = Abstention.allCases.first { self.code(of: $0) == code }
    prompt.isTie = flags.contains(.isTie)
    prompt.hasZeroAdvantage = flags.contains(.hasZeroAdvantage)
    if flags.contains(.isFlipKnown) { prompt.isFlip = flags.contains(.isFlip) }
    if flags.contains(.hasLabel) { prompt.label = try text(&reader, "label") }
    prompt.labelVotes = try reader.read()
    prompt.samples = try reader.read()
    prompt.unneeded = try reader.read()
    prompt.withoutAnswer = try reader.read()
    prompt.truncated = try reader.read()
    prompt.truncatedThinking = try reader.read()
    prompt.answerCount = try reader.read()
    prompt.rewarded = try reader.read()
    if flags.contains(.hasTruth) {
      prompt.truth = PromptReport.Truth(
        isLabelRight: flags.contains(.isLabelRight), right: try reader.read(), rightRewards: try reader.read())
    }
    return prompt
  }
}
