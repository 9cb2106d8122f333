// DryRun: what `--dry-run` has found out, as one JSON object: `train --dry-run --json`, `launch --dry-run --json`.
//
// The same facts are printed as text, on standard error. If something is wrong, the object has only `problems`
// (Command).

import Base
import LanguageModel
import Platform
import Records
import Runs
import Settings

struct DryRun {
  private let beginning: RunBeginning.Outcome
  private let operation: OperationSettings
  private let estimate: RunEstimate?
  private let hosts: [JSON]
  private let commands: [JSON]

  /// - Parameters:
  ///   - operation: of this start.
  ///   - hosts: the memory of every machine of a launch, see `memory(_:name:)`.
  ///   - commands: of a launch.
  init(
    _ beginning: RunBeginning.Outcome, _ operation: OperationSettings, estimate: RunEstimate?, hosts: [JSON] = [],
    commands: [(name: String, command: String)] = []
  ) {
    self.beginning = beginning
    self.operation = operation
    self.estimate = estimate
    self.hosts = hosts
    self.commands = commands.map { ["name": .string($0.name), "command": .string($0.command)] }
  }

  static func parts(_ items: [MemoryPlan.Item]) -> JSON {
    .array(items.filter { $0.bytes > 0 }.map { ["name": .string($0.name), "bytes": .int($0.bytes)] })
  }

  /// The settings have the names and texts of settings.json.
  var json: JSON {
    var settings = beginning.settings
    settings.operation = operation
    let memory = beginning.memory
    let steps = settings.method.steps
    var members = [
      JSON.Member("run", .string(beginning.directory.path)), JSON.Member("continues", .bool(beginning.continues)),
      JSON.Member("problems", .array([])), JSON.Member("settings", RunManifest.values(of: settings)),
      JSON.Member("prompts", .int(beginning.prompts)), JSON.Member("dropped", .int(beginning.dropped)),
      JSON.Member("prompt", beginning.example.json),
      JSON.Member(
        "processes",
        [
          "coordinator": 1, "workers": .int(operation.workers), "learners": .int(steps > 0 ? operation.learners : 0),
        ]),
      JSON.Member(
        "memory",
        [
          "bytes": .int(memory.plan.bytes), "available_bytes": .int(Machine.memoryLimit),
          "parts": Self.parts(memory.plan.items), "kv_memory": .int(memory.keyValueMemory),
          "gradient": .string(memory.gradient.rawValue), "fitted": .optional(memory.note),
        ]),
      JSON.Member("disk", beginning.disk.json),
      JSON.Member("step_seconds", estimate?.stepJSON ?? .null), JSON.Member("run_seconds", estimate?.runJSON ?? .null),
      JSON.Member("proposal", estimate?.proposal?.json ?? .null),
      JSON.Member("method", Self.notes(MethodNotes(settings))),
      JSON.Member("comparison", .array(Comparison(settings).rows.map(Self.compared))),
    ]
    if !hosts.isEmpty { members.append(JSON.Member("hosts", .array(hosts))) }
    if !commands.isEmpty { members.append(JSON.Member("commands", .array(commands))) }
    return .object(members)
  }

  private static func notes(_ notes: MethodNotes) -> JSON {
    [
      "estimator": .string(notes.estimator),
      "sets": .array(notes.sets.map { ["setting": .string($0.setting), "value": .string($0.value)] }),
      "ignores": .array(notes.ignores.map { .string($0) }),
    ]
  }

  private static func compared(_ row: Comparison.Row) -> JSON {
    [
      "setting": .string(row.setting), "value": .string(row.ours), "theirs": .string(row.theirs.value),
      "differs": .bool(row.differs), "source": .string(row.theirs.source),
    ]
  }
}
