// SettingsParser: a command's settings from its flags, its file and its defaults, checked. All problems are reported
// at once.

import Base

/// Everything that is wrong with the settings of one command.
package struct SettingsError: LastingError, Sendable, CustomStringConvertible {
  package var problems: [String]

  package init(problems: [String]) { self.problems = problems }

  /// Further problems are counted but not printed.
  private static let linesMax = 50

  package var description: String {
    if problems.count == 1 { return problems[0].visible }
    let rest = problems.count - Self.linesMax
    let lines = problems.prefix(Self.linesMax).map(\.visible) + (rest > 0 ? ["and \(rest) more"] : [])
    return "\(problems.count) problems with the settings:\n" + lines.map { "  - " + $0 }.joined(separator: "\n")
  }
}

package struct SettingsParser<Group: SettingGroup>: Sendable {
  package private(set) var settings: Group
  package private(set) var call = CallSettings()
  /// What is wrong with single values. `finish` also looks for values that contradict each other.
  package private(set) var found: [String] = []
  private let allowed: [String]

  /// - Parameters:
  ///   - allowed: names that the command takes. Those that its group does not have are refused like any other name.
  ///   - defaults: the values of settings that are not given.
  package init(allowed: [String], defaults: Group) {
    self.allowed = SettingTable.all.filter { setting in
      setting.place(in: Group.self) != nil || setting.place(in: CallSettings.self) != nil
    }.map(\.name).filter(allowed.contains)
    settings = defaults
  }

  /// Reads a command's arguments: `--name value`, `--name=value`, or `--name` for a switch.
  ///
  /// Returns them as pairs and applies nothing, so that the caller can apply a file first.
  ///
  /// - Parameters:
  ///   - arguments: as the shell gave them.
  ///   - names: the settings for arguments without a flag. If it is one, each argument is one line of its value; if
  ///     there are more, each takes one argument, in this order.
  package mutating func pairs(
    of arguments: [String], operands names: [String] = []
  ) -> [(name: String, value: String)] {
    var pairs: [(String, String)] = []
    var operands: [String] = []
    var index = 0
    while index < arguments.count {
      let argument = arguments[index]
      index += 1
      if !names.isEmpty, !argument.hasPrefix("-"), !argument.isEmpty {
        operands.append(argument)
        continue
      }
      guard argument.hasPrefix("--"), argument.count > 2 else {
        found.append("\"\(argument.excerpt)\" is not a flag; flags begin with --")
        continue
      }
      let body = argument.dropFirst(2)
      let parts = body.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      let setting = SettingTable.named(parts[0])
      if parts.count == 2 {
        pairs.append((parts[0], parts[1]))
      } else if let setting, setting.placeholder == nil {
        pairs.append((parts[0], "true"))
      } else if index < arguments.count, setting != nil, !arguments[index].hasPrefix("--") {
        pairs.append((parts[0], arguments[index]))
        index += 1
      } else if setting == nil {
        pairs.append((parts[0], ""))
        // Its value, if it has one, is not a problem of its own.
        if index < arguments.count, !arguments[index].hasPrefix("--") { index += 1 }
      } else {
        found.append("--\(parts[0]) needs a value: \(setting?.placeholder ?? "")")
      }
    }
    guard names.count != 1 else {
      return operands.isEmpty ? pairs : pairs + [(names[0], operands.joined(separator: "\n"))]
    }
    for extra in operands.dropFirst(names.count) {
      found.append("\"\(extra.excerpt)\" is one argument too many")
    }
    return pairs + zip(names, operands).map { ($0, $1) }
  }

  /// Adds what the caller found wrong, to be reported together with the rest.
  package mutating func note(_ found: [String]) { self.found += found }

  /// Replaces the defaults. To be called before anything is applied.
  package mutating func adopt(defaults: Group) { settings = defaults }

  /// Applies settings from one place ("command line", "run.json5").
  package mutating func apply(_ pairs: [(name: String, value: String)], from origin: String) {
    guard pairs.count <= Limits.settingsGiven else { return found.append(Self.tooMany(pairs.count, in: origin)) }
    var seen: [String] = []
    for (written, value) in pairs {
      guard let setting = SettingTable.named(written) else {
        found.append("\(origin): there is no setting \"\(written.excerpt)\"; \(hint(written))")
        continue
      }
      let name = setting.name
      guard allowed.contains(name) else {
        found.append("\(origin): this command does not take \"\(name)\"")
        continue
      }
      if seen.contains(name) { found.append("\(origin): \"\(name)\" is given twice") }
      seen.append(name)
      if let problem = take(setting, value) {
        found.append("\(origin): \(name) \(problem)")
      } else if !call.given.contains(name) {
        call.given.append(name)
      }
    }
  }

  private static func tooMany(_ count: Int, in origin: String) -> String {
    "\(origin): it has \(count) settings, expected at most \(Limits.settingsGiven); there are "
      + "\(SettingTable.all.count). Is it a file of settings?"
  }

  private mutating func take(_ setting: Setting, _ value: String) -> String? {
    if let place = setting.place(in: Group.self) { return place.set(&settings, value) }
    return setting.place(in: CallSettings.self)?.set(&call, value)
  }

  /// Suggestions for a name that no setting has: what it is in another tool, the most similar name, or the settings
  /// whose help has its words.
  private func hint(_ name: String) -> String {
    let spelled = ForeignNames.spelled(name)
    if allowed.contains(spelled) { return "did you mean \"\(spelled)\"?" }
    if let answer = ForeignNames.answer(to: name) { return answer }
    let words = name.split { !$0.isLetter }
    let meant =
      nearest(to: name, in: allowed).map { [$0] }
      ?? SettingTable.all.filter { setting in
        !words.isEmpty && allowed.contains(setting.name) && words.allSatisfy(setting.help.contains)
      }.map(\.name)
    guard (1...4).contains(meant.count) else { return "see --help" }
    return "did you mean \(meant.map { "\"\($0)\"" }.joined(separator: " or "))?"
  }

  /// The settings, if nothing is wrong with any of them, alone or together.
  package func finish() throws(SettingsError) -> Group {
    let all = found + settings.problems(taking: allowed)
    guard all.isEmpty else { throw SettingsError(problems: all) }
    return settings
  }
}

/// The name that was probably meant, or nil if none is similar.
///
/// - Parameters:
///   - name: as it was typed.
///   - names: what it could be.
package func nearest(to name: String, in names: [String]) -> String? {
  let letters = Array(name)
  let completions = names.filter { letters.count >= 3 && $0.hasPrefix(name) }
  if completions.count == 1 { return completions[0] }
  // With a larger limit a short name would be similar to everything.
  let limit = letters.count < 4 ? 1 : letters.count < 9 ? 2 : 3
  // Each letter more or less is a difference, so most names need no comparison.
  let candidates = names.filter { abs($0.count - letters.count) <= limit }
  let near = candidates.map { (name: $0, distance: editDistance($0, letters)) }.min { $0.distance < $1.distance }
  return near.flatMap { $0.distance <= limit ? $0.name : nil }
}

/// The number of insertions, deletions and substitutions that turn one text into the other.
private func editDistance(_ left: String, _ right: [Character]) -> Int {
  var row = Array(0...right.count)
  for (index, character) in left.enumerated() {
    var diagonal = row[0]
    row[0] = index + 1
    for column in 0..<right.count {
      let substitution = diagonal + (character == right[column] ? 0 : 1)
      diagonal = row[column + 1]
      row[column + 1] = min(substitution, row[column] + 1, row[column + 1] + 1)
    }
  }
  return row[right.count]
}
