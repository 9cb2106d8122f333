// PageAnswers: what the page asks for, as JSON.
//
// The size of an answer is limited, however long the run is and however many workers it has: lists come in pieces of at
// most `rowsMax`, curves and votes are thinned out to what a screen shows. Members have the names of metrics.jsonl
// where they mean the same. Not here: charts (PageCharts), prompts, responses and steps (PagePrompts).

package import Base

package enum PageAnswers {
  /// Rows of a list in one answer.
  package static let rowsMax = 200
  /// Points of a curve in one answer: at most, and if the request does not say.
  package static let pointsMax = 2000
  package static let pointsUsual = 500
  /// Visits of a prompt in one answer.
  static let visitsMax = 400
  /// Bars of a prompt in the list of prompts.
  static let barsMax = 40

  /// The newest state of the run, which every view of the page needs.
  ///
  /// - Parameters:
  ///   - view: the run now.
  ///   - digest: what it has recorded.
  ///   - settings: its settings.
  ///   - course: the course whose stage the run is; nil if it is not a stage.
  package static func run(
    _ view: RunView, _ digest: RunDigest, settings: [ShownSetting], course: CourseView? = nil
  ) -> JSON {
    let picked = [
      "model", "data", "labels", "estimator", "votes", "prompts-per-step", "train-samples", "dtype", "products", "seed",
    ]
    let health = StepFigures.all.map { JSON.Member($0.name, digest.last($0.figure).map { .float(Float($0)) } ?? .null) }
    return [
      "run": .string(view.path), "now": .double(view.now), "steps_done": .int(digest.steps.count),
      "last_step": .int(digest.lastStep), "steps": .int(view.stepCount), "policy": .int(view.policy),
      "finished": .bool(view.isFinished), "alive": .bool(view.isAlive), "state": .string(view.condition.name),
      // When it was, not how long ago: the page shows an answer for as long as it does not change.
      "banner": Banner(view.condition, path: view.path)?.json ?? .null, "ended_at": number(view.endedAt),
      "problem": .optional(view.problem),
      "waits_for": .string(view.waiting(for: digest)), "standbys": .array(view.standbys.map { .string($0) }),
      "seconds_left": !view.condition.isGoingOn ? .null : number(digest.secondsLeft(ofSteps: view.stepCount)),
      "wall_seconds": number(view.wallSeconds), "counted": .bool(view.isCounted),
      "open_rounds": .array(
        view.openRounds.prefix(rowsMax).map {
          [
            "round": .string($0.name), "training": .bool($0.isTraining), "step": .int($0.step), "slots": .int($0.slots),
            "settled": .int($0.settled),
          ]
        }),
      "workers_connected": .int(view.connected.count), "workers_known": .int(view.workers.count),
      "stragglers": .int(view.stragglers.count),
      "leases": view.connected.contains { $0.leases != nil }
        ? .int(view.connected.reduce(0) { $0 + ($1.leases ?? 0) }) : .null,
      "learner": view.learner.map { ["name": .string($0.name), "silence": .double($0.silence)] } ?? .null,
      "sampling_rate": number(view.samplingRate), "training_rate": number(digest.trainingRate),
      "trajectories": .int(view.trajectories), "tokens": .int(view.tokens), "figures": .object(health),
      "alarms_on": .array((digest.latest?.alarms ?? []).map { .string($0.name) }),
      "alarms": .array(digest.alarms.suffix(20).map { ["step": .int($0.step), "text": .string($0.text)] }),
      "ends": ends(digest),
      "base_majority": digest.ends(on: .train).baseMajority.map {
        ["name": .string("maj@\($0.k)"), "value": .double($0.value)]
      } ?? .null, "visits": visits(digest), "delivered": digest.delivered?.line ?? .null,
      "events": .array(view.events.prefix(12).map(event)), "course": course?.json ?? .null,
      "settings": .object(settings.filter { picked.contains($0.name) }.map { JSON.Member($0.name, .string($0.value)) }),
    ]
  }

  /// Before and after on each set, with intervals where they were recorded.
  private static func ends(_ digest: RunDigest) -> JSON {
    .object(
      QuestionSet.allCases.compactMap { set in
        let ends = digest.ends(on: set)
        return ends.isEmpty
          ? nil : JSON.Member(set.rawValue, ["before": evaluation(ends.before), "after": evaluation(ends.after)])
      })
  }

  /// Without evaluations: the votes of training, each prompt's first visit and its last. Null with evaluations, and if
  /// no prompt was visited twice.
  private static func visits(_ digest: RunDigest) -> JSON {
    let tracks = digest.prompts.values.filter { $0.visits.count > 1 }
    guard digest.evaluations.isEmpty, !tracks.isEmpty else { return .null }
    func mean(_ values: [Double]) -> JSON {
      values.isEmpty ? .null : .double(values.reduce(0, +) / Double(values.count))
    }
    func end(_ visits: [PromptTrack.Visit]) -> JSON {
      [
        "pass@1": mean(visits.compactMap { $0.share(.right) }),
        "label accuracy": mean(visits.compactMap { $0.isLabelRight.map { $0 ? 1 : 0 } }),
        "majority ratio": mean(visits.map(\.share)),
      ]
    }
    return [
      "prompts": .int(tracks.count), "first": end(tracks.compactMap(\.visits.first)),
      "last": end(tracks.compactMap(\.visits.last)),
    ]
  }

  private static func evaluation(_ record: EvaluationRecord?) -> JSON {
    guard let record else { return .null }
    let figures = record.figures.map { figure -> JSON.Member in
      let interval = figure.interval.map { JSON.array([.double($0.low), .double($0.high)]) } ?? .null
      return JSON.Member(figure.name, ["value": number(figure.value), "ci95": interval])
    }
    return .object(
      [
        JSON.Member("policy", .int(record.policy)), JSON.Member("majority_ratio", number(record.majorityRatio)),
        JSON.Member("samples", record.samples.map { .int($0) } ?? .null),
        JSON.Member("prompts", record.prompts.map { .int($0) } ?? .null), JSON.Member("figures", .object(figures)),
      ])
  }

  static func event(_ event: RunView.EventView) -> JSON {
    [
      "number": .int(event.number), "time": .double(event.time), "kind": .string(event.kind),
      "detail": .string(event.detail),
    ]
  }

  package static func events(_ events: [RunView.EventView]) -> JSON { ["events": .array(events.map(event))] }

  static func number(_ value: Double?) -> JSON { value.map { .double($0) } ?? .null }

  /// A value in as few digits as a curve needs.
  static func short(_ value: Float) -> JSON {
    guard value.isFinite else { return .null }
    let (size, sign) = (Double(abs(value)), value < 0 ? -1.0 : 1.0)
    return size >= 1e-3 && size < 1e6 ? .double(sign * (size * 1e6).rounded() / 1e6) : .float(value)
  }

  // MARK: Curves

  /// Every figure's curve, of at most `count` points. Each point is the mean of some neighbouring steps.
  package static func curves(_ digest: RunDigest, points count: Int) -> JSON {
    let count = min(max(2, count), pointsMax)
    let bins = bins(of: digest.steps.count, count: count)
    let figures = StepFigures.all.enumerated().compactMap { place, figure -> JSON.Member? in
      let column = digest.columns[place]
      guard column.contains(where: { $0.isFinite }) else { return nil }
      return JSON.Member(figure.name, .array(bins.map { short(mean(column[$0])) }))
    }
    return [
      "steps": .array(bins.map { .int(Int(digest.steps[$0.upperBound - 1])) }), "bin": .int(bins.first?.count ?? 1),
      "figures": .object(figures),
      "evaluations": .array(thinned(digest.evaluations, to: evaluationsMax).map(curvePoint)),
    ]
  }

  private static func curvePoint(_ record: EvaluationRecord) -> JSON {
    [
      "policy": .int(record.policy), "set": .string(record.set.rawValue), "pass@1": number(record.passAt1),
      "maj@16": number(record.majority(at: 16)), "maj@64": number(record.majority(at: 64)),
      "majority_ratio": number(record.majorityRatio),
    ]
  }

  /// At most `count` ranges that cover everything, of sizes that differ by at most one.
  package static func bins(of total: Int, count: Int) -> [Range<Int>] {
    guard total > 0 else { return [] }
    let parts = min(total, count)
    return (0..<parts).map { $0 * total / parts..<($0 + 1) * total / parts }
  }

  static func mean(_ values: ArraySlice<Float>) -> Float {
    var (sum, count) = (0.0, 0)
    for value in values where value.isFinite { (sum, count) = (sum + Double(value), count + 1) }
    return count > 0 ? Float(sum / Double(count)) : .nan
  }

  static func thinned<Element>(_ elements: [Element], to count: Int) -> [Element] {
    ReportPrompts.thinned(elements, to: count)
  }

  // MARK: Fleet

  package static func fleet(_ view: RunView, from offset: Int, limit: Int) -> JSON {
    let sorted = view.workers.sorted { left, right in
      if left.isConnected != right.isConnected { return left.isConnected }
      if left.isStraggler != right.isStraggler { return left.isStraggler }
      return (right.tokens, left.name) < (left.tokens, right.name)
    }
    let rows = page(sorted, from: offset, limit: limit)
    return [
      "total": .int(sorted.count), "connected": .int(view.connected.count), "offset": .int(max(0, offset)),
      "counted": .bool(view.isCounted), "now": .double(view.now), "alive": .bool(view.isAlive),
      "workers": .array(rows.map(worker)),
    ]
  }

  private static func worker(_ worker: WorkerView) -> JSON {
    [
      "name": .string(worker.name), "address": .string(worker.address), "arithmetic": .string(worker.arithmetic),
      "connected": .bool(worker.isConnected), "left_because": .optional(worker.leftBecause),
      "joined_at": .double(worker.joinedAt), "connections": .int(worker.connections),
      "trajectories": .int(worker.trajectories), "tokens": .int(worker.tokens), "rate": number(worker.rate),
      "delivered_at": number(worker.deliveredAt), "silence": number(worker.silence),
      "leases": worker.leases.map { .int($0) } ?? .null, "slots": worker.slots.map { .int($0) } ?? .null,
      "holding": .optional(worker.holding), "stillness": number(worker.stillness),
      "straggler": .bool(worker.isStraggler),
    ]
  }

  static func page<Element>(_ elements: [Element], from offset: Int, limit: Int) -> ArraySlice<Element> {
    elements.dropFirst(max(0, offset)).prefix(min(max(0, limit), rowsMax))
  }
}
