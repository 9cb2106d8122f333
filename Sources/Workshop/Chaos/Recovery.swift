// Recovery: how long after a kill the victim was replaced, read from the coordinator's log.
//
// A worker is replaced when a worker with its name joins, a learner when a learner joins. The coordinator (and `ttrl
// train`, with which it dies) is replaced when a worker joins it. If the run ends before that, the kill has no recovery
// time.

/// One line of a process's log: `time=… level=… event=… key=value …`.
package struct LogLine: Equatable, Sendable {
  /// As written: ISO 8601 in UTC with milliseconds. The texts sort in the order of the times.
  package var time = ""
  package var event = ""
  package var fields: [(name: String, value: String)] = []

  /// - Returns: nil for any other text, also for a line that was cut short.
  package init?(parsing line: some StringProtocol) {
    guard line.hasPrefix("time=") else { return nil }
    var rest = line[...]
    while !rest.isEmpty {
      guard let equals = rest.firstIndex(of: "=") else { return nil }
      let name = String(rest[..<equals])
      rest = rest[rest.index(after: equals)...]
      let value: String
      if rest.first == "\"" {
        guard let (text, end) = Self.quoted(rest) else { return nil }
        value = text
        rest = rest[end...]
      } else {
        let end = rest.firstIndex(of: " ") ?? rest.endIndex
        value = String(rest[..<end])
        rest = rest[end...]
      }
      rest = rest.drop { $0 == " " }
      switch name {
      case "time": time = value
      case "event": event = value
      default: fields.append((name, value))
      }
    }
    guard !event.isEmpty else { return nil }
  }

  private static func quoted<Text: StringProtocol>(_ text: Text) -> (String, end: Text.Index)? {
    var value = ""
    var index = text.index(after: text.startIndex)
    while index < text.endIndex {
      let character = text[index]
      index = text.index(after: index)
      if character == "\"" { return (value, index) }
      guard character == "\\", index < text.endIndex else {
        value.append(character)
        continue
      }
      value.append(text[index] == "n" ? "\n" : text[index])
      index = text.index(after: index)
    }
    return nil
  }

  /// The last field of this name: the event's own field, if the logging process has a field of that name too (`role`).
  package subscript(_ name: String) -> String? { fields.last { $0.name == name }?.value }

  package static func == (left: Self, right: Self) -> Bool {
    left.time == right.time && left.event == right.event
      && left.fields.map(\.name) == right.fields.map(\.name) && left.fields.map(\.value) == right.fields.map(\.value)
  }
}

/// One kill that happened.
package struct Kill: Equatable, Sendable {
  package var kind: ProcessKind
  /// A worker's `--name`; otherwise empty.
  package var name: String
  /// Seconds since 1970.
  package var time: Double

  package init(_ kind: ProcessKind, name: String = "", time: Double) {
    self.kind = kind
    self.name = name
    self.time = time
  }

  /// Whether a process that joins replaces the victim.
  func isReplaced(by joined: LogLine) -> Bool {
    guard joined.event == "coordinator.joined" else { return false }
    return switch kind {
    case .worker: joined["name"] == name
    case .learner, .mpirun: joined["role"] == "learner"
    case .coordinator, .train: joined["role"] == "worker"
    }
  }
}

/// Recovery times of the kills of one kind.
package struct RecoveryTimes: Equatable, Sendable {
  package var kills: Int
  /// Seconds from kill to recovery, ascending, for the kills that have a recovery.
  package var seconds: [Double]

  package init(kills: Int, seconds: [Double]) {
    self.kills = kills
    self.seconds = seconds
  }

  package var median: Double? { seconds.isEmpty ? nil : seconds[(seconds.count - 1) / 2] }
  package var worst: Double? { seconds.last }
}

/// - Parameters:
///   - kills: in the order of time.
///   - log: the coordinator's lines, in order, with their times in seconds since 1970.
/// - Returns: the times of every kind, in the order of `ProcessKind`.
package func recoveries(
  of kills: [Kill], log: [(seconds: Double, line: LogLine)]
) -> [(kind: ProcessKind, times: RecoveryTimes)] {
  ProcessKind.allCases.map { kind in
    let ours = kills.filter { $0.kind == kind }
    let seconds = ours.compactMap { kill in
      log.first { $0.seconds > kill.time && kill.isReplaced(by: $0.line) }.map { $0.seconds - kill.time }
    }
    return (kind, RecoveryTimes(kills: ours.count, seconds: seconds.sorted()))
  }
}
