// EvaluationCommand: `ttrl eval`, how good a model is, in this process or over workers.
//
// With --workers the evaluation is an ordinary run without steps: a coordinator leases the slots, workers sample them,
// the ledger keeps the results, and the same --run continues it. A slot determines its random numbers, so both ways
// give the same responses and the same figures, bit for bit.

import Answers
import Base
import Commands
import Foundation
import LanguageModel
import Ledger
import Observatory
import Platform
import Records
import Runs
import Settings
import TTRL

extension Command {
  @Sendable static func evaluate(_ settings: EvaluationSettings, _ call: CallSettings) throws -> Int32 {
    switch try sample(settings, call) {
    case .stopped(let status): return status
    case .done(let sampled):
      let reader = ResponseText(sampled.tokenizer, rule: settings.sampling.method.answers)
      var answers = Array(repeating: [AnswerKey?](), count: sampled.questions.prompts.count)
      for trajectory in sampled.trajectories {
        let index = Int(trajectory.slot.prompt)
        answers[index].append(reader.answer(of: trajectory.tokens, to: sampled.questions.prompts[index]))
      }
      let prompts = zip(answers, sampled.questions.truth).map { EvaluatedPrompt(answers: $0, truth: $1) }
      return show(prompts, sampled.trajectories, settings, call)
    }
  }

  // MARK: Sampling

  /// The responses to all questions of a file.
  struct SampledQuestions {
    let tokenizer: Tokenizer
    let questions: Run.PromptSet
    /// In the order of their slots.
    let trajectories: [Trajectory]
  }

  enum SamplingOutcome {
    case done(SampledQuestions)
    /// The workers were stopped, or failed, with this exit status.
    case stopped(Int32)
  }

  /// Samples every question of a file, in this process or by workers.
  ///
  /// - Throws: what prevents it; its description is for the user.
  static func sample(_ settings: EvaluationSettings, _ call: CallSettings) throws -> SamplingOutcome {
    let subject = try Subject(settings.sampling, call)
    let questions = try subject.renderer.promptSet(subject.questions)
    if settings.sampling.operation.workers > 0 {
      return try sampleByWorkers(settings, call, subject, questions)
    }
    let trajectories = try sampleHere(settings, subject, questions)
    return .done(
      SampledQuestions(tokenizer: subject.tokenizer, questions: questions, trajectories: trajectories))
  }

  /// What is evaluated, and with which random numbers.
  private struct Subject {
    let model: ModelDirectory
    let tokenizer: Tokenizer
    let renderer: PromptRenderer
    let questions: [Question]
    /// A run's first evaluation; for the model and the questions of a known run, that run's own evaluation of them.
    let round: RoundID

    init(_ settings: RunSettings, _ call: CallSettings) throws {
      model = try ModelDirectory(try BuiltIn.resolve(model: settings.model))
      tokenizer = try model.tokenizer()
      renderer = try PromptRenderer(settings: settings, model: model, tokenizer: tokenizer)
      let found = try RunBeginning.questions(settings.data, settings, model, renderer)
      if found.dropped > 0 {
        complain("left out, no room for max-new-tokens: \(counted(found.dropped, "prompt"))")
      }
      questions = found.kept
      complain("prompts: \(renderer)")
      let origin = try ModelOrigin.of(settings, like: call.like)
      round =
        settings.evaluatedAs ?? origin?.round(evaluating: questions) ?? .evaluate(.training, at: PolicyVersion(0))
    }
  }

  private static func sampleHere(
    _ evaluation: EvaluationSettings, _ subject: Subject, _ questions: Run.PromptSet
  ) throws -> [Trajectory] {
    let settings = evaluation.sampling
    let loaded = try LoadedModel(settings)
    let requests = questions.prompts.map { prompt in
      GenerationRequest(
        prompt: prompt.tokens, round: subject.round, promptIndex: prompt.index, samples: Array(0..<evaluation.samples))
    }
    let sampling = settings.trainingSampling(stopTokens: loaded.directory.configuration.eosTokens)
    return try loaded.sample(
      requests, sampling: sampling, seed: settings.method.seed, tokenizer: subject.tokenizer)
  }

  private static func sampleByWorkers(
    _ settings: EvaluationSettings, _ call: CallSettings, _ subject: Subject, _ questions: Run.PromptSet
  ) throws -> SamplingOutcome {
    var plan = planned(settings, round: subject.round)
    plan.templateDate = subject.renderer.date
    let isTemporary = plan.operation.run.isEmpty
    if isTemporary { plan.operation.run = try OwnedDirectory.temporary(prefix: "ttrl-eval") }
    defer { if isTemporary { try? Files.removeTree(plan.operation.run) } }
    (plan.operation.workers, plan.operation.threads) =
      (settings.sampling.operation.workers, settings.sampling.operation.threads)
    let beginning = try RunBeginning.begin(plan, given: call.given.map { runNames[$0] ?? $0 }) { complain($0) }
    let directory = beginning.directory
    if try !Files.exists(directory.summary) {
      _ = try ClusterAccess.key(directory.key, isOwn: true)
      for note in [beginning.adapterNote, beginning.memory.note].compactMap({ $0 }) { complain(note) }
      var running = settings.sampling
      running.operation.keyValueMemory = beginning.memory.keyValueMemory
      let status = try Supervisor(
        directory, settings: running, steps: 0, key: directory.key, plan: OneMachine(nil), isEvaluation: true
      ).run()
      guard status == ExitStatus.done else { return .stopped(status) }
    }
    let trajectories = try Ledger(path: directory.ledger, mode: .readOnly).trajectories(of: subject.round)
    return .done(
      SampledQuestions(tokenizer: subject.tokenizer, questions: questions, trajectories: trajectories))
  }

  /// A run's names for settings that have another name in `eval`.
  private static let runNames = [
    "samples": "eval-samples", "temperature": "eval-temperature", "top-p": "eval-top-p", "top-k": "eval-top-k",
  ]

  /// The run that evaluates this and trains nothing.
  private static func planned(_ evaluation: EvaluationSettings, round: RoundID) -> RunSettings {
    let settings = evaluation.sampling
    var plan = RunSettings()
    plan.operation.run = settings.operation.run.isEmpty ? "" : ThisProcess.absolute(settings.operation.run)
    (plan.model, plan.adapter) = (settings.model, settings.adapter)
    (plan.data, plan.longPrompts) = (settings.data, settings.longPrompts)
    (plan.template, plan.system, plan.suffix) = (settings.template, settings.system, settings.suffix)
    plan.templateArguments = settings.templateArguments
    plan.stop = settings.stop
    (plan.dtype, plan.maxNewTokens, plan.ignoreEOS) = (settings.dtype, settings.maxNewTokens, settings.ignoreEOS)
    plan.products = settings.products
    (plan.method.seed, plan.method.answers) = (settings.method.seed, settings.method.answers)
    plan.method.steps = 0
    plan.evaluatedAs = round
    // A run has training questions, also if it samples only the held-out ones.
    if round.set == .heldOut { plan.heldOut = settings.data }
    plan.evaluationSamples = evaluation.samples
    plan.evaluationTemperature = settings.temperature
    (plan.evaluationTopP, plan.evaluationTopK) = (settings.topP, settings.topK)
    return plan
  }

  // MARK: Figures

  private static func show(
    _ prompts: [EvaluatedPrompt], _ trajectories: [Trajectory], _ settings: EvaluationSettings, _ call: CallSettings
  ) -> Int32 {
    let counts = settings.counts.isEmpty ? Evaluation.usualCounts : settings.counts
    let evaluation = Evaluation(
      prompts, majorities: settings.counts.isEmpty ? Evaluation.usualMajorities : counts, counts: counts)
    if call.isJSON {
      showJSON(JSON.object(EvaluationRow.figures(evaluation)).text())
    } else {
      show(text(of: evaluation))
    }
    if evaluation["no_answer_ratio"] == 1 {
      let cut = trajectories.count { $0.finish == .length }
      complain(FinalTable.nothingToVoteOn(truncatedShare: Double(cut) / Double(max(trajectories.count, 1))))
    }
    return ExitStatus.done
  }

  /// One line per figure, with its 95 % interval over questions.
  private static func text(of evaluation: Evaluation) -> String {
    func field(_ value: Double) -> String { String(format: "%.4f", value) }
    func name(_ text: String) -> String { text + String(repeating: " ", count: max(1, 18 - text.count)) }
    let lines = evaluation.figures.map { figure in
      guard let value = figure.value else { return name(figure.name) + "unknown (no answers)" }
      return name(figure.name) + field(value)
        + (figure.interval.map { "  95%: \(field($0.low)) to \(field($0.high))" } ?? "")
    }
    return (lines + [name("samples") + "\(evaluation.samples)", name("prompts") + "\(evaluation.prompts.count)"])
      .joined(separator: "\n")
  }
}
