// SettingsFile: a --config file: JSON5, one flat object of setting names and plain values; or a run's settings.json,
// which stands for the run.

import Base
import Platform

struct SettingsFile {
  /// Names and values as text, in the order of the file.
  private(set) var pairs: [(name: String, value: String)] = []
  private(set) var problems: [String] = []
  /// The directory of the run whose settings.json the file is; nil for an ordinary file.
  private(set) var run: String?

  /// For a command without a file.
  init() {}

  /// Reads a file. What is wrong with it becomes problems, to be reported with those of the flags.
  init(reading path: String) {
    do {
      let file = try JSON5.parse(try Files.read(path, limit: Limits.settingsFileBytes))
      guard case .object(let members) = file.value else {
        problems.append("\(path) is not a settings file: it is \(file.kind); \(Self.expected)")
        return
      }
      func value(_ wanted: String) -> JSON5? { members.first { $0.name == wanted }?.value }
      if case .object = value("settings")?.value, value("run") != nil, value("model_sha256") != nil {
        let name = "settings.json"
        if path.split(separator: "/").last == name[...] {
          run = String(ThisProcess.absolute(path).dropLast(name.count + 1))
        } else {
          problems.append("\(path) is a run's settings under another name; call it \(name), or give --like RUN")
        }
        return
      }
      for member in members {
        if let text = member.value.plain {
          pairs.append((member.name, text))
        } else if member.name == "stages" {
          problems.append("\(path) has stages, so it is a course of training: give it as --stages \(path)")
        } else {
          problems.append(
            "\(path):\(member.value.line):\(member.value.column): \(member.name.excerpt) is \(member.value.kind), "
              + "expected text, a number, true or false")
        }
      }
    } catch let error as JSONError {
      problems.append("\(path) is not a settings file: \(error); \(Self.expected)")
    } catch {
      problems.append("\(error)")
    }
  }

  private static let expected =
    "expected one JSON5 object of names and plain values, such as { steps: 30, lr: 1e-4 }"
}

extension JSON5 {
  /// The value of a setting, as it would be given to its flag; nil if it is not a plain value.
  var plain: String? {
    switch value {
    case .text(let text), .number(let text): text
    case .bool(let value): "\(value)"
    case .null, .list, .object: nil
    }
  }

  /// What it is, for messages.
  var kind: String {
    switch value {
    case .null: "null"
    case .bool, .number, .text: "a plain value"
    case .list: "a list"
    case .object: "an object"
    }
  }
}
