// MetricsRow: reads a line of metrics.jsonl, or a row of the ledger's tables `steps` and `evaluations`, as this version
// of the program names its members.
//
// Runs outlive versions of the program. Former names are replaced here, where a row is read, so no other code knows
// them.

package import Base

package enum MetricsRow {
  /// Of a row's own members. nil: the figure is gone.
  private static let formerNames: [String: String?] = [
    "overturn_rate": "overturn_ratio", "samples_saved": "unneeded_samples", "flip_rate": nil,
  ]
  /// Of the members of one prompt.
  private static let formerNamesOfPrompts: [String: String?] = ["votes": "label_votes", "saved": "unneeded"]

  /// Of the guard's alarms.
  private static let formerAlarms = ["silence": "zero_advantage"]

  package static func parse(_ text: String) throws(JSONError) -> JSON { renamed(try JSON.parse(text)) }

  /// - Parameter range: of one row among the bytes of a file.
  package static func parse(_ bytes: [UInt8], in range: Range<Int>) throws(JSONError) -> JSON {
    renamed(try JSON.parse(bytes, in: range))
  }

  private static func renamed(_ row: JSON) -> JSON {
    guard let members = row.members else { return row }
    return .object(
      members.compactMap { member in
        if member.key == "alarms", let alarms = member.value.elements {
          return JSON.Member("alarms", .array(alarms.map(renamedAlarm)))
        }
        guard let prompts = member.value.elements, ["prompts", "by_prompt"].contains(member.key) else {
          return renamed(member, formerNames)
        }
        return JSON.Member(
          member.key,
          .array(
            prompts.map { prompt in
              prompt.members.map { .object($0.compactMap { renamed($0, formerNamesOfPrompts) }) } ?? prompt
            }))
      })
  }

  private static func renamedAlarm(_ alarm: JSON) -> JSON {
    guard let members = alarm.members else { return alarm }
    return .object(
      members.map { member in
        guard member.key == "name", let name = member.value.string.flatMap({ formerAlarms[$0] }) else { return member }
        return JSON.Member("name", .string(name))
      })
  }

  private static func renamed(_ member: JSON.Member, _ names: [String: String?]) -> JSON.Member? {
    guard let name = names[member.key] else { return member }
    return name.map { JSON.Member($0, member.value) }
  }
}
