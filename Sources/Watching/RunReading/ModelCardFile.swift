// ModelCardFile: writes the model card of a finished run beside the weights that it delivers.

import Base
package import Ledger
import Observatory
import Platform
import Records
package import Runs
import Settings

package enum ModelCardFile {
  /// Writes README.md. It does not belong to a checkpoint's checksums, so it can be edited.
  ///
  /// Does nothing if the run delivers nothing: it trained nothing.
  ///
  /// - Throws: `LedgerError`, or `PlatformError` on a full disk or missing rights.
  package static func write(_ run: Run, ledger: Ledger) throws {
    let history = try RunSummary.history(ledger)
    guard let delivered = history.delivered else { return }
    let changed = SettingTable.all.filter { setting in
      setting.effect == .result && setting.value(in: run.settings) != setting.value(in: RunSettings())
    }
    let model = run.settings.model
    let card = ModelCard(
      base: model.split(separator: "/").last.map(String.init) ?? model,
      baseSHA256: run.manifest["model_sha256"]?.string ?? "",
      weightsSHA256: delivered.line["weights_sha256"]?.string ?? "", weightsFile: run.weightsFile,
      isAdapter: run.settings.hasAdapter, questions: run.training.questions.count,
      labels: Labels(run.method.objective, run.method.labels), estimator: run.method.estimator.rawValue,
      prompting: run.example?.form ?? "", settings: changed.map { ($0.name, $0.value(in: run.settings)) },
      history: history,
      version: Program.version)
    try Files.write(card.text, to: "\(run.directory.path)/\(delivered.directory)/README.md")
  }
}
