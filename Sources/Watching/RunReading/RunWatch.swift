// RunWatch: a run seen from outside, by reading again and again what is new.
//
// It reads the ledger while the coordinator writes it, through a connection that cannot write, and the coordinator's
// report of the fleet. One look reads a limited number of steps and trajectories, so a watcher of a long run needs
// several looks at first. It remembers a RunDigest and a few numbers per worker. A ledger that does not exist yet, is
// busy or is damaged is read again at the next look: watching never makes a run fail.

import Base
package import Ledger
package import Observatory
import Platform
import Records
package import Runs
package import Settings

package final class RunWatch {
  package let directory: RunDirectory
  package private(set) var digest = RunDigest()
  package private(set) var view = RunView()
  /// What the run was started with; nil until it can be read.
  package private(set) var manifest: RunManifest?
  package private(set) var ledger: Ledger?
  private var deliveries = DeliveryCount()
  private var evaluationCount = 0
  /// The last step whose row was read, also if the row is damaged.
  private var lastStepRead = -1
  private var connections: [StoredWorker] = []
  /// The ledger's change counter at the last look, and whether everything up to it was read.
  private var seen: Int64 = -1
  /// Looks in a row at which the ledger could not be read.
  private var failures = 0
  private var isCaughtUp = false

  /// Rows in one look.
  private static let stepsAtOnce = 200
  private static let deliveriesAtOnce = 50_000
  /// The newest connections; older ones are not shown.
  private static let connectionsMax = 4096
  private static let eventsMax = 50
  /// A ledger that is busy for a look or two is read again, and no reader has to know.
  private static let failuresUnsaid = 2

  package init(_ directory: RunDirectory) {
    self.directory = directory
    view.path = directory.path
    view.isCounted = false
  }

  package var settings: RunSettings? { manifest?.settings }

  /// Looks once. What cannot be read stays as it was.
  ///
  /// - Returns: whether there is more to read at once.
  @discardableResult
  package func refresh(now: Double = WallClock.seconds()) -> Bool {
    view.now = now
    view.ending = RunEnding(of: directory)
    view.isSupervised = view.ending == nil && directory.isSupervised
    if manifest == nil { manifest = try? RunManifest(reading: directory) }
    view.stepCount = Int(manifest?.settings.method.steps ?? 0)
    guard let ledger = opened() else { return false }
    defer { view.isFinished = digest.delivered != nil || (try? Files.exists(directory.summary)) == true }
    do {
      // As long as nothing changes, a look is only this question.
      let counter = try ledger.changeCounter()
      guard counter != seen || !isCaughtUp else {
        deliveries.pass(to: now)
        readWorkers(connections)
        readFleet(now: now)
        return false
      }
      seen = counter
      let hasMore = try ledger.transaction { () throws(LedgerError) in
        let hasMoreSteps = try readSteps(ledger)
        let hasMoreDeliveries = try readDeliveries(ledger, now: now)
        try readState(ledger)
        return hasMoreSteps || hasMoreDeliveries
      }
      isCaughtUp = !hasMore
      readFleet(now: now)
      (failures, view.problem) = (0, nil)
      return hasMore
    } catch {
      // The file can have been replaced, so the connection is opened again.
      fail(error)
      self.ledger = nil
      seen = -1
      return false
    }
  }

  // MARK: The ledger

  /// A run that has just begun has no ledger yet; one that is there and cannot be opened is a problem.
  private func opened() -> Ledger? {
    if let ledger { return ledger }
    guard (try? Files.exists(directory.ledger)) != false else { return nil }
    do {
      ledger = try Ledger(path: directory.ledger, mode: .readOnly)
    } catch {
      fail(error)
    }
    return ledger
  }

  private func fail(_ error: LedgerError) {
    failures += 1
    if failures > Self.failuresUnsaid { view.problem = "\(error)" }
  }

  private func readSteps(_ ledger: Ledger) throws(LedgerError) -> Bool {
    let rows = try ledger.stepMetrics(after: lastStepRead, limit: Self.stepsAtOnce)
    for row in rows {
      lastStepRead = Int(row.step)
      if let json = readable(row.json, "step \(row.step)") { digest.add(json) }
    }
    let count = try ledger.evaluationCount()
    if count != evaluationCount {
      // All are read: they are few, and they have no order that shows which are new.
      for row in try ledger.evaluationMetrics() {
        if let json = readable(row.json, "\(row.round)") { digest.add(json) }
      }
      evaluationCount = count
    }
    if digest.delivered == nil, let text = try ledger.value(for: .delivered), let json = readable(text, "delivered") {
      digest.add(json)
    }
    return rows.count == Self.stepsAtOnce
  }

  /// A damaged row is left out, and the log names it: a watcher shows what it can read.
  private func readable(_ text: String, _ row: String) -> JSON? {
    do {
      return try MetricsRow.parse(text)
    } catch {
      Log.warning("watch.row_unreadable", ["row": row, "reason": "\(error)"])
      return nil
    }
  }

  private func readDeliveries(_ ledger: Ledger, now: Double) throws(LedgerError) -> Bool {
    let rows = try ledger.deliveries(after: deliveries.lastRow, limit: Self.deliveriesAtOnce)
    let isCaughtUp = rows.count < Self.deliveriesAtOnce
    deliveries.add(rows, now: now, areNew: view.isCounted)
    view.isCounted = view.isCounted || isCaughtUp
    return !isCaughtUp
  }

  private func readState(_ ledger: Ledger) throws(LedgerError) {
    view.policy = Int(try ledger.newestPolicy())
    view.openRounds = try ledger.openRounds().map { round throws(LedgerError) in
      var open = RunView.OpenRound(
        name: "\(round.id)",
        isTraining: round.id.purpose == .train, step: Int(round.id.step), slots: round.slots,
        settled: try settledCount(of: round.id, ledger))
      if open.isTraining, open.settled == open.slots, manifest?.settings.hasRewardCommand == true {
        open.verdictsLeft = round.slots - (try ledger.verdictCount(of: round.id))
      }
      return open
    }
    view.events = try ledger.events(before: nil, limit: Self.eventsMax).map {
      RunView.EventView(number: Int($0.number), time: $0.happenedAt, kind: $0.kind, detail: $0.detail)
    }
    view.wallSeconds = try ledger.value(for: .wallSeconds).flatMap(Double.init)
    view.trajectories = deliveries.trajectories
    view.tokens = deliveries.tokens
    deliveries.forget(allBut: try ledger.openRounds().map(\.id))
    connections = try ledger.connections(limit: Self.connectionsMax)
    readWorkers(connections)
  }

  /// Slots that need no sample any more. If early stop can leave some out, only the ledger knows.
  private func settledCount(of round: RoundID, _ ledger: Ledger) throws(LedgerError) -> Int {
    let mustAsk = !view.isCounted || manifest?.settings.method.stopsEarly != false
    return mustAsk ? try ledger.accountedCount(of: round) : deliveries.count(in: round)
  }

  /// All connections with one name are one worker; its state is that of the newest.
  private func readWorkers(_ connections: [StoredWorker]) {
    var places: [String: Int] = [:]
    var workers: [WorkerView] = []
    for connection in connections {
      let place = places[connection.name] ?? workers.count
      if place == workers.count {
        places[connection.name] = place
        var worker = WorkerView(
          name: connection.name, address: connection.address,
          arithmetic: connection.instructionSet == connection.libraries
            ? connection.libraries : "\(connection.instructionSet) \(connection.libraries)",
          isConnected: connection.leftAt == nil, joinedAt: connection.joinedAt)
        worker.leftBecause = connection.leftBecause
        worker.connections = 0
        workers.append(worker)
      }
      let share = deliveries.share(of: connection.id)
      workers[place].connections += 1
      workers[place].trajectories += share.trajectories
      workers[place].tokens += share.tokens
      workers[place].deliveredAt = [workers[place].deliveredAt, share.lastSeen].compactMap { $0 }.max()
      if connection.leftAt == nil, let rate = share.rate { workers[place].rate = (workers[place].rate ?? 0) + rate }
    }
    view.workers = workers
    let rates = workers.compactMap(\.rate)
    view.samplingRate = rates.isEmpty || rates.allSatisfy { $0 == 0 } ? nil : rates.reduce(0, +)
  }

  // MARK: The fleet

  private func readFleet(now: Double) {
    view.learner = nil
    view.standbys = []
    view.isAlive = false
    defer { view.markStragglers() }
    guard let note = FleetNote(of: directory, now: now) else { return }
    view.isAlive = true
    view.standbys = note.standbys.map { "\($0.name) \($0.text)" }
    var places: [String: Int] = [:]
    for (place, worker) in view.workers.enumerated() { places[worker.name] = place }
    for member in note.members {
      if !member.isWorker {
        view.learner = RunView.LearnerView(name: member.name, silence: member.silence)
      } else if let place = places[member.name] {
        view.workers[place].silence = member.silence
        view.workers[place].leases = member.leases
        view.workers[place].slots = member.slots
        view.workers[place].holding = member.holding
        view.workers[place].stillness = member.stillness
      }
    }
  }
}

/// What each connection has delivered, and its rate in the last seconds, from the rows that appear.
struct DeliveryCount {
  private struct Share {
    var trajectories = 0
    var tokens = 0
    var lastSeen: Double?
    /// Deliveries of the last `window` seconds, oldest first.
    var recent: [(time: Double, tokens: Int)] = []
  }

  private(set) var lastRow: Int64 = 0
  private(set) var trajectories = 0
  private(set) var tokens = 0
  private var shares: [Int64: Share] = [:]
  /// Of open rounds.
  private var countByRound: [RoundID: Int] = [:]
  private var watchedSince: Double?
  private var now = 0.0

  /// A rate is the mean over these seconds.
  private static let window = 20.0

  /// - Parameter areNew: whether they appeared since the watcher started; the times of older ones are not known.
  mutating func add(_ rows: [DurableTrajectory], now: Double, areNew: Bool) {
    self.now = now
    if watchedSince == nil, areNew { watchedSince = now }
    var added: [Int64: Int] = [:]
    for row in rows {
      lastRow = row.row
      trajectories += 1
      tokens += row.tokens
      countByRound[row.round, default: 0] += 1
      guard let worker = row.worker else { continue }
      shares[worker, default: Share()].trajectories += 1
      shares[worker, default: Share()].tokens += row.tokens
      added[worker, default: 0] += row.tokens
    }
    guard areNew else { return }
    for (worker, tokens) in added {
      shares[worker]?.lastSeen = now
      shares[worker]?.recent.append((now, tokens))
      shares[worker]?.recent.removeAll { $0.time < now - Self.window }
    }
  }

  /// No row has appeared since.
  mutating func pass(to now: Double) { self.now = now }

  func count(in round: RoundID) -> Int { countByRound[round] ?? 0 }

  /// Closed rounds need no count.
  mutating func forget(allBut open: [RoundID]) { countByRound = countByRound.filter { open.contains($0.key) } }

  /// - Returns: the rate is nil until it can be measured.
  func share(of worker: Int64) -> (trajectories: Int, tokens: Int, lastSeen: Double?, rate: Double?) {
    guard let share = shares[worker] else { return (0, 0, nil, nil) }
    let recent = share.recent.filter { $0.time >= now - Self.window }
    let seconds = min(Self.window, now - (watchedSince ?? now))
    let rate = seconds >= 2 ? Double(recent.reduce(0) { $0 + $1.tokens }) / seconds : nil
    return (share.trajectories, share.tokens, share.lastSeen, rate)
  }
}
