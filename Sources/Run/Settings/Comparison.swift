// Comparison: a run's settings compared with the paper's and the reference's, for `--dry-run`.

import Records

package struct Comparison: Sendable, Equatable {
  package struct Row: Sendable, Equatable {
    package var setting: String
    package var ours: String
    package var theirs: Choice

    package var differs: Bool { ours != theirs.value }
  }

  /// In the order of the preset, then of the reference's recipe.
  package var rows: [Row]
  private var title: String

  /// - Parameter settings: resolved. Without a preset only the reference's rules are compared, and no sizes.
  package init(_ settings: RunSettings) {
    let theirs = settings.preset.choices(for: settings.family) + Recipe.reference.choices(steps: settings.method.steps)
    rows = theirs.map { choice in
      // Parsed and written again, so that 0.2 and 2e-1 are spelled alike.
      var other = settings
      other.adopt([choice])
      let setting = SettingTable.named(choice.setting)
      let spelled = Choice(choice.setting, setting?.value(in: other) ?? choice.value, choice.source)
      return Row(setting: choice.setting, ours: setting?.value(in: settings) ?? "", theirs: spelled)
    }
    let preset = settings.preset == .none ? "" : ", preset \(settings.preset.rawValue) for \(settings.family.rawValue)"
    title = "recipe \(settings.recipe.rawValue)\(preset); this run compared with the paper and its release of May 2025:"
  }

  /// One line per setting; a * marks those that differ.
  package var text: String {
    let lines = rows.map { row in
      [row.differs ? "*" : " ", row.setting, Self.shown(row.ours), Self.shown(row.theirs.value), row.theirs.source]
    }
    let head = [" ", "setting", "this run", "theirs", "source"]
    let widths = head.indices.map { column in ([head] + lines).map { $0[column].count }.max() ?? 0 }
    let padded = ([head] + lines).map { cells in
      zip(cells, widths).enumerated().map { index, cell in
        index == head.count - 1 ? cell.0 : cell.0 + String(repeating: " ", count: cell.1 - cell.0.count)
      }
      .joined(separator: "  ")
    }
    return ([title] + padded.map { "  " + $0 } + ["  (* differs)"]).joined(separator: "\n")
  }

  /// A value that fits into a column; an empty one is shown as "-".
  private static func shown(_ value: String) -> String {
    let line = value.split(separator: "\n").joined(separator: " ")
    return line.isEmpty ? "-" : line.count > 24 ? line.prefix(23) + "…" : line
  }
}
