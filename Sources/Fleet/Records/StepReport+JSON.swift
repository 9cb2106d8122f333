// StepReport as JSON: a line of metrics.jsonl, a row of the ledger's table `steps`, and report.json of a checkpoint.
// docs/metrics.md lists the members.
//
// Null means unknown, never zero, and a missing member is like null: earlier versions of the program had fewer. Else
// reading is strict: a count or a flag that is missing, or a member of another type, is an error that names it, because
// the guard and a published version depend on what is read.

package import Base

/// Why a row is not a step's report.
package enum StepReportError: Error, Equatable, Sendable, CustomStringConvertible {
  case notJSON(JSONError)
  /// A member is missing, or its value is not one that it can have.
  case invalid(member: String, found: String)
  /// The guard needs a figure that is not known.
  case unknown(FigureName)

  package var description: String {
    switch self {
    case .notJSON(let error): "\(error)"
    case .invalid(let member, let found): "\"\(member)\" is \(found)"
    case .unknown(let figure): "\"\(figure.rawValue)\" is not known"
    }
  }
}

extension StepReport {
  /// - Parameter text: as `json` writes it, also with more members, also of an earlier version of the program.
  package init(parsing text: String) throws(StepReportError) {
    let row: JSON
    do { row = try MetricsRow.parse(text) } catch { throw .notJSON(error) }
    try self.init(row)
  }

  /// - Parameter row: as `MetricsRow` reads it.
  package init(_ row: JSON) throws(StepReportError) {
    let members = Members(row)
    self.init(
      step: try members.count("step"), figures: FigureValues(row),
      weightsDigest: try members.digest("weights_sha256"), stateDigest: try members.digest("state_sha256"))
    for member in row.members ?? [] {
      guard let name = FigureName.named(member.key), member.value != .null else { continue }
      if figures[name] == nil { throw members.invalid(member.key) }
    }
    guard let elements = row["prompts"]?.elements else { throw members.invalid("prompts") }
    for element in elements { prompts.append(try PromptReport(element)) }
    for element in row["positions"]?.elements ?? [] {
      guard let count = element.int.flatMap(UInt32.init(exactly:)) else { throw members.invalid("positions") }
      positions.append(count)
    }
    for element in row["processes"]?.elements ?? [] {
      guard let process = element["process"]?.string else { throw members.invalid("processes") }
      processes.append(ProcessTimes(process: process, seconds: FigureValues(element)))
    }
  }

  package var json: JSON {
    .object(
      [JSON.Member("kind", "step"), JSON.Member("step", .int(Int(step)))] + figures.members + [
        JSON.Member("weights_sha256", .optional(weightsDigest.map(Hexadecimal.text))),
        JSON.Member("state_sha256", .optional(stateDigest.map(Hexadecimal.text))),
      ]
        + (positions.isEmpty ? [] : [JSON.Member("positions", .array(positions.map { .int(Int($0)) }))])
        + [
          JSON.Member("processes", .array(processes.map(\.json))), JSON.Member("prompts", .array(prompts.map(\.json))),
        ])
  }
}

extension FigureValues {
  /// The figures that a row has; a figure that it lacks is unknown.
  package init(_ row: JSON) {
    self.init()
    for member in row.members ?? [] {
      guard let name = FigureName.named(member.key) else { continue }
      self[name] = name.isCount ? member.value.int.map(Double.init) : member.value.double
    }
  }

  /// All figures, in their order.
  fileprivate var members: [JSON.Member] {
    FigureName.allCases.compactMap { name in
      guard let value = self[name] else {
        return name.isLeftOut ? nil : JSON.Member(name.rawValue, .null)
      }
      return JSON.Member(name.rawValue, name.isCount ? .int(Int(value)) : .double(value))
    }
  }
}

extension ProcessTimes {
  fileprivate var json: JSON {
    let known = FigureName.allCases.compactMap { name in
      seconds[name].map { JSON.Member(name.rawValue, name.isCount ? .int(Int($0)) : .double($0)) }
    }
    return .object([JSON.Member("process", .string(process))] + known)
  }
}

extension PromptReport {
  fileprivate init(_ object: JSON) throws(StepReportError) {
    let members = Members(object)
    self.init(prompt: try members.count("prompt"))
    label = try members.text("label")
    labelVotes = try members.count("label_votes")
    samples = try members.count("samples")
    withoutAnswer = try members.count("no_answer")
    truncated = try members.count("truncated")
    answerCount = try members.count("answers")
    isTie = try members.flag("tie")
    hasZeroAdvantage = try members.flag("zero_advantage")
    rewarded = try members.count("rewarded")
    if let name = try members.text("abstained") {
      guard let known = Abstention(rawValue: name) else { throw members.invalid("abstained") }
      abstention = known
    }
    if members.isKnown("flipped") { isFlip = try members.flag("flipped") }
    // Runs of versions without early stop need all.
    if members.isKnown("unneeded") { unneeded = try members.count("unneeded") }
    if members.isKnown("truncated_thinking") { truncatedThinking = try members.count("truncated_thinking") }
    if members.isKnown("label_right") {
      truth = Truth(
        isLabelRight: try members.flag("label_right"), right: try members.count("right"),
        rightRewards: try members.count("right_rewards"))
    }
  }

  /// Members in the order that earlier versions wrote: `ttrl diff` compares a run with one of theirs.
  fileprivate var json: JSON {
    var members: [JSON.Member] = [
      JSON.Member("prompt", .int(Int(prompt))), JSON.Member("label", .optional(label)),
      JSON.Member("label_votes", .int(Int(labelVotes))), JSON.Member("samples", .int(Int(samples))),
      JSON.Member("no_answer", .int(Int(withoutAnswer))), JSON.Member("truncated", .int(Int(truncated))),
      JSON.Member("answers", .int(Int(answerCount))), JSON.Member("tie", .bool(isTie)),
      JSON.Member("zero_advantage", .bool(hasZeroAdvantage)), JSON.Member("rewarded", .int(Int(rewarded))),
      JSON.Member("abstained", .optional(abstention?.rawValue)),
      JSON.Member("flipped", isFlip.map { .bool($0) } ?? .null), JSON.Member("unneeded", .int(Int(unneeded))),
    ]
    // Most models do not think, and earlier versions did not write it.
    if truncatedThinking > 0 { members.append(JSON.Member("truncated_thinking", .int(Int(truncatedThinking)))) }
    if let truth {
      members += [
        JSON.Member("label_right", .bool(truth.isLabelRight)), JSON.Member("right", .int(Int(truth.right))),
        JSON.Member("right_rewards", .int(Int(truth.rightRewards))),
      ]
    }
    return .object(members)
  }
}

/// The members of an object, each of the type that it must have.
private struct Members {
  private let object: JSON

  init(_ object: JSON) { self.object = object }

  func invalid(_ name: String) -> StepReportError {
    .invalid(member: name, found: object[name]?.summary ?? "missing")
  }

  func isKnown(_ name: String) -> Bool { object[name].map { !$0.isNull } ?? false }

  func count(_ name: String) throws(StepReportError) -> UInt32 {
    guard let value = object[name]?.int.flatMap(UInt32.init(exactly:)) else { throw invalid(name) }
    return value
  }

  func flag(_ name: String) throws(StepReportError) -> Bool {
    guard let value = object[name]?.bool else { throw invalid(name) }
    return value
  }

  /// nil for null.
  func text(_ name: String) throws(StepReportError) -> String? {
    guard isKnown(name) else { return nil }
    guard let value = object[name]?.string else { throw invalid(name) }
    return value
  }

  /// nil for null.
  func digest(_ name: String) throws(StepReportError) -> [UInt8]? {
    guard let text = try text(name) else { return nil }
    let bytes = Hexadecimal.bytes(text)
    guard bytes.count == StepReport.digestBytes else { throw invalid(name) }
    return bytes
  }
}
