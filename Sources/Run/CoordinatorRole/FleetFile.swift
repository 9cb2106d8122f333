// FleetFile: writes RUN/fleet.json: the connected processes, what each of them holds, and which process waits for
// which.
//
// FleetWatch gives data, and this file turns the data into text. fleet.json is small, is replaced as a whole, and is
// read only by people (FleetNote). If it cannot be written, the run continues without it.

import Base
import Fleet
import Glibc
import Platform
import Records
import Runs

struct FleetFile {
  private let path: String
  private var watch = FleetWatch()
  private var written: Instant?

  private static let interval = Instant.Span.seconds(2)
  /// The most members, and the most waits, that the file has. The ledger has all workers.
  private static let entriesMax = 4096

  init(_ directory: RunDirectory) { path = directory.fleet }

  /// Writes the file if `interval` has passed since the last write.
  mutating func refresh(_ machine: Coordinator, _ standbys: StandbyDesk?, now: Instant) {
    if let written, now.since(written) < Self.interval { return }
    written = now
    watch.look(at: machine, now: now, limit: Self.entriesMax)
    let note = FleetNote(
      time: WallClock.seconds(), members: watch.members.map(FleetNote.Member.init),
      waits: watch.waits.map { FleetNote.Wait($0) } + (standbys?.lack(now: now).map { [FleetNote.Wait($0)] } ?? []),
      standbys: standbys?.note { machine.name(of: $0) } ?? [])
    // Not synced: it is worthless after a crash anyway.
    try? Files.writeForNow(note.json.bytes(), to: path)
  }

  func remove() { unlink(path) }
}

/// Seconds, with a resolution of one millisecond.
private func inSeconds(_ span: Instant.Span) -> Double { Double(span.milliseconds) / 1000 }

extension FleetNote.Member {
  fileprivate init(_ member: FleetMember) {
    self.init(
      name: member.name, isWorker: member.isWorker, connected: inSeconds(member.connected),
      silence: inSeconds(member.silence), tokens: Int(clamping: member.tokens), leases: member.leases,
      slots: member.slots, holding: member.holding.map { "\($0.round), prompt #\($0.prompt)" },
      stillness: inSeconds(member.stillness))
  }
}

extension FleetNote.Wait {
  /// The coordinator waits for a standby.
  fileprivate init(_ lack: (waiting: Int, since: Instant.Span)) {
    self.init(
      waiter: "coordinator", awaited: "a standby", what: "to acknowledge \(counted(lack.waiting, "message"))",
      seconds: inSeconds(lack.since), deadlineSeconds: inSeconds(Limits.standbyAbsence - lack.since))
  }

  fileprivate init(_ wait: FleetWait) {
    let (waiter, awaited, what) = words(for: wait.cause)
    self.init(
      waiter: waiter, awaited: awaited, what: what, seconds: inSeconds(wait.since),
      deadlineSeconds: wait.deadline.map(inSeconds))
  }
}

/// The process that waits, the process that it waits for, and the reason. `ttrl status` prints them as "WAITER waits
/// for AWAITED, WHAT, for 3 s".
private func words(for cause: FleetWait.Cause) -> (waiter: String, awaited: String, what: String) {
  switch cause {
  case .slots(let round, let leased, let pending, let workers):
    ("\(round)", text(of: workers), "\(leased + pending) slots: \(leased) promised, \(pending) not yet")
  case .verdicts(let round, let count): ("\(round)", "the reward command", "\(counted(count, "verdict"))")
  case .lease(let worker, let slots): ("worker \(worker)", "coordinator", "\(slots) slots to sample")
  case .noLearner: ("coordinator", "a learner to connect", "to train")
  case .learnerVersion: ("coordinator", "learner", "to say which policy it holds")
  case .training(let step): ("coordinator", "learner", "to train \(RoundID.train(step: step))")
  case .bytes(let version, let received, let total):
    ("coordinator", "learner", "to send policy \(version): \(received) of \(total) bytes")
  case .durability(let version): ("learner", "coordinator", "to make policy \(version) durable")
  case .batch(let step, let isSampling):
    ("learner", isSampling ? "\(RoundID.train(step: step))" : "coordinator", "its batch")
  case .end: ("learner", "coordinator", "the end of the run")
  case .departure(let name): ("coordinator", name, "to leave: the run is finished")
  }
}

private func text(of workers: FleetWait.Workers) -> String {
  switch workers {
  case .none: "a worker to connect"
  case .busy: "a worker with room"
  case .holding(let names, 0): "worker\(names.count == 1 ? "" : "s") \(names.joined(separator: ", "))"
  case .holding(let names, let others): "workers \(names.joined(separator: ", ")) and \(others) more"
  }
}
