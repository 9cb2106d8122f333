// MergeCommand: `ttrl merge`, which makes a model directory from a base and an adapter and says what it wrote.

import Base
import Commands
import LanguageModel
import Observatory
import Platform
import Runs
import Settings

extension Command {
  @Sendable static func merge(_ settings: MergeSettings, _ call: CallSettings) throws -> Int32 {
    let base = try ModelDirectory(try BuiltIn.resolve(model: settings.model))
    let merge = try ModelMerge(base: base, adapter: ThisProcess.absolute(settings.adapter))
    let outcome = try merge.write(to: ThisProcess.absolute(settings.out), as: settings.weights.type)
    let notes =
      notes(unused: try base.unusedParts(), context: base.configuration.model.contextNote)
      + [merge.adapter.note(onBase: base.path), lost(outcome)].compactMap { $0 }
    if call.isJSON {
      showJSON(json(merge, outcome, notes).text())
    } else {
      show(report(merge, outcome, notes))
    }
    return ExitStatus.done
  }

  /// How much of the adapter's change rounding took away.
  private static func lost(_ outcome: ModelMerge.Outcome) -> String? {
    guard outcome.weightType != .float32, outcome.unchanged > 0 else { return nil }
    let share = 100 * Double(outcome.unchanged) / Double(max(1, outcome.adapted))
    return "in \(outcome.weightType.configName), \(Figures.fixed(share, decimals: 1)) % of the adapted weights are "
      + "as in the base, because their change is smaller than the rounding; --weights float32 keeps every change"
  }

  private static func report(_ merge: ModelMerge, _ outcome: ModelMerge.Outcome, _ notes: [String]) -> String {
    let lines = [
      "wrote \(outcome.directory.visible): \(outcome.files.joined(separator: ", "))",
      "base: \(merge.base.path.visible)",
      "adapter: \(description(of: merge.adapter.layout)), for \(counted(outcome.adapted, "weight"))",
      "weights: \(outcome.weightType.configName), \(outcome.weightBytes >> 20) MiB",
    ]
    return (lines + notes.map { "note: \($0)" }).joined(separator: "\n")
  }

  private static func json(_ merge: ModelMerge, _ outcome: ModelMerge.Outcome, _ notes: [String]) -> JSON {
    [
      "directory": .string(outcome.directory), "files": .array(outcome.files.map { .string($0) }),
      "model": .string(merge.base.path), "adapter": .string(merge.adapter.path),
      "weights": .string(outcome.weightType.configName), "weight_bytes": .int(outcome.weightBytes),
      "adapted_weights": .int(outcome.adapted), "unchanged_weights": .int(outcome.unchanged),
      "notes": .array(notes.map { .string($0) }),
    ]
  }
}
