// RunStatus: `ttrl status`, what a run has done and is doing, from its ledger.

import Base
import Ledger
import Observatory
import Platform
import Records
import RunReading
import Runs

struct RunStatus {
  private let run: Run
  private let history: RunHistory
  private let rounds: [(round: StoredRound, settled: Int)]
  private let workers: [StoredWorker]
  private let policies: [StoredPolicy]
  /// nil if no coordinator is at work.
  private let note: FleetNote?
  private let isFinished: Bool
  /// Closed rounds of a finished run that have a slot which is neither settled nor unneeded. If there is one, the
  /// ledger is damaged.
  private let unbalanced: [RoundID]

  init(_ run: Run, _ ledger: Ledger) throws {
    self.run = run
    history = try RunSummary.history(ledger)
    rounds = try ledger.openRounds().map { ($0, try ledger.accountedCount(of: $0.id)) }
    workers = try ledger.workers()
    policies = try ledger.policies()
    note = FleetNote(of: run.directory, now: WallClock.seconds())
    // The guard can end a run before its last step.
    isFinished = history.delivered != nil || history.steps.count == Int(run.method.steps) && rounds.isEmpty
    unbalanced = isFinished ? try ledger.unbalancedRounds() : []
  }

  /// Whether every slot of every closed round is accounted for.
  var isBalanced: Bool { unbalanced.isEmpty }

  /// What the run waits for, in words; the first thing, if it waits for several.
  private var waiting: String {
    if isFinished { return "nothing: the run is finished" }
    guard let note else { return "a coordinator: none is running" }
    return note.waits.first.map(Self.sentence) ?? "nothing, as far as the coordinator knows"
  }

  /// Empty if no coordinator is running.
  private var waits: [FleetNote.Wait] { note?.waits ?? [] }

  private static func sentence(_ wait: FleetNote.Wait) -> String {
    var text = "\(wait.waiter) waits for \(wait.awaited), \(wait.what), for \(Figures.duration(seconds: wait.seconds))"
    if let left = wait.deadlineSeconds { text += ", at most \(Figures.duration(seconds: left)) more" }
    return text
  }

  var json: JSON {
    [
      "run": .string(run.directory.path), "steps_done": .int(history.steps.count),
      "steps": .int(Int(run.method.steps)), "policy": .int(Int(policies.last?.version.number ?? 0)),
      "finished": .bool(isFinished), "waits_for": .string(waiting), "balanced": .bool(isBalanced),
      "waits": .array(waits.map(\.json)),
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
    var lines = [
      "run       \(run.directory.path)", "steps     \(history.steps.count) of \(run.method.steps)",
      "policy    \(policies.last?.version.number ?? 0)",
    ]
    if isFinished || note == nil {
      lines.append("waits for \(waiting)")
    } else {
      lines += waits.map { "waits     \(Self.sentence($0))" }
    }
    for round in unbalanced { lines.append("DAMAGED   \(round): not every slot is accounted for") }
    for (round, settled) in rounds { lines.append("open      \(round.id): \(settled) of \(round.slots) slots settled") }
    for worker in workers {
      let state = worker.leftAt == nil ? "connected" : "left (\(worker.leftBecause ?? "unknown"))"
      lines.append(
        "worker    \(worker.name): \(state), "
          + "\(counted(worker.trajectories, "trajectory", plural: "trajectories")), \(counted(worker.tokens, "token"))")
    }
    return lines.joined(separator: "\n")
  }
}
