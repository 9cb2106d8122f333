// FleetFile: RUN/fleet.json, who is there, what each holds, and who waits for whom, as of a moment ago.
//
// Leases live in the coordinator's memory alone, and whoever watches a run is another process. So every two seconds the
// coordinator leaves a note. It is small, not synced, replaced as a whole, and if it cannot be written nobody minds:
// nothing reads it but people. A reader takes a note older than `staleAfter` for a sign that nobody is at work.

import Base
import Fleet
import Glibc
import Platform
import Runs

struct FleetFile {
  private let path: String
  private var written: Instant?

  private static let interval = Instant.Span.seconds(2)
  /// Members that are told of; the ledger knows the others too.
  private static let membersMax = 4096

  init(_ directory: RunDirectory) { path = directory.fleet }

  /// Writes it if it is time to.
  mutating func refresh(_ machine: Coordinator, now: Instant) {
    if let written, now.since(written) < Self.interval { return }
    written = now
    let members = machine.fleet(now: now, limit: Self.membersMax).map { member -> JSON in
      [
        "name": .string(member.name), "role": .string(member.isWorker ? "worker" : "learner"),
        "connected": seconds(member.connected), "silence": seconds(member.silence),
        "tokens": .int(Int(clamping: member.tokens)), "leases": .int(member.leases), "slots": .int(member.slots),
        "holding": .string(member.holding), "stillness": seconds(member.stillness),
      ]
    }
    let waits = machine.waits(now: now, limit: Self.membersMax).map { wait -> JSON in
      [
        "waiter": .string(wait.waiter), "awaited": .string(wait.awaited), "what": .string(wait.what),
        "seconds": seconds(wait.since), "deadline_seconds": wait.deadline.map(seconds) ?? .null,
      ]
    }
    let json: JSON = [
      "time": .double(WallClock.seconds()), "members": .array(members), "waits": .array(waits),
    ]
    write(json.bytes())
  }

  func remove() { unlink(path) }

  private func seconds(_ span: Instant.Span) -> JSON { .double(Double(span.milliseconds) / 1000) }

  /// Without a sync: it costs no disk's patience, and what is lost in a crash was worth nothing after it.
  private func write(_ bytes: [UInt8]) {
    let temporary = path + ".new"
    let file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard file >= 0 else { return }
    let count = bytes.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
    close(file)
    if count == bytes.count { rename(temporary, path) } else { unlink(temporary) }
  }
}
