// RunSource: the run that another run begins from, and the version that it takes from there.
//
// The new run must not need the other one afterwards: its user can remove it or train it further. So what is needed is
// linked, or copied where the file system has no links, into RUN/start, before the new run has a manifest: the model,
// and the optimizer's state if it is carried. The manifest has the other run's id, the version and the digests of what
// was taken, so that a run that is killed before its first checkpoint begins again with the same bits, or not at all.
// Not here: how the ranks get the state (LearnerRole), and which settings are taken over (Commands' RunExample).

import Base
import Platform
package import Records
package import Settings

/// Why a run cannot begin from another.
package enum RunSourceError: LastingError, Sendable, CustomStringConvertible {
  /// Nothing was trained, or not all of it yet.
  case notFinished(path: String, checkpoints: [PolicyVersion])
  case noVersion(path: String, PolicyVersion, checkpoints: [PolicyVersion])
  case damaged(path: String, problem: String)
  /// Everything in which the new run differs from what it would take.
  case doesNotFit(path: String, problems: [String])
  /// What the run took at its beginning is not what it was.
  case changed(path: String, file: String)

  package var description: String {
    switch self {
    case .notFinished(let path, let checkpoints):
      "cannot begin from \(path): it has not delivered a version yet. "
        + (checkpoints.isEmpty
          ? "Finish it with: ttrl train --run \(path)"
          : "Finish it with: ttrl train --run \(path), or name one of its checkpoints: \(Self.list(checkpoints, path))")
    case .noVersion(let path, let version, let checkpoints):
      "cannot begin from step \(version.number) of \(path): that checkpoint is not there. "
        + (checkpoints.isEmpty ? "It has none" : "It has \(Self.list(checkpoints, path))")
    case .damaged(let path, let problem): "cannot begin from \(path): \(problem)"
    case .doesNotFit(let path, let problems):
      "cannot begin from \(path) with these settings:\n" + problems.map { "  - \($0)" }.joined(separator: "\n")
    case .changed(let path, let file):
      "the run in \(path) cannot begin: \(file) is not what it was when the run was made. It has the state that the "
        + "run begins with; restore it, or begin another run in an empty directory"
    }
  }

  private static func list(_ versions: [PolicyVersion], _ path: String) -> String {
    versions.map { "--from \(path)@\($0.number)" }.joined(separator: ", ")
  }
}

package struct RunSource: Sendable {
  package let directory: RunDirectory
  package let manifest: RunManifest
  package let version: PolicyVersion
  /// The directory of the version's weights.
  package let path: String
  /// SHA-256 of files that the version has, by name, as they were written.
  private let sums: [JSON.Member]
  /// The checkpoint with the optimizer's state; nil if it is gone.
  private let state: String?

  /// Files of a checkpoint that are neither its model nor needed to use it.
  private static let ofTheLearner = [
    stateFile, criticFile, "history.json", "report.json", "manifest.json", "README.md",
  ]
  /// Masters and moments of the policy, and of its critic.
  package static let stateFile = "trainer.bin"
  package static let criticFile = "critic.bin"

  /// The settings that name the version, and those that another run has no use for.
  package static let ownNames = [
    "model", "adapter", "adapter-rank", "adapter-alpha", "adapter-targets", "from", "optimizer",
  ]

  /// Finds the version.
  ///
  /// - Parameter text: the directory of a run, or of a course, whose last stage counts; or DIRECTORY@STEP.
  /// - Throws: `RunError` if it is not a run; `RunSourceError` if it does not have the version.
  package init(_ text: String) throws {
    let (path, step) = Self.parts(text)
    directory = try CourseDirectory(reading: path)?.lastStage ?? RunDirectory(path)
    manifest = try RunManifest(reading: directory)
    let checkpoints = ((try? Files.list(directory.checkpoints)) ?? []).compactMap(RunDirectory.version(ofCheckpoint:))
      .sorted()
    let delivered = try Self.delivered(directory)
    if let step {
      version = step
    } else if let delivered {
      version = delivered.version
    } else {
      throw RunSourceError.notFinished(path: directory.path, checkpoints: checkpoints)
    }
    let checkpoint = checkpoints.contains(version) ? directory.checkpoint(version) : nil
    state = checkpoint
    if let checkpoint {
      self.path = checkpoint
      sums = try Self.sums(ofCheckpoint: checkpoint)
    } else if let delivered, delivered.version == version {
      self.path = "\(directory.path)/\(delivered.directory)"
      let weights = manifest.settings.hasAdapter ? "adapter_model.safetensors" : ModelDirectory.weightsName
      sums = [JSON.Member(weights, .string(delivered.sha256))]
    } else {
      throw RunSourceError.noVersion(path: directory.path, version, checkpoints: checkpoints)
    }
  }

  /// The directory and the step; a directory's own name can have an "@".
  private static func parts(_ text: String) -> (path: String, step: PolicyVersion?) {
    let whole = ThisProcess.absolute(text)
    guard !Files.isDirectory(whole), let at = text.lastIndex(of: "@"), let step = UInt32(text[text.index(after: at)...])
    else { return (whole, nil) }
    return (ThisProcess.absolute(String(text[..<at])), PolicyVersion(step))
  }

  /// The same text with the directory's absolute path.
  package static func absolute(_ text: String) -> String {
    guard !text.isEmpty else { return text }
    let (path, step) = parts(text)
    return path + (step.map { "@\($0.number)" } ?? "")
  }

  private static func delivered(
    _ directory: RunDirectory
  ) throws -> (version: PolicyVersion, directory: String, sha256: String)? {
    guard try Files.exists(directory.summary) else { return nil }
    let summary: JSON
    do {
      summary = try JSON.parse(try Files.read(directory.summary))
    } catch let error as JSONError {
      throw RunSourceError.damaged(path: directory.path, problem: "summary.json: \(error)")
    }
    guard let delivered = summary["delivered"], let number = delivered["policy"]?.int.flatMap(UInt32.init(exactly:)),
      let place = delivered["directory"]?.string, let sha256 = delivered["weights_sha256"]?.string
    else { return nil }
    return (PolicyVersion(number), place, sha256)
  }

  private static func sums(ofCheckpoint path: String) throws -> [JSON.Member] {
    do {
      return try JSON.parse(try Files.read(path + "/manifest.json"))["sha256"]?.members ?? []
    } catch let error as JSONError {
      throw RunSourceError.damaged(path: path, problem: "manifest.json: \(error)")
    }
  }

  /// The model of a run that begins from the version: the version itself, or what its adapter is for.
  var model: String { manifest.settings.hasAdapter ? manifest.settings.model : path }

  /// Whether the model has to be in the new run's own directory: where it is now, it belongs to the other run.
  private var ownsModel: Bool { model.hasPrefix(directory.path + "/") }

  // MARK: Settings

  /// The two settings that come from the version, given the others.
  package func apply(to settings: inout RunSettings) {
    settings.model = model
    guard manifest.settings.hasAdapter else { return }
    settings.adapter = path
    let plain = RunSettings()
    (settings.adapterRank, settings.adapterAlpha, settings.adapterTargets) = (
      plain.adapterRank, plain.adapterAlpha, plain.adapterTargets
    )
  }

  /// What contradicts the version among the settings that were given.
  package func problems(given names: [String]) -> [String] {
    var found: [String] = []
    if names.contains("model") { found.append("from and model both say which model the run begins with; give one") }
    if names.contains("like") {
      found.append("from and like both name a run whose settings are the defaults; give one of them")
    }
    let ofAdapter = names.filter { $0.hasPrefix("adapter") }
    if manifest.settings.hasAdapter, !ofAdapter.isEmpty {
      found.append(
        "the run in \(directory.path) trains an adapter, and a run from it goes on with that one; leave out "
          + "\(ofAdapter.joined(separator: ", ")), or make a model of it first: ttrl merge")
    }
    return found
  }

  /// Checks that the new run can carry the optimizer, if it is to.
  ///
  /// - Throws: `RunSourceError.doesNotFit` with everything that does not.
  func check(_ settings: RunSettings) throws {
    guard settings.optimizer == .carry else { return }
    var found = settings.problems(carryingFrom: manifest.settings, of: "that run")
    if state == nil {
      found.append(
        "optimizer carry needs the optimizer's state of step \(version.number), and only its weights are left (the "
          + "checkpoint was removed, or the run ended early). Use optimizer reset, or name another checkpoint")
    }
    guard found.isEmpty else { throw RunSourceError.doesNotFit(path: directory.path, problems: found) }
  }

  // MARK: Files

  /// Takes what the new run needs.
  ///
  /// - Parameters:
  ///   - run: the new run's directory.
  ///   - settings: of the new run; its model becomes the one in the new run's directory, if that has one.
  /// - Returns: the member `from` of settings.json.
  /// - Throws: `RunSourceError.damaged` if a file does not have its checksum, or `PlatformError`.
  func take(to run: RunDirectory, _ settings: inout RunSettings) throws -> JSON {
    try Files.removeTree(run.start)
    var members = [
      JSON.Member("run", .string(manifest.id)), JSON.Member("path", .string(directory.path)),
      JSON.Member("step", .int(Int(version.number))),
    ]
    let weights =
      settings.hasAdapter && manifest.settings.hasAdapter
      ? "adapter_model.safetensors" : ModelDirectory.weightsName
    members.append(JSON.Member("weights_sha256", .string(try verified("\(path)/\(weights)", weights))))
    if ownsModel {
      try Files.createDirectory(run.start)
      for name in try Files.list(model) where !Self.ofTheLearner.contains(name) {
        try link("\(model)/\(name)", to: "\(run.start)/\(name)")
      }
      settings.model = run.start
      members.append(JSON.Member("model", .string(RunDirectory.startName)))
    }
    if settings.optimizer == .carry, let state {
      try Files.createDirectory(run.start)
      let files = [Self.stateFile] + (settings.method.objective.hasCritic ? [Self.criticFile] : [])
      let sums = try files.map { name in
        try link("\(state)/\(name)", to: "\(run.start)/\(name)")
        return JSON.Member(name, .string(try verified("\(run.start)/\(name)", name)))
      }
      members.append(JSON.Member("state_sha256", .object(sums)))
    }
    if Files.isDirectory(run.start) { try Files.syncDirectory(run.start) }
    return .object(members)
  }

  /// Another user's file can still be changed, so it is copied. Directories in a model's directory are not part of it.
  private func link(_ file: String, to new: String) throws {
    guard !Files.isDirectory(file) else { return }
    let isOwn = (try? OwnedDirectory.require(Files.directory(of: file))) != nil
    if isOwn { try Files.linkOrCopy(file, to: new) } else { try Files.copy(file, to: new) }
  }

  /// A file's SHA-256, if it is the one that it was written with.
  private func verified(_ file: String, _ name: String) throws -> String {
    let sum = try SHA256.hex(ofFile: file)
    if let expected = sums.first(where: { $0.key == name })?.value.string, expected != sum {
      throw RunSourceError.damaged(path: path, problem: "\(name) does not have its checksum")
    }
    return sum
  }
}

extension RunSettings {
  /// Makes the paths of what a run reads absolute, for a run that begins later, and possibly elsewhere. A reward
  /// command that cannot be found is left as it is: it is reported when the run begins.
  package mutating func makeInputsAbsolute() {
    func absolute(_ path: String) -> String {
      path.isEmpty || path == "builtin" || path.hasPrefix("builtin:") ? path : ThisProcess.absolute(path)
    }
    (model, data, heldOut) = (absolute(model), absolute(data), absolute(heldOut))
    transfer = transferFiles.map(absolute).joined(separator: ",")
    adapter = RunBeginning.absolute(adapter: adapter)
    from = RunSource.absolute(from)
    responses = absolute(responses)
    if !promptHistory.hasPrefix(Course.stagePrefix) { promptHistory = absolute(promptHistory) }
    rewardCommand = (try? RewardProgram.resolved(self)) ?? rewardCommand
  }
}

/// The optimizer's state that a run begins with, as its manifest has it.
package struct CarriedState: Sendable {
  /// The version of the run that it came from.
  package let version: PolicyVersion
  /// RUN/start.
  package let path: String
  private let sums: [JSON.Member]

  /// - Returns: nil if the run begins with a new optimizer.
  init?(_ settings: RunSettings, _ manifest: JSON, _ directory: RunDirectory) {
    guard settings.optimizer == .carry, let from = manifest["from"],
      let step = from["step"]?.int.flatMap(UInt32.init(exactly:)), let sums = from["state_sha256"]?.members
    else { return nil }
    version = PolicyVersion(step)
    path = directory.start
    self.sums = sums
  }

  /// Checks that the files are those that were taken.
  ///
  /// - Throws: `RunSourceError.changed`.
  package func check() throws {
    for sum in sums where (try? SHA256.hex(ofFile: "\(path)/\(sum.key)")) != sum.value.string {
      throw RunSourceError.changed(path: Files.directory(of: path), file: "\(path)/\(sum.key)")
    }
  }
}
