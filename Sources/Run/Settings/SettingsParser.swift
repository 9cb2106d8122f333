// SettingsParser: flags, then the file, then defaults, into checked settings; all problems at once.

import Base
import Records

/// Everything that is wrong with the settings of one command.
package struct SettingsError: LastingError, Sendable, CustomStringConvertible {
  package var problems: [String]

  package init(problems: [String]) { self.problems = problems }

  package var description: String {
    problems.count == 1
      ? problems[0]
      : "\(problems.count) problems with the settings:\n" + problems.map { "  - " + $0 }.joined(separator: "\n")
  }
}

package struct SettingsParser: Sendable {
  package private(set) var settings: Settings
  /// Settings that were given, by flag or file; the others still have their defaults.
  package private(set) var given: [String] = []
  private var problems: [String] = []
  private let allowed: [String]

  /// - Parameters:
  ///   - allowed: names that the command takes.
  ///   - defaults: what holds for settings that are not given.
  package init(allowed: [String], defaults: Settings) {
    self.allowed = allowed
    settings = defaults
  }

  /// Takes a command's arguments: `--name value`, `--name=value`, or `--name` for a switch.
  ///
  /// Returns the arguments as pairs without applying them, so that a file may be applied first.
  ///
  /// - Parameters:
  ///   - arguments: as the shell gave them.
  ///   - operand: the setting that arguments without a flag belong to, all of them as its lines; nil for none.
  package mutating func pairs(
    of arguments: [String], operand: String? = nil
  ) -> [(name: String, value: String)] {
    var pairs: [(String, String)] = []
    var operands: [String] = []
    var index = 0
    while index < arguments.count {
      let argument = arguments[index]
      index += 1
      if operand != nil, !argument.hasPrefix("-"), !argument.isEmpty {
        operands.append(argument)
        continue
      }
      guard argument.hasPrefix("--"), argument.count > 2 else {
        problems.append("\"\(argument)\" is no flag; flags begin with --")
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
        problems.append("--\(parts[0]) needs a value: \(setting?.placeholder ?? "")")
      }
    }
    if let operand, !operands.isEmpty { pairs.append((operand, operands.joined(separator: "\n"))) }
    return pairs
  }

  /// Adds what the caller found wrong, to be reported together with the rest.
  package mutating func note(_ found: [String]) { problems += found }

  /// Replaces the defaults; call before applying anything.
  package mutating func adopt(defaults: Settings) { settings = defaults }

  /// Applies settings from one place ("a flag", "run.json5").
  package mutating func apply(_ pairs: [(name: String, value: String)], from origin: String) {
    var seen: [String] = []
    for (written, value) in pairs {
      guard let setting = SettingTable.named(written) else {
        problems.append("\(origin): there is no setting \"\(written)\"; \(hint(written))")
        continue
      }
      let name = setting.name
      guard allowed.contains(name) else {
        problems.append("\(origin): this command takes no \"\(name)\"")
        continue
      }
      if seen.contains(name) { problems.append("\(origin): \"\(name)\" is given twice") }
      seen.append(name)
      if let problem = setting.set(&settings, value) {
        problems.append("\(origin): \(name) \(problem)")
      } else if !given.contains(name) {
        given.append(name)
      }
    }
  }

  /// What may be meant by a name that no setting has: the name spelt most like it, or those whose help has its words,
  /// as "learning-rate" is lr.
  private func hint(_ name: String) -> String {
    let words = name.split { !$0.isLetter }
    let meant =
      nearest(to: name, in: allowed).map { [$0] }
      ?? SettingTable.all.filter { setting in
        !words.isEmpty && allowed.contains(setting.name) && words.allSatisfy(setting.help.contains)
      }.map(\.name)
    guard (1...4).contains(meant.count) else { return "see --help" }
    return "did you mean \(meant.map { "\"\($0)\"" }.joined(separator: " or "))?"
  }

  /// The settings, if there is nothing wrong with any of them, alone or together.
  package func finish() throws(SettingsError) -> Settings {
    let all = problems + contradictions()
    guard all.isEmpty else { throw SettingsError(problems: all) }
    return settings
  }

  private func contradictions() -> [String] {
    var found: [String] = []
    let method = settings.method
    if method.trainSamples > method.votes {
      found.append("train-samples (\(method.trainSamples)) is above votes (\(method.votes)); lower it or sample more")
    }
    if method.labels == .vote, method.votes < 2 {
      found.append("votes is \(method.votes); a majority needs at least 2")
    }
    found += voteProblems(method)
    if settings.temperature == 0, method.votes > 1, allowed.contains("votes") {
      found.append("temperature 0 makes all votes equal; set it above 0 to sample")
    }
    if method.klCoefficient > 0, settings.topP < 1 || settings.topK > 0 {
      found.append(
        "kl-coefficient is above 0 with top-p below 1 or top-k above 0: a token that policy 0 would not have sampled "
          + "has no finite KL; set top-p 1 and top-k 0, or kl-coefficient 0")
    }
    if method.staleness > 0, settings.topP < 1 || settings.topK > 0 {
      found.append(
        "staleness is above 0 with top-p below 1 or top-k above 0: a token that an older version sampled may be one "
          + "that the trained version would not, and has no ratio; set top-p 1 and top-k 0, or staleness 0")
    }
    let names = settings.transferFiles.map(Settings.setName(ofFile:)).sorted()
    for (name, next) in zip(names, names.dropFirst()) where name == next {
      found.append("transfer has two files that are called \(name); a set is called by its file's name")
    }
    if method.steps == 0, allowed.contains("steps"), settings.evaluation != .full {
      found.append(
        "steps is 0 and eval is \(settings.evaluation.rawValue), so there is nothing to do; eval full evaluates")
    }
    if let k = settings.counts.last, k > settings.samples {
      found.append("counts has \(k), above samples (\(settings.samples)); lower it or sample more")
    }
    let isOwn = settings.template.contains("{question}")
    if !isOwn, !["auto", "plain", "chatml", "qwen2.5-math", "llama3"].contains(settings.template) {
      found.append(
        "template is \"\(settings.template)\", expected auto, plain, chatml, qwen2.5-math, llama3, a text with "
          + "{question} where the question goes, or the path of a file (with a /) that holds one")
    }
    if !settings.system.isEmpty, isOwn || settings.template == "plain" {
      found.append("system is given, but this template has no place for a system line; write it into a template")
    }
    let stops = settings.stopStrings
    if stops.count > Limits.stopStrings
      || stops.contains(where: { !(1...Limits.stopStringBytes).contains($0.utf8.count) })
    {
      found.append(
        "stop is \(settings.stop), expected a text or a JSON list of at most \(Limits.stopStrings) texts, each of 1 to "
          + "\(Limits.stopStringBytes) bytes")
    }
    return found
  }

  /// Settings of the vote that mean nothing beside the others.
  private func voteProblems(_ method: Method) -> [String] {
    var found: [String] = []
    let isHardVote = method.labels == .vote && method.estimator == .vote
    let instead = "labels is \(method.labels.rawValue) and estimator is \(method.estimator.rawValue)"
    if method.estimator != .vote, method.labels != .vote {
      found.append("estimator \(method.estimator.rawValue) needs no label; leave out labels \(method.labels.rawValue)")
    }
    if !isHardVote {
      let label = "only matters to a label that is voted on, and \(instead); leave it out"
      if method.ties != .first { found.append("ties \(method.ties.rawValue) \(label)") }
      if method.minimumShare > 0 { found.append("min-share \(label)") }
      if method.stopsEarly {
        found.append(
          "early-stop stops when a majority is certain, but \(instead), which needs all samples; turn it off")
      }
    }
    if method.stopsEarly, method.trainSamples >= method.votes {
      found.append(
        "early-stop has nothing to save: all \(method.votes) votes are trained on; lower train-samples or turn it off")
    }
    let band = (low: method.voteEntropyLow, high: method.voteEntropyHigh)
    if method.estimator != .softVote, band != (Method().voteEntropyLow, Method().voteEntropyHigh) {
      found.append("vote-entropy-low and vote-entropy-high belong to estimator soft-vote; leave them out")
    }
    if band.low >= band.high {
      found.append("vote-entropy-low (\(band.low)) is not below vote-entropy-high (\(band.high)); no group would train")
    }
    return found
  }
}

/// The name that was probably meant, or nil if none is near.
///
/// - Parameters:
///   - name: as it was typed.
///   - names: what it could be.
package func nearest(to name: String, in names: [String]) -> String? {
  let completions = names.filter { name.count >= 3 && $0.hasPrefix(name) }
  if completions.count == 1 { return completions[0] }
  // Short names are near to everything.
  let reach = name.count < 4 ? 1 : name.count < 9 ? 2 : 3
  let near = names.map { (name: $0, distance: editDistance($0, name)) }.min { $0.distance < $1.distance }
  return near.flatMap { $0.distance <= reach ? $0.name : nil }
}

/// Insertions, deletions and substitutions that make one text of the other.
private func editDistance(_ left: String, _ right: String) -> Int {
  let right = Array(right)
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
