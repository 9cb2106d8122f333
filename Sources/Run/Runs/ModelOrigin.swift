// ModelOrigin: how the model in a directory was asked and sampled by the run that made it, in its ttrl.json.
//
// A checkpoint is a model directory that other programs can open, but its figures hold only for the prompts and the
// sampling of its run. Commands that are given such a directory use these settings as their defaults, and `eval` draws
// the run's own random numbers, so that it prints the run's own figures. A run directory has the same facts in its
// settings.json, and an archive in its header; `--like` reads them there. Not here: how settings become defaults
// (SettingGroup.adopt).

import Archives
import Base
import Platform
package import Records
package import Settings

package struct ModelOrigin: Sendable {
  /// The file's path, or that of the run's settings.json.
  package let path: String
  /// The run's id.
  package let run: String
  /// The version that the directory holds; 0 is the model that the run began with.
  package let version: PolicyVersion
  /// Settings of the run that have a value, by their names in SettingTable.
  package let settings: [(name: String, value: String)]
  /// SHA-256 of the run's question files, in hexadecimal.
  package let questions: [(set: QuestionSet, sha256: String)]

  package static let fileName = "ttrl.json"

  /// How a question becomes a prompt. These hold for any further use of the model, also in training.
  package static let promptSettings = ["template", "system", "suffix", "template-arguments", "template-date", "stop"]

  /// What else decides the figures of an evaluation or the text of a sample.
  private static let samplingSettings = [
    "max-new-tokens", "ignore-eos", "temperature", "top-p", "top-k", "dtype", "products", "seed", "answer-rule",
    "eval-samples",
    "eval-temperature", "eval-top-p", "eval-top-k",
  ]

  /// Reads the file of a directory with a model or an adapter.
  ///
  /// - Returns: nil if the directory has none: the model was not made by a run.
  /// - Throws: `RunError.damagedOrigin`, also for settings of a later version; or `PlatformError` if the file cannot be
  ///   read.
  package init?(ofModelAt directory: String) throws {
    let path = directory + "/" + Self.fileName
    guard try Files.exists(path) else { return nil }
    do {
      let json = try JSON.parse(try Files.read(path, limit: Limits.settingsFileBytes))
      guard let run = json["run"]?.string, let policy = json["policy"]?.int, let version = UInt32(exactly: policy),
        version < 1 << 24,
        let settings = json["settings"]?.members, let questions = json["questions_sha256"]?.members
      else {
        throw RunError.damagedOrigin(
          path: path, problem: "run, policy, settings or questions_sha256 is missing or wrong")
      }
      self.path = path
      self.run = run
      self.version = PolicyVersion(version)
      self.settings = Self.given(settings)
      let unknown = self.settings.map(\.name).filter { !(Self.promptSettings + Self.samplingSettings).contains($0) }
      guard unknown.isEmpty else {
        throw RunError.damagedOrigin(
          path: path, problem: "this version of ttrl does not know \(unknown.joined(separator: ", "))")
      }
      self.questions = questions.compactMap { member in
        QuestionSet.allCases.first { $0.word == member.key }.flatMap { set in member.value.string.map { (set, $0) } }
      }
    } catch let error as JSONError {
      throw RunError.damagedOrigin(path: path, problem: "\(error)")
    }
  }

  /// Reads the file of the first directory that has one; nil if none has.
  ///
  /// - Throws: as for one directory.
  package init?(ofModelIn directories: [String]) throws {
    for directory in directories {
      guard let origin = try ModelOrigin(ofModelAt: directory) else { continue }
      self = origin
      return
    }
    return nil
  }

  /// The facts of a run, about the model that it began with.
  ///
  /// - Throws: `RunError` if the directory has no settings of a run.
  package init(ofRun directory: RunDirectory) throws {
    let manifest = try RunManifest(reading: directory)
    path = directory.settings
    run = manifest.id
    version = PolicyVersion(0)
    settings = Self.given(manifest.json["settings"]?.members ?? [])
    questions = try Self.digests(directory)
  }

  /// How the run of an archive asked and sampled. What else its settings say holds for the machine that it was made on.
  ///
  /// - Throws: `ArchiveError` if it is not an archive.
  private init(ofArchive path: String) throws {
    let header = try ArchiveReader(path).header
    self.path = path
    run = header.run
    version = PolicyVersion(0)
    settings = Self.given(header.json["settings"]?.members ?? []).filter {
      (Self.promptSettings + Self.samplingSettings).contains($0.name)
    }
    questions = []
  }

  /// The facts of the run in a directory, or of the run in an archive.
  ///
  /// - Throws: `RunError` or `ArchiveError` if it is none.
  package init(like path: String) throws {
    if Self.isArchive(path) { try self.init(ofArchive: path) } else { try self.init(ofRun: RunDirectory(path)) }
  }

  /// Whether a path that should name a run or an archive leads to a file.
  package static func isArchive(_ path: String) -> Bool {
    (try? Files.exists(path)) == true && !Files.isDirectory(path)
  }

  /// An empty value is a setting that was not given.
  private static func given(_ members: [JSON.Member]) -> [(name: String, value: String)] {
    members.compactMap { member in member.value.string.flatMap { $0.isEmpty ? nil : (member.key, $0) } }
  }

  private static func digests(_ directory: RunDirectory) throws -> [(set: QuestionSet, sha256: String)] {
    try QuestionSet.allCases.filter { try Files.exists(directory.questions($0)) }.map { set in
      (set, try SHA256.hex(ofFile: directory.questions(set)))
    }
  }

  /// The text of ttrl.json for a version of a run.
  ///
  /// - Throws: if the run's question files cannot be read.
  package static func text(of run: Run, _ version: PolicyVersion) throws -> String {
    let names = promptSettings + samplingSettings
    let settings = SettingTable.all.filter { names.contains($0.name) }.map { setting in
      JSON.Member(setting.name, .string(setting.value(in: run.settings)))
    }
    let questions = try digests(run.directory).map { JSON.Member($0.set.word, .string($0.sha256)) }
    let json: JSON = [
      "run": .string(run.id), "policy": .int(Int(version.number)), "settings": .object(settings),
      "questions_sha256": .object(questions),
    ]
    return json.text(.pretty) + "\n"
  }

  /// The round with which the run evaluated this version on the given questions: the random numbers follow from it.
  /// Questions that the run did not evaluate are sampled as its training questions.
  ///
  /// - Parameter questions: as a run keeps them.
  package func round(evaluating questions: [Question]) -> RoundID {
    let digest = SHA256.hex(of: Array(questions.fileText.utf8))
    let set = self.questions.first { $0.sha256 == digest && $0.set != .transfer }?.set
    return .evaluate(set ?? .training, at: version)
  }
}

extension ModelOrigin {
  /// The directories that can tell which run made a model: the adapter's, then its base's.
  package static func directories(model: String?, adapter: String?) -> [String] {
    let adapter = adapter.flatMap(RunSettings.adapterDirectory)
    let model = model.flatMap { $0 == "builtin" ? nil : $0 }
    return [adapter, model].compactMap { $0.map(ThisProcess.absolute) }
  }

  /// The run that made a model, or else the run that the call names; nil without either.
  ///
  /// A checkpoint of the named run is that run's. Any other model is evaluated as the one that the run began with.
  package static func of(_ settings: RunSettings, like run: String) throws -> ModelOrigin? {
    let own = try ModelOrigin(ofModelIn: directories(model: settings.model, adapter: settings.adapter))
    guard !run.isEmpty else { return own }
    let named = try ModelOrigin(like: run)
    return own?.run == named.run ? own : named
  }
}
