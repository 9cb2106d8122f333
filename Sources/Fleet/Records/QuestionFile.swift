// QuestionFile: reads and writes question files: JSON lines, one JSON array of objects, or CSV.
//
// All problems of a file are reported together, each with its line, so that the user can fix them at once. Unknown keys
// are ignored, because data sets have many; what is left out is counted. Lengths are checked before the work
// (Limits.lineBytes and below). Not here: the keys of one question (QuestionRow), the grammar of CSV (QuestionTable).

package import Base

/// The questions of a file, and what of the file is in none of them.
package struct QuestionFile: Sendable, Equatable {
  /// In the file's order.
  package var questions: [Question]
  /// What was left out, and of how many questions, in the order of first occurrence.
  package var leftOut: [(what: String, count: Int)] { zip(names, counts).map { ($0, $1) } }

  private var names: [String] = []
  private var counts: [Int] = []

  /// Names that are counted one by one; a file of arbitrary keys has no end of them.
  private static let namesMax = 100

  init() { questions = [] }

  mutating func leaveOut(_ what: String) {
    var place = names.firstIndex(of: what)
    if place == nil {
      let name = names.count < Self.namesMax ? what : "other keys"
      place = names.firstIndex(of: name)
      if place == nil {
        names.append(name)
        counts.append(0)
        place = names.count - 1
      }
    }
    if let place { counts[place] += 1 }
  }
}

extension QuestionFile {
  /// Reads a file.
  ///
  /// JSON begins with `{` or `[`; anything else has to be CSV, whose header names a prompt. The id of a question
  /// without one is its line, or in an array its place, counted from 1. Blank lines are allowed.
  ///
  /// - Parameters:
  ///   - bytes: of the file.
  ///   - takesResponses: whether every question has to have responses, which are then read too.
  ///   - takesForms: whether options and other wordings are read too.
  /// - Throws: all problems of the file.
  package init(
    _ bytes: [UInt8], takesResponses: Bool = false, takesForms: Bool = false
  ) throws(QuestionFileError) {
    if let name = Self.otherEncoding(of: bytes) {
      throw QuestionFileError(problems: [.init(line: 1, reason: .otherEncoding(name))])
    }
    let hasByteOrderMark = bytes.starts(with: [0xEF, 0xBB, 0xBF])
    let text = hasByteOrderMark ? Array(bytes.dropFirst(3)) : bytes
    var reader = QuestionReader(takesResponses: takesResponses, takesForms: takesForms)
    switch text.first(where: { !isSpace($0) }) {
    case UInt8(ascii: "["): reader.readArray(text)
    case UInt8(ascii: "{"), nil: reader.readLines(text)
    default: reader.readTable(text)
    }
    self = try reader.finish()
  }

  /// Unicode of two or four bytes per character, which Windows programs write; nil if it is neither.
  private static func otherEncoding(of bytes: [UInt8]) -> String? {
    let marks: [(bytes: [UInt8], name: String)] = [
      // The longer mark begins like the shorter one.
      ([0xFF, 0xFE, 0, 0], "UTF-32"), ([0, 0, 0xFE, 0xFF], "UTF-32"), ([0xFF, 0xFE], "UTF-16"),
      ([0xFE, 0xFF], "UTF-16"),
    ]
    if let mark = marks.first(where: { bytes.starts(with: $0.bytes) }) { return mark.name }
    // Without a mark, half of the bytes of ASCII characters are 0, which no text in UTF-8 has.
    guard bytes.count >= 4, bytes[2] != 0 || bytes[3] != 0 else { return nil }
    if bytes[0] != 0, bytes[1] == 0 { return "UTF-16LE" }
    return bytes[0] == 0 && bytes[1] != 0 ? "UTF-16BE" : nil
  }
}

func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

extension Question {
  /// The questions of a file (QuestionFile).
  package static func read(_ bytes: [UInt8]) throws(QuestionFileError) -> [Question] {
    try QuestionFile(bytes).questions
  }

  /// One line of a question file, without its newline.
  package var json: JSON {
    let asked: JSON = earlier.isEmpty ? .string(prompt) : .array(conversation.map(\.json))
    var members = [JSON.Member("id", .string(id)), JSON.Member("prompt", asked)]
    if let answer { members.append(JSON.Member("answer", .string(answer))) }
    if let source { members.append(JSON.Member("source", .string(source))) }
    if let domain { members.append(JSON.Member("domain", .string(domain))) }
    if let set { members.append(JSON.Member("set", .string(set))) }
    members.append(JSON.Member("kind", .string(kind.rawValue)))
    if !order.isEmpty { members.append(JSON.Member(QuestionForms.orderKey, .string(QuestionForms.letters(order)))) }
    return .object(members)
  }
}

extension [Question] {
  /// A question file as JSON lines, which `Question.read` reads.
  package var fileText: String { map { $0.json.text() + "\n" }.joined() }
}

/// Reads the rows of a file, one after the other.
private struct QuestionReader {
  private let takesResponses: Bool
  private let takesForms: Bool
  private var file = QuestionFile()
  /// [question] in the file.
  private var lines: [Int] = []
  private var problems: [QuestionFileError.Problem] = []

  init(takesResponses: Bool, takesForms: Bool) {
    self.takesResponses = takesResponses
    self.takesForms = takesForms
  }

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
      refuse(line, .notJSON(error.problem, column: error.column))
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
      refuse(error.line, .notJSON(error.problem, column: error.column))
    }
  }

  mutating func readTable(_ bytes: [UInt8]) {
    var table = QuestionTable(bytes)
    while problems.count < Limits.questionProblems, let (line, row) = table.next() {
      switch row {
      case .success(let json): add(json, line: line, defaultID: line)
      case .failure(let problem): refuse(line, .table(problem))
      }
    }
  }

  private mutating func add(_ json: JSON, line: Int, defaultID: Int) {
    guard json.members != nil else { return refuse(line, .notAnObject(found: json.summary)) }
    var row = QuestionRow(json, takesResponses: takesResponses, takesForms: takesForms)
    let question = row.question(defaultID: defaultID)
    problems += row.problems.map { .init(line: line, reason: $0) }
    guard let question else { return }
    for what in row.leftOut { file.leaveOut(what) }
    file.questions.append(question)
    lines.append(line)
  }

  private mutating func refuse(_ line: Int, _ reason: QuestionFileError.Reason) {
    problems.append(.init(line: line, reason: reason))
  }

  /// The file, if it has no problem.
  consuming func finish() throws(QuestionFileError) -> QuestionFile {
    refuseRepeatedIDs()
    if file.questions.isEmpty, problems.isEmpty { refuse(1, .noQuestions) }
    guard problems.isEmpty else { throw QuestionFileError(problems: problems.sorted { $0.line < $1.line }) }
    return file
  }

  private mutating func refuseRepeatedIDs() {
    let questions = file.questions
    let order = questions.indices.sorted { (questions[$0].id, $0) < (questions[$1].id, $1) }
    var first = 0
    for (position, index) in order.enumerated() {
      let (question, earliest) = (questions[index], questions[order[first]])
      if question.id != earliest.id {
        first = position
      } else if first < position {
        let line = lines[order[first]]
        if let answer = question.answer, let other = earliest.answer, answer != other {
          refuse(lines[index], .twoAnswers(id: question.id, answer: answer, firstLine: line, firstAnswer: other))
        } else {
          refuse(lines[index], .repeatedID(question.id, firstLine: line))
        }
      }
    }
  }
}
