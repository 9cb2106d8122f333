// RunList: several runs, one row each: what they were, how far they came, what they gave.

package import Base

/// One run of a list.
package struct ListedRun: Sendable {
  /// The run's directory.
  package var path: String
  /// Its id.
  package var id: String
  /// When its first round began, seconds since 1970 UTC and as text; nil before that.
  package var begun: (seconds: Double, text: String)?
  /// The last part of the model's path, and the hash of the model.
  package var model: String
  package var modelSHA256: String
  /// Those that change the result and differ from the defaults.
  package var settings: [ShownSetting]
  package var stepsDone: Int
  package var stepCount: Int
  package var state: String
  /// pass@1 on the training questions, as fractions; nil where it is not known.
  package var before: Double?
  package var after: Double?
  /// SHA-256 of the resulting weights; nil before there are some.
  package var weightsSHA256: String?
  /// settings.json.
  package var manifest: JSON

  package init(
    path: String, id: String, begun: (seconds: Double, text: String)?, model: String, modelSHA256: String,
    settings: [ShownSetting], stepsDone: Int, stepCount: Int, state: String, before: Double?, after: Double?,
    weightsSHA256: String?, manifest: JSON
  ) {
    self.path = path
    self.id = id
    self.begun = begun
    self.model = model
    self.modelSHA256 = modelSHA256
    self.settings = settings
    self.stepsDone = stepsDone
    self.stepCount = stepCount
    self.state = state
    self.before = before
    self.after = after
    self.weightsSHA256 = weightsSHA256
    self.manifest = manifest
  }

  /// For programs: a line.
  package var json: JSON {
    [
      "path": .string(path), "run": .string(id), "begun": .optional(begun?.text), "state": .string(state),
      "steps_done": .int(stepsDone), "steps": .int(stepCount),
      "before": ["pass@1": before.map { .double($0) } ?? .null],
      "after": ["pass@1": after.map { .double($0) } ?? .null], "weights_sha256": .optional(weightsSHA256),
      "model": ["name": .string(model), "sha256": .string(modelSHA256)],
      "chosen": .object(settings.map { JSON.Member($0.name, .string($0.value)) }), "manifest": manifest,
    ]
  }

  /// The cells of its row.
  fileprivate var cells: [String] {
    [
      path.visible, begun.map { String($0.text.prefix(16).map { $0 == "T" ? " " : $0 }) } ?? Figures.missing,
      model.visible, state, "\(stepsDone)/\(stepCount)", "\(Figures.percent(before)) → \(Figures.percent(after))",
      weightsSHA256.map { String($0.prefix(12)) } ?? Figures.missing,
      settings.filter { !$0.value.isEmpty }.map { "\($0.name)=\(Self.short($0.value))" }.joined(separator: " "),
    ]
  }

  private static func short(_ value: String) -> String {
    value.count <= 24 ? value.visible : "\(value.prefix(20).description.visible)…"
  }
}

/// A directory that cannot be listed, and why.
package struct UnlistedRun: Sendable {
  package var path: String
  package var problem: String

  package init(path: String, problem: String) {
    self.path = path
    self.problem = problem
  }

  /// For programs: a line.
  package var json: JSON {
    ["path": .string(path), "state": "damaged", "problem": .string(problem)]
  }
}

package enum RunList {
  private static let titles = ["run", "begun (UTC)", "model", "state", "steps", "pass@1", "weights", "settings"]

  /// An aligned table; empty without runs.
  package static func text(_ runs: [ListedRun]) -> String {
    guard !runs.isEmpty else { return "" }
    let rows = [titles] + runs.map(\.cells)
    let widths = titles.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      var line = zip(row, widths).map { padded($0, to: $1) }.joined(separator: "  ")
      while line.hasSuffix(" ") { line.removeLast() }
      return line
    }.joined(separator: "\n")
  }
}
