// RunBeginning: makes a run directory from settings.
//
// Everything that can be wrong with the input is found here, before a process starts: the model, the questions, prompts
// that do not fit. If the run exists already, its settings are compared with the given ones and nothing is written.

import Base
package import LanguageModel
import Platform
package import Records
package import Settings

package enum RunBeginning {
  /// What the user is told about the run.
  package struct Outcome: Sendable {
    package var directory: RunDirectory
    package var continues: Bool
    /// The run's own settings; for a new run, those that were given.
    package var settings: RunSettings
    /// How many training prompts are used, and how many were dropped because they do not fit.
    package var prompts: Int
    package var dropped = 0
    /// How a question becomes a prompt.
    package var prompting: String
    /// The memory of its processes on this machine.
    package var memory: MemoryPlan
  }

  /// Makes the run directory, or checks that an existing one is the run that is asked for.
  ///
  /// - Parameters:
  ///   - settings: resolved.
  ///   - given: names of the settings that were given.
  ///   - isDryRun: check everything and write nothing.
  ///   - here: the processes on this machine, if there are others elsewhere; nil if all are here.
  /// - Throws: everything that prevents the run; its description is for the user.
  package static func begin(
    _ settings: RunSettings, given: [String], isDryRun: Bool = false, here: (workers: Int, learners: Int)? = nil
  ) throws -> Outcome {
    let directory = RunDirectory(settings.operation.run)
    let here = here ?? (settings.operation.workers, settings.operation.learners)
    if Files.exists(directory.settings) { return try resume(directory, settings, given, here) }
    if Files.exists(directory.path) {
      let others = try Files.list(directory.path).filter { !isExpected($0) }
      if !others.isEmpty { throw RunError.notEmpty(path: directory.path, entries: others.sorted()) }
    }
    var settings = settings
    settings.model = try BuiltIn.resolve(model: settings.model)
    let model = try ModelDirectory(settings.model)
    let renderer = try PromptRenderer(settings: settings, model: model, tokenizer: try model.tokenizer())
    let training = try questions(settings.data, settings, model, renderer)
    if settings.method.labels == .truth, !training.kept.contains(where: { $0.answer != nil }) {
      throw RunError.noTruth(path: settings.data)
    }
    let heldOut = settings.heldOut.isEmpty ? nil : try questions(settings.heldOut, settings, model, renderer)
    let transfer = settings.transfer.isEmpty ? nil : try transferQuestions(settings, model, renderer)
    let memory = try plannedMemory(settings, settings.operation, model, here)
    // Weights that cannot be used are found before a process starts.
    _ = try model.loadParameters()
    let identity = try model.identity()
    let outcome = Outcome(
      directory: directory, continues: false, settings: settings, prompts: training.kept.count,
      dropped: training.dropped, prompting: renderer.description, memory: memory)
    if isDryRun { return outcome }

    try Files.createDirectory(directory.path)
    // It can have existed before, empty, with another mode.
    try Files.makePrivate(directory.path)
    try Files.write(training.kept.fileText, to: directory.questions(.training))
    if let heldOut { try Files.write(heldOut.kept.fileText, to: directory.questions(.heldOut)) }
    if let transfer { try Files.write(transfer.fileText, to: directory.questions(.transfer)) }
    // Written last: a directory with a manifest is a run.
    let id = String(UInt64.random(in: .min ... .max), radix: 16)
    try Files.write(
      RunManifest.text(id: id, settings: settings, modelIdentity: identity), to: directory.settings)
    return outcome
  }

  /// Whether a new run's directory can have an entry: the locks of the processes that begin the run, `lost+found` if
  /// the directory is a file system of its own, and `logs/`, which can be a link to another disk.
  private static func isExpected(_ entry: String) -> Bool {
    entry == RunDirectory.logsName || entry == "lost+found" || entry.hasPrefix("lock")
  }

  private static func resume(
    _ directory: RunDirectory, _ settings: RunSettings, _ given: [String], _ here: (workers: Int, learners: Int)
  ) throws -> Outcome {
    let manifest = try RunManifest(reading: directory)
    try manifest.check(settings, given: given)
    if given.contains("model") { try manifest.check(try ModelDirectory(try BuiltIn.resolve(model: settings.model))) }
    let model = try ModelDirectory(manifest.settings.model)
    try manifest.check(model)
    let renderer = try PromptRenderer(
      settings: manifest.settings, model: model, tokenizer: try model.tokenizer())
    for (name, path, set) in [("data", settings.data, QuestionSet.training), ("held-out", settings.heldOut, .heldOut)]
    where given.contains(name) {
      let text = try questions(path, manifest.settings, model, renderer).kept.fileText
      guard try Files.readText(directory.questions(set)) == text else {
        throw RunError.otherQuestions(path: directory.path, set: set == .training ? "training" : "held-out")
      }
    }
    if given.contains("transfer") {
      var asked = manifest.settings
      asked.transfer = settings.transfer
      guard
        try Files.readText(directory.questions(.transfer))
          == (try transferQuestions(asked, model, renderer).fileText)
      else { throw RunError.otherQuestions(path: directory.path, set: "transfer") }
    }
    let count = try Question.read(try Files.read(directory.questions(.training))).count
    let memory = try plannedMemory(manifest.settings, settings.operation, model, here)
    return Outcome(
      directory: directory, continues: true, settings: manifest.settings, prompts: count,
      prompting: renderer.description, memory: memory)
  }

  /// - Parameter operation: of this start.
  /// - Throws: `MemoryError` if this machine has less.
  private static func plannedMemory(
    _ settings: RunSettings, _ operation: OperationSettings, _ model: ModelDirectory,
    _ here: (workers: Int, learners: Int)
  ) throws -> MemoryPlan {
    var planned = settings
    planned.operation = operation
    (planned.operation.workers, planned.operation.learners) = here
    let ranks = (0..<here.learners, max(here.learners, operation.learners))
    let memory = RunMemory.plan(planned, model: model.configuration.model, ranks: ranks)
    try RunMemory.require(memory, for: "the run", remedy: RunMemory.remedyOfRun)
    return memory
  }

  /// The questions of all transfer files in one list. Each has the name of its set, also as the beginning of its id.
  ///
  /// - Throws: what is wrong with a file.
  private static func transferQuestions(
    _ settings: RunSettings, _ model: ModelDirectory, _ renderer: PromptRenderer
  ) throws -> [Question] {
    var all: [Question] = []
    for path in settings.transferFiles {
      let name = RunSettings.setName(ofFile: path)
      all += try questions(path, settings, model, renderer).kept.map { question in
        var question = question
        question.id = "\(name)/\(question.id)"
        question.set = name
        return question
      }
    }
    return all
  }

  /// The questions of a file that fit the model's context, and how many do not.
  ///
  /// - Parameter name: a path, or the name of a built-in set.
  /// - Throws: if the file is missing or malformed, if a question that does not fit is refused, or if none is left.
  package static func questions(
    _ name: String, _ settings: RunSettings, _ model: ModelDirectory, _ renderer: PromptRenderer
  ) throws -> (kept: [Question], dropped: Int) {
    let all = try BuiltIn.questions(name)
    let context = model.configuration.model.maxPositions
    var kept: [Question] = []
    var long: [String] = []
    for question in all {
      let tokens = renderer.tokens(of: question.prompt)
      let vocabulary = model.configuration.model.vocabularySize
      if let token = tokens.first(where: { $0 < 0 || Int($0) >= vocabulary }) {
        throw RunError.badToken(path: name, id: question.id, token: token, vocabulary: vocabulary)
      }
      if tokens.count + Int(settings.maxNewTokens) <= context {
        kept.append(question)
      } else {
        long.append(question.id)
      }
    }
    if settings.longPrompts == .refuse, !long.isEmpty {
      throw RunError.longPrompts(path: name, ids: long, context: context)
    }
    guard !kept.isEmpty else { throw RunError.noPrompts(path: name, dropped: long.count, context: context) }
    return (kept, long.count)
  }
}
