// QuestionForms: the forms in which a run asks a training question: with its options in several orders, or as it is and
// rephrased.
//
// Every form is a question of its own in the run, with its own prompt; the forms of a question follow each other.
// Everything that samples, stores, shows and trains prompts knows nothing of forms: samples of one form share its
// prefill because they are samples of one prompt. Only two things know: the schedule, which keeps forms together, and
// the vote, which is over all of them (TTRL).

import Base

package enum QuestionForms {
  /// The key of a run's question file that says in which order the options are shown.
  static let orderKey = "choice_order"
  /// The key of another wording.
  package static let rephrasedKey = "rephrased"

  /// "CAB": the option that the file has at place 2 (C) is shown first.
  static func letters(_ order: [UInt8]) -> String { String(order.map { QuestionChoices.letters[Int($0)] }) }

  /// - Returns: nil if it is not an order of the first letters.
  static func order(_ letters: String) -> [UInt8]? {
    guard (2...QuestionChoices.letters.count).contains(letters.count) else { return nil }
    let places = letters.compactMap { letter in QuestionChoices.letters.firstIndex(of: letter).map { UInt8($0) } }
    return places.sorted().elementsEqual(0..<UInt8(letters.count)) ? places : nil
  }
}

extension Question {
  /// The answer, with the letter that the file of the user has.
  package var fileAnswer: String? {
    guard let place = answerPlace, place < order.count else { return answer }
    return String(QuestionChoices.letters[Int(order[place])])
  }

  /// The place of the option whose letter the answer is.
  private var answerPlace: Int? {
    answer.flatMap { $0.count == 1 ? $0.first : nil }.flatMap { QuestionChoices.letters.firstIndex(of: $0) }
  }

  /// The question with its options in K orders.
  ///
  /// The seed and the question's id decide a first order. The others are its rotations, so no option is at the same
  /// place twice, and with as many orders as options each is at every place once. The answer has no influence.
  ///
  /// - Parameters:
  ///   - count: K, at most the number of options.
  ///   - seed: of the run.
  /// - Precondition: the question was read with its options.
  package func inOrders(_ count: Int, seed: UInt64) -> [Question] {
    precondition(count <= choices.count, "an option would be at the same place twice")
    let hash = stableHash(id)
    var sequence = RandomSequence(
      seed: seed, purpose: .choiceOrders, stream: SIMD3(UInt32(truncatingIfNeeded: hash), UInt32(hash >> 32), 0))
    let first = sequence.permutation(of: choices.count)
    return (0..<count).map { form in
      let shift = form * choices.count / count
      return shown(in: first.indices.map { UInt8(first[($0 + shift) % first.count]) })
    }
  }

  private func shown(in order: [UInt8]) -> Question {
    var form = self
    form.order = order
    form.choices = order.map { choices[Int($0)] }
    let stem = prompt.utf8.dropLast(QuestionChoices.text(of: choices).utf8.count)
    form.prompt = String(decoding: stem, as: UTF8.self) + QuestionChoices.text(of: form.choices)
    form.id = "\(id)/\(QuestionForms.letters(order))"
    if let place = answerPlace {
      form.answer = order.firstIndex(of: UInt8(place)).map { String(QuestionChoices.letters[$0]) }
    }
    return form
  }

  /// The question, and the same in its other wording; nil if it has none.
  package var inBothWordings: [Question]? {
    guard let rephrased else { return nil }
    var other = self
    other.prompt = rephrased + QuestionChoices.text(of: choices)
    other.id = "\(id)/\(QuestionForms.rephrasedKey)"
    return [self, other]
  }
}
