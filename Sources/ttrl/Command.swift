// Command: what `ttrl` can be told to do, and the one way in which every command reads its settings and fails.

import Base
import Foundation
import Platform
import Runs
import Settings

/// Exit statuses that scripts may rely on.
enum ExitStatus {
  static let done: Int32 = 0
  static let failed: Int32 = 1
  static let usage: Int32 = 2
  static let interrupted: Int32 = 130
}

/// A failure whose text is for the user; no stack, no type names.
struct UserError: Error, CustomStringConvertible {
  var description: String
  var status = ExitStatus.failed

  init(_ description: String, status: Int32 = ExitStatus.failed) {
    self.description = description
    self.status = status
  }
}

struct Command: Sendable {
  let name: String
  let summary: String
  /// Names of the settings it takes, beyond `help` and `config`.
  let settings: [String]
  let run: @Sendable (Settings, _ given: [String]) throws -> Int32

  /// Settings that may shape a run.
  static let runSettings = SettingTable.all.filter { $0.effect == .result }.map(\.name)

  static let all: [Command] = [
    Command(
      name: "train", summary: "train a model on this machine: coordinator, workers and learner ranks",
      settings: runSettings + [
        "run", "workers", "learners", "threads", "listen", "checkpoint-every", "keep-checkpoints", "dry-run", "json",
      ], run: train),
    Command(
      name: "coordinator", summary: "one role: split the questions, keep the ledger, serve weights",
      settings: runSettings + ["run", "listen", "checkpoint-every", "keep-checkpoints"], run: coordinator),
    Command(
      name: "worker", summary: "one role: sample what the coordinator leases",
      settings: ["coordinator", "name", "threads"], run: worker),
    Command(
      name: "learner", summary: "one role: train; run it under mpirun",
      settings: ["run", "coordinator", "threads", "checkpoint-every", "keep-checkpoints"], run: learner),
    Command(
      name: "eval", summary: "pass@1 and maj@k of a model on questions with answers",
      settings: [
        "model", "data", "template", "suffix", "long-prompts", "seed", "samples", "temperature", "top-p", "top-k",
        "max-new-tokens", "ignore-eos", "dtype", "threads", "json",
      ], run: evaluate),
    Command(
      name: "generate", summary: "sample responses; JSONL in, JSONL out",
      settings: [
        "model", "template", "suffix", "seed", "samples", "temperature", "top-p", "top-k", "max-new-tokens",
        "ignore-eos", "dtype", "threads",
      ], run: generate),
    Command(
      name: "logprobs", summary: "log-probabilities of given tokens; JSONL in, JSONL out",
      settings: ["model", "dtype", "threads"], run: logprobs),
    Command(
      name: "tokenize", summary: "text to ids and back; JSONL in, JSONL out", settings: ["model", "decode"],
      run: tokenize),
    Command(name: "extract", summary: "the final answer of a response; JSONL in, JSONL out", settings: [], run: extract),
    Command(name: "grade", summary: "are two answers equal; JSONL in, JSONL out", settings: [], run: grade),
    Command(
      name: "vote", summary: "vote and rewards of a group of responses; JSONL in, JSONL out", settings: ["labels"],
      run: vote),
    Command(name: "status", summary: "what a run has done and is doing", settings: ["run", "json"], run: status),
    Command(name: "report", summary: "write report.html of a run", settings: ["run"], run: report),
    Command(
      name: "pretrain", summary: "make the small base model that is built in", settings: ["run", "seed", "threads", "json"],
      run: pretrain),
  ]

  // MARK: Entry

  static func main(_ arguments: [String]) -> Int32 {
    guard let name = arguments.first, name != "--help", name != "help" else {
      print(overview)
      return arguments.isEmpty ? ExitStatus.usage : ExitStatus.done
    }
    guard let command = all.first(where: { $0.name == name }) else {
      complain("ttrl: there is no command \"\(name)\". Commands: \(all.map(\.name).joined(separator: ", "))")
      return ExitStatus.usage
    }
    do {
      let (settings, given) = try command.resolve(Array(arguments.dropFirst()))
      if settings.isHelp {
        print(command.help)
        return ExitStatus.done
      }
      return try command.run(settings, given)
    } catch let error as SettingsError {
      complain("ttrl \(name): \(error)\nSee: ttrl \(name) --help")
      return ExitStatus.usage
    } catch let error as UserError {
      complain("ttrl \(name): \(error)")
      return error.status
    } catch {
      complain("ttrl \(name): \(error)")
      return ExitStatus.failed
    }
  }

  /// Flags win over the file, the file over the defaults; the built-in model brings defaults of its own.
  private func resolve(_ arguments: [String]) throws -> (Settings, given: [String]) {
    var reading = SettingsParser(allowed: settings + ["help", "config"], defaults: Settings())
    let flags = reading.pairs(of: arguments)
    var file: [(name: String, value: String)] = []
    var origin = ""
    if let path = flags.last(where: { $0.name == "config" })?.value {
      origin = path
      file = try SettingsFile.read(path)
    }
    let givesModel = (flags + file).contains { $0.name == "model" }
    let trains = name == "train" || name == "coordinator"
    reading.adopt(defaults: trains && !givesModel ? BuiltIn.defaults : Settings())
    reading.apply(file, from: origin)
    reading.apply(flags, from: "command line")
    if reading.settings.isHelp { return (reading.settings, []) }
    let settings = try reading.finish()
    return (settings, reading.given)
  }

  private var help: String {
    var lines = ["ttrl \(name): \(summary)", "", "Settings (a flag, or a key of the --config file):"]
    let shown = SettingTable.all.filter { (settings + ["config", "help"]).contains($0.name) }
    let heads = shown.map { "  --\($0.name)" + ($0.placeholder.map { " \($0)" } ?? "") }
    let width = heads.map(\.count).max() ?? 0
    for (head, setting) in zip(heads, shown) {
      let value = setting.value(in: Settings())
      let note = setting.placeholder == nil || value.isEmpty ? "" : " [\(value)]"
      lines.append(head + String(repeating: " ", count: width - head.count + 2) + setting.help + note)
    }
    return lines.joined(separator: "\n")
  }

  private static var overview: String {
    let width = all.map(\.name.count).max() ?? 0
    return (["ttrl: test-time reinforcement learning on Linux machines", "", "Commands:"]
      + all.map { "  " + $0.name + String(repeating: " ", count: width - $0.name.count + 2) + $0.summary }
      + ["", "ttrl COMMAND --help tells more. ttrl train alone runs the built-in example."])
      .joined(separator: "\n")
  }

  static func complain(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }
}

/// A --config file: JSON5, one flat object.
enum SettingsFile {
  private enum Value: Decodable {
    case text(String)
    case number(Double)
    case integer(Int64)
    case flag(Bool)

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let value = try? container.decode(Bool.self) {
        self = .flag(value)
      } else if let value = try? container.decode(Int64.self) {
        self = .integer(value)
      } else if let value = try? container.decode(Double.self) {
        self = .number(value)
      } else {
        self = .text(try container.decode(String.self))
      }
    }

    var text: String {
      switch self {
      case .text(let value): value
      case .number(let value): "\(value)"
      case .integer(let value): "\(value)"
      case .flag(let value): "\(value)"
      }
    }
  }

  /// The settings of a file, sorted by name.
  static func read(_ path: String) throws -> [(name: String, value: String)] {
    let bytes = try Files.read(path)
    let decoder = JSONDecoder()
    decoder.allowsJSON5 = true
    do {
      let values = try decoder.decode([String: Value].self, from: Data(bytes))
      return values.sorted { $0.key < $1.key }.map { ($0.key, $0.value.text) }
    } catch {
      throw UserError(
        "cannot read settings from \(path): expected one JSON5 object of names and plain values, such as "
          + "{ steps: 30, lr: 1e-4 }; \(error.localizedDescription)", status: ExitStatus.usage)
    }
  }
}
