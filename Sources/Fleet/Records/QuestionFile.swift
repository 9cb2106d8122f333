// QuestionFile: reads and writes question files: JSON lines, or one JSON array of objects.
//
// All problems of a file are reported together, each with its line, so that the user can fix them at once. Unknown keys
// are ignored, because data sets have many. Lengths are checked before the work (Limits.lineBytes and below).

package import Base

/// Why a question file cannot be used: all problems, in the order of their lines.
package struct QuestionFileError: Error, Equatable, Sendable, CustomStringConvertible {
  package enum Reason: Equatable, Sendable {
    case noQuestions
    case notJSON(JSONError.Problem, column: Int)
    case notAnObject(found: String)
    case noPrompt
    case malformed(key: String, found: String, expected: String)
    case repeatedID(String, firstLine: Int)
  }

  package struct Problem: Equatable, Sendable {
    package var line: Int
    package var reason: Reason

    package init(line: Int, reason: Reason) {
      self.line = line
      self.reason = reason
    }
  }

  package let problems: [Problem]

  /// Further problems are counted but not printed.
  package static let linesMax = 20

  package var description: String {
    let lines = problems.prefix(Self.linesMax).map(\.description.visible)
    let rest = problems.count - lines.count
    let more = problems.count < Limits.questionProblems ? "and \(rest) more" : "and more; reading stopped there"
    return (lines + (rest > 0 ? [more] : [])).joined(separator: "\n")
  }
}

extension QuestionFileError.Problem: CustomStringConvertible {
  package var description: String {
    switch reason {
    case .noQuestions: "the file holds no questions; expected a JSON object with a \"prompt\" on each line"
    case .notJSON(let problem, let column): "line \(line), column \(column): \(problem)"
    case .notAnObject(let found): "line \(line): found \(found), expected an object with a \"prompt\""
    case .noPrompt: "line \(line): no \"prompt\" (or \"problem\", or \"question\")"
    case .malformed(let key, let found, let expected): "line \(line): \"\(key)\" is \(found), expected \(expected)"
    case .repeatedID(let id, let first): "line \(line): the id \"\(id)\" is taken by line \(first)"
    }
  }
}

extension Question {
  /// The questions of a file, in the file's order.
  ///
  /// The prompt is `prompt`, `problem` or `question`: a string, or a list of messages with exactly one by the user.
  /// `id` (or `unique_id`) and `answer` (or `ground_truth` of `reward_model`) can be strings or numbers; numbers keep
  /// their spelling. `source` (or `data_source`) is a string, `kind` is one of `AnswerKind`. The id of a question
  /// without one is its line, or in an array its place, counted from 1. Blank lines are allowed. The alternative names
  /// are those of public sets: MATH-500, and the files of verl.
  /// - Throws: all problems of the file.
  package static func read(_ bytes: [UInt8]) throws(QuestionFileError) -> [Question] {
    var reader = QuestionReader()
    let hasByteOrderMark = bytes.starts(with: [0xEF, 0xBB, 0xBF])
    let text = hasByteOrderMark ? Array(bytes.dropFirst(3)) : bytes
    if text.first(where: { !isSpace($0) }) == UInt8(ascii: "[") {
      reader.readArray(text)
    } else {
      reader.readLines(text)
    }
    return try reader.finish()
  }
}

private func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

private struct QuestionReader {
  private var questions: [(line: Int, question: Question)] = []
  private var problems: [QuestionFileError.Problem] = []

  mutating func readLines(_ bytes: [UInt8]) {
    var line = 0
    var start = 0
    while start < bytes.count, problems.count < Limits.questionProblems {
      line += 1
      let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
      if end - start > Limits.lineBytes {
        refuse(line, .notJSON(.tooLong(limit: Limits.lineBytes), column: 1))
      } else if !bytes[start..<end].allSatisfy(isSpace) {
        readLine(Array(bytes[start..<end]), line: line)
      }
      start = end + 1
    }
  }

  private mutating func readLine(_ bytes: [UInt8], line: Int) {
    do { add(try JSON.parse(bytes), line: line, defaultID: line) } catch {
      problems.append(.init(line: line, reason: .notJSON(error.problem, column: error.column)))
    }
  }

  mutating func readArray(_ bytes: [UInt8]) {
    do {
      var place = 0
      try JSON.parseElements(bytes, limit: Limits.lineBytes) { line, value in
        place += 1
        if problems.count < Limits.questionProblems { add(value, line: line, defaultID: place) }
      }
    } catch {
      problems.append(.init(line: error.line, reason: .notJSON(error.problem, column: error.column)))
    }
  }

  private mutating func add(_ json: JSON, line: Int, defaultID: Int) {
    guard json.members != nil else { return refuse(line, .notAnObject(found: json.summary)) }
    let promptKey = ["prompt", "problem", "question"].first { json[$0].map { !$0.isNull } ?? false }
    guard let promptKey else { return refuse(line, .noPrompt) }
    let prompt =
      json[promptKey]?.elements == nil
      ? text(json, promptKey, limit: Limits.questionBytes, line: line) ?? "" : said(json, promptKey, line)
    if prompt.allSatisfy(\.isWhitespace), let given = json[promptKey]?.string, given.utf8.count == prompt.utf8.count {
      refuse(line, .malformed(key: promptKey, found: "empty", expected: "a question"))
    }
    let answer =
      literal(json, "answer", limit: Limits.answerBytes, line: line)
      ?? json["reward_model"].flatMap { rewardModel in
        literal(rewardModel, "ground_truth", limit: Limits.answerBytes, line: line)
      }
    let names = Limits.questionNameBytes
    let question = Question(
      id: literal(json, "id", limit: names, line: line) ?? literal(json, "unique_id", limit: names, line: line)
        ?? "\(defaultID)", prompt: prompt, answer: answer,
      source: text(json, "source", limit: names, line: line) ?? text(json, "data_source", limit: names, line: line),
      set: text(json, "set", limit: names, line: line),
      kind: kind(json, line: line))
    questions.append((line, question))
  }

  /// The user's message in a conversation of one question, with or without a system message.
  private mutating func said(_ json: JSON, _ key: String, _ line: Int) -> String {
    let messages = json[key]?.elements ?? []
    let users = messages.filter { $0["role"]?.string == "user" }
    let isOneTurn = messages.allSatisfy { ["system", "user"].contains($0["role"]?.string) }
    guard isOneTurn, users.count == 1, let content = users[0]["content"]?.string else {
      refuse(line, .malformed(key: key, found: "a list", expected: "a string, or messages with one by the user"))
      return ""
    }
    return bounded(content, key, limit: Limits.questionBytes, line: line) ?? ""
  }

  /// The string of a key; nil if it is absent or null.
  private mutating func text(_ json: JSON, _ key: String, limit: Int, line: Int) -> String? {
    guard let value = json[key], !value.isNull else { return nil }
    if value.string == nil { refuse(line, .malformed(key: key, found: value.summary, expected: "a string")) }
    return value.string.flatMap { bounded($0, key, limit: limit, line: line) }
  }

  /// The text; nil, with a problem, if it has more bytes than `limit`.
  private mutating func bounded(_ text: String, _ key: String, limit: Int, line: Int) -> String? {
    guard text.utf8.count > limit else { return text }
    refuse(line, .malformed(key: key, found: "\(text.utf8.count) bytes long", expected: "at most \(limit) bytes"))
    return nil
  }

  /// The string of a key, or its number as spelled; nil if it is absent or null.
  private mutating func literal(_ json: JSON, _ key: String, limit: Int, line: Int) -> String? {
    switch json[key] {
    case nil, .null: return nil
    case .string(let text): return bounded(text, key, limit: limit, line: line)
    case .number(let number): return bounded(number.literal, key, limit: limit, line: line)
    case .some(let value):
      refuse(line, .malformed(key: key, found: value.summary, expected: "a string or a number"))
      return nil
    }
  }

  private mutating func kind(_ json: JSON, line: Int) -> AnswerKind {
    guard let value = json["kind"], !value.isNull else { return .math }
    if let kind = value.string.flatMap(AnswerKind.init) { return kind }
    let known = AnswerKind.allCases.map(\.rawValue).joined(separator: ", ")
    refuse(line, .malformed(key: "kind", found: value.summary, expected: "one of \(known)"))
    return .math
  }

  private mutating func refuse(_ line: Int, _ reason: QuestionFileError.Reason) {
    problems.append(.init(line: line, reason: reason))
  }

  /// The questions, if the file has no problem.
  consuming func finish() throws(QuestionFileError) -> [Question] {
    refuseRepeatedIDs()
    if questions.isEmpty, problems.isEmpty { problems.append(.init(line: 1, reason: .noQuestions)) }
    guard problems.isEmpty else { throw QuestionFileError(problems: problems.sorted { $0.line < $1.line }) }
    return questions.map(\.question)
  }

  private mutating func refuseRepeatedIDs() {
    let order = questions.indices.sorted { (questions[$0].question.id, $0) < (questions[$1].question.id, $1) }
    var first = 0
    for (position, index) in order.enumerated() {
      let id = questions[index].question.id
      if id != questions[order[first]].question.id { first = position }
      if first < position { refuse(questions[index].line, .repeatedID(id, firstLine: questions[order[first]].line)) }
    }
  }
}

extension Question {
  /// One line of a question file, without its newline.
  package var json: JSON {
    let asked: JSON = earlier.isEmpty ? .string(prompt) : .array(conversation.map(\.json))
    var members = [JSON.Member("id", .string(id)), JSON.Member("prompt", asked)]
    if let answer { members.append(JSON.Member("answer", .string(answer))) }
    if let source { members.append(JSON.Member("source", .string(source))) }
    if let set { members.append(JSON.Member("set", .string(set))) }
    members.append(JSON.Member("kind", .string(kind.rawValue)))
    return .object(members)
  }
}

extension [Question] {
  /// A question file as JSON lines, which `Question.read` reads.
  package var fileText: String { map { $0.json.text() + "\n" }.joined() }
}
