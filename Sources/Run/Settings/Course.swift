// Course: a course of training is a list of ordinary runs. Each stage begins with the version that the stage before
// delivered.
//
// Here it is decided which stage is next and with which settings, from the stages as they were resolved and from what
// the finished ones left. It is pure: it reads no file, and a course that continues after a kill comes to the same
// decision. A stage is finished when its run has its summary, or when a file says that it is skipped, so the boundary
// between two stages is one file that appears at once. Not here: how a file of stages is read (Commands), and the
// course's directory (Runs).

import Base
import Records

package struct Course: Sendable, Equatable {
  package struct Stage: Sendable, Equatable {
    package var name: String
    /// All settings of the stage's run. Of a stage after the first, model and adapter are replaced by what the stage
    /// before delivered.
    package var settings: RunSettings
    /// Where the stage is written, for messages: "stage vote (course.json5:12:5)".
    package var place: String

    package init(name: String, settings: RunSettings, place: String) {
      self.name = name
      self.settings = settings
      self.place = place
    }
  }

  /// What a finished stage left.
  package struct Finished: Sendable, Equatable {
    /// Its run's directory.
    package var directory: String
    /// It was not trained, because its filter kept too few questions (`skip-below`).
    package var isSkipped: Bool

    package init(directory: String, isSkipped: Bool = false) {
      self.directory = directory
      self.isSkipped = isSkipped
    }
  }

  package var stages: [Stage]
  /// The file of stages, as it was read.
  package var text: String

  package init(stages: [Stage], text: String) {
    self.stages = stages
    self.text = text
  }

  /// The most stages of a course: their numbers have two digits.
  package static let stagesMax = 99
  private static let nameMax = 40

  /// The name of a stage's directory, as "02-vote".
  package func directoryName(of index: Int) -> String {
    (index < 9 ? "0" : "") + "\(index + 1)-\(stages[index].name)"
  }

  /// "stage 2 of 3, vote".
  package func title(of index: Int) -> String { "stage \(index + 1) of \(stages.count), \(stages[index].name)" }

  /// The next stage, and its run's settings.
  ///
  /// - Parameters:
  ///   - finished: what the finished stages left, in order.
  ///   - path: the course's directory.
  /// - Returns: nil if all stages are finished.
  package func next(after finished: [Finished], in path: String) -> (index: Int, settings: RunSettings)? {
    let index = finished.count
    guard index < stages.count else { return nil }
    var settings = stages[index].settings
    settings.operation.run = "\(path)/\(directoryName(of: index))"
    if let last = finished.last(where: { !$0.isSkipped }) { settings.from = last.directory }
    if let history = self.index(ofStage: settings.promptHistory) {
      settings.promptHistory = "\(path)/\(directoryName(of: history))"
    }
    return (index, settings)
  }

  /// In `prompt-history`, before the name of a stage of the same course.
  package static let stagePrefix = "stage:"

  /// - Parameter history: a setting's value.
  /// - Returns: nil if it does not name a stage of this course.
  private func index(ofStage history: String) -> Int? {
    guard history.hasPrefix(Self.stagePrefix) else { return nil }
    return stages.firstIndex { $0.name == history.dropFirst(Self.stagePrefix.count) }
  }

  // MARK: Checks

  /// - Returns: what is wrong with a stage's name; nil if it can be a part of a directory's name.
  package static func problem(ofName name: String) -> String? {
    let isPlain = name.unicodeScalars.allSatisfy { scalar in
      switch scalar {
      case "a"..."z", "0"..."9", "-": true
      default: false
      }
    }
    guard isPlain, (1...nameMax).contains(name.utf8.count), !name.hasPrefix("-") else {
      return "a stage's name has 1 to \(nameMax) of a-z, 0-9 and -, and this one is \"\(name.excerpt)\""
    }
    return nil
  }

  /// What contradicts the stage before, of all stages. What is wrong with a stage alone is found by RunProblems.
  package var problems: [String] {
    stages.indices.flatMap { index in
      let stage = stages[index]
      var found: [String] = []
      if stage.settings.method.steps == 0 {
        found.append("steps is 0, so the stage would deliver nothing; raise it, or evaluate with ttrl eval")
      }
      if index == 0, stage.settings.skipBelow > 0 {
        found.append("skip-below: the first stage cannot be skipped, because the next one begins with its result")
      }
      // The stages before that can be skipped, and the last one that cannot.
      for before in stages[..<index].reversed() {
        for problem in Self.problems(of: stage.settings, after: before) where !found.contains(problem) {
          found.append(problem)
        }
        if before.settings.skipBelow == 0 { break }
      }
      let history = stage.settings.promptHistory
      let named = self.index(ofStage: history)
      if history.hasPrefix(Self.stagePrefix), named.map({ $0 >= index }) ?? true {
        found.append("prompt-history is \(history.excerpt), and no stage before this one has that name")
      } else if let named, stages[named].settings.skipBelow > 0 {
        found.append(
          "prompt-history is \(history.excerpt), and that stage can be skipped (skip-below), so that it has no steps "
            + "to look at; name another one")
      }
      return found.map { "\(stage.place): \($0)" }
    }
  }

  private static func problems(of settings: RunSettings, after stage: Stage) -> [String] {
    var found: [String] = []
    let before = stage.settings
    if before.hasAdapter {
      if !settings.hasAdapter {
        found.append(
          "adapter is none, and the stage before, \(stage.name), trains an adapter; a stage after it goes on with that "
            + "one. Leave it out here, or end the course there and make a model of the adapter: ttrl merge")
      }
      let own = ["adapter-rank", "adapter-alpha", "adapter-targets"].filter { name in
        let setting = SettingTable.named(name)
        return setting?.value(in: settings) != setting?.value(in: before)
      }
      if !own.isEmpty {
        found.append(
          "\(own.joined(separator: ", ")) differs from the stage before, \(stage.name), whose adapter the stage goes "
            + "on with; leave it out here")
      }
    }
    guard settings.optimizer == .carry else { return found }
    let endsEarly = before.guardMode == .stop || before.plateau == .stop
    if endsEarly, before.operation.checkpointEvery != .steps(1) {
      found.append(
        "optimizer carry needs the state of the stage before, \(stage.name), which can end early and then has none of "
          + "its last version; give that stage checkpoint-every 1, or use optimizer reset")
    }
    return found + settings.problems(carryingFrom: before, of: "the stage before, \(stage.name)")
  }

  /// In what a course differs from the one that was begun, as far as it can change a result.
  ///
  /// - Parameter begun: the course as it was begun.
  package func differences(from begun: Course) -> [String] {
    let (names, own) = (begun.stages.map(\.name), stages.map(\.name))
    guard names == own else {
      return [
        "the course was begun with the stages \(names.joined(separator: ", ")), and the file has "
          + own.joined(separator: ", ")
      ]
    }
    return stages.indices.flatMap { index in
      let (stage, before) = (stages[index], begun.stages[index])
      return SettingTable.all.filter { setting in
        // A course can have been moved: its later stages begin from the stage before, wherever that is.
        if setting.name == "from", index > 0 { return false }
        return setting.effect == .result || setting.name == "learners" && stage.settings.reduction == .fast
      }.compactMap { setting in
        let (now, was) = (setting.value(in: stage.settings), setting.value(in: before.settings))
        return now == was
          ? nil : "stage \(stage.name): \(setting.name) is \(now.visible), the course has \(was.visible)"
      }
    }
  }
}

extension RunSettings {
  /// Why a run with these settings cannot carry the optimizer of another one, as far as settings say.
  ///
  /// - Parameters:
  ///   - other: the other run's settings.
  ///   - name: of the other run, for messages.
  package func problems(carryingFrom other: RunSettings, of name: String) -> [String] {
    guard optimizer == .carry else { return [] }
    var found: [String] = []
    if dtype != other.dtype {
      found.append(
        "optimizer carry: dtype is \(dtype.rawValue), and \(other.dtype.rawValue) in \(name); use one, or optimizer "
          + "reset"
      )
    }
    if hasAdapter, !other.hasAdapter {
      found.append("optimizer carry: this one begins an adapter, and \(name) trains all weights; use optimizer reset")
    }
    let (objective, before) = (method.objective, other.method.objective)
    if objective != before, objective.hasCritic || before.hasCritic {
      found.append(
        "optimizer carry: objective is \(objective.rawValue), and \(before.rawValue) in \(name), so that the critic is "
          + "another one; use one objective, or optimizer reset")
    }
    return found
  }
}
