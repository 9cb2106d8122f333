// CourseDirectory: a course of training on disk.
//
//   course.json       the stages with all their settings, the file of stages, digests of the question files
//   01-warmup, …      one run directory for each stage that has begun; of a stage that is skipped, only skipped.json
//   delivered         a link to what the last stage delivered, when it is finished
//   report.html       the stages, before and after, with links to their reports
//
// course.json is written once, before the first stage begins. Everything else follows from the runs: a stage is
// finished when its run has a summary, or when skipped.json is there. Not here: which stage is next (Settings.Course).

import Base
import Platform
package import Settings

/// Why a course cannot be used as asked.
package enum CourseError: LastingError, Sendable, CustomStringConvertible {
  case damaged(path: String, problem: String)
  /// A course is to begin where a run is.
  case isRun(path: String)
  /// Everything in which the given stages differ from those that were begun.
  case changed(path: String, differences: [String])
  /// A question file is not what it was when the course began.
  case otherInput(path: String, file: String, stage: String)

  package var description: String {
    switch self {
    case .damaged(let path, let problem):
      "\(path)/\(CourseDirectory.fileName) cannot be read: \(problem). It is written once, when a course begins; "
        + "restore it, or begin another course in an empty directory"
    case .isRun(let path):
      "there is a run in \(path), and a course needs a directory of its own; leave --stages out to continue the run, "
        + "or give --run a new directory"
    case .changed(let path, let differences):
      "the course in \(path) cannot be continued with other stages; these can change its result:\n"
        + differences.map { "  - \($0)" }.joined(separator: "\n")
        + "\nLeave --stages and these settings out to continue, or begin another course in an empty directory"
    case .otherInput(let path, let file, let stage):
      "stage \(stage) of the course in \(path) cannot begin: \(file) is not the file that it was when the course "
        + "began. Put the file back, or begin another course in an empty directory"
    }
  }
}

package struct CourseDirectory: Sendable {
  package static let fileName = "course.json"

  package let path: String
  package let course: Course
  /// SHA-256 of the question files and the archives, by path.
  private let inputs: [JSON.Member]

  /// Reads a course.
  ///
  /// - Returns: nil if the directory is not one of a course.
  /// - Throws: `CourseError.damaged`.
  package init?(reading path: String) throws {
    self.path = path
    let file = "\(path)/\(Self.fileName)"
    guard try Files.exists(file) else { return nil }
    do {
      let json = try JSON.parse(try Files.read(file))
      guard let text = json["file"]?.string, let inputs = json["inputs_sha256"]?.members,
        let stages = json["stages"]?.elements, !stages.isEmpty
      else { throw CourseError.damaged(path: path, problem: "file, inputs_sha256 or stages is missing") }
      self.inputs = inputs
      course = Course(
        stages: try stages.map { stage in
          guard let name = stage["name"]?.string, Course.problem(ofName: name) == nil,
            let members = stage["settings"]?.members
          else { throw CourseError.damaged(path: path, problem: "a stage has no name or no settings") }
          var settings = try RunManifest.settings(of: members, from: file)
          settings.operation.run = path
          return Course.Stage(name: name, settings: settings, place: "stage \(name)")
        }, text: text)
    } catch let error as JSONError {
      throw CourseError.damaged(path: path, problem: "\(error)")
    } catch let error as SettingsError {
      throw CourseError.damaged(path: path, problem: "\(error)")
    }
  }

  /// Begins a course, or checks that the directory has this one.
  ///
  /// - Parameters:
  ///   - path: the course's directory; it can be empty or missing.
  ///   - course: with paths that are absolute.
  /// - Throws: `RunError.notEmpty`, `CourseError.changed`, or `PlatformError`.
  package init(beginning course: Course, in path: String) throws {
    if let begun = try CourseDirectory(reading: path) {
      try begun.check(course)
      (self.path, self.course, inputs) = (path, course, begun.inputs)
      return
    }
    try Self.requireFree(path)
    self.path = path
    self.course = course
    var inputs: [JSON.Member] = []
    for file in course.stages.flatMap({ Self.inputs(of: $0.settings) })
    where !inputs.contains(where: { $0.key == file }) {
      inputs.append(JSON.Member(file, .string(try SHA256.hex(ofFile: file))))
    }
    self.inputs = inputs
    let stages = course.stages.enumerated().map { index, stage -> JSON in
      [
        "name": .string(stage.name), "directory": .string(course.directoryName(of: index)),
        "settings": RunManifest.values(of: stage.settings),
      ]
    }
    let json: JSON = [
      "version": .string(Program.version), "file": .string(course.text), "inputs_sha256": .object(inputs),
      "stages": .array(stages),
    ]
    try OwnedDirectory.make(path)
    try Files.write(json.text(.pretty) + "\n", to: "\(path)/\(Self.fileName)")
  }

  /// - Throws: `CourseError.isRun` or `RunError.notEmpty` if a course cannot begin in the directory.
  package static func requireFree(_ path: String) throws {
    guard try Files.exists(path) else { return }
    if try Files.exists(RunDirectory(path).settings) { throw CourseError.isRun(path: path) }
    let others = try Files.list(path).filter { $0 != "lost+found" && !$0.hasPrefix("lock") }
    if !others.isEmpty { throw RunError.notEmpty(path: path, entries: others) }
  }

  /// - Throws: `CourseError.changed` if the other one would have another result.
  package func check(_ other: Course) throws {
    let differences = other.differences(from: course)
    guard differences.isEmpty else { throw CourseError.changed(path: path, differences: differences) }
  }

  private static func inputs(of settings: RunSettings) -> [String] {
    // Responses can be a run's directory, which a course cannot digest, or an archive, which is a file.
    let responses = Files.isDirectory(settings.responses) ? [] : [settings.responses]
    return ([settings.data, settings.heldOut] + settings.transferFiles + responses).filter {
      !$0.isEmpty && !$0.hasPrefix("builtin:")
    }
  }

  // MARK: Stages

  package func run(at index: Int) -> RunDirectory { RunDirectory("\(path)/\(course.directoryName(of: index))") }

  /// What the finished stages left, in order; those that are skipped are among them.
  package var finished: [Course.Finished] {
    course.stages.indices.prefix { isSkipped($0) || (try? Files.exists(run(at: $0).summary)) == true }
      .map { Course.Finished(directory: run(at: $0).path, isSkipped: isSkipped($0)) }
  }

  /// The stages that have begun.
  package var begun: [RunDirectory] {
    course.stages.indices.map(run(at:)).filter { (try? Files.exists($0.settings)) == true }
  }

  package var isFinished: Bool { finished.count == course.stages.count }

  /// The last stage that is not skipped.
  package var lastStage: RunDirectory {
    run(at: course.stages.indices.last { !isSkipped($0) } ?? course.stages.count - 1)
  }

  // MARK: Skipped stages

  private func skipFile(_ index: Int) -> String { "\(run(at: index).path)/skipped.json" }

  private func isSkipped(_ index: Int) -> Bool { (try? Files.exists(skipFile(index))) == true }

  /// Why a stage is skipped; nil if it is not.
  package func skipReason(ofStage index: Int) -> String? {
    guard isSkipped(index) else { return nil }
    let note = try? JSON.parse(try Files.read(skipFile(index)))
    return note?["reason"]?.string ?? "\(skipFile(index)) does not say why"
  }

  /// Skips a stage whose filter keeps too few questions. When this returns, the decision is durable, and is not made
  /// again.
  ///
  /// - Parameters:
  ///   - index: of the stage, from 0.
  ///   - filtered: what its filter does with each question.
  ///   - least: the stage's `skip-below`.
  /// - Returns: the reason.
  /// - Throws: `PlatformError`, for example on a full disk.
  package func skip(stage index: Int, _ filtered: FilteredQuestions, least: Int) throws -> String {
    let reason = "\(filtered.text), fewer than skip-below, \(least)"
    try OwnedDirectory.make(run(at: index).path)
    let json: JSON = ["reason": .string(reason), "questions": .array(filtered.rows)]
    try Files.write(json.text(.pretty) + "\n", to: skipFile(index))
    return reason
  }

  /// Checks that a stage that has not begun finds the questions with which the course began.
  ///
  /// - Throws: `CourseError.otherInput`, or `PlatformError` if a file is gone.
  package func checkInputs(ofStage index: Int) throws {
    guard try !Files.exists(run(at: index).settings) else { return }
    for file in Self.inputs(of: course.stages[index].settings) {
      let expected = inputs.first { $0.key == file }?.value.string
      guard try SHA256.hex(ofFile: file) == expected else {
        throw CourseError.otherInput(path: path, file: file, stage: course.stages[index].name)
      }
    }
  }

  /// Makes the link to what the last stage delivered, if there is something.
  ///
  /// - Throws: `PlatformError`.
  package func linkDelivered() throws {
    guard isFinished, let source = try? RunSource(lastStage.path) else { return }
    try Files.linkSymbolically(String(source.path.dropFirst(path.count + 1)), from: "\(path)/delivered")
  }
}

/// A run's place in a course.
package struct CoursePlace: Sendable {
  package let directory: CourseDirectory
  package let index: Int

  package var title: String { directory.course.title(of: index) }

  /// - Returns: nil if the run is not a stage of a course.
  package init?(of run: RunDirectory) {
    guard let found = try? CourseDirectory(reading: Files.directory(of: run.path)),
      let index = found.course.stages.indices.first(where: { found.run(at: $0) == run })
    else { return nil }
    (directory, self.index) = (found, index)
  }
}
