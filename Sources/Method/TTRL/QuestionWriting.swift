// QuestionWriting: how a model is asked for new questions, and which of them are kept: pure functions.
//
// Source: SeRL, arXiv 2505.20347, and its code: eight examples, at most two of them written by a model; limits on the
// number of words; words that ask for something that a text cannot have; no question that is like another by ROUGE-L
// (Lin, 2004: the longest common subsequence of words). Not here: the sampling, and SeRL's last filter, the band of the
// majority ratio, which is a `PromptFilter` of the run that samples the new questions.

import Answers
import Base
package import Records

package struct QuestionWriting: Sendable {
  /// The source of questions that a model has written.
  package static let source = "self-made"

  /// New questions that are wanted.
  package var count = 64
  /// Questions of the set that a prompt shows, and how many of them may be self-made.
  package var examples = 8
  package var selfMadeExamples = 2
  /// Words of a question.
  package var fewestWords = 4
  package var mostWords = 150
  /// The highest ROUGE-L to any other question.
  package var likeness = 0.7
  /// Words and phrases that no question can have, in lower case.
  package var banned = usuallyBanned

  package static let usuallyBanned = [
    "image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps", "draw", "plot",
    "write a program",
  ]

  package init() {}

  // MARK: Asking

  /// One prompt per wanted question, each with other examples.
  ///
  /// - Parameters:
  ///   - questions: the set.
  ///   - seed: determines which examples a prompt has, and in which order.
  package func prompts(from questions: [Question], seed: UInt64) -> [Question] {
    (0..<count).map { number in
      var sequence = RandomSequence(
        seed: seed, purpose: .questionExamples, stream: SIMD3(UInt32(truncatingIfNeeded: number), 0, 0))
      var selfMade = 0
      var chosen: [String] = []
      for index in sequence.permutation(of: questions.count) where chosen.count < examples {
        if questions[index].source == Self.source {
          guard selfMade < selfMadeExamples else { continue }
          selfMade += 1
        }
        chosen.append(questions[index].prompt)
      }
      let list = chosen.enumerated().map { "\($0 + 1). \($1)" }.joined(separator: "\n")
      let text = """
        Here are \(chosen.count) questions. Write one more question of the same kind, with other content. Write only \
        the question, on one line.

        \(list)
        \(chosen.count + 1).
        """
      return Question(id: "write-\(number + 1)", prompt: text)
    }
  }

  // MARK: Reading

  /// The question of a response: its first line that has words, without a number or quotation marks around it.
  ///
  /// - Parameters:
  ///   - response: its text.
  ///   - startsInThinking: whether the prompt opens the model's thinking.
  /// - Returns: nil if there is none.
  package static func question(in response: String, startsInThinking: Bool) -> String? {
    guard let spoken = Thinking.spokenPart(of: response, startsInThinking: startsInThinking) else { return nil }
    for line in spoken.split(whereSeparator: \.isNewline) {
      var text = line.drop { $0.isWhitespace || "*#->".contains($0) }
      let number = text.prefix(while: \.isNumber)
      let rest = text.dropFirst(number.count)
      if !number.isEmpty, number.count <= 3, let mark = rest.first, mark == "." || mark == ")",
        rest.dropFirst().first?.isWhitespace == true
      {
        text = rest.dropFirst()
      }
      for label in ["Question:", "question:", "Q:"] where text.hasPrefix(label) { text = text.dropFirst(label.count) }
      let marks = Set<Character>("\"“”*` \t\r")
      while let last = text.last, marks.contains(last) { text = text.dropLast() }
      text = text.drop(while: marks.contains)
      if text.contains(where: { $0.isLetter || $0.isNumber }) { return String(text) }
    }
    return nil
  }

  /// What becomes of a response.
  package enum Fate: String, Sendable, CaseIterable {
    case kept
    case cutOff = "cut off"
    case noQuestion = "no question"
    case tooShort = "too few words"
    case tooLong = "too many words"
    case banned = "a banned word"
    case punctuation = "begins with punctuation"
    case like = "like another question"
    /// Enough were kept before.
    case unneeded = "not needed"
  }

  /// Chooses among responses, in their order.
  ///
  /// - Parameters:
  ///   - written: the question of each response, and whether the response was cut off.
  ///   - set: the questions that there are.
  /// - Returns: [response]
  package func fates(of written: [(question: String?, isCutOff: Bool)], besides set: [Question]) -> [Fate] {
    var others = set.map { Self.words(of: $0.prompt) }
    var kept = 0
    return written.map { text, isCutOff in
      guard kept < count else { return .unneeded }
      let fate = isCutOff ? .cutOff : text.map { self.fate(of: $0, besides: others) } ?? .noQuestion
      if fate == .kept, let text {
        kept += 1
        others.append(Self.words(of: text))
      }
      return fate
    }
  }

  private func fate(of text: String, besides others: [[String]]) -> Fate {
    let length = text.split(whereSeparator: \.isWhitespace).count
    guard length >= fewestWords else { return .tooShort }
    guard length <= mostWords else { return .tooLong }
    guard let first = text.first, first.isLetter || first.isNumber || "$\\([-¿¡".contains(first) else {
      return .punctuation
    }
    let words = Self.words(of: text)
    let line = " " + words.joined(separator: " ") + " "
    guard !banned.contains(where: { line.contains(" \($0) ") }) else { return .banned }
    // A question without a part of another one, as a request for a format, has a low ROUGE-L, and is not new either.
    let isLike = others.contains {
      Self.likeness($0, words) > likeness || Self.commonWords($0, words) == words.count
    }
    return isLike ? .like : .kept
  }

  /// The words of a text in lower case: runs of letters and digits.
  package static func words(of text: String) -> [String] {
    text.lowercased().split { !$0.isLetter && !$0.isNumber }.map(String.init)
  }

  /// ROUGE-L: F1 of the longest common subsequence of words. 0 if one of them has none.
  package static func likeness(_ left: [String], _ right: [String]) -> Double {
    guard !left.isEmpty, !right.isEmpty else { return 0 }
    return 2 * Double(commonWords(left, right)) / Double(left.count + right.count)
  }

  /// The length of the longest common subsequence.
  private static func commonWords(_ left: [String], _ right: [String]) -> Int {
    var row = Array(repeating: 0, count: right.count + 1)
    for word in left {
      var diagonal = 0
      for (index, other) in right.enumerated() {
        let above = row[index + 1]
        row[index + 1] = word == other ? diagonal + 1 : max(above, row[index])
        diagonal = above
      }
    }
    return row[right.count]
  }
}
