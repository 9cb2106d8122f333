// SettingsFile: a --config file: JSON5, one flat object of setting names and plain values; or a run's settings.json,
// which stands for the run.

import Foundation
import Platform

struct SettingsFile {
  /// Names and values as text, sorted by name, because an object has no order.
  private(set) var pairs: [(name: String, value: String)] = []
  private(set) var problems: [String] = []
  /// The directory of the run whose settings.json the file is; nil for an ordinary file.
  private(set) var run: String?

  /// For a command without a file.
  init() {}

  /// Reads a file. What is wrong with it becomes problems, to be reported with those of the flags.
  init(reading path: String) {
    let decoder = JSONDecoder()
    decoder.allowsJSON5 = true
    do {
      let values = try decoder.decode([String: Value].self, from: Data(try Files.read(path)))
      if case .other = values["settings"], values["run"] != nil, values["model_sha256"] != nil {
        let name = "settings.json"
        if path.split(separator: "/").last == name[...] {
          run = String(ThisProcess.absolute(path).dropLast(name.count + 1))
        } else {
          problems.append("\(path) is a run's settings under another name; call it \(name), or give --like RUN")
        }
        return
      }
      for (name, value) in values.sorted(by: { $0.key < $1.key }) {
        switch value {
        case .plain(let text): pairs.append((name, text))
        case .other(let kind): problems.append("\(path): \(name) is \(kind), expected text, a number, true or false")
        }
      }
    } catch let error as PlatformError {
      problems.append("\(error)")
    } catch {
      // Foundation's decoder does not say where the error is.
      problems.append(
        "\(path) is not a settings file: expected one JSON5 object of names and plain values, such as "
          + "{ steps: 30, lr: 1e-4 }. Is a bracket, a quote or a comma missing?")
    }
  }

  private enum Value: Decodable {
    case plain(String)
    case other(String)

    init(from decoder: any Decoder) throws {
      guard let container = try? decoder.singleValueContainer() else { throw CocoaError(.coderInvalidValue) }
      if container.decodeNil() {
        self = .other("null")
      } else if let value = try? container.decode(Bool.self) {
        self = .plain("\(value)")
      } else if let value = try? container.decode(String.self) {
        self = .plain(value)
      } else if let value = try? container.decode(Int64.self) {
        self = .plain("\(value)")
      } else if let value = try? container.decode(UInt64.self) {
        self = .plain("\(value)")
      } else if let value = try? container.decode(Double.self) {
        self = .plain("\(value)")
      } else {
        self = .other((try? decoder.unkeyedContainer()) == nil ? "an object" : "a list")
      }
    }
  }
}
