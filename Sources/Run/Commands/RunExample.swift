// RunExample: a run whose settings are a command's defaults: the one that `--like` or `--from` names, or the one that
// made the model.

import Base
import Platform
import Records
import Runs
import Settings

struct RunExample {
  /// Where its settings were read, for the user.
  let path: String
  /// All settings of the run, with its questions; otherwise only those that a model carries.
  let isWhole: Bool
  /// The version that a run begins from; nil if it begins from none.
  private(set) var source: RunSource?
  private var settings: [(name: String, value: String)]

  /// The run that `--like` names, or its archive.
  ///
  /// - Throws: `RunError` if it is not a run, `ArchiveError` if it is not an archive.
  init(ofRun path: String) throws {
    let directory = RunDirectory(path)
    let origin = try ModelOrigin(like: path)
    self.path = origin.path
    isWhole = !ModelOrigin.isArchive(path)
    // The run's own copies are the questions that it used, also if the files have changed since, or if a filter chose
    // them.
    let copies = [("data", directory.questions(.training)), ("held-out", directory.questions(.heldOut))]
    let filters = ["prompt-filter", "prompt-history", "skip-below"]
    settings = try origin.settings.filter { !filters.contains($0.name) }.map { setting in
      (setting.name, try copies.first { try $0.0 == setting.name && Files.exists($0.1) }?.1 ?? setting.value)
    }
  }

  /// The run that `--from` names, whose version is the model.
  ///
  /// - Throws: `RunError` if it is not a run, or `RunSourceError` if it does not have the version.
  init(of source: RunSource) throws {
    try self.init(ofRun: source.directory.path)
    settings.removeAll { RunSource.ownNames.contains($0.name) }
    self.source = source
  }

  /// The run that made a model, or nil if no run made it.
  ///
  /// - Parameters:
  ///   - directories: of its adapter, and of its base; the first that a run made counts.
  ///   - promptsOnly: leave out how it sampled.
  /// - Throws: `RunError.damagedOrigin`.
  init?(ofModelIn directories: [String], promptsOnly: Bool) throws {
    guard let origin = try ModelOrigin(ofModelIn: directories) else { return nil }
    self.path = origin.path
    isWhole = false
    settings = origin.settings.filter { !promptsOnly || ModelOrigin.promptSettings.contains($0.name) }
  }

  /// The run's settings; those that it does not say are as they were.
  ///
  /// - Throws: `RunError.damagedOrigin` for a value that this version does not take.
  func adopted(by settings: RunSettings) throws -> RunSettings {
    var settings = settings
    for (name, value) in self.settings {
      guard let problem = SettingTable.named(name)?.place(in: RunSettings.self)?.set(&settings, value) else { continue }
      throw RunError.damagedOrigin(path: path, problem: "\(name) \(problem)")
    }
    source?.apply(to: &settings)
    return settings
  }
}

extension Command {
  /// The run whose settings are the defaults under the given flags and file; nil if there is none.
  ///
  /// - Throws: `RunError` if it cannot be read, or `SettingsError` if the command continues another run.
  func example(under given: [(name: String, value: String)], _ file: SettingsFile) throws -> RunExample? {
    func last(_ name: String) -> String? { given.last { $0.name == name }?.value }
    // Only these commands ask or sample a model.
    guard settings.contains("dtype") || settings.contains("template") else { return nil }
    let like = (last("like") ?? file.run).map(ThisProcess.absolute)
    if isOfRun, let run = last("run").map(ThisProcess.absolute),
      (try? Files.exists(RunDirectory(run).settings)) == true
    {
      guard like == nil || like == run else {
        throw SettingsError(problems: [
          "there is a run in \(run), and it continues with its own settings; leave out like, or give --run a new "
            + "directory"
        ])
      }
      return nil
    }
    if isOfRun, let from = last("from"), !from.isEmpty { return try RunExample(of: RunSource(from)) }
    if let like { return try RunExample(ofRun: like) }
    // Training on with a model asks its questions as before; how it samples is up to the new run.
    return try RunExample(
      ofModelIn: ModelOrigin.directories(model: last("model"), adapter: last("adapter")), promptsOnly: isOfRun)
  }

  /// Tells what the example decides: how the model is asked and sampled.
  func say<Group: SettingGroup>(_ example: RunExample, in group: Group, unless given: [String]) {
    let names = [
      "template", "system", "suffix", "template-arguments", "template-date", "stop", "samples", "temperature", "top-p",
      "top-k", "max-new-tokens",
      "ignore-eos", "dtype", "products", "seed",
    ]
    let decided = example.isWhole || !isOfRun ? names : ModelOrigin.promptSettings
    let shown = decided.filter { settings.contains($0) && !given.contains($0) }.compactMap { name -> String? in
      guard let value = SettingTable.named(name)?.value(in: group), !value.isEmpty else { return nil }
      let isPlain = value.allSatisfy { $0.isLetter || $0.isNumber || "./:,_-".contains($0) }
      return "\(name) \(isPlain ? value : JSON.string(value).text())"
    }
    Self.complain("as in \(example.path): " + shown.joined(separator: ", "))
  }
}
