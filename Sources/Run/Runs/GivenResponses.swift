// GivenResponses: the questions and the responses with which a run of objective `sft` or `awr` begins: from a file of
// the user's, or from a run that recorded them, or from that run's archive.
//
// Everything that can be wrong with them is found here, before a process starts, all at once. Not here: the file in
// which the run keeps them (ResponseFile), how a run or an archive is read (RecordedRun), which of its responses are
// taken (RecordedVisits).

import Base
import LanguageModel
import Platform
import Records
import Settings

/// Why responses cannot be learned: all reasons.
package struct GivenResponsesError: LastingError, Sendable, CustomStringConvertible {
  let path: String
  let problems: [String]

  /// Further problems are counted but not printed.
  private static let shown = 20

  package var description: String {
    let rest = problems.count - Self.shown
    return "cannot learn the responses of \(path.visible):\n"
      + problems.prefix(Self.shown).map { "  - \($0)" }.joined(separator: "\n") + (rest > 0 ? "\nand \(rest) more" : "")
  }
}

struct GivenResponses {
  var questions: RunBeginning.UsedQuestions
  /// In the order of responses.jsonl; `prompt` is an index into the questions.
  var responses: [GivenResponse] = []
  /// What was taken and what was left out, for the user.
  var note: String

  /// - Throws: what is wrong with the questions, or `GivenResponsesError`.
  init(
    _ settings: RunSettings, _ model: ModelDirectory, _ renderer: PromptRenderer,
    _ decide: RunBeginning.QuestionDecision
  ) throws {
    if settings.responses.isEmpty {
      try self.init(file: settings, model, renderer, decide)
    } else {
      try self.init(run: settings, model, renderer, decide)
    }
    let limit = Int(settings.maxNewTokens)
    let long = responses.filter { $0.tokens.count > limit }
    guard let longest = long.max(by: { $0.tokens.count < $1.tokens.count }) else { return }
    let context = model.configuration.model.maxPositions
    throw GivenResponsesError(
      path: settings.responses.isEmpty ? settings.data : settings.responses,
      problems: long.map {
        "question \($0.id.visible): the response has \($0.tokens.count) tokens, more than max-new-tokens, \(limit)"
      } + [
        "raise --max-new-tokens to \(longest.tokens.count), or remove these; the model's context has \(context) tokens "
          + "for a prompt and its response"
      ])
  }

  private init(
    file settings: RunSettings, _ model: ModelDirectory, _ renderer: PromptRenderer,
    _ decide: RunBeginning.QuestionDecision
  ) throws {
    questions = try RunBeginning.questions(
      settings.data, settings, model, renderer, takesResponses: true, decide: decide)
    let most = settings.method.trainSamples
    var problems: [String] = []
    for (index, question) in questions.kept.enumerated() {
      for (sample, text) in question.responses.prefix(most).enumerated() {
        do {
          responses.append(
            GivenResponse(
              id: question.id, prompt: UInt32(index), sample: UInt32(sample), text: text,
              tokens: try renderer.tokens(of: text, to: question)))
        } catch let error as PromptingError {
          problems.append(error.description)
        }
      }
    }
    guard problems.isEmpty else { throw GivenResponsesError(path: settings.data, problems: problems) }
    let left = questions.kept.reduce(0) { $0 + max(0, $1.responses.count - most) }
    note = Self.amount(responses, questions)
    if left > 0 { note += "; \(left) are left out, because train-samples is \(most)" }
  }

  private init(
    run settings: RunSettings, _ model: ModelDirectory, _ renderer: PromptRenderer,
    _ decide: RunBeginning.QuestionDecision
  ) throws {
    let recorded = try RecordedRun(settings.responses, for: settings)
    let path = recorded.path
    let taken = Set(recorded.visits.map(\.prompt))
    let kept = recorded.questions.indices.filter { taken.contains(UInt32($0)) }
    questions = try RunBeginning.used(kept.map { recorded.questions[$0] }, of: path, settings, model, renderer, decide)
    // Ids are unique in a set.
    let places = Dictionary(uniqueKeysWithValues: questions.kept.enumerated().map { ($1.id, UInt32($0)) })
    let vocabulary = model.configuration.model.vocabularySize
    var problems: [String] = []
    for visit in recorded.visits {
      let question = recorded.questions[Int(visit.prompt)]
      guard let place = places[question.id] else { continue }
      for (sample, response) in visit.responses.enumerated() {
        let trajectory = response.trajectory
        if let token = trajectory.tokens.first(where: { $0 < 0 || Int($0) >= vocabulary }) {
          problems.append(
            "question \(question.id.visible): sample \(trajectory.slot.sample) has token \(token), and the model's "
              + "vocabulary has \(vocabulary): it is not the model of the recorded run")
        } else if !recorded.isSameText(response, for: renderer.tokenizer) {
          problems.append(
            "question \(question.id.visible): the tokens of sample \(trajectory.slot.sample) are another text "
              + "for this model: its tokenizer is not the one of the recorded run")
        }
        responses.append(
          GivenResponse(
            id: question.id, prompt: place, sample: UInt32(sample), text: renderer.text(of: trajectory.tokens),
            tokens: trajectory.tokens, finish: trajectory.finish,
            record: .init(
              step: visit.step, sample: trajectory.slot.sample, logprobs: trajectory.logprobs,
              reward: response.reward ?? 0)))
      }
    }
    problems += try recorded.otherPrompts(kept, renderer)
    guard problems.isEmpty else { throw GivenResponsesError(path: path, problems: problems) }
    note =
      Self.amount(responses, questions) + " of \(path), which has \(counted(recorded.questions.count, "question"))"
  }

  private static func amount(_ responses: [GivenResponse], _ questions: RunBeginning.UsedQuestions) -> String {
    "\(counted(responses.count, "response")) to \(counted(questions.kept.count, "question"))"
  }

  /// The file in which a run keeps them.
  ///
  /// - Throws: on a full disk.
  func write(to path: String) throws {
    let file = try AtomicFile(path)
    for response in responses { try file.write(Array((response.json.text() + "\n").utf8)) }
    try file.commit()
  }

  /// Whether a file has these responses.
  ///
  /// - Throws: if it cannot be read.
  func isEqual(to path: String) throws -> Bool {
    let file = try MappedFile(path)
    var start = 0
    for response in responses {
      let line = Array((response.json.text() + "\n").utf8)
      guard file.bytes.count >= start + line.count,
        file.bytes[start..<start + line.count].elementsEqual(line)
      else { return false }
      start += line.count
    }
    return start == file.bytes.count
  }
}
