// ArchiveColumns: what every member of every line means, with units. The header of each archive has this, so that an
// archive explains itself.

package import Base

package enum ArchiveColumns {
  /// By the kind of line; of members that several kinds have, under `all`.
  static let meanings: [(kind: String, members: [(name: String, meaning: String)])] = [
    (
      "all",
      [
        ("kind", "what the line is; its other members depend on it"),
        ("purpose", "train: sampled to train on; evaluate: sampled to measure"),
        ("set", "the set of questions: training, held_out, transfer"),
        ("step", "train: the training step, from 0; evaluate: the policy version that is measured"),
        ("question", "the question's index in its set, from 0"),
        ("policy_version", "the version that sampled; 0 is the model that the run began with; step s makes s + 1"),
        ("tokens", "token numbers of the model's tokenizer; of a question the whole prompt, template applied"),
      ]
    ),
    (
      "question",
      [
        ("question_id", "its name in the question file"), ("text", "the question as written"),
        ("answer_kind", "how its answers are read and compared"),
        ("truth", "the right answer of the question file, as written; null: unknown"),
        ("truth_key", "its normal form: equal answers have equal keys"),
        ("row", "the question as a line of a question file: also the turns before it, its source and its domain"),
      ]
    ),
    (
      "round",
      [
        ("policy_sha256", "SHA-256 of the published weights of policy_version"),
        ("figures", "the line of metrics.jsonl about this step or evaluation (docs/metrics.md)"),
      ]
    ),
    (
      "group",
      [
        ("label", "the key that won the vote; null: none"), ("label_votes", "responses that gave the label"),
        ("votes", "[key, responses that gave it], most first"), ("samples", "responses that count"),
        ("unneeded", "responses that the vote did not need; they are not in the archive"),
        ("abstained", "why nothing is rewarded although answers were given; else null"),
      ]
    ),
    (
      "response",
      [
        ("sample", "from 0; with purpose, set, step and question it names the response"),
        ("text", "the response without special tokens, as the answer was read from it"),
        ("finish", "stop: it ended by itself; length: the token limit cut it off"),
        ("answer", "the answer that it states, as written; null: none"), ("key", "the answer's normal form"),
        ("right", "whether the answer is the right one; null: unknown"),
        ("reward", "as computed from the recorded responses, without brevity-penalty; null in an evaluation"),
        ("trained", "whether the step trained on it"),
        ("advantage", "one number for all tokens, or one per token; null if it was not trained on, or unknown"),
        ("logprobs", "natural logarithm of each token's probability under the sampled distribution, float32"),
        ("entropy_sum", "sum over the tokens of that distribution's entropy, nats, float32"),
        ("entropies", "the entropy at each token, nats, float32; only if the method recorded it"),
        ("self_certainty", "mean over the tokens of log sum exp z minus mean z; only if the method recorded it"),
        ("verdict", "what the reward command said: reward, vote_weight, valid, fault; only if there was one"),
      ]
    ),
    (
      "seal",
      [
        ("lines", "how many lines before this one it seals"),
        (
          "sha256",
          "SHA-256 of the seal before as 32 bytes, at first 32 zero bytes, and of these lines with their newlines"
        ),
      ]
    ),
    (
      "end",
      [
        ("lines", "as in a seal"), ("sha256", "as in a seal; it identifies the archive's content"),
        ("all_lines", "lines of the archive"), ("questions", "lines of this kind"), ("rounds", "lines of this kind"),
        ("groups", "lines of this kind"), ("responses", "lines of this kind"),
        ("tokens", "tokens of all responses"),
      ]
    ),
  ]

  /// As the header has it.
  package static var json: JSON {
    .object(
      meanings.map { kind, members in
        JSON.Member(kind, .object(members.map { JSON.Member($0.name, .string($0.meaning)) }))
      })
  }

  /// Whether a member of such a line is explained.
  package static func explains(_ member: String, of kind: String) -> Bool {
    meanings.contains { ["all", kind].contains($0.kind) && $0.members.contains { $0.name == member } }
  }
}
