// RunRecorder: the coordinator's durable state, and the files that it writes for people.
//
// Everything that must survive a restart is in the ledger: rounds, trajectories and their workers, versions, metrics.
// metrics.jsonl, summary.json and report.html are made from the ledger and can be made again. The truth is read here,
// only for figures.

import Base
package import Fleet
package import Ledger
package import Platform
package import Records
import RunReading
package import Runs
import Settings
import TTRL

package final class RunRecorder {
  package let run: Run
  private let ledger: Ledger
  /// nil if the steps sample their responses.
  private let responses: ResponseFile?
  private var timeKept = MonotonicClock.now()
  private var lines: LineFile?
  private var plan: SortedMap<RoundID, RoundSpec>
  /// Has observed every recorded step.
  private var watch: Guard
  private var plateau: Plateau
  private var alarmsOn: [Alarm] = []
  private var openedRounds: Set<RoundID> = []
  /// The ledger's numbers of the connected workers. The dictionary is never iterated.
  private var workers: [PeerID: Int64] = [:]
  private var workersByName: [String: Int64] = [:]

  package init(run: Run, ledger: Ledger, responses: ResponseFile? = nil) {
    self.run = run
    self.ledger = ledger
    self.responses = responses
    var plan = SortedMap<RoundID, RoundSpec>()
    for spec in run.plan(responses) { plan[spec.id] = spec }
    self.plan = plan
    watch = run.freshGuard
    plateau = run.freshPlateau
  }

  // MARK: Beginning and remembering

  package func hasBegun() throws(LedgerError) -> Bool { try ledger.value(for: .manifest) != nil }

  /// Records the run's settings, prompts and first policy.
  package func begin(with manifest: PolicyManifest) throws(LedgerError) {
    let settings = run.manifest.text()
    let prompts = run.storedPrompts
    try ledger.transaction { () throws(LedgerError) in
      try ledger.set(settings, for: .manifest)
      if let example = run.example { try ledger.set(example.json.text(), for: .examplePrompt) }
      for prompt in prompts { try ledger.insert(prompt) }
      try ledger.insert(stored(manifest, madeBy: nil))
      try openRounds(sampledBy: manifest.version)
    }
  }

  /// - Throws: `LedgerError`; `CoordinatorFailure` if a step's row cannot be read, because without that row the guard
  ///   would judge a different run; or `RunError.otherPrompts`.
  package func recall() throws -> CoordinatorMemory {
    try run.checkPrompts(of: ledger)
    (watch, plateau) = (run.freshGuard, run.freshPlateau)
    for row in try responses == nil ? ledger.stepMetrics() : [] {
      do {
        _ = observe(try StepSigns(StepReport(parsing: row.json)))
      } catch {
        throw CoordinatorFailure.broken(
          "the ledger's row of step \(row.step) cannot be read: \(error). The ledger was damaged or written by another "
            + "program; start the run again in a new directory")
      }
    }
    let closed = try ledger.rounds().filter { $0.closedAt != nil }.map(\.id)
    var (settled, judged): ([Slot], [Slot]) = ([], [])
    for (round, spec) in plan where !closed.contains(round) {
      settled += try ledger.settledSlots(of: round)
      if spec.isJudged { judged += try ledger.verdicts(of: round).map(\.slot) }
    }
    // All versions that were ever published, also those whose file was removed: a learner that is behind is compared
    // with them.
    let policies = try ledger.policies().map(\.manifest)
    return CoordinatorMemory(closedRounds: closed, settled: settled, judged: judged, policies: policies, course: course)
  }

  /// Adds the machine's rounds that are not in the settings' plan.
  package func add(_ rounds: [RoundSpec]) throws(LedgerError) {
    for spec in rounds { plan[spec.id] = spec }
    try ledger.transaction { () throws(LedgerError) in for spec in rounds { try open(spec.id) } }
  }

  /// Records that the run ends without these rounds.
  package func abandon(_ rounds: [RoundID]) throws(LedgerError) {
    try ledger.transaction { () throws(LedgerError) in
      for round in rounds { try ledger.abandon(round, at: WallClock.seconds()) }
    }
  }

  // MARK: The guard

  private func observe(_ signs: StepSigns) -> GuardReading {
    let reading = watch.observe(signs)
    plateau.observe(signs)
    alarmsOn = reading.alarms.map(\.alarm)
    return reading
  }

  /// The run's course after all recorded steps.
  private var course: RunCourse {
    let settings = run.settings
    var course = RunCourse()
    course.deliversBest = settings.delivery == .best
    course.judged = watch.judged
    if course.deliversBest || settings.guardMode == .stop { course.best = watch.best?.policy }
    guard let early else { return course }
    course.end = PolicyVersion(early.step).next
    // After a plateau the last version is as good as any, unless the best one was asked for.
    if early.collapse == nil, !course.deliversBest { course.best = nil }
    return course
  }

  /// What ended the run before its planned end: a collapse, or a plateau; nil if nothing has.
  private var early: EarlyEnd? {
    let collapse = run.settings.guardMode == .stop ? watch.collapse : nil
    let level = run.settings.plateau == .stop ? plateau.step : nil
    if let collapse, collapse.step <= level ?? .max { return EarlyEnd(step: collapse.step, collapse: collapse.alarm) }
    return level.map { EarlyEnd(step: $0) }
  }

  /// Records an event for each alarm that was not on before.
  private func report(_ alarms: [RaisedAlarm], ofStep step: UInt32, unless on: [Alarm]) throws(LedgerError) {
    for raised in alarms where !on.contains(raised.alarm) {
      Log.warning(
        "guard.\(raised.alarm.rawValue)", ["step": step, "value": raised.value, "limit": raised.limit])
      try ledger.record(
        event: "guard.\(raised.alarm.rawValue)", "step \(step): \(raised.value), limit \(raised.limit)",
        at: WallClock.seconds())
    }
  }

  /// The settled trajectories of the training rounds that are not complete.
  package func openTrajectories() throws(LedgerError) -> [Trajectory] {
    var trajectories: [Trajectory] = []
    for round in try ledger.openRounds() where round.id.purpose == .train {
      trajectories += try ledger.trajectories(of: round.id)
    }
    return trajectories
  }

  private func stored(_ manifest: PolicyManifest, madeBy step: UInt32?) -> StoredPolicy {
    let path = run.directory.policy(manifest.version)
    return StoredPolicy(
      version: manifest.version, sha256: Hexadecimal.text(manifest.digest),
      path: String(path.dropFirst(run.directory.path.count + 1)), bytes: Int(manifest.byteCount), madeByStep: step,
      madeAt: WallClock.seconds())
  }

  // MARK: While it runs

  /// Makes the trajectories and verdicts of all effects that store them durable in one commit.
  package func store(_ effects: [CoordinatorEffect]) throws(LedgerError) {
    try ledger.transaction { () throws(LedgerError) in
      for effect in effects {
        switch effect {
        case .store(let trajectories, let worker, let lease):
          for trajectory in trajectories {
            try open(trajectory.slot.round)
            _ = try ledger.insert(trajectory, worker: workersByName[worker], lease: lease.number)
          }
        case .storeVerdicts(let verdicts):
          for said in verdicts { try ledger.insert(said, at: WallClock.seconds()) }
        default: break
        }
      }
    }
  }

  /// Records durably that a vote did not need these slots.
  package func store(unneeded slots: [Slot]) throws(LedgerError) {
    try ledger.transaction { () throws(LedgerError) in
      for slot in slots { try ledger.insert(unneeded: slot) }
    }
  }

  /// Opens the rounds that a version samples. A round's time begins when its policy exists.
  private func openRounds(sampledBy version: PolicyVersion) throws(LedgerError) {
    for (round, spec) in plan where spec.policy == version { try open(round) }
  }

  private func open(_ round: RoundID) throws(LedgerError) {
    guard !openedRounds.contains(round), let spec = plan[round] else { return }
    try ledger.open(round, policy: spec.policy, slots: spec.slotCount, at: WallClock.seconds())
    openedRounds.insert(round)
  }

  package func trajectories(
    of round: RoundID, from first: Slot, before end: Slot?
  ) throws(LedgerError) -> [Trajectory] {
    let hasVerdicts = run.settings.hasRewardCommand || run.method.objective == .awr
    guard hasVerdicts, round.purpose == .train else {
      return try ledger.trajectories(of: round, from: first, before: end)
    }
    return try ledger.trajectoriesWithVerdicts(of: round, from: first, before: end)
  }

  /// The first slot of each message in which a round's trajectories are sent.
  package func partStarts(of round: RoundID) throws(LedgerError) -> [Slot] {
    var cutter = PartCutter(records: run.method.sampling.records)
    return try ledger.slots(of: round) { cutter.begins(withTokens: $0) }
  }

  /// Marks a round as complete in the ledger. If the round is an evaluation, also computes and records its metrics.
  ///
  /// - Throws: `LedgerError`, or `PlatformError` if metrics.jsonl cannot be written.
  package func close(_ round: RoundID) throws {
    guard round.purpose == .evaluate else { return try closeStep(round) }
    let row = run.evaluationRow(try ledger.trajectories(of: round), of: round).text()
    try ledger.transaction { () throws(LedgerError) in
      try ledger.setMetrics(row, of: round)
      try ledger.close(round, at: WallClock.seconds())
    }
    try append(row)
  }

  /// The round is complete. Given responses become its settled slots in the same commit. What the reward command failed
  /// to judge is an event.
  private func closeStep(_ round: RoundID) throws {
    let given = try plan[round].map { try responses?.trajectories(of: $0, method: run.method) ?? [] } ?? []
    let hasRewards = run.method.objective == .awr
    try ledger.transaction { () throws(LedgerError) in
      if !given.isEmpty { try open(round) }
      for trajectory in given {
        _ = try ledger.insert(trajectory, worker: nil)
        guard hasRewards, let verdict = trajectory.verdict else { continue }
        try ledger.insert(SlotVerdict(trajectory.slot, verdict), at: WallClock.seconds())
      }
      try ledger.close(round, at: WallClock.seconds())
      guard run.settings.hasRewardCommand else { return }
      for (name, count) in try ledger.verdictFaults(of: round) {
        let why = VerdictFault(name: name)?.explanation ?? name
        try ledger.record(
          event: "reward.\(name)", "\(round): \(counted(count, "response")) without a verdict: \(why)",
          at: WallClock.seconds())
      }
    }
  }

  /// Records a step's new version. The version and the learner's report on the step become durable together.
  ///
  /// - Returns: the run's course after all steps so far.
  /// - Throws: `LedgerError`, `PlatformError` if metrics.jsonl cannot be written, or `CoordinatorFailure` if the guard
  ///   cannot judge the report.
  package func record(_ manifest: PolicyManifest, report: StepReport) throws -> RunCourse {
    let step = manifest.version.number - 1
    let policy = stored(manifest, madeBy: step)
    let wereOn = alarmsOn
    let signs: StepSigns?
    do {
      guard report.step == step else {
        throw StepReportError.invalid(member: "step", found: "\(report.step)")
      }
      // Given responses have no votes, so there is nothing to guard.
      signs = try responses == nil ? StepSigns(report) : nil
    } catch {
      throw CoordinatorFailure.broken("the learner's report on step \(step) cannot be used: \(error)")
    }
    let reading = signs.map { observe($0) }
    let alarms = run.settings.guardMode != .off ? reading?.alarms : nil
    let complete = try completed(report, reading)
    let row = StepRow.json(complete, alarms: alarms).text()
    try ledger.transaction { () throws(LedgerError) in
      try ledger.insert(policy)
      try openRounds(sampledBy: manifest.version)
      try ledger.setMetrics(row, ofStep: step)
      if let alarms { try self.report(alarms, ofStep: step, unless: wereOn) }
      try keepTime()
    }
    try append(row)
    return course
  }

  /// Adds the figures that only the coordinator knows: how long the rollouts took, and the guard's reading, which also
  /// depends on the steps before. Both are unknown if the responses were given.
  private func completed(_ report: StepReport, _ reading: GuardReading?) throws(LedgerError) -> StepReport {
    var report = report
    guard let reading else { return report }
    let round = try ledger.rounds().first { $0.id == .train(step: report.step) }
    report.figures[.rolloutSeconds] = round.flatMap { round in round.closedAt.map { $0 - round.openedAt } }
    report.figures[.distinctLabelRatio] = reading.distinctLabelRatio
    report.figures[.overturnRatio] = reading.overturnRatio
    report.figures[.guardScore] = reading.score
    return report
  }

  package func drop(_ version: PolicyVersion) throws(LedgerError) {
    try ledger.markRemoved(version, at: WallClock.seconds())
  }

  package func join(_ hello: Hello, _ peer: PeerID, from address: HostPort?) throws(LedgerError) {
    guard hello.role == .worker else { return }
    // An example is "amx tile by AMX, pair by float32": the instruction set, then what computes bfloat16 products.
    let parts = hello.arithmetic.split(separator: " ", maxSplits: 1).map(String.init)
    let id = try ledger.join(
      name: hello.name, address: address.map { "\($0)" } ?? "", instructionSet: parts.first ?? "",
      libraries: parts.last ?? "", at: WallClock.seconds())
    workers[peer] = id
    workersByName[hello.name] = id
  }

  package func leave(_ peer: PeerID, _ reason: String) throws(LedgerError) {
    guard let id = workers.removeValue(forKey: peer) else { return }
    try ledger.leave(worker: id, because: reason, at: WallClock.seconds())
  }

  /// Records an event for people who query the ledger.
  package func record(event kind: String, _ detail: String) throws(LedgerError) {
    try ledger.record(event: kind, detail, at: WallClock.seconds())
  }

  /// Records that no worker is connected. This is called when a coordinator begins and when it ends.
  package func disconnectAll(_ reason: String) throws(LedgerError) {
    let stale = try ledger.workers().filter { $0.leftAt == nil }
    try ledger.transaction { () throws(LedgerError) in
      for worker in stale { try ledger.leave(worker: worker.id, because: reason, at: WallClock.seconds()) }
    }
  }

  private func append(_ row: String) throws(PlatformError) {
    if lines == nil { lines = try LineFile(run.directory.metrics) }
    try lines?.append(row)
  }

  // MARK: Standbys

  /// Called with each commit, when it is on the disk.
  package var onCommit: ((LedgerCommit) -> Void)? {
    get { ledger.onCommit }
    set { ledger.onCommit = newValue }
  }

  package func position() throws(LedgerError) -> LedgerPosition { try ledger.position }

  /// Records under which term this coordinator leads, after it was a standby; nil if the run is finished.
  /// metrics.jsonl, which standbys do not follow, is made again.
  ///
  /// - Throws: `LedgerError` or `PlatformError`.
  package func takeOver(under term: Term?) throws {
    if let term { try ledger.set("\(term.number)", for: .term) }
    try Files.removeTree(run.directory.following)
    try restoreLines()
  }

  private func restoreLines() throws {
    // The evaluations of a version were complete at some time after the step that made it.
    var rows = try ledger.stepMetrics().map { (PolicyVersion($0.step).next, 0, $0.json) }
    rows += try ledger.evaluationMetrics().map { (PolicyVersion($0.round.step), 1, $0.json) }
    let lines = rows.enumerated().sorted { ($0.1.0, $0.1.1, $0.0) < ($1.1.0, $1.1.1, $1.0) }.map { $0.1.2 + "\n" }
    try Files.write(lines.joined(), to: run.directory.metrics)
  }

  package func durability() throws(LedgerError) -> Durability {
    try ledger.value(for: .durability).flatMap(Durability.init(rawValue:)) ?? .local
  }

  /// A standby that takes over has to know it.
  package func keep(_ durability: Durability) throws(LedgerError) {
    guard try ledger.value(for: .durability) ?? Durability.local.rawValue != durability.rawValue else { return }
    try ledger.set(durability.rawValue, for: .durability)
  }

  // MARK: The end

  /// Adds the time since the last call, or since the process started. So a run that was stopped and continued has the
  /// time of all of its starts. (The time that a killed process used after its last step is not counted.)
  package func keepTime() throws(LedgerError) {
    let now = MonotonicClock.now()
    let before = try ledger.value(for: .wallSeconds).flatMap(Double.init) ?? 0
    try ledger.set("\(before + now.since(timeKept).seconds)", for: .wallSeconds)
    timeKept = now
  }

  /// Checks that every slot is accounted for, then writes the result, summary and report.
  ///
  /// - Parameters:
  ///   - delivered: the version that is the run's result.
  ///   - bytes: gives a version's bytes, as published.
  /// - Throws: `CoordinatorFailure` if a slot is not accounted for, `LedgerError`, or `PlatformError` if a file cannot
  ///   be written.
  package func finish(
    delivering delivered: PolicyVersion, bytes: (PolicyVersion) throws(PlatformError) -> [UInt8]
  ) throws {
    let unbalanced = try ledger.unbalancedRounds()
    guard unbalanced.isEmpty else {
      throw CoordinatorFailure.broken(
        "the accounting does not close: \(unbalanced.map { "\($0)" }.joined(separator: ", ")) is recorded as complete "
          + "and lacks trajectories; the ledger was damaged or written by another program")
    }
    try keepTime()
    if let delivery = try Delivered.make(delivered, of: run, early: early, bytes) {
      try ledger.set(delivery.text(), for: .delivered)
      try append(delivery.text())
    }
    try RunSummary.write(run.directory, run.settings, ledger: ledger)
    try ModelCardFile.write(run, ledger: ledger)
  }
}
