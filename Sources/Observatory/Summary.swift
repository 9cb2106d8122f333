// Summary: the object of RUN/summary.json, for programs. docs/cli.md lists its members; they only ever grow.

package import Base

/// RUN/summary.json.
package enum Summary {
  /// - Parameters:
  ///   - wallSeconds: of the whole run, all its starts together.
  ///   - weightsSHA256: of the final checkpoint's model.safetensors, hexadecimal; nil before there is one.
  ///   - stateSHA256: of the float32 masters and the optimizer state, in their fixed order.
  ///   - settings: the resolved settings, as in settings.json.
  ///   - versions: of this program and the libraries that decide results.
  package static func json(
    _ history: RunHistory, wallSeconds: Double, weightsSHA256: String?, stateSHA256: String?, settings: JSON,
    versions: JSON
  ) -> JSON {
    let outcome = Outcome(history)
    return [
      "steps": .int(history.steps.count),
      "wall_seconds": .double(wallSeconds),
      "before": end(train: outcome.train.before, heldOut: outcome.heldOut.before),
      "after": end(train: outcome.train.after, heldOut: outcome.heldOut.after),
      "label_accuracy": byStep(history, \.labelAccuracy),
      "reward_accuracy": byStep(history, \.rewardAccuracy),
      "weights_sha256": .optional(weightsSHA256),
      "state_sha256": .optional(stateSHA256),
      "settings": settings,
      "versions": versions,
    ]
  }

  /// One end of the run. `train` is always an object, so that a reader finds its members; a held-out set that was not
  /// evaluated is null.
  private static func end(train: EvaluationRecord?, heldOut: EvaluationRecord?) -> JSON {
    ["train": figures(train), "held_out": heldOut.map { figures($0) } ?? .null]
  }

  private static func figures(_ evaluation: EvaluationRecord?) -> JSON {
    let counts = [16, 64] + (evaluation?.majorityCounts ?? []).filter { $0 != 16 && $0 != 64 }
    return .object(
      [JSON.Member("pass@1", number(evaluation?.passAt1))]
        + counts.map { JSON.Member("maj@\($0)", number(evaluation?.majority(at: $0))) }
        + [
          JSON.Member("majority_ratio", number(evaluation?.majorityRatio)),
          JSON.Member("no_answer_ratio", number(evaluation?.noAnswerRatio)),
        ])
  }

  /// A figure of every recorded step, in step order, null where a step lacks it; null altogether if all do.
  private static func byStep(_ history: RunHistory, _ figure: (StepRecord) -> Double?) -> JSON {
    let values = history.steps.map(figure)
    return values.contains { $0 != nil } ? .array(values.map(number)) : .null
  }

  private static func number(_ value: Double?) -> JSON { value.map { .double($0) } ?? .null }
}
