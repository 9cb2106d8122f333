// ArchiveReader: what an archive has, in order, as values. Nothing is returned before its seal is checked.

import Base
import Records

package final class ArchiveReader {
  package let path: String
  package let header: ArchiveHeader
  /// What was returned so far.
  package private(set) var counts = ArchiveCounts()
  private let lines: SealedLines
  private var order = ArchiveOrder()
  /// The number of the line that was returned last.
  private var number = 1

  /// Opens an archive and checks its beginning.
  ///
  /// - Throws: `ArchiveError`, or `PlatformError` if the file cannot be read.
  package init(_ path: String) throws {
    self.path = path
    lines = try SealedLines(path)
    guard let first = try lines.next() else {
      throw ArchiveError.notAnArchive(path: path, found: "it has no header")
    }
    header = ArchiveHeader(.object((first.json.members ?? []).filter { $0.key != "kind" }))
  }

  /// How many bytes of the file are read.
  package var bytesRead: Int { lines.bytesRead }
  /// The hash in the last line, which identifies the content; nil until everything is read and checked.
  package var sha256: String? { lines.end?.json["sha256"]?.string }

  /// The next line: a question, a round, a group or a response. Lines of kinds that this program does not know are left
  /// out.
  ///
  /// - Returns: nil after the last line. Then the whole archive is as it was written.
  /// - Throws: `ArchiveError` at the first thing that is wrong, or `PlatformError`.
  package func next() throws -> ArchiveLine? {
    while let (number, json) = try lines.next() {
      self.number = number
      guard let line = try line(json, number) else { continue }
      if let problem = order.problem(with: line) { throw refusal(problem) }
      counts.count(line)
      return line
    }
    number = lines.end?.lines ?? number
    if let problem = order.problemAtEnd { throw refusal(problem) }
    try checkCounts()
    return nil
  }

  /// Why the line that was returned last cannot be used.
  package func refusal(_ problem: String) -> ArchiveError { .badLine(path: path, line: number, problem: problem) }

  /// Reads and checks everything that is left.
  package func finish() throws { while try next() != nil {} }

  private func line(_ json: JSON, _ number: Int) throws -> ArchiveLine? {
    let members = ArchiveMembers(json, path: path, line: number)
    switch ArchiveFormat.Kind(rawValue: try members.text("kind")) {
    case .question: return .question(try ArchivedQuestion(members))
    case .round: return .round(try ArchivedRound(members))
    case .group: return .group(try ArchivedGroup(members))
    case .response: return .response(try ArchivedResponse(members))
    case .header: throw members.invalid("kind")
    case .seal, .end, nil: return nil
    }
  }

  private func checkCounts() throws {
    guard let end = lines.end else { return }
    for (name, found) in counts.members + [("all_lines", end.lines)] where end.json[name]?.int != found {
      throw ArchiveError.otherCount(
        path: path, name: name, said: end.json[name].map { $0.text() } ?? "missing", found: found)
    }
  }
}

// MARK: - From JSON

/// A line's members, with the errors of those that are missing or wrong.
struct ArchiveMembers {
  private let json: JSON
  private let path: String
  private let line: Int

  init(_ json: JSON, path: String, line: Int) {
    self.json = json
    self.path = path
    self.line = line
  }

  func invalid(_ name: String) -> ArchiveError {
    .badLine(path: path, line: line, problem: "\"\(name)\" is \(json[name]?.summary ?? "missing")")
  }

  private func value<Value>(_ name: String, _ read: (JSON) -> Value?) throws(ArchiveError) -> Value {
    guard let value = json[name].flatMap(read) else { throw invalid(name) }
    return value
  }

  /// nil for null, or if there is none.
  private func optional<Value>(_ name: String, _ read: (JSON) -> Value?) throws(ArchiveError) -> Value? {
    guard let member = json[name], !member.isNull else { return nil }
    return try value(name) { _ in read(member) }
  }

  func member(_ name: String) throws(ArchiveError) -> JSON { try value(name) { $0 } }
  func optionalMember(_ name: String) -> JSON? { json[name].flatMap { $0.isNull ? nil : $0 } }
  func text(_ name: String) throws(ArchiveError) -> String { try value(name, \.string) }
  func optionalText(_ name: String) throws(ArchiveError) -> String? { try optional(name, \.string) }
  func flag(_ name: String) throws(ArchiveError) -> Bool { try value(name, \.bool) }
  func optionalFlag(_ name: String) throws(ArchiveError) -> Bool? { try optional(name, \.bool) }
  func number(_ name: String) throws(ArchiveError) -> UInt32 {
    try value(name) { $0.int.flatMap(UInt32.init(exactly:)) }
  }
  func float(_ name: String) throws(ArchiveError) -> Float { try value(name, \.float) }
  func optionalFloat(_ name: String) throws(ArchiveError) -> Float? { try optional(name, \.float) }

  func integers(_ name: String) throws(ArchiveError) -> [Int32] {
    try value(name) { all($0) { $0.int.flatMap(Int32.init(exactly:)) } }
  }

  func floats(_ name: String) throws(ArchiveError) -> [Float] { try value(name) { all($0, \.float) } }
  func optionalFloats(_ name: String) throws(ArchiveError) -> [Float]? { try optional(name) { all($0, \.float) } }

  /// A word of a list.
  func word<Word>(_ name: String, _ read: (String) -> Word?) throws(ArchiveError) -> Word {
    try value(name) { $0.string.flatMap(read) }
  }

  func round() throws(ArchiveError) -> RoundID {
    let (purpose, set) = (try word("purpose", RoundID.Purpose.init(name:)), try word("set", QuestionSet.init(name:)))
    let step = try number("step")
    guard step < 1 << 24 else { throw invalid("step") }
    return RoundID(purpose: purpose, set: set, step: step)
  }

  /// nil if one of the elements is not of the kind.
  private func all<Element>(_ json: JSON, _ read: (JSON) -> Element?) -> [Element]? {
    guard let elements = json.elements else { return nil }
    let values = elements.compactMap(read)
    return values.count == elements.count ? values : nil
  }
}

extension JSON {
  /// The float32 that the number's decimal is nearest to. Through a double it could be rounded twice.
  fileprivate var float: Float? {
    guard case .number(let number) = self else { return nil }
    return Float(number.literal).flatMap { $0.isFinite ? $0 : nil }
  }
}

extension ArchivedQuestion {
  init(_ members: ArchiveMembers) throws(ArchiveError) {
    self.init(
      set: try members.word("set", QuestionSet.init(name:)), index: try members.number("question"),
      id: try members.optionalText("question_id"), text: try members.text("text"),
      tokens: try members.integers("tokens"), kind: try members.word("answer_kind", AnswerKind.init(rawValue:)),
      truth: try members.optionalText("truth"), truthKey: try members.optionalText("truth_key"),
      row: members.optionalMember("row"))
  }
}

extension ArchivedRound {
  init(_ members: ArchiveMembers) throws(ArchiveError) {
    self.init(
      id: try members.round(), policy: PolicyVersion(try members.number("policy_version")),
      policySHA256: try members.optionalText("policy_sha256"), figures: try members.member("figures"))
  }
}

extension ArchivedGroup {
  init(_ members: ArchiveMembers) throws(ArchiveError) {
    guard let pairs = try members.member("votes").elements else { throw members.invalid("votes") }
    let votes = pairs.compactMap { pair -> Ballot? in
      guard let values = pair.elements, values.count == 2, let key = values[0].string, let votes = values[1].int
      else { return nil }
      return Ballot(key: key, votes: votes)
    }
    guard votes.count == pairs.count else { throw members.invalid("votes") }
    var abstention: Abstention?
    if let word = try members.optionalText("abstained") {
      abstention = Abstention(rawValue: word)
      if abstention == nil { throw members.invalid("abstained") }
    }
    self.init(
      round: try members.round(), question: try members.number("question"), label: try members.optionalText("label"),
      labelVotes: Int(try members.number("label_votes")), votes: votes, samples: Int(try members.number("samples")),
      unneeded: Int(try members.number("unneeded")), abstention: abstention)
  }
}

extension ArchivedResponse {
  init(_ members: ArchiveMembers) throws(ArchiveError) {
    let slot = Slot(
      round: try members.round(), prompt: try members.number("question"), sample: try members.number("sample"))
    var trajectory = Trajectory(
      slot: slot, policy: PolicyVersion(try members.number("policy_version")), tokens: try members.integers("tokens"),
      logprobs: try members.floats("logprobs"), entropySum: try members.float("entropy_sum"),
      finish: try members.word("finish", FinishReason.init(name:)))
    trajectory.entropies = try members.optionalFloats("entropies") ?? []
    trajectory.selfCertainty = try members.optionalFloat("self_certainty")
    let count = trajectory.tokens.count
    guard trajectory.logprobs.count == count else { throw members.invalid("logprobs") }
    guard trajectory.entropies.isEmpty || trajectory.entropies.count == count else {
      throw members.invalid("entropies")
    }
    trajectory.verdict = try members.verdict()
    self.init(
      trajectory: trajectory, text: try members.text("text"), answer: try members.optionalText("answer"),
      key: try members.optionalText("key"), isRight: try members.optionalFlag("right"),
      reward: try members.optionalFloat("reward"), isTrained: try members.flag("trained"),
      advantages: try members.advantages(count))
  }
}

extension ArchiveMembers {
  /// One number for all tokens, one for each, or none.
  fileprivate func advantages(_ count: Int) throws(ArchiveError) -> [Float] {
    guard let member = json["advantage"], !member.isNull else { return [] }
    if let one = member.float { return [Float](repeating: one, count: count) }
    let values = try floats("advantage")
    guard values.count == count else { throw invalid("advantage") }
    return values
  }

  fileprivate func verdict() throws(ArchiveError) -> Verdict? {
    guard let member = json["verdict"], !member.isNull else { return nil }
    let members = ArchiveMembers(member, path: path, line: line)
    var verdict = Verdict(
      reward: try members.optionalFloat("reward"), voteWeight: try members.optionalFloat("vote_weight"),
      isValid: try members.flag("valid"))
    if let name = try members.optionalText("fault") {
      verdict.fault = VerdictFault(name: name)
      if verdict.fault == nil { throw members.invalid("fault") }
    }
    return verdict
  }
}
