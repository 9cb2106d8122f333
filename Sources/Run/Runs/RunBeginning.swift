// RunBeginning: from settings to a run directory.
//
// Everything that can be wrong with the input is found here, before a process starts: the model, the questions, prompts
// that do not fit. Beginning again over a run that exists checks that nothing differs and changes nothing.

import Base
package import LanguageModel
import Platform
package import Records
package import Settings

package enum RunBeginning {
  /// What beginning found worth telling.
  package struct Outcome: Sendable {
    package var directory: RunDirectory
    package var continues: Bool
    /// What holds for the run: as given for a new one, the run's own otherwise.
    package var settings: Settings
    /// Training prompts that are used, and those that were dropped because they do not fit.
    package var prompts: Int
    package var dropped = 0
    /// Of its processes on this machine.
    package var memory: MemoryPlan
  }

  /// Makes the run directory, or checks that the one that is there is the run that is asked for.
  ///
  /// - Parameters:
  ///   - settings: resolved.
  ///   - given: names of the settings that were given.
  ///   - isDryRun: check everything and write nothing.
  ///   - here: the processes of this machine, where others take part; otherwise it runs all of them.
  /// - Throws: everything that keeps the run from beginning, as text for the user.
  package static func begin(
    _ settings: Settings, given: [String], isDryRun: Bool = false, here: (workers: Int, learners: Int)? = nil
  ) throws -> Outcome {
    let directory = RunDirectory(settings.run)
    let here = here ?? (settings.workers, settings.learners)
    if Files.exists(directory.settings) { return try resume(directory, settings, given, here) }
    if Files.exists(directory.path) {
      let others = try Files.list(directory.path).filter { !isOfPlace($0) }
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
    var planned = settings
    (planned.workers, planned.learners) = here
    let memory = RunMemory.plan(
      planned, model: model.configuration.model, ranks: (0..<here.learners, max(here.learners, settings.learners)))
    try RunMemory.require(memory, for: "the run", remedy: RunMemory.remedyOfRun)
    // Read once here: weights that cannot be used are found before a process starts.
    _ = try model.loadParameters()
    let identity = try model.identity()
    let outcome = Outcome(
      directory: directory, continues: false, settings: settings, prompts: training.kept.count,
      dropped: training.dropped, memory: memory)
    if isDryRun { return outcome }

    try Files.createDirectory(directory.path)
    // It may have been there before, empty, with whatever mode.
    try Files.makePrivate(directory.path)
    try Files.write(training.kept.fileText, to: directory.questions(.training))
    if let heldOut { try Files.write(heldOut.kept.fileText, to: directory.questions(.heldOut)) }
    if let transfer { try Files.write(transfer.fileText, to: directory.questions(.transfer)) }
    // Last: a directory with a manifest is a run.
    let id = String(UInt64.random(in: .min ... .max), radix: 16)
    try Files.write(
      RunManifest.text(id: id, settings: settings, modelIdentity: identity), to: directory.settings)
    return outcome
  }

  /// Whether a run may begin beside an entry of its directory: the locks of those who begin it, what a file system of
  /// its own brings along, and `logs/`, which may be another disk.
  private static func isOfPlace(_ entry: String) -> Bool {
    entry == RunDirectory.logsName || entry == "lost+found" || entry.hasPrefix("lock")
  }

  private static func resume(
    _ directory: RunDirectory, _ settings: Settings, _ given: [String], _ here: (workers: Int, learners: Int)
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
    var planned = manifest.settings
    (planned.workers, planned.learners, planned.threads) = (here.workers, here.learners, settings.threads)
    planned.keyValueMemory = settings.keyValueMemory
    let memory = RunMemory.plan(
      planned, model: model.configuration.model, ranks: (0..<here.learners, max(here.learners, settings.learners)))
    try RunMemory.require(memory, for: "the run", remedy: RunMemory.remedyOfRun)
    return Outcome(directory: directory, continues: true, settings: manifest.settings, prompts: count, memory: memory)
  }

  /// The questions of all transfer files in one list, each with the name of its set; ids carry the name.
  ///
  /// - Throws: as for one file; if two files would have the same name.
  private static func transferQuestions(
    _ settings: Settings, _ model: ModelDirectory, _ renderer: PromptRenderer
  ) throws -> [Question] {
    var all: [Question] = []
    for path in settings.transferFiles {
      let name = Settings.setName(ofFile: path)
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
  /// - Throws: if the file is missing or malformed, if some do not fit and are refused, or if none is left.
  package static func questions(
    _ name: String, _ settings: Settings, _ model: ModelDirectory, _ renderer: PromptRenderer
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
