// ResponseReader: single responses, token by token, as text, with what became of them: verdict, reward, training.
//
// The ledger has token numbers. Their texts are in the model's tokenizer, and the kinds of answers in the question
// file. Both are read when a response is shown for the first time. If they are not on this machine, tokens are shown by
// number, and answers, verdicts and rewards are not known; `problem` says so. The reward is computed again from the
// whole group, by the function that the learner uses, because the ledger does not have it.

import Answers
import Base
import LanguageModel
package import Ledger
package import Observatory
import Platform
import Records
package import Runs
package import Settings
import TTRL

package final class ResponseReader {
  private let directory: RunDirectory
  private let settings: RunSettings
  /// The model's tokenizer, or why it cannot be used.
  private lazy var tokenizer = Result { try ModelDirectory(settings.model).tokenizer() }
  /// nil without a tokenizer. It is made once, because it looks up the marks of thinking.
  private lazy var text = try? ResponseText(tokenizer.get(), rule: settings.method.answers)
  private lazy var questions: [Question] = {
    let bytes = try? Files.read(directory.questions(.training))
    return (try? bytes.map { try Question.read($0) }) ?? nil ?? []
  }()
  /// The prompt whose responses are shown.
  private var asked: Prompt?
  /// The group that was judged last: its responses are asked for in several pieces.
  private var judged: (prompt: UInt32, step: UInt32, group: JudgedGroup)?

  /// By sample; empty where they cannot be computed.
  private struct JudgedGroup {
    var rewards: [UInt32: Float] = [:]
    /// The samples that are trained on.
    var trained: [Int] = []
  }

  /// Rewards of larger groups are not computed again: their answers would take too long to read.
  private static let groupMax = 1024

  package init(_ directory: RunDirectory, _ settings: RunSettings) {
    self.directory = directory
    self.settings = settings
  }

  /// Why responses are shown without their texts and answers; nil if they have them.
  package var problem: String? {
    guard case .failure(let error) = tokenizer else { return nil }
    return
      "responses need the model's tokenizer, and it cannot be read (\(error)): tokens are shown by number, answers and "
      + "rewards are not known. Everything else on this page needs no model"
  }

  /// Some of the responses to one prompt in one step.
  ///
  /// - Parameter visit: the prompt's votes in that step; nil if the step is not done.
  /// - Throws: `LedgerError`.
  package func responses(
    _ ledger: Ledger, to prompt: UInt32, inStep step: UInt32, from sample: Int, visit: PromptTrack.Visit?
  ) throws(LedgerError) -> [ResponseView] {
    if asked?.index != prompt { asked = try self.prompt(ledger, prompt) }
    let judged = visit == nil ? JudgedGroup() : try judgedGroup(ledger, prompt, step)
    let method = settings.method
    // If answers decide which, only the whole group says it.
    let trained =
      method.selection == .balanced
      ? judged.trained
      : trainedSamples(of: visit == nil ? 0 : method.votes, step: step, prompt: prompt, method: method)
    return try ledger.responses(to: prompt, in: .train(step: step), from: sample, limit: PageAnswers.responsesMax).map {
      view(of: $0, reward: judged.rewards[$0.trajectory.slot.sample], visit: visit, trained: trained)
    }
  }

  private func view(
    of response: SampledResponse, reward: Float?, visit: PromptTrack.Visit?, trained: [Int]
  ) -> ResponseView {
    let trajectory = response.trajectory
    let shown = trajectory.tokens.prefix(PageAnswers.tokensMax)
    let answer = answer(of: trajectory)
    var view = ResponseView(
      sample: Int(trajectory.slot.sample), policy: Int(trajectory.policy.number), worker: response.worker,
      address: response.address, finish: trajectory.finish.name, answer: answer?.text,
      counts: response.counts, lease: response.lease.map { Int(clamping: $0) },
      tokens: Array(zip3(shown, texts(of: shown), trajectory.logprobs)),
      tokenCount: trajectory.tokens.count, logprobSum: trajectory.logprobs.reduce(0) { $0 + Double($1) },
      entropyMean: Double(trajectory.entropySum) / Double(max(1, trajectory.tokens.count)))
    view.isReadable = problem == nil
    view.isRight = problem == nil ? truth(of: trajectory.slot.prompt).map { answer.agrees(with: $0) } : nil
    view.reward = reward.map { Double($0) }
    if let visit {
      let isSkipped = visit.hasZeroAdvantage && settings.method.zeroAdvantageGroups == .skip
      view.training =
        !response.counts
        ? .unneeded : !trained.contains(view.sample) ? .notDrawn : isSkipped ? .noSignal : .trained
    }
    return view
  }

  private func judgedGroup(_ ledger: Ledger, _ prompt: UInt32, _ step: UInt32) throws(LedgerError) -> JudgedGroup {
    if let judged, judged.prompt == prompt, judged.step == step { return judged.group }
    guard problem == nil, settings.method.votes <= Self.groupMax else { return JudgedGroup() }
    let group = try ledger.responses(to: prompt, in: .train(step: step), from: 0, limit: Self.groupMax)
      .filter(\.counts).map(\.trajectory)
    let judgement = judge(
      prompt: prompt, answers: group.map { answer(of: $0) }, trajectories: group, step: step, method: settings.method,
      truth: settings.method.labels == .truth ? truth(of: prompt) : nil)
    let pairs = zip(group, judgement.rewards).map { ($0.slot.sample, $1) }
    let result = JudgedGroup(
      rewards: Dictionary(pairs) { first, _ in first },
      trained: judgement.trained.map { Int(group[$0].slot.sample) })
    judged = (prompt, step, result)
    return result
  }

  private func truth(of prompt: UInt32) -> AnswerKey? {
    guard prompt < questions.count, let answer = questions[Int(prompt)].answer else { return nil }
    return settings.method.answers.key(ofTruth: answer, kind: questions[Int(prompt)].kind)
  }

  private func zip3(
    _ ids: ArraySlice<Int32>, _ texts: [String], _ logprobs: [Float]
  ) -> [(id: Int32, text: String, logprob: Float)] {
    zip(zip(ids, texts), logprobs).map { ($0.0, $0.1, $1) }
  }

  /// What each token adds to the text. A character of several tokens belongs to the last of them.
  private func texts(of tokens: ArraySlice<Int32>) -> [String] {
    guard case .success(let tokenizer) = tokenizer else { return tokens.map { "⟨\($0)⟩" } }
    var decoder = StreamingDecoder(tokenizer, skipSpecial: false)
    return tokens.map { decoder.append($0) }
  }

  private func answer(of trajectory: Trajectory) -> AnswerKey? {
    guard let asked else { return nil }
    return text?.answer(of: trajectory.tokens, to: asked)
  }

  private func prompt(_ ledger: Ledger, _ index: UInt32) throws(LedgerError) -> Prompt? {
    guard case .success(let tokenizer) = tokenizer else { return nil }
    let tokens = try ledger.promptTokens(of: .training, index: index)
    return Prompt(
      index: index, tokens: tokens, kind: index < questions.count ? questions[Int(index)].kind : .math,
      opensThinking: Thinking.isOpen(atEndOf: tokenizer.decode(tokens, skipSpecial: false)))
  }
}

extension PromptText {
  package init(_ prompt: StoredPrompt) {
    self.init(index: Int(prompt.index), id: prompt.id, question: prompt.text, answer: prompt.answer)
  }
}
