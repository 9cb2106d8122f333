// metrics.jsonl agrees with docs/metrics.md: the tables of that page are the schema.
//
// The first cell of a row names members, the second their unit. The unit says which values are valid: a "fraction" is
// between 0 and 1, a "null" can be missing, tokens and seconds are not negative, hex is hexadecimal. Every member of a
// line must be documented. Every documented member must be present, unless the text says "absent".

import Foundation
import Testing

/// A member, as the page describes it.
private struct DocumentedMember {
  var unit: String
  var mayBeAbsent: Bool

  /// What is wrong with a value, or nil.
  func problem(_ value: Any) -> String? {
    if value is NSNull { return unit.contains("null") || mayBeAbsent || unit.isEmpty ? nil : "is null" }
    if unit == "fractions" {
      guard let numbers = value as? [Double], numbers.allSatisfy({ (0...1).contains($0) }) else {
        return "is no list of fractions: \(value)"
      }
    } else if unit.contains("fraction") {
      guard let number = value as? Double, (0...1).contains(number) else { return "is not a fraction: \(value)" }
    } else if unit.hasPrefix("tokens") || unit == "s" || unit.hasPrefix("nats") || unit.hasPrefix("answers") {
      guard let number = value as? Double, number >= 0 else { return "is no \(unit): \(value)" }
    } else if unit.hasPrefix("hex") {
      guard let text = value as? String, text.count == 64, text.allSatisfy(\.isHexDigit) else {
        return "is no SHA-256: \(value)"
      }
    }
    return nil
  }
}

private struct DocumentedTable {
  var members: [String: DocumentedMember] = [:]

  /// The first table below a line of docs/metrics.md.
  init(below heading: String) throws {
    let page = textOfFile(Program.packageRoot.appendingPathComponent("docs/metrics.md").path)
    let lines = page.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    let start = try #require(lines.firstIndex { $0.hasPrefix(heading) }, "docs/metrics.md has no \(heading)")
    for line in lines[start...].drop(while: { !$0.hasPrefix("|") }).prefix(while: { $0.hasPrefix("|") }).dropFirst(2) {
      let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
      let hasUnit = cells.count > 2
      let text = cells.last ?? ""
      let member = DocumentedMember(
        unit: hasUnit ? cells[1] : "", mayBeAbsent: text.lowercased().contains("absent") || text.contains("only where"))
      for name in cells.first?.split(separator: "`", omittingEmptySubsequences: false).enumerated().filter({
        $0.offset % 2 == 1
      }).map(\.element) ?? [] {
        members[String(name)] = member
      }
    }
  }

  /// The member that documents a name: "pass@k" for "pass@4".
  func member(_ name: String) -> DocumentedMember? {
    if let known = members[name] { return known }
    guard let mark = name.firstIndex(where: { $0 == "@" || $0 == "^" }) else { return nil }
    return members[name[...mark] + "k"]
  }

  func problems(of object: [String: Any], named place: String) -> [String] {
    var problems: [String] = []
    for (name, value) in object.sorted(by: { $0.key < $1.key }) where name != "kind" {
      guard let member = member(name) else {
        problems.append("\(place): \(name) is not in docs/metrics.md")
        continue
      }
      if let problem = member.problem(value) { problems.append("\(place): \(name) \(problem)") }
    }
    for (name, member) in members.sorted(by: { $0.key < $1.key }) {
      let isPattern = name.hasSuffix("@k") || name.hasSuffix("^k")
      if object[name] == nil, !member.mayBeAbsent, !isPattern { problems.append("\(place): \(name) is missing") }
    }
    return problems
  }
}

/// Whether every line of a run's metrics.jsonl agrees with docs/metrics.md.
///
/// - Returns: what does not, and the number of lines of each kind.
func schemaProblems(in directory: String) throws -> (problems: [String], kinds: [String: Int]) {
  let step = try DocumentedTable(below: "## `\"kind\": \"step\"`")
  let prompt = try DocumentedTable(below: "`prompts[]`")
  let process = try DocumentedTable(below: "`processes[]`")
  let evaluation = try DocumentedTable(below: "## `\"kind\": \"evaluation\"`")
  let delivered = try DocumentedTable(below: "## `\"kind\": \"delivered\"`")
  #expect(step.members.count > 35 && prompt.members.count > 14 && evaluation.members.count > 8)
  var problems: [String] = []
  var kinds: [String: Int] = [:]
  for line in textOfFile(directory + "/metrics.jsonl").split(separator: "\n") {
    let object = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
    let kind = object["kind"] as? String ?? ""
    kinds[kind, default: 0] += 1
    let table = ["step": step, "evaluation": evaluation, "delivered": delivered][kind]
    problems += table?.problems(of: object, named: kind) ?? ["a line of the kind \(kind)"]
    for group in object["prompts"] as? [[String: Any]] ?? [] {
      problems += prompt.problems(of: group, named: "prompts[]")
    }
    for one in object["processes"] as? [[String: Any]] ?? [] {
      problems += process.problems(of: one, named: "processes[]")
    }
  }
  return (problems, kinds)
}

extension EndToEnd {
  @Suite struct MetricsSchemaTests {
    @Test func `every line of metrics jsonl agrees with its documentation`() throws {
      let directory = Scratch.shared.file("schema")
      let outcome = try Program.run([
        "train", "--run", directory, "--steps", "2", "--votes", "16", "--train-samples", "8", "--prompts-per-step", "4",
        "--eval-samples", "4", "--eval-every", "0",
      ])
      try #require(outcome.status == 0, "\(outcome.errors)")
      let (problems, kinds) = try schemaProblems(in: directory)
      #expect(problems == [])
      #expect(kinds == ["step": 2, "evaluation": 4, "delivered": 1])
    }
  }
}
