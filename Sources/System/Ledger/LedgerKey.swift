// LedgerKey: the keys of the table `run`, which holds facts about a run.

package enum LedgerKey: String, Sendable {
  /// The settings with which the run began: settings.json.
  case manifest
  /// The first training question as the model sees it: the JSON of `ExamplePrompt`.
  case examplePrompt = "example_prompt"
  /// Seconds that the coordinator has run, over all its starts.
  case wallSeconds = "wall_seconds"
  /// The last line of metrics.jsonl of a finished run: which version is its result.
  case delivered
  /// The number of the last commit. Every commit sets it.
  case commit
  /// The term of the coordinator that wrote the last commit (Term); not there as long as no standby has taken over.
  case term
  /// Whether results are acknowledged only when a standby has them (Durability), for a standby that takes over.
  case durability
}
