// The page of a delivered model: it says what was measured and how, and nothing from outside becomes markup.

import Observatory
import Testing

@Suite struct ModelCardTests {
  private func card(labels: Labels = .vote, estimator: String = "vote", base: String = "My-Model") -> String {
    let history = RunHistory(
      parsing: """
        {"kind":"evaluation","policy":0,"set":"train","pass@1":0.3125,"maj@16":0.4375,"majority_ratio":0.34,\
        "no_answer_ratio":0.12,"samples":16,"prompts":2,"pass_by_prompt":[0.25,0.375]}
        {"kind":"step","step":0,"majority_ratio":0.355,"prompts":[]}
        {"kind":"evaluation","policy":1,"set":"train","pass@1":0.5,"maj@16":0.5,"majority_ratio":0.81,\
        "no_answer_ratio":0.01,"samples":16,"prompts":2,"pass_by_prompt":[0.5,0.5]}

        """)
    return ModelCard(
      base: base, baseSHA256: "b0", weightsSHA256: "f1", questions: 2, labels: labels, estimator: estimator,
      prompting: "template plain", settings: [("lr", "1e-06"), ("suffix", "\n\"x\"")], history: history, version: "9"
    ).text
  }

  @Test func `it has the head of a hub's page, the table, the hashes and the settings`() {
    let text = card()
    #expect(text.hasPrefix("---\nlibrary_name: transformers\n"))
    for words in [
      "# My-Model, trained with test-time reinforcement learning", "| pass@1 | 31.3% | 50.0% | +18.8 |",
      "`b0`", "`f1`", "  \"lr\": \"1e-06\",\n  \"suffix\": \"\\n\\\"x\\\"\",", "ttrl 9", "on 2 questions",
    ] {
      #expect(text.contains(words), "\(words) is missing in:\n\(text)")
    }
  }

  @Test func `it says where the labels came from`() {
    #expect(card().contains("saw no answers: the label of a question was the majority"))
    #expect(card(labels: .truth).contains("known answers") && !card(labels: .truth).contains("saw no answers"))
    #expect(card(labels: .random).contains("do not use this model"))
    #expect(card(estimator: "entropy").contains("its reward was entropy"))
  }

  @Test func `a model's name stays text`() {
    let text = card(base: "<script>|a`\n# b")
    #expect(text.contains("# \\<script\\>\\|a\\` \\# b, trained"))
  }
}
