// StagesFile: the file of --stages: JSON5, settings that all stages have, and a list of stages with their own.
//
//   { steps: 20, stages: [ { name: "short", "max-new-tokens": 512 }, { name: "long", "max-new-tokens": 1024 } ] }
//
// A setting of a stage overrides the common one. An element with `repeat` has a list of stages of its own, which comes
// that many times; its settings are common to them. Everything that is wrong is found, each with its place. Not here:
// what the settings mean (SettingsParser), and what contradicts what (Course, RunProblems).

import Base
import Platform
import Settings

struct StagesFile {
  /// A setting, where it is written, and whether it is a stage's own.
  struct Given {
    var name: String
    var value: String
    var place: String
    var isOwn: Bool
  }

  struct Stage {
    var name: String
    var place: String
    /// From the outside to the inside: a later one overrides an earlier one.
    var given: [Given]

    /// For messages.
    var title: String { "stage \(name) (\(place))" }
  }

  private(set) var stages: [Stage] = []
  private(set) var problems: [String] = []
  /// Settings outside of stages.
  private(set) var common: [Given] = []
  private(set) var text = ""
  private let path: String

  /// Reads a file. What is wrong with it becomes problems.
  init(reading path: String) {
    self.path = path
    do {
      let bytes = try Files.read(path, limit: Limits.settingsFileBytes)
      text = String(decoding: bytes, as: UTF8.self)
      let file = try JSON5.parse(bytes)
      guard case .object(let members) = file.value, let list = members.first(where: { $0.name == "stages" }) else {
        problems.append("\(path) is not a file of stages: there is no list \"stages\"; \(Self.expected)")
        return
      }
      common = given(members.filter { $0.name != "stages" }, isOwn: false)
      add(list.value, under: common, suffix: "", depth: 0)
      checkNames()
      if stages.count > Course.stagesMax {
        problems.append(
          "\(place(list.value)): the course has more than \(Course.stagesMax) stages; repeat less, or make two courses")
      }
    } catch let error as JSONError {
      problems.append("\(path):\(error.line):\(error.column): \(error.problem); \(Self.expected)")
    } catch {
      problems.append("\(error)")
    }
  }

  private static let expected =
    "expected a JSON5 object such as { lr: 1e-4, stages: [ { name: \"short\", steps: 20 }, "
    + "{ name: \"long\", steps: 40 } ] }"
  private static let depthMax = 4
  private static let repeatMax = Course.stagesMax

  private func place(_ value: JSON5) -> String { "\(path):\(value.line):\(value.column)" }

  private mutating func given(_ members: [JSON5.Member], isOwn: Bool) -> [Given] {
    members.compactMap { member in
      let place = "\(path):\(member.line):\(member.column)"
      guard let text = member.value.plain else {
        problems.append(
          "\(place): \(member.name.excerpt) is \(member.value.kind), expected text, a number, true or false")
        return nil
      }
      return Given(name: member.name, value: text, place: place, isOwn: isOwn)
    }
  }

  private mutating func add(_ list: JSON5, under inherited: [Given], suffix: String, depth: Int) {
    guard case .list(let elements) = list.value, !elements.isEmpty else {
      return problems.append("\(place(list)): stages is \(list.kind), expected a list of at least one stage")
    }
    for element in elements {
      guard case .object(let members) = element.value else {
        problems.append("\(place(element)): a stage is \(element.kind), expected an object with a name and settings")
        continue
      }
      if let inner = members.first(where: { $0.name == "stages" }) {
        repeated(element, members, inner.value, under: inherited, suffix: suffix, depth: depth)
      } else {
        single(element, members, under: inherited, suffix: suffix)
      }
      // One more is enough to know that there are too many.
      guard stages.count <= Course.stagesMax else { return }
    }
  }

  private mutating func single(_ element: JSON5, _ members: [JSON5.Member], under inherited: [Given], suffix: String) {
    if let repeating = members.first(where: { $0.name == "repeat" }) {
      problems.append(
        "\(path):\(repeating.line):\(repeating.column): repeat is for a group, { repeat: 2, stages: [ … ] }; put the "
          + "stage into one")
    }
    let own = given(members.filter { !["name", "repeat"].contains($0.name) }, isOwn: true)
    guard let name = members.first(where: { $0.name == "name" }) else {
      return problems.append("\(place(element)): the stage has no name, as in { name: \"warmup\", … }")
    }
    let text = (name.value.plain ?? "") + suffix
    if let problem = Course.problem(ofName: text) { problems.append("\(place(name.value)): \(problem)") }
    stages.append(Stage(name: text, place: place(element), given: inherited + own))
  }

  private mutating func repeated(
    _ element: JSON5, _ members: [JSON5.Member], _ list: JSON5, under inherited: [Given], suffix: String, depth: Int
  ) {
    let inside = given(members.filter { !["repeat", "stages"].contains($0.name) }, isOwn: true)
    let times = members.first { $0.name == "repeat" }
    guard let count = times?.value.plain.flatMap({ Int($0) }), (1...Self.repeatMax).contains(count) else {
      let place = times.map { self.place($0.value) } ?? place(element)
      return problems.append("\(place): a group of stages needs repeat, an integer from 1 to \(Self.repeatMax)")
    }
    guard depth < Self.depthMax else {
      return problems.append("\(place(element)): groups are nested more than \(Self.depthMax) deep")
    }
    for round in 1...count where stages.count <= Course.stagesMax {
      let known = problems
      add(list, under: inherited + inside, suffix: "\(suffix)-\(round)", depth: depth + 1)
      // What is wrong with a group is said once.
      if round > 1 { problems = known }
    }
  }

  private mutating func checkNames() {
    for (index, stage) in stages.enumerated() {
      guard let first = stages[..<index].first(where: { $0.name == stage.name }) else { continue }
      problems.append("\(stage.place): there is a stage \"\(stage.name)\" already, at \(first.place)")
    }
  }
}
