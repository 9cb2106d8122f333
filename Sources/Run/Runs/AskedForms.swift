// AskedForms: in which forms a run asks its training questions, and which questions cannot be asked so.

import Base
import Records
package import Settings

/// Questions that cannot be asked in the forms of the method: all of them.
package struct FormsError: LastingError, Sendable, CustomStringConvertible {
  let path: String
  let what: String
  let problems: [String]

  /// Further problems are counted but not printed.
  private static let shown = 20

  package var description: String {
    let rest = problems.count - Self.shown
    return "\(what), and \(counted(problems.count, "question")) of \(path.visible) cannot be:\n"
      + problems.prefix(Self.shown).map { "  - \($0)" }.joined(separator: "\n") + (rest > 0 ? "\nand \(rest) more" : "")
  }
}

/// The forms in which each training question is asked. Every form becomes a prompt.
package enum AskedForms: Equatable, Sendable {
  case one
  /// K orders of the options.
  case orders(Int)
  /// As it is, and in its other wording.
  case bothWordings

  /// Bytes that a form adds to the question's id.
  private static let idBytes = 16

  /// The forms of each question.
  ///
  /// - Parameters:
  ///   - questions: those that are used.
  ///   - path: where they are from, for messages.
  ///   - seed: of the run.
  /// - Throws: `FormsError`.
  func asked(of questions: [Question], path: String, seed: UInt64) throws -> [[Question]] {
    guard self != .one else { return questions.map { [$0] } }
    var problems: [String] = []
    let all = questions.map { question -> [Question] in
      do throws(Problem) { return try forms(of: question, seed: seed) } catch {
        problems.append("question \(question.id.visible) \(error.reason)")
        return []
      }
    }
    guard problems.isEmpty else { throw FormsError(path: path, what: what, problems: problems) }
    return all
  }

  private struct Problem: Error {
    let reason: String
  }

  private func forms(of question: Question, seed: UInt64) throws(Problem) -> [Question] {
    if question.id.utf8.count + Self.idBytes > Limits.questionNameBytes {
      throw Problem(reason: "has an id that is too long to name its forms; shorten it")
    }
    switch self {
    case .one: return [question]
    case .orders(let count):
      guard !question.choices.isEmpty else {
        throw Problem(reason: "has no options; give them in \"choices\", or leave choice-orders out")
      }
      guard count <= question.choices.count else {
        throw Problem(
          reason: "has \(question.choices.count) options, so an option would stand at the same place twice; lower "
            + "choice-orders to \(question.choices.count)")
      }
      return question.inOrders(count, seed: seed)
    case .bothWordings:
      guard let forms = question.inBothWordings else {
        throw Problem(reason: "has no other wording; give one in \"\(QuestionForms.rephrasedKey)\"")
      }
      return forms
    }
  }

  private var what: String {
    switch self {
    case .one: "each question is asked once"
    case .orders(let count): "choice-orders \(count) asks each question with its options in \(count) orders"
    case .bothWordings: "estimator co-rewarding asks each question in two wordings"
    }
  }

  /// "24 questions, each with its options in 4 orders"; nil for one form.
  ///
  /// - Parameter prompts: of all forms.
  package func text(prompts: Int) -> String? {
    switch self {
    case .one: nil
    case .orders(let count):
      "\(counted(prompts / count, "question")), each with its options in \(count) orders"
    case .bothWordings: "\(counted(prompts / 2, "question")), each in two wordings"
    }
  }
}

extension RunSettings {
  package var forms: AskedForms {
    if method.estimator == .coRewarding { return .bothWordings }
    return method.choiceOrders > 1 ? .orders(method.choiceOrders) : .one
  }
}
