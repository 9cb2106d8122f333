// Summary: the object of RUN/summary.json, for programs. docs/metrics.md lists its members. Members are added, never
// removed.

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
      "before": end(outcome, \.before), "after": end(outcome, \.after),
      "changes": ["train": changes(outcome.train), "held_out": changes(outcome.heldOut)],
      "pass_curve": ["train": outcome.train.curveJSON, "held_out": outcome.heldOut.curveJSON],
      "vote_samples": VoteSamples.ends(history).map { ["first_visits": $0.first.json, "last_visits": $0.last.json] }
        ?? .null,
      "delivered": delivered(history), "alarms": alarms(history),
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
  private static func end(_ outcome: Outcome, _ end: (Comparison) -> EvaluationRecord?) -> JSON {
    /// Null if there are none.
    func parts(_ list: [Outcome.Part]) -> JSON {
      list.isEmpty ? .null : .object(list.map { JSON.Member($0.name, figures(end($0.ends))) })
    }
    let sets: [JSON.Member] = [
      .init("train", figures(end(outcome.train))),
      .init("held_out", end(outcome.heldOut).map { figures($0) } ?? .null),
      .init("transfer", parts(outcome.transferSets)),
    ]
    guard !outcome.domains.isEmpty || !outcome.heldOutDomains.isEmpty else { return .object(sets) }
    let domains: JSON = ["train": parts(outcome.domains), "held_out": parts(outcome.heldOutDomains)]
    return .object(sets + [.init("domains", domains)])
  }

  private static func figures(_ evaluation: EvaluationRecord?) -> JSON {
    let counts = [16, 64] + (evaluation?.majorityCounts ?? []).filter { $0 != 16 && $0 != 64 }
    let figures = evaluation?.figures ?? []
    let intervals = figures.compactMap { figure in
      figure.interval.map { JSON.Member(figure.name, .array([.double($0.low), .double($0.high)])) }
    }
    return .object(
      [JSON.Member("pass@1", number(evaluation?.passAt1))]
        + counts.map { JSON.Member("maj@\($0)", number(evaluation?.majority(at: $0))) }
        + [
          JSON.Member("majority_ratio", number(evaluation?.majorityRatio)),
          JSON.Member("no_answer_ratio", number(evaluation?.noAnswerRatio)),
        ]
        + figures.filter { $0.name != "pass@1" && !$0.isMajority }.map { JSON.Member($0.name, number($0.value)) }
        + (intervals.isEmpty ? [] : [JSON.Member("ci95", .object(intervals))]))
  }

  /// What the run delivered; null until it is finished.
  private static func delivered(_ history: RunHistory) -> JSON {
    guard let members = history.delivered?.line.members else { return .null }
    return .object(members.filter { $0.key != "kind" })
  }

  private static func alarms(_ history: RunHistory) -> JSON {
    .array(
      history.alarms.map {
        [
          "step": .int($0.step), "name": .string($0.alarm.name), "value": number($0.alarm.value),
          "limit": number($0.alarm.limit),
        ]
      })
  }

  /// The questions whose majority changed, by prompt; null if before and after cannot be compared.
  private static func changes(_ ends: Comparison) -> JSON {
    guard let changes = ends.labelChanges else { return .null }
    return [
      "learned": .array(changes.learned.map { .int($0) }), "lost": .array(changes.lost.map { .int($0) }),
      "kept": .int(changes.kept), "missed": .int(changes.missed),
      "pass@1_change_ci95": ends.passChangeInterval.map { .array([.double($0.low), .double($0.high)]) } ?? .null,
    ]
  }

  /// A figure of every recorded step, in step order, null where a step does not have it; a single null if none has it.
  private static func byStep(_ history: RunHistory, _ figure: (StepRecord) -> Double?) -> JSON {
    let values = history.steps.map(figure)
    return values.contains { $0 != nil } ? .array(values.map(number)) : .null
  }

  private static func number(_ value: Double?) -> JSON { value.map { .double($0) } ?? .null }
}
