// Setting: one row of the table: a name, its help, the kind of its value, and the groups that have it.

import Base
import Records

package struct Setting: Sendable {
  package let name: String
  /// What the value looks like in `--help`; nil for a switch.
  package let placeholder: String?
  package let help: String
  /// All values, if they are words of a list.
  package let choices: [String]
  /// A `Place` for each group that has the setting.
  private let places: [any Sendable]

  /// - Parameter path: where the value is, in every group that has it.
  init<Value, each Group: SettingGroup>(
    _ name: String, _ kind: Kind<Value>, _ help: String, _ path: repeat Path<each Group, Value>
  ) {
    self.name = name
    self.help = help
    placeholder = kind.placeholder
    choices = kind.choices
    var places: [any Sendable] = []
    for path in repeat each path { places.append(Place(kind, path)) }
    self.places = places
  }

  /// Where the setting is in a group: in itself, or in the run's settings inside it. Nil if the group does not have it.
  package func place<Group: SettingGroup>(in group: Group.Type = Group.self) -> Place<Group>? {
    own(group)
      ?? Group.runPath.flatMap { run in
        (own(RunSettings.self) ?? own(OperationSettings.self)?.inside(\RunSettings.operation))?.inside(run)
      }
  }

  private func own<Group>(_ group: Group.Type) -> Place<Group>? {
    places.lazy.compactMap { $0 as? Place<Group> }.first
  }

  /// The value as text, as it would be given to the flag; empty if the group does not have the setting.
  package func value<Group: SettingGroup>(in group: Group) -> String { place(in: Group.self)?.get(group) ?? "" }

  package var effect: SettingEffect {
    own(RunSettings.self) != nil ? .result : own(OperationSettings.self) != nil ? .operation : .command
  }
}

/// Whether a continued run can change a setting. It follows from the group that has the setting.
package enum SettingEffect: Sendable {
  /// It can change the result: fixed when the run begins.
  case result
  /// It cannot change the result: free at every start.
  case operation
  /// It says what a command prints or reads; it is not part of a run.
  case command
}

/// A setting's place in one group.
package struct Place<Group>: Sendable {
  /// Takes a value. Returns what is wrong with it, or nil.
  package let set: @Sendable (inout Group, String) -> String?
  package let get: @Sendable (Group) -> String

  fileprivate init<Value>(_ kind: Kind<Value>, _ path: Path<Group, Value>) {
    set = { group, text in
      guard text.utf8.count <= Limits.settingBytes else {
        return "has \(text.utf8.count) bytes, expected at most \(Limits.settingBytes)"
      }
      guard let value = kind.parse(text) else {
        return (text.isEmpty ? "is empty" : "is \"\(text.excerpt)\"") + ", expected \(kind.expected)"
      }
      group[keyPath: path] = value
      return nil
    }
    get = { kind.spell($0[keyPath: path]) }
  }

  private init(set: @escaping @Sendable (inout Group, String) -> String?, get: @escaping @Sendable (Group) -> String) {
    self.set = set
    self.get = get
  }

  /// The same place, seen from a group that contains this one.
  fileprivate func inside<Outer>(_ path: Path<Outer, Group>) -> Place<Outer> {
    Place<Outer>(set: { set(&$0[keyPath: path], $1) }, get: { get($0[keyPath: path]) })
  }
}

// MARK: - Kinds of values

/// How a value is written.
struct Kind<Value: Sendable>: Sendable {
  /// What it looks like in `--help`; nil for a switch.
  let placeholder: String?
  /// What is expected, for messages.
  let expected: String
  /// All values, if they are words of a list.
  var choices: [String] = []
  let parse: @Sendable (String) -> Value?
  let spell: @Sendable (Value) -> String
}

extension Kind where Value == String {
  static func text(_ placeholder: String) -> Kind {
    Kind(placeholder: placeholder, expected: placeholder, parse: { $0.isEmpty ? nil : $0 }, spell: { $0 })
  }

  /// A text whose default comes from elsewhere. An empty value replaces that default by nothing, and is kept as
  /// `RunSettings.noText`, because an empty setting of a run is one that was not given.
  static func textOrNone(_ placeholder: String) -> Kind {
    Kind(
      placeholder: placeholder, expected: placeholder, parse: { $0.isEmpty ? RunSettings.noText : $0 }, spell: { $0 })
  }
}

extension Kind where Value: FixedWidthInteger {
  static func integer(_ range: ClosedRange<Value>) -> Kind {
    Kind(
      placeholder: "N", expected: "an integer from \(range.lowerBound) to \(range.upperBound)",
      parse: { Value($0).flatMap { range.contains($0) ? $0 : nil } }, spell: { "\($0)" })
  }
}

extension Kind where Value == Int? {
  /// An integer without a default.
  static func optionalInteger(_ range: ClosedRange<Int>) -> Kind {
    let kind = Kind<Int>.integer(range)
    return Kind(
      placeholder: kind.placeholder, expected: kind.expected, parse: { text in kind.parse(text).map { .some($0) } },
      spell: { $0.map { "\($0)" } ?? "" })
  }
}

extension Kind where Value: BinaryFloatingPoint & LosslessStringConvertible {
  static func number(_ range: ClosedRange<Value>) -> Kind {
    Kind(
      placeholder: "X", expected: "a number from \(range.lowerBound) to \(range.upperBound)",
      parse: { Value($0).flatMap { range.contains($0) ? $0 : nil } }, spell: { "\($0)" })
  }
}

extension Kind where Value == [Int] {
  /// Several integers, separated by commas; kept in ascending order, each once.
  static func integers(_ range: ClosedRange<Int>) -> Kind {
    Kind(
      placeholder: "N,N,…",
      expected: "integers from \(range.lowerBound) to \(range.upperBound), as in 4,16,64",
      parse: { text in
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        let values = parts.compactMap { Int($0) }.filter(range.contains)
        return values.count == parts.count ? Set(values).sorted() : nil
      }, spell: { $0.map(String.init).joined(separator: ",") })
  }
}

extension Kind where Value: RawRepresentable<String> & CaseIterable {
  static var choice: Kind {
    let names = Value.allCases.map(\.rawValue)
    return Kind(
      placeholder: names.joined(separator: "|"), expected: names.joined(separator: " or "), choices: names,
      parse: { Value(rawValue: $0) }, spell: { $0.rawValue })
  }
}

extension Kind where Value == RoundID? {
  /// An evaluation of a run: the question set, and the version that was evaluated.
  static var evaluation: Kind {
    let sets = QuestionSet.allCases.filter { $0 != .transfer }
    return Kind(
      placeholder: "SET:N",
      expected: sets.map { "\($0.word):N" }.joined(separator: " or ") + ", where N is a policy version",
      parse: { text in
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let set = sets.first(where: { $0.word == parts[0] }), let version = UInt32(parts[1]),
          version < 1 << 24
        else { return nil }
        return .some(.evaluate(set, at: PolicyVersion(version)))
      }, spell: { $0.map { "\($0.set.word):\($0.step)" } ?? "" })
  }
}

extension Kind where Value == PromptFilter {
  static var promptFilter: Kind {
    Kind(
      placeholder: "RULE", expected: PromptFilter.forms, parse: { PromptFilter($0) }, spell: { "\($0)" })
  }
}

extension Kind where Value == CheckpointInterval {
  static var interval: Kind {
    let steps = Kind<UInt32>.integer(1...(1 << 24))
    return Kind(
      placeholder: "auto|N", expected: "auto or \(steps.expected)",
      parse: { $0 == "auto" ? .auto : steps.parse($0).map(Value.steps) }, spell: { "\($0)" })
  }
}

extension Kind where Value == Bool {
  static var onOff: Kind {
    var kind = words("on", "off", placeholder: "on|off")
    kind.choices = ["on", "off"]
    return kind
  }

  /// A switch: on if its flag is given; a file says true or false.
  static var flag: Kind { words("true", "false", placeholder: nil) }

  private static func words(_ yes: String, _ no: String, placeholder: String?) -> Kind {
    Kind(
      placeholder: placeholder, expected: "\(yes) or \(no)",
      parse: { $0 == yes ? true : $0 == no ? false : nil }, spell: { $0 ? yes : no })
  }
}
