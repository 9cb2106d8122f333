// RunStatus: `ttrl status`, what a run has done and is doing, from its ledger.

import Base
import CoordinatorRole
import Ledger
import Observatory
import Records
import Runs

struct RunStatus {
  private let run: Run
  private let history: RunHistory
  private let rounds: [(round: StoredRound, settled: Int)]
  private let workers: [StoredWorker]
  private let policies: [StoredPolicy]

  init(_ run: Run, _ ledger: Ledger) throws {
    self.run = run
    history = try RunSummary.history(ledger)
    rounds = try ledger.openRounds().map { ($0, try ledger.accountedCount(of: $0.id)) }
    workers = try ledger.workers()
    policies = try ledger.policies()
  }

  private var connected: [StoredWorker] { workers.filter { $0.leftAt == nil } }
  private var isFinished: Bool {
    // A guard may end a run before its last step.
    history.delivered != nil || history.steps.count == Int(run.method.steps) && rounds.isEmpty
  }

  /// What the run waits for, in words.
  private var waiting: String {
    if isFinished { return "nothing: the run is finished" }
    guard let open = rounds.first else { return "the learner, to train step \(history.steps.count) and publish" }
    if connected.isEmpty { return "workers: none is connected, \(open.round.slots - open.settled) slots are open" }
    return "\(connected.count) workers, to sample \(open.round.slots - open.settled) slots of \(open.round.id)"
  }

  var json: JSON {
    [
      "run": .string(run.directory.path), "steps_done": .int(history.steps.count),
      "steps": .int(Int(run.method.steps)), "policy": .int(Int(policies.last?.version.number ?? 0)),
      "finished": .bool(isFinished), "waits_for": .string(waiting),
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
      "policy    \(policies.last?.version.number ?? 0)", "waits for \(waiting)",
    ]
    for (round, settled) in rounds { lines.append("open      \(round.id): \(settled) of \(round.slots) slots settled") }
    for worker in workers {
      let state = worker.leftAt == nil ? "connected" : "left (\(worker.leftBecause ?? "unknown"))"
      lines.append("worker    \(worker.name): \(state), \(worker.trajectories) trajectories, \(worker.tokens) tokens")
    }
    return lines.joined(separator: "\n")
  }
}
