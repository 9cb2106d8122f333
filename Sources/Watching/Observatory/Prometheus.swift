// Prometheus: a run's figures in the text format that Prometheus and compatible programs read (version 0.0.4).
//
// A figure of a step is `ttrl_step_` and its name in metrics.jsonl; a counter ends in `_total`. A figure that is not
// known has no line, because that is how the format says "unknown". The number of lines is limited: workers beyond
// `workersMax` are only part of the sums.

package enum Prometheus {
  package static let contentType = "text/plain; version=0.0.4; charset=utf-8"
  /// Connected workers with lines of their own.
  static let workersMax = 1000

  package static func text(_ view: RunView, _ digest: RunDigest, version: String) -> String {
    var page = MetricPage()
    page.add("ttrl_build_info", .gauge, "the program, always 1", [([("version", version)], 1)])
    page.add("ttrl_steps_planned", .gauge, "training steps of the whole run", Double(view.stepCount))
    page.add("ttrl_steps_total", .counter, "training steps done", Double(digest.steps.count))
    page.add("ttrl_policy_version", .gauge, "newest policy version", Double(view.policy))
    page.add("ttrl_run_finished", .gauge, "1 when the run is finished", view.isFinished ? 1 : 0)
    page.add("ttrl_coordinator_alive", .gauge, "1 while the coordinator is running", view.isAlive ? 1 : 0)
    page.add(
      "ttrl_seconds_left", .gauge, "estimate of the seconds until the last step is done",
      view.isFinished ? 0 : digest.secondsLeft(ofSteps: view.stepCount))
    page.add("ttrl_sampled_tokens_total", .counter, "tokens sampled in all recorded steps", digest.sampledTokens)
    page.add("ttrl_trained_tokens_total", .counter, "tokens trained on in all recorded steps", digest.trainedTokens)
    page.add(
      "ttrl_trajectories_total", .counter, "durable trajectories, evaluations included", Double(view.trajectories))
    page.add(
      "ttrl_tokens_per_second", .gauge, "tokens per second that workers delivered in the last seconds",
      view.samplingRate)
    page.add(
      "ttrl_trained_tokens_per_second", .gauge, "tokens per second of the newest step's training", digest.trainingRate)
    addStep(digest, to: &page)
    addEvaluations(digest, to: &page)
    addFleet(view, to: &page)
    page.add(
      "ttrl_guard_alarm", .gauge, "1 for each alarm of the guard in the newest step",
      (digest.latest?.alarms ?? []).map { ([("alarm", $0.name)], 1) })
    return page.text
  }

  private static func addStep(_ digest: RunDigest, to page: inout MetricPage) {
    for figure in StepFigures.all {
      page.add("ttrl_step_\(figure.metric)", .gauge, "newest step: \(figure.help)", digest.last(figure.figure))
    }
  }

  /// The newest evaluation of each set.
  private static func addEvaluations(_ digest: RunDigest, to page: inout MetricPage) {
    var values: [MetricPage.Sample] = []
    var policies: [MetricPage.Sample] = []
    for set in QuestionSet.allCases {
      guard let newest = digest.evaluations(on: set).last else { continue }
      policies.append(([("set", set.rawValue)], Double(newest.policy)))
      for figure in newest.figures {
        figure.value.map { values.append(([("set", set.rawValue), ("figure", figure.name)], $0)) }
      }
    }
    page.add("ttrl_evaluation_policy_version", .gauge, "policy version of the newest evaluation", policies)
    page.add("ttrl_evaluation", .gauge, "newest evaluation: pass@k, pass^k and maj@k, as fractions", values)
  }

  private static func addFleet(_ view: RunView, to page: inout MetricPage) {
    let connected = view.connected
    page.add("ttrl_workers_connected", .gauge, "workers connected now", Double(connected.count))
    page.add("ttrl_workers_straggling", .gauge, "connected workers that delay a round", Double(view.stragglers.count))
    page.add(
      "ttrl_leases", .gauge, "open leases of all workers",
      connected.contains { $0.leases != nil } ? Double(connected.reduce(0) { $0 + ($1.leases ?? 0) }) : nil)
    page.add(
      "ttrl_open_slots", .gauge, "slots of open rounds that are not settled",
      Double(view.openRounds.reduce(0) { $0 + max(0, $1.slots - $1.settled) }))
    let shown = connected.prefix(workersMax)
    func each(_ value: (WorkerView) -> Double?) -> [MetricPage.Sample] {
      shown.compactMap { worker in value(worker).map { ([("worker", worker.name)], $0) } }
    }
    page.add("ttrl_worker_tokens_total", .counter, "tokens that a worker sampled", each { Double($0.tokens) })
    page.add(
      "ttrl_worker_tokens_per_second", .gauge, "tokens per second that a worker delivered in the last seconds",
      each(\.rate))
    page.add("ttrl_worker_silence_seconds", .gauge, "seconds since the last message of a worker", each(\.silence))
    page.add("ttrl_worker_slots", .gauge, "slots that a worker holds", each { $0.slots.map(Double.init) })
  }
}

/// Metrics as text: each with its help and type, its samples together.
struct MetricPage: Sendable {
  enum Kind: String, Sendable { case gauge, counter }
  typealias Sample = (labels: [(String, String)], value: Double)

  private(set) var text = ""

  /// A metric without labels. If the value is not known, nothing is added.
  mutating func add(_ name: String, _ kind: Kind, _ help: String, _ value: Double?) {
    add(name, kind, help, value.map { [([], $0)] } ?? [])
  }

  mutating func add(_ name: String, _ kind: Kind, _ help: String, _ samples: [Sample]) {
    guard !samples.isEmpty else { return }
    text += "# HELP \(name) \(Self.escaped(help, quotes: false))\n# TYPE \(name) \(kind.rawValue)\n"
    for sample in samples {
      let labels = sample.labels.map { "\($0.0)=\"\(Self.escaped($0.1, quotes: true))\"" }.joined(separator: ",")
      text += name + (labels.isEmpty ? "" : "{\(labels)}") + " \(Self.number(sample.value))\n"
    }
  }

  static func escaped(_ text: String, quotes: Bool) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\"" where quotes: result += "\\\""
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  private static func number(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
    return value == value.rounded() && abs(value) < 1e15 ? "\(Int(value))" : "\(value)"
  }
}
