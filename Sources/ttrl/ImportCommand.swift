// ImportCommand: `ttrl import`, which makes a model directory from a GGUF file and says what it wrote.

import Base
import Commands
import GGUF
import LanguageModel
import Observatory
import Platform
import Runs
import Settings

extension Command {
  @Sendable static func importModel(_ settings: ImportSettings, _ call: CallSettings) throws -> Int32 {
    guard settings.model != "builtin" else {
      throw SettingsError(problems: ["model is \"builtin\", expected a GGUF file; the built-in model is a directory"])
    }
    let imported = try ModelImport(ThisProcess.absolute(settings.model))
    let outcome = try imported.write(to: ThisProcess.absolute(settings.out), as: settings.weights.type)
    let notes = imported.model.notes + (outcome.tokenizerProblem.map { ["ttrl cannot use the tokenizer: \($0)"] } ?? [])
    if call.isJSON {
      showJSON(json(imported.model, outcome, notes).text())
    } else {
      show(report(imported.model, outcome, notes))
    }
    return ExitStatus.done
  }

  private static func report(_ model: GGUFModel, _ outcome: ModelImport.Outcome, _ notes: [String]) -> String {
    let configuration = model.configuration
    let millions = Double(model.layout.count) / 1e6
    let types = model.weightTypes.map(\.name).joined(separator: ", ")
    let stops = configuration.eosTokens.map(String.init).joined(separator: ", ")
    let lines = [
      "wrote \(outcome.directory.visible): \(outcome.files.joined(separator: ", "))",
      "model: \(configuration.model.family.architecture), \(configuration.model.layerCount) layers, "
        + "\(Figures.fixed(millions, decimals: 1)) million parameters (\(types))",
      "weights: \(outcome.weightType.configName), \(outcome.weightBytes >> 20) MiB",
      "tokenizer: \(model.tokenizerKind); responses end with \(stops.isEmpty ? "no token" : "token \(stops)")",
      "chat template: \(model.chatTemplate == nil ? "none in the file" : "chat_template.jinja")",
    ]
    return (lines + notes.map { "note: \($0)" }).joined(separator: "\n")
  }

  private static func json(_ model: GGUFModel, _ outcome: ModelImport.Outcome, _ notes: [String]) -> JSON {
    [
      "directory": .string(outcome.directory), "files": .array(outcome.files.map { .string($0) }),
      "architecture": .string(model.configuration.model.family.architecture), "parameters": .int(model.layout.count),
      "gguf_types": .array(model.weightTypes.map { .string($0.name) }),
      "weights": .string(outcome.weightType.configName), "weight_bytes": .int(outcome.weightBytes),
      "stop_tokens": .array(model.configuration.eosTokens.map { .int(Int($0)) }),
      "notes": .array(notes.map { .string($0) }),
    ]
  }
}

extension ImportSettings.Weights {
  /// nil: exact.
  var type: WeightType? {
    switch self {
    case .exact: nil
    case .float32: .float32
    case .bfloat16: .bfloat16
    }
  }
}
