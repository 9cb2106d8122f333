// ResponseText: reads responses: their text, the answer in it, and whether it ends inside of thinking.

package import Answers
package import Base
package import LanguageModel
package import Records

package struct ResponseText: ResponseReading {
  private let tokenizer: Tokenizer
  private let rule: AnswerRule
  /// Special tokens that stay in the text, because they say where thinking begins and ends.
  private let marks: Set<Int32>

  package init(_ tokenizer: Tokenizer, rule: AnswerRule) {
    self.tokenizer = tokenizer
    self.rule = rule
    marks = Set(
      Thinking.markTexts.compactMap { text in
        let ids = tokenizer.encode(text)
        return ids.count == 1 && tokenizer.isSpecial(ids[0]) ? ids[0] : nil
      })
  }

  /// What the rule reads: the reference's sees special tokens, ours only the marks of thinking.
  package func text(of tokens: [Int32]) -> String {
    guard rule != .reference else { return tokenizer.decode(tokens, skipSpecial: false) }
    guard tokens.contains(where: marks.contains) else { return tokenizer.decode(tokens, skipSpecial: true) }
    return tokenizer.decode(tokens.filter { marks.contains($0) || !tokenizer.isSpecial($0) }, skipSpecial: false)
  }

  /// The answer that a response states, as written and as a key; nil if it states none. The key of a choice is that of
  /// the option, whatever letter the prompt gives it.
  package func stated(in tokens: [Int32], to prompt: Prompt) -> (text: String, key: AnswerKey)? {
    rule.answer(in: text(of: tokens), kind: prompt.kind, startsInThinking: prompt.opensThinking)
      .map { ($0.text, $0.key.inFileOrder(prompt.order)) }
  }

  /// nil if the response states none.
  package func answer(of tokens: [Int32], to prompt: Prompt) -> AnswerKey? { stated(in: tokens, to: prompt)?.key }

  package func isThinking(atEndOf tokens: [Int32], to prompt: Prompt) -> Bool {
    Thinking.spokenPart(of: text(of: tokens), startsInThinking: prompt.opensThinking) == nil
  }
}
