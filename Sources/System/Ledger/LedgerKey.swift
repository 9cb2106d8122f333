// LedgerKey: the facts of a run that the ledger keeps once each, in its table `run`.

package enum LedgerKey: String, Sendable {
  /// What the run was begun with: settings.json.
  case manifest
  /// Seconds that the coordinator has worked, over all its lives.
  case wallSeconds = "wall_seconds"
  /// The last line of metrics.jsonl of a finished run: which version is its result.
  case delivered
}
