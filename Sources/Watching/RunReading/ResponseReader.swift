// ResponseReader: single responses, token by token, as text.
//
// The ledger has numbers; the words are in the model's tokenizer and the kinds of answers in the question file. Both
// are read when somebody first looks at a response, and where they are not on this machine tokens are shown by number.

import Answers
import Base
import LanguageModel
package import Ledger
package import Observatory
import Platform
import Records
package import Runs
package import Settings

package final class ResponseReader {
  private let directory: RunDirectory
  private let settings: RunSettings
  private lazy var tokenizer: Tokenizer? = try? ModelDirectory(settings.model).tokenizer()
  private lazy var kinds: [AnswerKind] = {
    let bytes = try? Files.read(directory.questions(.training))
    return (try? bytes.map { try Question.read($0) })??.map(\.kind) ?? []
  }()

  package init(_ directory: RunDirectory, _ settings: RunSettings) {
    self.directory = directory
    self.settings = settings
  }

  package func view(of response: SampledResponse) -> ResponseView {
    let trajectory = response.trajectory
    let shown = trajectory.tokens.prefix(PageAnswers.tokensMax)
    return ResponseView(
      sample: Int(trajectory.slot.sample), policy: Int(trajectory.policy.number), worker: response.worker,
      address: response.address, finish: trajectory.finish.name, answer: answer(of: trajectory),
      counts: response.counts, lease: response.lease.map { Int(clamping: $0) },
      tokens: Array(zip3(shown, texts(of: shown), trajectory.logprobs)),
      tokenCount: trajectory.tokens.count, logprobSum: trajectory.logprobs.reduce(0) { $0 + Double($1) },
      entropyMean: Double(trajectory.entropySum) / Double(max(1, trajectory.tokens.count)))
  }

  private func zip3(
    _ ids: ArraySlice<Int32>, _ texts: [String], _ logprobs: [Float]
  ) -> [(id: Int32, text: String, logprob: Float)] {
    zip(zip(ids, texts), logprobs).map { ($0.0, $0.1, $1) }
  }

  /// What each token adds. Where a character takes several tokens, it is the last one's.
  private func texts(of tokens: ArraySlice<Int32>) -> [String] {
    guard let tokenizer else { return tokens.map { "⟨\($0)⟩" } }
    var decoder = StreamingDecoder(tokenizer, skipSpecial: false)
    return tokens.map { decoder.append($0) }
  }

  private func answer(of trajectory: Trajectory) -> String? {
    guard let tokenizer else { return nil }
    let rule = settings.method.answers
    let prompt = Int(trajectory.slot.prompt)
    let text = tokenizer.decode(trajectory.tokens, skipSpecial: rule != .reference)
    return rule.answer(in: text, kind: prompt < kinds.count ? kinds[prompt] : .math)?.key.text
  }
}

extension PromptText {
  package init(_ prompt: StoredPrompt) {
    self.init(index: Int(prompt.index), id: prompt.id, question: prompt.text, answer: prompt.answer)
  }
}
