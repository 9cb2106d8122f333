// FleetNote: RUN/fleet.json, read: what a coordinator that is at work says of its fleet.
//
// Written every two seconds by the coordinator (FleetFile) and believed for ten. It is for people; nothing is decided
// by it.

import Base
import Platform

package struct FleetNote: Sendable {
  /// When it was written, seconds since 1970.
  package let time: Double
  /// Nobody has renewed it: no coordinator is at work.
  package let isStale: Bool
  package let waits: [Wait]

  /// One who waits, and whom for.
  package struct Wait: Sendable {
    package let waiter: String
    package let awaited: String
    package let what: String
    /// Since it began, and until something is done about it, now.
    package let seconds: Double
    package let deadlineSeconds: Double?
  }

  private static let staleAfter = 10.0
  private static let bytesMax = 4 << 20

  /// - Returns: nil if there is none, or it cannot be read.
  package init?(_ directory: RunDirectory) {
    guard let bytes = try? Files.read(directory.fleet, limit: Self.bytesMax), let note = try? JSON.parse(bytes),
      let time = note["time"]?.double
    else { return nil }
    let age = max(0, WallClock.seconds() - time)
    self.time = time
    isStale = age > Self.staleAfter
    waits = (note["waits"]?.elements ?? []).compactMap { wait in
      guard let waiter = wait["waiter"]?.string, let awaited = wait["awaited"]?.string,
        let what = wait["what"]?.string, let seconds = wait["seconds"]?.double
      else { return nil }
      return Wait(
        waiter: waiter, awaited: awaited, what: what, seconds: seconds + age,
        deadlineSeconds: wait["deadline_seconds"]?.double.map { max(0, $0 - age) })
    }
  }
}
