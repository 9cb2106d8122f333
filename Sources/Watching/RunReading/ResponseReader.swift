// ResponseReader: single responses, token by token, as text, with what became of them: verdict, reward, training.
//
// The ledger has token numbers. Their texts are in the model's tokenizer, and the kinds of answers in the question
// file. Both are read when a response is shown for the first time. If they are not on this machine, tokens are shown by
// number, and answers, verdicts and rewards are not known; `problem` says so. The reward is computed again by the
// function that the learner uses, because the ledger does not have it: from the whole group, the verdicts of the reward
// command, the prompt's earlier visits, and the groups of the question's other forms.

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
  private let method: Method
  /// The model's tokenizer, or why it cannot be used.
  private lazy var tokenizer = Result { try ModelDirectory(settings.model).tokenizer() }
  /// nil without a tokenizer. It is made once, because it looks up the marks of thinking.
  private lazy var text = try? ResponseText(tokenizer.get(), rule: settings.method.answers)
  private lazy var questions: [Question] = {
    let bytes = try? Files.read(directory.questions(.training))
    return (try? bytes.map { try Question.read($0) }) ?? nil ?? []
  }()
  /// The labels of the steps before one, if the method looks at them.
  private var past: (step: UInt32, history: History) = (0, History())
  /// The group that was judged last: its responses are asked for in several pieces.
  private var judged: (prompt: UInt32, step: UInt32, group: JudgedGroup)?

  /// By sample; empty where they cannot be computed.
  private struct JudgedGroup {
    var rewards: [UInt32: Float] = [:]
    /// The samples that are trained on, and those that the reward command left out.
    var trained: [Int] = []
    var excluded: [Int] = []
  }

  /// Rewards of larger groups are not computed again: their answers would take too long to read.
  private static let groupMax = 1024

  package init(_ directory: RunDirectory, _ settings: RunSettings) {
    self.directory = directory
    self.settings = settings
    var method = settings.method
    method.isJudged = settings.hasRewardCommand
    self.method = method
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
    let asked = try self.prompt(ledger, prompt)
    let judged = visit == nil ? JudgedGroup() : try judgedGroup(ledger, prompt, step)
    // If answers decide which, only the whole group says it.
    let trained =
      method.selection == .balanced
      ? judged.trained
      : trainedSamples(of: visit == nil ? 0 : method.votes, step: step, prompt: prompt, method: method)
    return try ledger.responses(to: prompt, in: .train(step: step), from: sample, limit: PageAnswers.responsesMax).map {
      view(of: $0, to: asked, judged, visit: visit, trained: trained)
    }
  }

  private func view(
    of response: SampledResponse, to asked: Prompt?, _ judged: JudgedGroup, visit: PromptTrack.Visit?, trained: [Int]
  ) -> ResponseView {
    let trajectory = response.trajectory
    let shown = trajectory.tokens.prefix(PageAnswers.tokensMax)
    let answer = answer(of: trajectory, to: asked)
    var view = ResponseView(
      sample: Int(trajectory.slot.sample), policy: Int(trajectory.policy.number), worker: response.worker,
      address: response.address, finish: trajectory.finish.name, answer: answer?.text,
      counts: response.counts, lease: response.lease.map { Int(clamping: $0) },
      tokens: Array(zip3(shown, texts(of: shown), trajectory.logprobs)),
      tokenCount: trajectory.tokens.count, logprobSum: trajectory.logprobs.reduce(0) { $0 + Double($1) },
      entropyMean: Double(trajectory.entropySum) / Double(max(1, trajectory.tokens.count)))
    view.isReadable = problem == nil
    view.isRight = problem == nil ? truth(of: trajectory.slot.prompt).map { answer.agrees(with: $0) } : nil
    let isExcluded = judged.excluded.contains(view.sample)
    // One that is left out has none.
    view.reward = isExcluded ? nil : judged.rewards[trajectory.slot.sample].map { Double($0) }
    if let visit {
      let isSkipped = visit.hasZeroAdvantage && method.zeroAdvantageGroups == .skip
      view.training =
        !response.counts
        ? .unneeded
        : isExcluded ? .excluded : !trained.contains(view.sample) ? .notDrawn : isSkipped ? .noSignal : .trained
    }
    return view
  }

  private func judgedGroup(_ ledger: Ledger, _ prompt: UInt32, _ step: UInt32) throws(LedgerError) -> JudgedGroup {
    if let judged, judged.prompt == prompt, judged.step == step { return judged.group }
    guard problem == nil, method.votes * method.forms <= Self.groupMax, Int32(exactly: prompt) != nil else {
      return JudgedGroup()
    }
    let first = prompt - prompt % UInt32(method.forms)
    var groups: [Group] = []
    var answers: [[AnswerKey?]] = []
    for form in first..<first + UInt32(method.forms) {
      let group = try self.group(ledger, form, step)
      let asked = try self.prompt(ledger, form)
      groups.append(group)
      answers.append(group.trajectories.map { answer(of: $0, to: asked) })
    }
    let place = Int(prompt - first)
    let group = groups[place].trajectories
    let judgement = judge(
      prompt: prompt, answers: answers[place], trajectories: group, step: step, method: method,
      truth: method.labels == .truth ? truth(of: prompt) : nil, history: try history(ledger, before: step)[prompt],
      voters: voters(for: place, of: groups, answers, method: method))
    let pairs = zip(group, judgement.rewards).map { ($0.slot.sample, $1) }
    let excluded = zip(group, judgement.excluded).filter(\.1).map { Int($0.0.slot.sample) }
    let result = JudgedGroup(
      rewards: Dictionary(pairs) { first, _ in first },
      trained: judgement.trained.map { Int(group[$0].slot.sample) }, excluded: excluded)
    judged = (prompt, step, result)
    return result
  }

  /// The samples of a prompt that count, with their verdicts.
  private func group(_ ledger: Ledger, _ prompt: UInt32, _ step: UInt32) throws(LedgerError) -> Group {
    let round = RoundID.train(step: step)
    return Group(
      prompt: prompt,
      trajectories: try ledger.trajectoriesWithVerdicts(
        of: round, from: Slot(round: round, prompt: prompt, sample: 0),
        before: Slot(round: round, prompt: prompt + 1, sample: 0)))
  }

  /// The votes of the steps before this one, as the learner's history has them; empty if the method looks at none.
  private func history(_ ledger: Ledger, before step: UInt32) throws(LedgerError) -> History {
    guard method.estimator.traits.usesHistory else { return History() }
    if step < past.step { past = (0, History()) }
    for row in try ledger.stepMetrics(after: Int(past.step) - 1, limit: Int(step - past.step)) where row.step < step {
      guard let report = try? StepReport(parsing: row.json) else { break }
      past.history.record(report)
      past.step = row.step + 1
    }
    return past.history
  }

  private func truth(of prompt: UInt32) -> AnswerKey? {
    guard prompt < questions.count, let answer = questions[Int(prompt)].fileAnswer else { return nil }
    return method.answers.key(ofTruth: answer, kind: questions[Int(prompt)].kind)
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

  private func answer(of trajectory: Trajectory, to asked: Prompt?) -> AnswerKey? {
    asked.flatMap { text?.answer(of: trajectory.tokens, to: $0) }
  }

  private func prompt(_ ledger: Ledger, _ index: UInt32) throws(LedgerError) -> Prompt? {
    guard case .success(let tokenizer) = tokenizer else { return nil }
    let tokens = try ledger.promptTokens(of: .training, index: index)
    let question = index < questions.count ? questions[Int(index)] : nil
    return Prompt(
      index: index, tokens: tokens, kind: question?.kind ?? .math,
      opensThinking: Thinking.isOpen(atEndOf: tokenizer.decode(tokens, skipSpecial: false)),
      order: question?.order ?? [])
  }
}

extension PromptText {
  package init(_ prompt: StoredPrompt) {
    self.init(index: Int(prompt.index), id: prompt.id, question: prompt.text, answer: prompt.answer)
  }
}
