// CourseCommand: `ttrl train --stages` and `ttrl launch --stages`: the stages of a course as runs, one after the other;
// and what `status`, `report` and `page` show of a course.
//
// All stages are checked before anything starts. Then each stage is begun, trained and finished as any run is, or
// skipped, if its filter keeps too few questions. If this process is killed, the same command goes on: finished stages
// are recognized by their summaries, and the run of the stage that was trained continues as any run does.

import Base
import Commands
import Observatory
import Platform
import Records
import RunReading
import Runs
import Settings

extension Command {
  /// Trains the stages that are not finished.
  ///
  /// - Parameters:
  ///   - course: as it was read, with the settings of this start.
  ///   - here: the processes on this machine if there are others elsewhere, for the check before the start.
  ///   - train: trains one run.
  /// - Returns: the exit status of the first stage that is not finished afterwards, or done.
  static func follow(
    _ course: Course, _ call: CallSettings, here: MachineShare? = nil,
    _ train: (RunSettings, CallSettings) throws -> Int32
  ) throws -> Int32 {
    let path = ThisProcess.absolute(course.stages[0].settings.operation.run)
    var ofStage = call
    ofStage.course = nil
    // A run compares what was given with its own settings. The course has compared all of it.
    ofStage.given = call.given.filter { SettingTable.named($0)?.effect == .operation }
    if try CourseDirectory(reading: path) == nil { try CourseDirectory.requireFree(path) }
    try check(course, in: path, here)
    if call.isDryRun { return try plan(course, in: path, ofStage, train) }
    ofStage.isJSON = false
    try OwnedDirectory.make(path)
    // Two processes would begin the same stage. `ttrl stop` finds this one by its lock.
    let lock = try RunLock(directory: path, name: RunDirectory.supervisorLock, owner: "course")
    defer { withExtendedLifetime(lock) {} }
    let directory = try CourseDirectory(beginning: course, in: path)
    while let (index, settings) = course.next(after: directory.finished, in: path) {
      complain("\n\(course.title(of: index))")
      try directory.checkInputs(ofStage: index)
      do {
        let status = try train(settings, ofStage)
        try directory.writeReport(now: WallClock.seconds())
        guard status == ExitStatus.done else { return status }
      } catch QuestionFilterError.fewerLeft(let filtered, let least) {
        let reason = try directory.skip(stage: index, filtered, least: least)
        complain("skipped: \(reason)")
        try directory.writeReport(now: WallClock.seconds())
      }
    }
    try directory.linkDelivered()
    try directory.writeReport(now: WallClock.seconds())
    let view = try directory.view(now: WallClock.seconds())
    complain("\nthe course in \(path.visible) is finished\n\(view.text)\nreport: \(directory.report.visible)")
    if call.isJSON { showJSON(view.json.text()) }
    return ExitStatus.done
  }

  /// The settings with which a stage can be checked before the stages before it are trained: with the model that the
  /// course begins with, and all questions.
  private static func untrained(_ course: Course, _ index: Int, in path: String) -> RunSettings {
    var settings = course.stages[index].settings
    settings.operation.run = "\(path)/\(course.directoryName(of: index))"
    if index > 0 {
      settings.from = ""
      settings.optimizer = .reset
    }
    if settings.promptHistory.hasPrefix(Course.stagePrefix) {
      settings.promptFilter = .all
      settings.promptHistory = ""
      settings.skipBelow = 0
    }
    return settings
  }

  /// Checks the stages that have not begun, all of them.
  ///
  /// - Throws: `SettingsError` with everything that is wrong.
  private static func check(_ course: Course, in path: String, _ here: MachineShare?) throws {
    let begun = try CourseDirectory(reading: path)
    var problems: [String] = []
    for (index, stage) in course.stages.enumerated() where begun?.skipReason(ofStage: index) == nil {
      let settings = untrained(course, index, in: path)
      guard try !Files.exists(RunDirectory(settings.operation.run).settings) else { continue }
      do {
        _ = try RunBeginning.begin(settings, given: [], isDryRun: true, here: here)
      } catch QuestionFilterError.fewerLeft {
        // The stage will be skipped.
      } catch {
        problems.append("\(stage.place): \(error)")
      }
    }
    guard problems.isEmpty else { throw SettingsError(problems: problems) }
  }

  /// `--dry-run`: the plan of every stage.
  private static func plan(
    _ course: Course, in path: String, _ call: CallSettings, _ train: (RunSettings, CallSettings) throws -> Int32
  ) throws -> Int32 {
    let begun = try CourseDirectory(reading: path)
    for index in course.stages.indices {
      complain("\n\(course.title(of: index))")
      if let reason = begun?.skipReason(ofStage: index) {
        complain("skipped: \(reason)")
        continue
      }
      let status = try train(untrained(course, index, in: path), call)
      guard status == ExitStatus.done else { return status }
    }
    return ExitStatus.done
  }

  // MARK: Looking

  /// The course in a directory; nil if it is not one.
  static func course(in directory: RunDirectory) throws -> CourseDirectory? {
    try CourseDirectory(reading: directory.path)
  }

  /// The run that is shown of a directory: of a course, the stage that is trained.
  ///
  /// - Throws: `UserError` if no stage has begun.
  static func shownRun(_ directory: RunDirectory) throws -> RunDirectory {
    guard let course = try course(in: directory) else { return directory }
    guard let current = course.current else {
      throw UserError(
        "no stage of the course in \(directory.path) has begun; begin it with: ttrl train --run \(directory.path)")
    }
    return current
  }
}
