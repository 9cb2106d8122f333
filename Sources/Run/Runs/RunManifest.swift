// RunManifest: settings.json, the settings that a run began with.
//
// It is written once. A continued run can change only settings that cannot change its result; other changes are refused
// before anything starts, each by name. The model is identified by its hash, the questions by the copy in the run
// directory.

package import Base
import CEmbedded
import LanguageModel
import Platform
package import Records
package import Settings

/// Why a run directory cannot be used as asked.
package enum RunError: LastingError, Sendable, CustomStringConvertible {
  case notARun(path: String)
  case damagedManifest(path: String, problem: String)
  case otherModel(path: String, model: String)
  /// Settings that differ from the run's and can change its result: name, the run's value, the given one, and why it
  /// matters or how to go on.
  case changed(path: String, settings: [(name: String, was: String, given: String, note: String)])
  /// A bfloat16 run of an earlier version, whose products had an order that this version does not compute.
  case formerProducts(path: String, version: String)
  /// A run that was begun by a version that computes other bits.
  case otherEdition(path: String, version: String, edition: Int64)
  case otherQuestions(path: String, set: String)
  /// The questions are the run's, but become other tokens than when it began.
  case otherPrompts(path: String)
  case notEmpty(path: String, entries: [String])
  /// `note` says why the context is shorter than the model's files say.
  case noPrompts(path: String, dropped: Int, context: Int, note: String?)
  case longPrompts(path: String, ids: [String], context: Int, note: String?)
  /// Labels should be the truth, but no question has an answer.
  case noTruth(path: String)
  /// Questions are given, and a run whose questions are asked.
  case dataBesideResponses(path: String)
  case noRewardProgram(path: String, problem: String)
  case badToken(path: String, id: String, token: Int32, vocabulary: Int)
  /// The file in which a model says which run made it.
  case damagedOrigin(path: String, problem: String)

  package var description: String {
    switch self {
    case .notARun(let path) where (try? Files.exists("\(path)/\(CourseDirectory.fileName)")) == true:
      "\(path) is a course of training, not a run. Its runs are the directories in it, such as \(path)/01-…; "
        + "ttrl status --run \(path) lists them"
    case .notARun(let path):
      "\(path) is not a run: it has no settings.json. Begin one with: ttrl train --run \(path)"
    case .damagedManifest(let path, let problem):
      "\(path)/settings.json cannot be read: \(problem). It is written once, when a run begins; restore it, or begin "
        + "another run in an empty directory"
    case .otherModel(let path, let model):
      "the run in \(path) was begun with another model than the one that is now in \(model) (their hashes differ). Put "
        + "the model back, or begin another run in an empty directory"
    case .changed(let path, let settings):
      "the run in \(path) cannot be continued with other settings; these can change its result:\n"
        + settings.map { "  - \($0.name) is \($0.given.visible), the run has \($0.was.visible)" + $0.note }
        .joined(separator: "\n")
        + "\nLeave them out to continue, or begin another run in an empty directory"
    case .formerProducts(let path, let version):
      "the run in \(path) was begun by ttrl \(version) from before bfloat16 products had the orders tile and pair (its "
        + "settings.json has no \"products\"), so this version would continue it with other bits. Continue it with the "
        + "version that began it, or begin another run in an empty directory: --model can be its last checkpoint. Its "
        + "results can still be read: ttrl status, report, page, eval"
    case .otherEdition(let path, let version, let edition):
      "the run in \(path) was begun by ttrl \(version), which computes other bits than this version (edition "
        + "\(edition), here \(Edition.own)). Continue it with a version of that edition, or begin another run in an "
        + "empty directory: --model can be its last checkpoint. Its results can still be read: ttrl status, report, "
        + "page, eval"
    case .otherQuestions(let path, let set):
      "the run in \(path) was begun with other \(set) questions than those of the given file. Leave the file out to "
        + "continue, or begin another run in an empty directory"
    case .dataBesideResponses(let path):
      "--data and --responses are given: the questions are those of the run in \(path.visible); leave --data out"
    case .noRewardProgram(let path, let problem):
      "reward-command: cannot run \(path.visible): \(problem). Give the path of an executable file, or the program "
        + "that runs it, as python3 \(path.visible)"
    case .otherPrompts(let path):
      "the run in \(path) asked other prompts so far than it would ask now: the tokenizer or the chat template in the "
        + "model's directory has changed, or the run was begun by a version of ttrl that renders them differently. Put "
        + "the files back or use that version, or begin another run in an empty directory"
    case .notEmpty(let path, let entries):
      "\(path) is not a run (no settings.json) and not empty: it has "
        + entries.prefix(5).map(\.visible).joined(separator: ", ")
        + (entries.count > 5 ? " and \(entries.count - 5) more" : "")
        + ". A run needs a directory of its own"
    case .noPrompts(let path, let dropped, let context, let note):
      "no prompt of \(path) is left: together with max-new-tokens, none of \(dropped) fits into the context of "
        + "\(context) tokens. Lower max-new-tokens or shorten the questions" + (note.map { " (\($0))" } ?? "")
    case .longPrompts(let path, let ids, let context, let note):
      "no room for max-new-tokens in the context of \(context) tokens: \(counted(ids.count, "prompt")) of \(path): "
        + ids.prefix(10).map(\.visible).joined(separator: ", ") + (ids.count > 10 ? ", …" : "")
        + ". Lower max-new-tokens, shorten them, or give --long-prompts drop" + (note.map { " (\($0))" } ?? "")
    case .noTruth(let path):
      "--labels truth uses each question's answer as its label, but no question of \(path) has an \"answer\". Add "
        + "answers, or leave --labels out to train on the majority vote"
    case .badToken(let path, let id, let token, let vocabulary):
      "prompt \(id.visible) of \(path) has token \(token), but the model's vocabulary has \(vocabulary). Is the "
        + "tokenizer.json that of this model?"
    case .damagedOrigin(let path, let problem):
      "\(path) cannot be read: \(problem). It says how the run that made this model asked and sampled it; restore it, "
        + "or remove it to use the model like any other"
    }
  }
}

package struct RunManifest: Sendable {
  package let id: String
  package let settings: RunSettings
  package let json: JSON
  private let path: String

  /// Settings that are part of a run.
  private static let kept = SettingTable.all.filter { $0.effect != .command && $0.name != "run" }

  /// - Throws: `RunError` if there is none or it is damaged.
  package init(reading directory: RunDirectory) throws {
    path = directory.path
    guard try Files.exists(directory.settings) else { throw RunError.notARun(path: path) }
    do {
      json = try JSON.parse(try Files.read(directory.settings))
    } catch let error as JSONError {
      throw RunError.damagedManifest(path: path, problem: "\(error)")
    }
    guard let id = json["run"]?.string, let members = json["settings"]?.members else {
      throw RunError.damagedManifest(path: path, problem: "\"run\" or \"settings\" is missing")
    }
    self.id = id
    var settings: RunSettings
    do {
      settings = try Self.settings(of: members, from: directory.settings)
    } catch {
      throw RunError.damagedManifest(path: path, problem: "\(error)")
    }
    settings.operation.run = directory.path
    // The run's own copy moves with the run.
    if json["from"]?["model"]?.string == RunDirectory.startName { settings.model = directory.start }
    // A standby's copy of the run has the model.
    if Files.isDirectory(directory.model) { settings.model = directory.model }
    self.settings = settings
  }

  /// The settings that `values` has written.
  ///
  /// - Parameter origin: the file, for messages.
  static func settings(of members: [JSON.Member], from origin: String) throws(SettingsError) -> RunSettings {
    var parser = SettingsParser(allowed: kept.map(\.name), defaults: RunSettings())
    // An empty value is a setting that was not given.
    parser.apply(
      members.compactMap { member in member.value.string.flatMap { $0.isEmpty ? nil : (member.key, $0) } },
      from: origin)
    return try parser.finish()
  }

  /// Settings that the release before does not have. With their defaults they are left out, so that its processes can
  /// work on the run; with another value it refuses them by name.
  private static let sinceThisRelease: Set = ["choice-orders", "durability", "skip-below", "takeover-after"]

  /// The settings of a run by their names, as text.
  package static func values(of settings: RunSettings) -> JSON {
    let defaults = RunSettings()
    let written = kept.filter {
      !sinceThisRelease.contains($0.name) || $0.value(in: settings) != $0.value(in: defaults)
    }
    return .object(written.map { JSON.Member($0.name, .string($0.value(in: settings))) })
  }

  /// A new manifest.
  ///
  /// - Parameters:
  ///   - id: the run's.
  ///   - settings: all of them, resolved.
  ///   - modelIdentity: of the model that the run begins with, or of its adapter's base.
  ///   - base: of the frozen model, if an adapter is trained.
  ///   - from: what the run took from another run (RunSource).
  package static func text(
    id: String, settings: RunSettings, modelIdentity: String, base: PolicyManifest? = nil, from: JSON? = nil
  ) -> String {
    var members = [
      JSON.Member("run", .string(id)), JSON.Member("version", .string(Program.version)),
      JSON.Member("edition", .int(Int(Edition.own))),
      JSON.Member("model_sha256", .string(modelIdentity)),
    ]
    if let base { members.append(JSON.Member("base_sha256", .string(Hexadecimal.text(base.digest)))) }
    if let from { members.append(JSON.Member("from", from)) }
    members.append(JSON.Member("settings", values(of: settings)))
    return JSON.object(members).text(.pretty) + "\n"
  }

  /// Checks that the model directory still has the model that the run began with.
  ///
  /// - Throws: `RunError.otherModel`.
  package func check(_ model: ModelDirectory) throws {
    guard json["model_sha256"]?.string == (try model.identity()) else {
      throw RunError.otherModel(path: path, model: model.path)
    }
  }

  /// Checks that an adapter that is given again is the one that the run began with.
  ///
  /// - Parameters:
  ///   - given: the setting's value.
  ///   - own: the run's; nil if it has none.
  /// - Throws: `RunError.changed`.
  func check(adapter given: String, is own: AdapterDirectory?, of base: ParameterLayout) throws {
    let given = RunBeginning.absolute(adapter: given)
    guard given != settings.adapter || own != nil && given != RunSettings.newAdapter else { return }
    let isPath = ![RunSettings.noAdapter, RunSettings.newAdapter].contains(given)
    if isPath, let own, settings.adapter != RunSettings.newAdapter,
      try AdapterDirectory(given, of: base).identity() == (try own.identity())
    {
      return
    }
    let note = isPath && given == settings.adapter ? ", with other content" : ""
    throw RunError.changed(path: path, settings: [("adapter", settings.adapter, given, note)])
  }

  /// Checks that this program computes the bits that the run's programs computed so far. Runs from before there were
  /// editions are of the first one, except those whose bfloat16 products have none of today's orders.
  ///
  /// - Throws: `RunError.otherEdition`, `RunError.formerProducts`.
  package func checkEdition() throws {
    let version = json["version"]?.string ?? ""
    if let edition = json["edition"]?.int, edition != Edition.own {
      throw RunError.otherEdition(path: path, version: version, edition: Int64(edition))
    }
    guard settings.dtype == .bfloat16, json["settings"]?["products"] == nil else { return }
    throw RunError.formerProducts(path: path, version: version)
  }

  /// Checks that settings that are given again do not change the result.
  ///
  /// - Parameters:
  ///   - settings: as resolved for this start.
  ///   - given: names of those that were given; the others are taken from the run.
  /// - Throws: `RunError.changed`, with every such setting.
  package func check(_ settings: RunSettings, given: [String]) throws {
    // Files are compared by content, not by path.
    let byContent = ["model", "adapter", "data", "held-out", "transfer"]
    let changed = Self.kept.filter { setting in
      isFixed(setting) && given.contains(setting.name) && !byContent.contains(setting.name)
        && !(setting.name == "products" && settings.products == .auto)
        && setting.value(in: settings) != setting.value(in: self.settings)
    }
    guard changed.isEmpty else {
      throw RunError.changed(
        path: path,
        settings: changed.map {
          ($0.name, $0.value(in: self.settings), $0.value(in: settings), note(on: $0.name, settings))
        })
    }
  }

  /// Why a setting that looks harmless changes the result, and how to get what was asked for.
  private func note(on setting: String, _ given: RunSettings) -> String {
    switch setting {
    case "learners": return "; with --reduction fast the order of float sums depends on it (with exact it does not)"
    case "steps":
      let (steps, more) = (given.method.steps, Int(given.method.steps) - Int(self.settings.method.steps))
      let why =
        self.settings.method.rateSchedule == .constant
        ? "; a run's length is part of it"
        : "; the learning rate follows a cosine over all steps, so a run of another length differs from step 1"
      let directory = RunDirectory(path)
      let last = directory.checkpoint(PolicyVersion(self.settings.method.steps))
      let whole = "\(why). For a run of \(counted(steps, "step")), begin another one with --steps \(steps)"
      guard more > 0, (try? Files.exists(last)) == true else { return whole }
      let command = "ttrl train --from \(path) --optimizer carry --steps \(more) --run DIR"
      let schedule =
        self.settings.method.rateSchedule == .constant
        ? "its learning rate goes on as before, after the warm-up (warmup-steps 0 leaves it out)"
        : "its learning rate's schedule starts anew, over the new run's steps"
      return """
        \(whole). To train this run's result \(counted(more, "step")) further (\(schedule)):
            \(command)
        """
    default: return ""
    }
  }

  /// Whether a continued run must keep a setting.
  private func isFixed(_ setting: Setting) -> Bool {
    setting.effect == .result || setting.name == "learners" && settings.reduction == .fast
  }
}

/// This program. docs/changes.md says what changed between versions.
package enum Program {
  package static let version = "0.2.0"
  /// The commit that it was built from, in hexadecimal; `unknown` if the build was not told (scripts/release).
  package static let commit = String(cString: ttrl_commit())
  /// All of that, for people and to be compared.
  package static let release =
    "\(version), commit \(commit), edition \(Edition.own), protocol \(ProtocolVersions.own.newest)"
}
