// QuestionFileError: why a question file cannot be used: all its problems, each with its line.

package import Base

/// All problems of a file, in the order of their lines.
package struct QuestionFileError: Error, Equatable, Sendable, CustomStringConvertible {
  package enum Reason: Equatable, Sendable {
    case noQuestions
    case otherEncoding(String)
    case notJSON(JSONError.Problem, column: Int)
    case table(QuestionTable.Problem)
    case notAnObject(found: String)
    case noPrompt
    case noResponse
    case malformed(key: String, found: String, expected: String)
    case repeatedID(String, firstLine: Int)
    /// One id with two answers.
    case twoAnswers(id: String, answer: String, firstLine: Int, firstAnswer: String)
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
    case .noQuestions:
      "the file holds no questions; expected a JSON object with a \"prompt\" on each line, or a CSV file with a column "
        + "\"prompt\""
    case .otherEncoding(let name):
      "the text is \(name), expected UTF-8. Convert it: iconv -f \(name) -t UTF-8 FILE > my-questions"
    case .notJSON(let problem, let column): "line \(line), column \(column): \(problem)"
    case .table(let problem): "line \(line): \(problem)"
    case .notAnObject(let found): "line \(line): found \(found), expected an object with a \"prompt\""
    case .noPrompt: "line \(line): no \(QuestionRow.prompts)"
    case .noResponse:
      "line \(line): no \"response\" (or \"completion\", \"output\", a reply at the end of \"messages\"), which this "
        + "objective learns. Add one, or remove the line"
    case .malformed(let key, let found, let expected): "line \(line): \"\(key)\" is \(found), expected \(expected)"
    case .repeatedID(let id, let first): "line \(line): the id \"\(id)\" is taken by line \(first)"
    case .twoAnswers(let id, let answer, let first, let firstAnswer):
      "line \(line): the id \"\(id)\" has the answer \"\(answer.excerpt)\" here and \"\(firstAnswer.excerpt)\" on line "
        + "\(first). Keep the right one, or give the questions different ids"
    }
  }
}
