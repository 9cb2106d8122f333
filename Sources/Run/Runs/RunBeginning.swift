// RunBeginning: makes a run directory from settings.
//
// Everything that can be wrong with the input is found here, before a process starts: the model, the questions, prompts
// that do not fit. If the run exists already, its settings are compared with the given ones and nothing is written.

import Base
package import LanguageModel
import Platform
package import Records
package import Settings
package import TTRL

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
    /// Which responses the run was given; nil if it samples them, or continues.
    package var given: String?
    /// The first training question as the model sees it.
    package var example: ExamplePrompt
    /// Parts of the model's files that are not used.
    package var unusedParts: [UnusedPart] = []
    /// Why the model's context is shorter than its files say; nil if it is not.
    package var contextNote: String?
    package var questions: QuestionSizes
    package var counts: QuestionCounts
    /// nil if all weights are trained.
    package var adapter: AdapterLayout?
    /// That the adapter which the run begins with names another base; nil if it does not.
    package var adapterNote: String?
    /// The memory of its processes on this machine.
    package var memory: RunMemory.Fitted
    package var disk: RunDisk
    /// nil if all questions are used, or if the run continues.
    package var filtered: FilteredQuestions?
  }

  /// Makes the run directory, or checks that an existing one is the run that is asked for.
  ///
  /// - Parameters:
  ///   - settings: resolved.
  ///   - given: names of the settings that were given.
  ///   - isDryRun: check everything and write nothing.
  ///   - here: the processes on this machine, if there are others elsewhere; nil if all are here.
  ///   - note: called with what takes long, before it begins.
  /// - Throws: everything that prevents the run; its description is for the user.
  package static func begin(
    _ settings: RunSettings, given: [String], isDryRun: Bool = false, here: MachineShare? = nil,
    note: (String) -> Void = { _ in }
  ) throws -> Outcome {
    let directory = RunDirectory(settings.operation.run)
    var settings = settings
    settings.from = RunSource.absolute(settings.from)
    if !settings.responses.isEmpty { settings.responses = ThisProcess.absolute(settings.responses) }
    // Of a finished run only the results are shown.
    if try !Files.exists(directory.summary) { settings.rewardCommand = try RewardProgram.resolved(settings) }
    if try Files.exists(directory.settings) {
      // Of a finished run only the results are shown.
      if try !Files.exists(directory.summary) { try OwnedDirectory.require(directory.path) }
      return try resume(directory, settings, given, here, note)
    }
    if try Files.exists(directory.path) {
      let others = try Files.list(directory.path).filter { try !isExpected($0, in: directory) }
      if !others.isEmpty { throw RunError.notEmpty(path: directory.path, entries: others.sorted()) }
    }
    let source = try settings.from.isEmpty ? nil : RunSource(settings.from)
    source?.apply(to: &settings)
    try source?.check(settings)
    settings.model = try BuiltIn.resolve(model: settings.model)
    let model = try ModelDirectory(settings.model)
    if let source, source.manifest.settings.hasAdapter { try source.manifest.check(model) }
    settings.adapter = Self.absolute(adapter: settings.adapter)
    let adapter = try AdapterDirectory.beginning(settings, of: model.layout)
    let renderer = try PromptRenderer(settings: settings, model: model, tokenizer: try model.tokenizer())
    settings.templateDate = renderer.date
    settings.resolveProducts()
    if !settings.responses.isEmpty, given.contains("data") {
      guard !given.contains("responses") else { throw RunError.dataBesideResponses(path: settings.responses) }
      // They are those of a run that is taken as an example.
      settings.responses = ""
    }
    if !settings.responses.isEmpty { settings.data = "" }
    if !settings.promptHistory.isEmpty { settings.promptHistory = ThisProcess.absolute(settings.promptHistory) }
    let filter = try QuestionFilter(settings)
    let decide: QuestionDecision = { try filter?.decisions(on: $0) }
    let learned = try settings.method.objective.takesResponses ? GivenResponses(settings, model, renderer, decide) : nil
    let training =
      try learned?.questions
      ?? questions(settings.data, settings, model, renderer, forms: settings.forms, decide: decide)
    if settings.method.labels == .truth, !training.kept.contains(where: { $0.answer != nil }) {
      throw RunError.noTruth(path: settings.data)
    }
    let heldOut = settings.heldOut.isEmpty ? nil : try questions(settings.heldOut, settings, model, renderer)
    let transfer = settings.transfer.isEmpty ? nil : try transferQuestions(settings, model, renderer)
    let sizes = sizes(of: [training, heldOut, transfer])
    let counts = counts(of: training, heldOut, transfer)
    let memory = try plannedMemory(settings, settings.operation, model, adapter?.layout, sizes, here)
    let disk = try plannedDisk(settings, settings.operation, model, adapter?.layout, here, directory)
    try disk.require(at: directory.path)
    try adapter?.check()
    // Weights that cannot be used are found before a process starts.
    _ = try model.parameters()
    try noteReading(model, note)
    let identity = try model.identity()
    var outcome = Outcome(
      directory: directory, continues: false, settings: settings, prompts: training.kept.count,
      dropped: training.dropped, example: try renderer.example(training.kept[0]),
      unusedParts: try model.unusedParts(), contextNote: model.configuration.model.contextNote, questions: sizes,
      counts: counts, adapter: adapter?.layout, adapterNote: adapter?.note(onBase: settings.model), memory: memory,
      disk: disk, filtered: training.filtered)
    outcome.given = learned?.note
    if isDryRun { return outcome }

    // It can have existed before, empty, with another mode.
    try OwnedDirectory.make(directory.path)
    try Files.write("", to: directory.beginning)
    let from = try source?.take(to: directory, &settings)
    try Files.write(training.kept.fileText, to: directory.questions(.training))
    if let filtered = training.filtered { try Files.write(filtered.fileText, to: directory.promptFilter) }
    try learned?.write(to: directory.responses)
    if let heldOut { try Files.write(heldOut.kept.fileText, to: directory.questions(.heldOut)) }
    if let transfer { try Files.write(transfer.kept.fileText, to: directory.questions(.transfer)) }
    try adapter?.write(to: directory.adapter, base: settings.model)
    // Written last: a directory with a manifest is a run.
    let id = String(UInt64.random(in: .min ... .max), radix: 16)
    try Files.write(
      RunManifest.text(
        id: id, settings: settings, modelIdentity: identity,
        base: try adapter.map { _ in try BaseModel.manifest(of: model, as: settings.dtype) }, from: from),
      to: directory.settings)
    try Files.removeTree(directory.beginning)
    outcome.settings.model = settings.model
    return outcome
  }

  /// Whether a new run's directory can have an entry: the locks of the processes that begin the run, `lost+found` if
  /// the directory is a file system of its own, and `logs/`, which can be a link to another disk. Also what a beginning
  /// that was interrupted has left: it is written again.
  private static func isExpected(_ entry: String, in directory: RunDirectory) throws -> Bool {
    if entry == RunDirectory.logsName || entry == "lost+found" || entry.hasPrefix("lock") { return true }
    let written =
      QuestionSet.allCases.map(directory.questions)
      + [
        directory.promptFilter, directory.responses, directory.adapter, directory.start, directory.beginning,
        directory.settings, directory.key,
      ]
    return try Files.exists(directory.beginning) && written.contains { "\(directory.path)/\(entry)".hasPrefix($0) }
  }

  private static func resume(
    _ directory: RunDirectory, _ settings: RunSettings, _ given: [String], _ here: MachineShare?,
    _ note: (String) -> Void
  ) throws -> Outcome {
    let manifest = try RunManifest(reading: directory)
    try manifest.check(settings, given: given)
    // Of a finished run only the results are shown.
    if try !Files.exists(directory.summary) { try manifest.checkEdition() }
    if given.contains("model") { try manifest.check(try ModelDirectory(try BuiltIn.resolve(model: settings.model))) }
    let model = try ModelDirectory(manifest.settings.model)
    try noteReading(model, note)
    try manifest.check(model)
    let adapter =
      try manifest.settings.hasAdapter ? AdapterDirectory(directory.adapter, of: model.layout) : nil
    if given.contains("adapter") { try manifest.check(adapter: settings.adapter, is: adapter, of: model.layout) }
    let renderer = try PromptRenderer(
      settings: manifest.settings, model: model, tokenizer: try model.tokenizer())
    for (name, path, set) in [("data", settings.data, QuestionSet.training), ("held-out", settings.heldOut, .heldOut)]
    where given.contains(name) {
      let takesResponses = set == .training && manifest.settings.method.objective.takesResponses
      var asked = manifest.settings
      if takesResponses { (asked.data, asked.responses) = (path, "") }
      let used = set == .training ? try FilteredQuestions.keptIDs(in: directory) : nil
      let decide: QuestionDecision = { all in
        used.map { used in all.map { PromptDecision(isKept: used.contains($0.id), reason: .inside) } }
      }
      let learned = try takesResponses ? GivenResponses(asked, model, renderer, decide) : nil
      let forms = set == .training ? asked.forms : .one
      let text = try (learned?.questions ?? questions(path, asked, model, renderer, forms: forms, decide: decide))
        .kept.fileText
      guard try Files.readText(directory.questions(set)) == text, try learned?.isEqual(to: directory.responses) ?? true
      else {
        throw RunError.otherQuestions(path: directory.path, set: set == .training ? "training" : "held-out")
      }
    }
    if given.contains("transfer") {
      var asked = manifest.settings
      asked.transfer = settings.transfer
      guard
        try Files.readText(directory.questions(.transfer))
          == (try transferQuestions(asked, model, renderer).kept.fileText)
      else { throw RunError.otherQuestions(path: directory.path, set: "transfer") }
    }
    let sets = try [QuestionSet.training, .heldOut, .transfer].map { set -> UsedQuestions? in
      guard try Files.exists(directory.questions(set)) else { return nil }
      let questions = try Question.read(try Files.read(directory.questions(set)))
      let tokens = try questions.map { try renderer.rendered($0).tokens.count }
      return UsedQuestions(kept: questions, longest: tokens.max() ?? 0, tokens: tokens.reduce(0, +))
    }
    let sizes = sizes(of: sets)
    let memory = try plannedMemory(
      manifest.settings, settings.operation, model, adapter?.layout, sizes, here, isContinued: true)
    let disk = try plannedDisk(manifest.settings, settings.operation, model, adapter?.layout, here, directory)
    guard let first = sets[0]?.kept.first else { throw RunError.notARun(path: directory.path) }
    return Outcome(
      directory: directory, continues: true, settings: manifest.settings, prompts: sets[0]?.kept.count ?? 0,
      example: try renderer.example(first), questions: sizes,
      counts: counts(of: sets[0] ?? UsedQuestions(kept: []), sets[1], sets[2]),
      adapter: adapter?.layout, memory: memory, disk: disk)
  }

  /// Weights of which all bytes are read in much more than a second.
  private static let longRead = 2 << 30

  private static func noteReading(_ model: ModelDirectory, _ note: (String) -> Void) throws {
    let bytes = try model.weightsFilesBytes()
    if bytes > longRead { note("reading the model's weights, \(MemoryPlan.mebibytes(bytes)), to compute their digest") }
  }

  /// The path of an existing adapter, for a process in another directory.
  static func absolute(adapter: String) -> String {
    RunSettings.adapterDirectory(adapter).map(ThisProcess.absolute) ?? adapter
  }

  private static func counts(
    of training: UsedQuestions, _ heldOut: UsedQuestions?, _ transfer: UsedQuestions?
  ) -> QuestionCounts {
    let sets = [training, heldOut, transfer].map { $0 ?? UsedQuestions(kept: []) }
    let counts = sets.map(\.kept.count)
    let tokens = sets.reduce(0) { $0 + $1.tokens }
    return QuestionCounts(
      training: counts[0], heldOut: counts[1], transfer: counts[2],
      promptTokens: tokens / max(1, counts.reduce(0, +)))
  }

  /// All sets can be sampled at the same time.
  private static func sizes(of sets: [UsedQuestions?]) -> QuestionSizes {
    let sets = sets.compactMap { $0 }
    return QuestionSizes(
      count: sets.reduce(0) { $0 + $1.kept.count }, longest: sets.map(\.longest).max() ?? 0)
  }

  /// - Parameters:
  ///   - operation: of this start.
  ///   - here: this machine's processes; nil if all are here.
  /// - Throws: `MemoryError` if this machine has less.
  private static func plannedMemory(
    _ settings: RunSettings, _ operation: OperationSettings, _ model: ModelDirectory, _ adapter: AdapterLayout?,
    _ questions: QuestionSizes, _ here: MachineShare?, isContinued: Bool = false
  ) throws -> RunMemory.Fitted {
    var planned = settings
    planned.operation = operation
    return try RunMemory(
      planned, model: model.configuration.model, adapter: adapter, questions: questions,
      share: here ?? MachineShare(settings, operation)
    ).fit(isContinued: isContinued)
  }

  /// - Parameters: as of `plannedMemory`.
  private static func plannedDisk(
    _ settings: RunSettings, _ operation: OperationSettings, _ model: ModelDirectory, _ adapter: AdapterLayout?,
    _ here: MachineShare?, _ directory: RunDirectory
  ) throws -> RunDisk {
    try RunDisk(
      settings, operation, TransformerPlan(model.configuration.model, type: settings.dtype, adapter: adapter),
      here ?? MachineShare(settings, operation), at: directory.path)
  }

  /// The questions of all transfer files in one list. Each has the name of its set, also as the beginning of its id.
  ///
  /// - Throws: what is wrong with a file.
  private static func transferQuestions(
    _ settings: RunSettings, _ model: ModelDirectory, _ renderer: PromptRenderer
  ) throws -> UsedQuestions {
    var all = UsedQuestions(kept: [])
    for path in settings.transferFiles {
      let name = RunSettings.setName(ofFile: path)
      let found = try questions(path, settings, model, renderer)
      all.kept += found.kept.map { question in
        var question = question
        question.id = "\(name)/\(question.id)"
        question.set = name
        return question
      }
      all.longest = max(all.longest, found.longest)
      all.tokens += found.tokens
    }
    return all
  }

  /// Says of each question whether it is used; nil if all are.
  package typealias QuestionDecision = ([Question]) throws -> [PromptDecision]?

  /// The questions of a file that fit the model's context.
  package struct UsedQuestions: Sendable {
    package var kept: [Question]
    /// How many do not fit.
    package var dropped = 0
    /// Tokens of the longest prompt that fits, and of all that fit.
    package var longest = 0
    package var tokens = 0
    /// nil if there is no filter.
    package var filtered: FilteredQuestions?
  }

  /// Reads a file and leaves out the questions that do not fit.
  ///
  /// - Parameters:
  ///   - name: a path, or the name of a built-in set.
  ///   - settings: of the run.
  ///   - model: whose context they have to fit.
  ///   - renderer: makes them prompts.
  ///   - takesResponses: whether every question has to have responses.
  ///   - forms: in which forms each question is asked.
  ///   - decide: which questions are used.
  /// - Throws: if the file is missing or malformed, if a question that does not fit is refused or has not these forms,
  ///   or if none is left.
  package static func questions(
    _ name: String, _ settings: RunSettings, _ model: ModelDirectory, _ renderer: PromptRenderer,
    takesResponses: Bool = false, forms: AskedForms = .one, decide: QuestionDecision = { _ in nil }
  ) throws -> UsedQuestions {
    let all = try BuiltIn.questions(name, takesResponses: takesResponses, takesForms: forms != .one)
    return try used(all, of: name, settings, model, renderer, forms: forms, decide)
  }

  /// Leaves out the questions that a filter does not keep, and those that do not fit.
  ///
  /// - Parameter name: where they are from, for messages.
  /// - Throws: if a question that does not fit is refused, has not the forms, or if none is left.
  static func used(
    _ given: [Question], of name: String, _ settings: RunSettings, _ model: ModelDirectory,
    _ renderer: PromptRenderer, forms: AskedForms = .one, _ decide: QuestionDecision
  ) throws -> UsedQuestions {
    var all = given
    let (context, note) = (model.configuration.model.maxPositions, model.configuration.model.contextNote)
    var used = UsedQuestions(kept: [])
    if let decisions = try decide(all) {
      used.filtered = FilteredQuestions(rule: settings.promptFilter, all, decisions)
      all = zip(all, decisions).filter(\.1.isKept).map(\.0)
    }
    var long: [String] = []
    for (question, asked) in zip(all, try forms.asked(of: all, path: name, seed: settings.method.seed)) {
      let lengths = try asked.map { form in
        let tokens = try renderer.rendered(form).tokens
        let vocabulary = model.configuration.model.vocabularySize
        if let token = tokens.first(where: { $0 < 0 || Int($0) >= vocabulary }) {
          throw RunError.badToken(path: name, id: form.id, token: token, vocabulary: vocabulary)
        }
        return tokens.count
      }
      let longest = lengths.max() ?? 0
      if longest + Int(settings.maxNewTokens) <= context {
        used.kept += asked
        used.longest = max(used.longest, longest)
        used.tokens += lengths.reduce(0, +)
      } else {
        // A question is asked in all of its forms, or not at all.
        long.append(question.id)
      }
    }
    if settings.longPrompts == .refuse, !long.isEmpty {
      throw RunError.longPrompts(path: name, ids: long, context: context, note: note)
    }
    guard !used.kept.isEmpty else {
      throw RunError.noPrompts(path: name, dropped: long.count, context: context, note: note)
    }
    used.dropped = long.count
    return used
  }
}
