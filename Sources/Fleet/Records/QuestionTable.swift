// QuestionTable: a question file in CSV, as RFC 4180 defines it: a header row, then one question per row.
//
// A field can be in quotes; then it can hold commas, line breaks, and quotes written twice. Lines end with LF or CR LF;
// a line break inside a field is LF in either case, because it is that of the file. Each row becomes a JSON object with
// the header's names, and an empty field becomes null. What is not CSV by this grammar is refused with its line: a row
// with more or fewer fields than the header, a quote inside a field without quotes, a quote that is not closed. Columns
// separated by tabs or semicolons are named and not read. Columns without a name (a table's own index) have the name
// "". Not here: what a row means (QuestionRow).

import Base

package struct QuestionTable {
  package enum Problem: Error, Equatable, Sendable {
    case noPromptColumn(header: String, separator: String?)
    case repeatedColumn(String)
    case uneven(found: Int, expected: Int)
    case openQuote
    case strayQuote(field: Int)
    case textAfterQuote(field: Int)
    case invalidUTF8(field: Int)
    case tooLong(limit: Int)
  }

  private let bytes: [UInt8]
  private var position = 0
  /// Of the next byte, counted from 1.
  private var line = 1
  /// nil until the header has been read.
  private var columns: [String]?
  private var isOver = false

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// The next row as an object, or what is wrong with it, with the line on which it begins; nil at the end. Blank lines
  /// are skipped.
  mutating func next() -> (line: Int, row: Result<JSON, Problem>)? {
    while !isOver, skipBlankLines() {
      let start = line
      switch (fields(), columns) {
      case (.failure(let problem), let columns):
        // Where a row ends is not known behind an open quote, and without a header no row means anything.
        if columns == nil { isOver = true }
        return (start, .failure(problem))
      case (.success(let names), nil):
        let names = names.map { String($0.trimmed) }
        if let problem = Self.problem(withHeader: names) {
          isOver = true
          return (start, .failure(problem))
        }
        columns = names
      case (.success(let values), .some(let names)):
        guard values.count == names.count else {
          return (start, .failure(.uneven(found: values.count, expected: names.count)))
        }
        let members = zip(names, values).map { JSON.Member($0, $1.isEmpty ? .null : .string($1)) }
        return (start, .success(.object(members)))
      }
    }
    return nil
  }

  private static func problem(withHeader names: [String]) -> Problem? {
    func hasPrompt(_ names: [String]) -> Bool { QuestionRow.promptKeys.contains(where: names.contains) }
    guard hasPrompt(names) else {
      let header = names.joined(separator: ",")
      let separator = ["\t", ";"].first { separator in
        hasPrompt(header.split(separator: Character(separator)).map { String($0.trimmed) })
      }
      return .noPromptColumn(header: String(header.prefix(60)), separator: separator)
    }
    let sorted = names.filter { !$0.isEmpty }.sorted()
    return zip(sorted, sorted.dropFirst()).first { $0 == $1 }.map { .repeatedColumn($0.0) }
  }

  // MARK: Grammar

  /// - Returns: whether there is another row.
  private mutating func skipBlankLines() -> Bool {
    while position < bytes.count {
      let end = bytes[position...].firstIndex(of: newline) ?? bytes.count
      guard bytes[position..<end].allSatisfy(isSpace) else { return true }
      position = min(end + 1, bytes.count)
      line += 1
    }
    return false
  }

  private var newline: UInt8 { UInt8(ascii: "\n") }
  private var quote: UInt8 { UInt8(ascii: "\"") }

  private var isAtEndOfLine: Bool {
    guard position < bytes.count else { return true }
    if bytes[position] == newline { return true }
    return bytes[position] == UInt8(ascii: "\r") && (position + 1 == bytes.count || bytes[position + 1] == newline)
  }

  /// The fields of the row that begins here. Behind it, the next row begins, also if there is something wrong.
  private mutating func fields() -> Result<[String], Problem> {
    let start = position
    var fields: [String] = []
    var found: Problem?
    while true {
      switch field(number: fields.count + 1) {
      case .success(let text): fields.append(text)
      case .failure(let problem):
        found = found ?? problem
        fields.append("")
      }
      if position - start > Limits.lineBytes { found = .tooLong(limit: Limits.lineBytes) }
      // A field ends at a comma or at the end of a line.
      guard !isAtEndOfLine else { break }
      position += 1
    }
    if position < bytes.count {
      position = (bytes[position...].firstIndex(of: newline) ?? bytes.count - 1) + 1
      line += 1
    }
    return found.map { .failure($0) } ?? .success(fields)
  }

  private mutating func field(number: Int) -> Result<String, Problem> {
    let isQuoted = position < bytes.count && bytes[position] == quote
    return isQuoted ? quotedField(number) : plainField(number)
  }

  private mutating func plainField(_ number: Int) -> Result<String, Problem> {
    let start = position
    skipPlainText()
    let text = bytes[start..<position]
    return text.contains(quote) ? .failure(.strayQuote(field: number)) : Self.text(text, number)
  }

  private mutating func skipPlainText() {
    while !isAtEndOfLine, bytes[position] != UInt8(ascii: ",") { position += 1 }
  }

  private mutating func quotedField(_ number: Int) -> Result<String, Problem> {
    var text: [UInt8] = []
    position += 1
    let end = min(bytes.count, position + Limits.lineBytes)
    while position < end {
      let byte = bytes[position]
      if byte == quote {
        position += 1
        guard position < bytes.count, bytes[position] == quote else {
          guard isAtEndOfLine || bytes[position] == UInt8(ascii: ",") else {
            skipPlainText()
            return .failure(.textAfterQuote(field: number))
          }
          return Self.text(text[...], number)
        }
      } else if byte == newline {
        line += 1
        if text.last == UInt8(ascii: "\r") { text.removeLast() }
      }
      text.append(byte)
      position += 1
    }
    isOver = true
    return .failure(end < bytes.count ? .tooLong(limit: Limits.lineBytes) : .openQuote)
  }

  private static func text(_ bytes: ArraySlice<UInt8>, _ number: Int) -> Result<String, Problem> {
    String(validating: bytes, as: UTF8.self).map { .success($0) } ?? .failure(.invalidUTF8(field: number))
  }
}

extension StringProtocol {
  /// Without white space at both ends.
  var trimmed: SubSequence {
    guard let first = firstIndex(where: { !$0.isWhitespace }), let last = lastIndex(where: { !$0.isWhitespace }) else {
      return self[endIndex...]
    }
    return self[first...last]
  }
}

extension QuestionTable.Problem: CustomStringConvertible {
  package var description: String {
    switch self {
    case .noPromptColumn(let header, let separator?):
      "the columns of the header \"\(header)\" are separated by \(separator == ";" ? "semicolons" : "tabs"), expected "
        + "commas. Convert the file with pandas:\n  python3 -c \"import pandas; pandas.read_csv('FILE', sep='"
        + "\(separator == ";" ? ";" : "\\t")').to_csv('my.csv', index=False)\""
    case .noPromptColumn(let header, nil):
      "found \"\(header)\", expected JSON, which begins with { or [, or the header row of a CSV file with a column "
        + QuestionRow.prompts
    case .repeatedColumn(let name): "the header has two columns \"\(name)\"; give them different names"
    case .uneven(let found, let expected):
      "the row has \(counted(found, "field")), the header \(counted(expected, "column")). A field with a comma or a "
        + "line break has to be in double quotes"
    case .openQuote: "a double quote of this row is not closed before the end of the file"
    case .strayQuote(let field):
      "field \(field) has a double quote and does not begin with one. Put the field in double quotes, and write the "
        + "quote twice: \"5\"\" pipe\""
    case .textAfterQuote(let field):
      "field \(field) has text behind its closing double quote. A quote inside a field is written twice: \"5\"\" pipe\""
    case .invalidUTF8(let field): "field \(field) is not valid UTF-8; was the file saved in another encoding?"
    case .tooLong(let limit): "the row has more than \(limit) bytes. Is a double quote missing?"
    }
  }
}
