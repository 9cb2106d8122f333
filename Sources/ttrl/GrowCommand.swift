// GrowCommand: `ttrl grow`, a larger question file: a model writes new questions from examples of a set.
//
// The sampling is that of `ttrl eval`, in this process or over workers, so it can be continued and has the same bits in
// both. What is asked and what is kept are pure functions (QuestionWriting).

import Base
import Commands
import LanguageModel
import Platform
import Records
import Runs
import Settings
import TTRL

extension Command {
  @Sendable static func grow(_ settings: GrowthSettings, _ call: CallSettings) throws -> Int32 {
    let out = ThisProcess.absolute(settings.out)
    guard try !Files.exists(out) else {
      throw UserError("\(out.visible) exists already. Give --out another name, or remove the file")
    }
    let set = try BuiltIn.questions(settings.sampled.sampling.data)
    let writing = QuestionWriting(settings.writing)
    let scratch = try OwnedDirectory.temporary(prefix: "ttrl-grow")
    defer { try? Files.removeTree(scratch) }
    var asking = settings.sampled
    asking.samples = settings.samples
    asking.sampling.data = scratch + "/prompts.jsonl"
    try Files.write(
      writing.prompts(from: set, seed: asking.sampling.method.seed).fileText, to: asking.sampling.data)
    switch try sample(asking, call) {
    case .stopped(let status): return status
    case .done(let sampled): return try keep(sampled, besides: set, writing, at: out, call)
    }
  }

  /// Chooses among the responses, and writes the larger set.
  private static func keep(
    _ sampled: SampledQuestions, besides set: [Question], _ writing: QuestionWriting, at out: String,
    _ call: CallSettings
  ) throws -> Int32 {
    let reader = ResponseText(sampled.tokenizer, rule: .exact)
    let written = sampled.trajectories.map { trajectory in
      let prompt = sampled.questions.prompts[Int(trajectory.slot.prompt)]
      let text = QuestionWriting.question(
        in: reader.text(of: trajectory.tokens), startsInThinking: prompt.opensThinking)
      return (question: text, isCutOff: trajectory.finish == .length)
    }
    let fates = writing.fates(of: written, besides: set)
    let new = zip(written, fates).filter { $0.1 == .kept }.compactMap(\.0.question)
    try Files.write((set + numbered(new, besides: set)).fileText, to: out)
    if call.isJSON {
      for (row, fate) in zip(written, fates) {
        let line: JSON = ["question": .optional(row.question), "fate": .string(fate.rawValue)]
        showJSON(line.text())
      }
    }
    let counts = QuestionWriting.Fate.allCases.compactMap { fate in
      let count = fates.count { $0 == fate }
      return count == 0 ? nil : "\(fate.rawValue) \(count)"
    }
    complain("\(counted(fates.count, "response")): \(counts.joined(separator: ", "))")
    complain("\(out.visible): \(counted(set.count, "question")) of the set and \(new.count) new")
    return ExitStatus.done
  }

  /// New questions with ids that no question of the set has.
  private static func numbered(_ texts: [String], besides set: [Question]) -> [Question] {
    let taken = set.map(\.id)
    var number = 0
    return texts.map { text in
      repeat { number += 1 } while taken.contains("\(QuestionWriting.source)-\(number)")
      return Question(id: "\(QuestionWriting.source)-\(number)", prompt: text, source: QuestionWriting.source)
    }
  }
}

extension QuestionWriting {
  init(_ settings: QuestionWritingSettings) {
    self.init()
    (count, examples, likeness) = (settings.count, settings.examples, settings.likeness)
    (fewestWords, mostWords) = (settings.fewestWords, settings.mostWords)
    guard !settings.banned.isEmpty else { return }
    let phrases = settings.banned == RunSettings.noText ? [] : settings.banned.split(separator: ",").map(String.init)
    banned = phrases.map { Self.words(of: $0).joined(separator: " ") }
  }
}
