// RunStatus: `ttrl status`, what a run has done and is doing, from its ledger. The model need not be on this machine.

import Base
import Ledger
import Observatory
import Platform
import Records
import RunReading
import Runs
import Settings

struct RunStatus {
  private let directory: RunDirectory
  private let stepCount: Int
  private let history: RunHistory
  private let rounds: [(round: StoredRound, settled: Int)]
  private let workers: [StoredWorker]
  private let policies: [StoredPolicy]
  /// nil if no coordinator is at work.
  private let note: FleetNote?
  /// Of the run's processes on this machine.
  private let listeners: [RunListener]
  private let condition: RunCondition
  /// What a run that ended before its end says first.
  private let banner: Banner?
  /// Closed rounds of a finished run that have a slot which is neither settled nor unneeded. If there is one, the
  /// ledger is damaged.
  private let unbalanced: [RoundID]

  init(_ directory: RunDirectory, _ manifest: RunManifest, _ ledger: Ledger) throws {
    self.directory = directory
    stepCount = Int(manifest.settings.method.steps)
    history = try RunSummary.history(ledger)
    rounds = try ledger.openRounds().map { ($0, try ledger.accountedCount(of: $0.id)) }
    workers = try ledger.workers()
    policies = try ledger.policies()
    listeners = RunListener.of(directory)
    let now = WallClock.seconds()
    note = FleetNote(of: directory, now: now)
    // The guard can end a run before its last step.
    let isFinished = history.delivered != nil || history.steps.count == stepCount && rounds.isEmpty
    condition = RunCondition(of: directory, isFinished: isFinished, now: now)
    banner = Banner(condition, path: directory.path, now: now)
    unbalanced = isFinished ? try ledger.unbalancedRounds() : []
  }

  /// Whether every slot of every closed round is accounted for.
  var isBalanced: Bool { unbalanced.isEmpty }

  /// What the run waits for, in words; the first thing, if it waits for several.
  private var waiting: String {
    if let rest = condition.rest { return rest }
    guard let note else { return "the coordinator, to start" }
    return note.waits.first.map(Self.sentence) ?? "nothing, as far as the coordinator knows"
  }

  /// Empty if no coordinator is running.
  private var waits: [FleetNote.Wait] { condition.isGoingOn ? note?.waits ?? [] : [] }

  private var standbys: [FleetNote.Standby] { condition.isGoingOn ? note?.standbys ?? [] : [] }

  private static func sentence(_ wait: FleetNote.Wait) -> String {
    let duration = Figures.duration(seconds: wait.seconds)
    var text = "\(wait.waiter.visible) waits for \(wait.awaited.visible), \(wait.what.visible), for \(duration)"
    if let left = wait.deadlineSeconds { text += ", at most \(Figures.duration(seconds: left)) more" }
    return text
  }

  var json: JSON {
    [
      "run": .string(directory.path), "steps_done": .int(history.steps.count),
      "steps": .int(stepCount), "policy": .int(Int(policies.last?.version.number ?? 0)),
      "finished": .bool(condition == .finished), "state": .string(condition.name), "banner": banner?.json ?? .null,
      "waits_for": .string(waiting), "balanced": .bool(isBalanced),
      "waits": .array(waits.map(\.json)), "standbys": .array(standbys.map(\.json)),
      "listeners": .array(listeners.map(\.json)),
      "time": history.steps.last?.timeJSON ?? .null,
      "open_rounds": .array(
        rounds.map { round, settled in
          ["round": .string("\(round.id)"), "slots": .int(round.slots), "settled": .int(settled)]
        }),
      "workers": .array(
        workers.map { worker in
          [
            "name": .string(worker.name), "connected": .bool(worker.leftAt == nil),
            "trajectories": .int(worker.trajectories), "tokens": .int(worker.tokens),
          ]
        }),
    ]
  }

  var text: String {
    var lines = ["run       \(directory.path.visible)"]
    lines += banner?.lines.map(\.visible) ?? ["state     \(condition.name)"]
    lines += [
      "steps     \(grouped(history.steps.count)) of \(grouped(stepCount)) done",
      "policy    \(policies.last?.version.number ?? 0)",
    ]
    if let time = history.steps.last?.timeText { lines.append("time      \(time)") }
    if let last = history.steps.last, let bias = last[.positionBias] {
      lines.append("places    position bias of step \(last.step): \(Figures.percent(bias))")
    }
    if condition.isGoingOn {
      lines += waits.isEmpty ? ["waits for \(waiting)"] : waits.map { "waits     \(Self.sentence($0))" }
    }
    for round in unbalanced { lines.append("DAMAGED   \(round): not every slot is accounted for") }
    for (round, settled) in rounds {
      let slots = counted(round.slots, "slot")
      lines.append("open      \(round.id): \(grouped(settled)) of \(slots) settled")
    }
    for worker in workers {
      let state = worker.leftAt == nil ? "connected" : "left (\(worker.leftBecause?.visible ?? "unknown"))"
      lines.append(
        "worker    \(worker.name.visible): \(state), \(counted(worker.trajectories, "response")), "
          + counted(worker.tokens, "token"))
    }
    for standby in standbys { lines.append("standby   \(standby.name.visible): \(standby.text)") }
    lines += listeners.map { "listens   \($0.text)" }
    return lines.joined(separator: "\n")
  }
}
