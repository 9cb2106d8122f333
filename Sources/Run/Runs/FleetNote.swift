// FleetNote: RUN/fleet.json: what a coordinator that is at work says of its fleet.
//
// Leases are in the coordinator's memory only, and `ttrl status` and the page are other processes. So the coordinator
// writes this file every two seconds (FleetFile), and readers believe it for ten. It is for people; nothing is decided
// by it.

package import Base
import Platform

package struct FleetNote: Sendable, Equatable {
  /// A connected process. Times are seconds.
  package struct Member: Sendable, Equatable {
    package var name: String
    package var isWorker: Bool
    package var connected: Double
    /// Since it was heard.
    package var silence: Double
    package var tokens: Int
    package var leases: Int
    package var slots: Int
    /// What its first lease is of.
    package var holding: String?
    /// Since the lease that has stood still longest made progress.
    package var stillness: Double

    package init(
      name: String, isWorker: Bool, connected: Double, silence: Double, tokens: Int, leases: Int, slots: Int,
      holding: String?, stillness: Double
    ) {
      self.name = name
      self.isWorker = isWorker
      self.connected = connected
      self.silence = silence
      self.tokens = tokens
      self.leases = leases
      self.slots = slots
      self.holding = holding
      self.stillness = stillness
    }
  }

  /// One that waits, and for whom.
  package struct Wait: Sendable, Equatable {
    package var waiter: String
    package var awaited: String
    package var what: String
    package var seconds: Double
    /// Until something is done about it; nil where nothing is.
    package var deadlineSeconds: Double?

    package init(waiter: String, awaited: String, what: String, seconds: Double, deadlineSeconds: Double?) {
      self.waiter = waiter
      self.awaited = awaited
      self.what = what
      self.seconds = seconds
      self.deadlineSeconds = deadlineSeconds
    }
  }

  /// How far a standby's copy of the run is.
  package struct Standby: Sendable, Equatable {
    package var name: String
    /// What it has not confirmed; nil while it makes a whole copy.
    package var commitsBehind: Int?
    package var bytesBehind: Int?

    package init(name: String, commitsBehind: Int?, bytesBehind: Int?) {
      self.name = name
      self.commitsBehind = commitsBehind
      self.bytesBehind = bytesBehind
    }

    /// "has everything", "2 commits (12 kB) behind".
    package var text: String {
      guard let commitsBehind, let bytesBehind else { return "makes a copy of the run" }
      guard commitsBehind > 0 else { return "has everything" }
      return "\(counted(commitsBehind, "commit")) (\((bytesBehind + 999) / 1000) kB) behind"
    }
  }

  /// When it was written, seconds since 1970.
  package var time: Double
  package var members: [Member]
  package var waits: [Wait]
  package var standbys: [Standby] = []

  /// An older note means that no coordinator is at work.
  private static let staleAfter = 10.0
  /// Bytes that are read; 4,096 members take about a megabyte.
  private static let bytesMax = 4 << 20

  package init(time: Double, members: [Member], waits: [Wait], standbys: [Standby] = []) {
    self.time = time
    self.members = members
    self.waits = waits
    self.standbys = standbys
  }

  /// What the coordinator of a run says now.
  ///
  /// - Returns: nil if no coordinator is at work.
  package init?(of directory: RunDirectory, now: Double) {
    guard let bytes = try? Files.read(directory.fleet, limit: Self.bytesMax), let json = try? JSON.parse(bytes),
      let note = FleetNote(json), abs(now - note.time) <= Self.staleAfter
    else { return nil }
    self = note.aged(by: max(0, now - note.time))
  }

  /// The same a while later, if nothing happened meanwhile.
  package func aged(by seconds: Double) -> FleetNote {
    var note = self
    note.time += seconds
    for index in members.indices {
      note.members[index].connected += seconds
      note.members[index].silence += seconds
      if members[index].holding != nil { note.members[index].stillness += seconds }
    }
    for index in waits.indices {
      note.waits[index].seconds += seconds
      note.waits[index].deadlineSeconds = waits[index].deadlineSeconds.map { max(0, $0 - seconds) }
    }
    return note
  }
}

// MARK: JSON

extension FleetNote {
  /// Members and waits that lack something are left out.
  package init?(_ json: JSON) {
    guard let time = json["time"]?.double else { return nil }
    self.time = time
    members = (json["members"]?.elements ?? []).compactMap { Member($0) }
    waits = (json["waits"]?.elements ?? []).compactMap { Wait($0) }
    standbys = (json["standbys"]?.elements ?? []).compactMap { Standby($0) }
  }

  package var json: JSON {
    [
      "time": .double(time), "members": .array(members.map(\.json)), "waits": .array(waits.map(\.json)),
      "standbys": .array(standbys.map(\.json)),
    ]
  }
}

extension FleetNote.Member {
  fileprivate init?(_ json: JSON) {
    guard let name = json["name"]?.string, let role = json["role"]?.string,
      let connected = json["connected"]?.double, let silence = json["silence"]?.double,
      let tokens = json["tokens"]?.int, let leases = json["leases"]?.int, let slots = json["slots"]?.int,
      let stillness = json["stillness"]?.double
    else { return nil }
    self.init(
      name: name, isWorker: role == "worker", connected: connected, silence: silence, tokens: tokens, leases: leases,
      slots: slots, holding: json["holding"]?.string, stillness: stillness)
  }

  fileprivate var json: JSON {
    [
      "name": .string(name), "role": isWorker ? "worker" : "learner", "connected": .double(connected),
      "silence": .double(silence), "tokens": .int(tokens), "leases": .int(leases), "slots": .int(slots),
      "holding": .optional(holding), "stillness": .double(stillness),
    ]
  }
}

extension FleetNote.Standby {
  fileprivate init?(_ json: JSON) {
    guard let name = json["name"]?.string else { return nil }
    self.init(name: name, commitsBehind: json["commits_behind"]?.int, bytesBehind: json["bytes_behind"]?.int)
  }

  package var json: JSON {
    [
      "name": .string(name), "commits_behind": commitsBehind.map { .int($0) } ?? .null,
      "bytes_behind": bytesBehind.map { .int($0) } ?? .null,
    ]
  }
}

extension FleetNote.Wait {
  fileprivate init?(_ json: JSON) {
    guard let waiter = json["waiter"]?.string, let awaited = json["awaited"]?.string,
      let what = json["what"]?.string, let seconds = json["seconds"]?.double
    else { return nil }
    self.init(
      waiter: waiter, awaited: awaited, what: what, seconds: seconds,
      deadlineSeconds: json["deadline_seconds"]?.double)
  }

  package var json: JSON {
    [
      "waiter": .string(waiter), "awaited": .string(awaited), "what": .string(what), "seconds": .double(seconds),
      "deadline_seconds": deadlineSeconds.map { .double($0) } ?? .null,
    ]
  }
}
