// ModelCard: README.md beside the weights that a run delivers: what the model is, how it was made, what was measured.
//
// Hubs show this file as the model's page. Its head holds only what the run knows; the name of the base model and the
// license are for the user to add, and the card says so.

import Base

/// The page of a model that a run made.
package struct ModelCard: Sendable {
  /// The base model's name: the last part of its path.
  package var base: String
  /// SHA-256 of the base model and of the delivered weights, in hexadecimal.
  package var baseSHA256: String
  package var weightsSHA256: String
  /// The name of the file of the delivered weights.
  package var weightsFile: String
  /// Whether the delivered weights are an adapter.
  package var isAdapter: Bool
  /// How many training questions there are.
  package var questions: Int
  package var labels: Labels
  /// What is rewarded, by its name in the settings.
  package var estimator: String
  /// How a question becomes a prompt.
  package var prompting: String
  /// The settings that differ from the defaults, as they would be given.
  package var settings: [(name: String, value: String)]
  package var history: RunHistory
  package var version: String

  package init(
    base: String, baseSHA256: String, weightsSHA256: String, weightsFile: String = "model.safetensors",
    isAdapter: Bool = false, questions: Int, labels: Labels, estimator: String, prompting: String,
    settings: [(name: String, value: String)], history: RunHistory, version: String
  ) {
    self.base = base
    self.baseSHA256 = baseSHA256
    self.weightsSHA256 = weightsSHA256
    self.weightsFile = weightsFile
    self.isAdapter = isAdapter
    self.questions = questions
    self.labels = labels
    self.estimator = estimator
    self.prompting = prompting
    self.settings = settings
    self.history = history
    self.version = version
  }

  /// Markdown with the head that the Hugging Face hub reads.
  package var text: String {
    let outcome = Outcome(history)
    return """
      ---
      library_name: \(isAdapter ? "peft" : "transformers")
      pipeline_tag: text-generation
      tags:
      - \(labels == .given ? "supervised-fine-tuning" : "test-time-reinforcement-learning")
      - ttrl
      ---
      <!-- Before you publish this: add `base_model:` and `license:` to the head. The run does not know them. -->

      # \(Self.inline(base)), trained \(way)

      \(outcome.sentence(history, labels: labels))

      The model was trained on \(counted(questions, "question")). \(source)
      \(table(outcome))
      ## Use

      \(isAdapter ? Self.adapterUse : "")Ask it as it was trained: \(Self.inline(prompting)). `ttrl.json` has these
      settings, and `ttrl eval` and `ttrl generate` use them without being told.

      ## How it was made

      | | |
      |---|---|
      | program | ttrl \(version) |
      | base model, SHA-256 of its configuration and weights | `\(baseSHA256)` |
      | these weights, SHA-256 of `\(weightsFile)` | `\(weightsSHA256)` |

      Settings that differ from the defaults:

      ```json5
      {
      \(settings.map { "  \"\($0.name)\": \(JSON.string($0.value).text())," }.joined(separator: "\n"))
      }
      ```

      """
  }

  private static let adapterUse =
    "This is an adapter, which is added to its base model: `ttrl eval` and `ttrl generate` take both, as "
    + "`--model BASE --adapter ADAPTER`, and `peft` opens it. `ttrl merge` makes one model of the two.\n\n"

  private var way: String { labels == .given ? "on given responses" : "with test-time reinforcement learning" }

  private var source: String {
    switch labels {
    case .given: "It learned responses that it was given; nothing was sampled or voted on while it was trained."
    case .vote where estimator != "vote":
      "It saw no answers: its reward was \(estimator), which needs none. Nothing says that what is rewarded is right."
    case .vote:
      "It saw no answers: the label of a question was the majority answer of the model's own responses (TTRL, "
        + "arXiv 2504.16084). A wrong majority is rewarded like a right one."
    case .truth: "The labels were the known answers, as an upper bound to compare with."
    case .random: "The labels were random, as a control: do not use this model."
    }
  }

  private func table(_ outcome: Outcome) -> String {
    guard !outcome.sets.isEmpty else { return "\nIt was not evaluated.\n" }
    var lines = ["", "| | before | after | change |", "|---|---:|---:|---:|"]
    for set in outcome.sets {
      let (title, ends) = (set.title, set.ends)
      lines.append("| **\(Self.inline(title))** | | | |")
      lines += outcome.rows(ends).map { row in
        let cells = [row.name, Figures.percent(row.before), Figures.percent(row.after), Figures.points(row.change)]
        return "| \(cells.joined(separator: " | ")) |"
      }
    }
    return (lines + [""]).joined(separator: "\n")
  }

  /// Text from outside in a line of Markdown: what would be markup is shown as it is.
  private static func inline(_ text: String) -> String {
    var shown = ""
    for scalar in text.unicodeScalars {
      if scalar.value < 0x20 || scalar.value == 0x7F {
        shown += " "
      } else {
        if "\\`*_[]<>|#&".unicodeScalars.contains(scalar) { shown.append("\\") }
        shown.unicodeScalars.append(scalar)
      }
    }
    return shown
  }
}
