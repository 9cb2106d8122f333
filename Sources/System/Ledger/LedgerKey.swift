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
}
