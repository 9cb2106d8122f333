// CourseReading: from a file of stages and flags to the settings of every stage.
//
// A stage's settings are what they would be for a run with the same file and flags: the same defaults, the same checks.
// So every stage is read by a parser of its own, and what is wrong with any of them is reported at once. A course that
// continues has its settings in course.json; flags that cannot change its result apply to the stages that are left.

import Base
import Platform
import Runs
import Settings

/// A course that a command is asked for: to be begun, or to be continued.
struct AskedCourse {
  /// The file of stages; nil to continue without it.
  var file: StagesFile?
  /// The course's directory.
  var path: String
}

extension Command {
  /// Settings that belong to the call or the course, not to one of its stages.
  private static let ofCourse = ["run", "like", "config", "stages", "json", "dry-run", "help", "hosts"]
  /// Settings that only the first stage can have of its own.
  private static let ofFirst = ["model", "from"]

  /// The course that the flags ask for; nil for a single run.
  ///
  /// - Parameter usual: the run's directory if none is given.
  func askedCourse(under flags: [(name: String, value: String)], usual: String) -> AskedCourse? {
    guard settings.contains("stages") else { return nil }
    let run = flags.last { $0.name == "run" }?.value
    if let stages = flags.last(where: { $0.name == "stages" })?.value {
      let file = StagesFile(reading: stages)
      let common = file.common.last { $0.name == "run" }?.value
      return AskedCourse(file: file, path: ThisProcess.absolute(run ?? common ?? usual))
    }
    let path = ThisProcess.absolute(run ?? usual)
    let isCourse = (try? Files.exists("\(path)/\(CourseDirectory.fileName)")) == true
    return isCourse ? AskedCourse(path: path) : nil
  }

  /// Reads a course.
  ///
  /// - Parameters:
  ///   - asked: which one.
  ///   - flags: from the command line.
  ///   - parser: has read the form of the flags; its problems are reported too.
  ///   - defaults: of a run.
  ///   - problems: of a run.
  /// - Returns: the first stage's settings, and the call with the course.
  /// - Throws: `SettingsError` with everything that is wrong, or `CourseError`.
  func read<Group: SettingGroup>(
    _ asked: AskedCourse, flags: [(name: String, value: String)], _ parser: SettingsParser<Group>,
    _ defaults: (_ isBuiltIn: Bool) -> Group, _ problems: (Group) -> [String]
  ) throws -> (Group, CallSettings) {
    guard let run = Group.runPath else { preconditionFailure("\(name) begins no run, so it takes no stages") }
    let begun = try CourseDirectory(reading: asked.path)
    var reading = StagesReading(found: parser.found + (asked.file?.problems ?? []))
    if flags.contains(where: { $0.name == "config" }) {
      reading.found.append("config and stages are both files of settings; put the settings into the file of stages")
    }
    var first: Group?
    var call = CallSettings()
    func take(_ own: SettingsParser<Group>, _ name: String, _ place: String) {
      var group = own.settings
      group[keyPath: run].operation.run = asked.path
      let before = Course(stages: reading.stages, text: "")
      if let last = before.stages.indices.last {
        group[keyPath: run].from = "\(asked.path)/\(before.directoryName(of: last))"
      }
      let contradictions = group.problems(taking: settings) + needs.compactMap { missing($0, in: group) }
      reading.take(own.found, contradictions + problems(group), place)
      var stage = group[keyPath: run]
      stage.makeInputsAbsolute()
      reading.stages.append(Course.Stage(name: name, settings: stage, place: place))
      first = first ?? group
      call = own.call
    }
    if let file = asked.file {
      for stage in file.stages {
        take(try self.parser(of: stage, isFirst: reading.stages.isEmpty, flags, defaults), stage.name, stage.title)
      }
    } else {
      for stage in begun?.course.stages ?? [] {
        var own = SettingsParser(allowed: settings + ["help", "config"], defaults: Group())
        var group = defaults(false)
        group[keyPath: run] = stage.settings
        own.adopt(defaults: group)
        own.apply(try flags.map(Self.readingTemplate), from: "command line")
        take(own, stage.name, stage.place)
      }
    }
    let course = Course(stages: reading.stages, text: asked.file?.text ?? begun?.course.text ?? "")
    try reading.finish(course)
    try begun?.check(course)
    guard let first else { preconditionFailure("a course without stages was accepted") }
    call.course = course
    return (first, call)
  }

  private func parser<Group: SettingGroup>(
    of stage: StagesFile.Stage, isFirst: Bool, _ flags: [(name: String, value: String)],
    _ defaults: (_ isBuiltIn: Bool) -> Group
  ) throws -> SettingsParser<Group> {
    let given: [(name: String, value: String)] = stage.given.map { (name: $0.name, value: $0.value) } + flags
    var own = SettingsParser(allowed: settings + ["help", "config"], defaults: Group())
    let example = try example(under: given, SettingsFile())
    own.adopt(defaults: try resolve(defaults, under: given, example))
    own.note(example?.source?.problems(given: given.map(\.name)) ?? [])
    for setting in stage.given {
      let origin = setting.isOwn ? "\(setting.place) (stage \(stage.name))" : setting.place
      if setting.isOwn, Self.ofCourse.contains(setting.name) {
        own.note(["\(origin): \(setting.name) belongs to the course; write it beside stages, or give it as a flag"])
      } else if setting.isOwn, !isFirst, Self.ofFirst.contains(setting.name) {
        own.note([
          "\(origin): \(setting.name) says what the course begins with, and this stage begins with what the stage "
            + "before delivered; leave it out"
        ])
      } else {
        own.apply([try Self.readingTemplate((setting.name, setting.value))], from: origin)
      }
    }
    own.apply(try flags.map(Self.readingTemplate), from: "command line")
    return own
  }
}

/// The stages that were read so far, and what is wrong.
private struct StagesReading {
  /// Problems that have their place; each once.
  var found: [String]
  var stages: [Course.Stage] = []
  /// Of a stage as a whole.
  private var ofStages: [(place: String, problem: String)] = []

  init(found: [String]) { self.found = found }

  mutating func take(_ placed: [String], _ ofStage: [String], _ place: String) {
    for problem in placed where !found.contains(problem) { found.append(problem) }
    ofStages += ofStage.map { (place, $0) }
  }

  /// What is wrong with every stage is said once.
  func finish(_ course: Course) throws(SettingsError) {
    var all = found
    for (place, problem) in ofStages {
      let isOfAll = ofStages.count { $0.problem == problem } == stages.count
      let text = isOfAll ? problem : "\(place): \(problem)"
      if !all.contains(text) { all.append(text) }
    }
    all += course.problems
    guard all.isEmpty else { throw SettingsError(problems: all) }
  }
}
