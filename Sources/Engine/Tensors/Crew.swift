// Crew: threads that each do their own work, and help each other when they have none.
//
// A thread with work has a team (Team.swift). A thread without work joins the team of a busy one, until it has work
// itself or the other one has none. So the last pieces of a job use all cores. A batch of few rows is not divided among
// the threads either: to multiply few rows takes as long as to read the weights, so one team that reads them once is
// faster than threads that each read them. No result depends on who helps whom.

import Synchronization

package final class Crew: Sendable {
  private struct Member {
    var isBusy = false
    var guests = 0
    /// The thread that this one helps.
    var host: Int?
  }

  private let members: Mutex<[Member]>
  private let teams: [Team]

  /// The most guests of one thread. A few threads use all of a processor's memory bandwidth, and every guest that a
  /// team has room for takes scratch memory.
  package static let guestsMax = 3

  /// With so many rows or more, a thread multiplies by itself as fast as in a team. Two cores of a Xeon, 135M
  /// parameters, bfloat16: a team is 1.5 times as fast at 2 and 4 rows per thread, 1.2 times at 8, and 1.03 at 16.
  private static let rowsAlone = 16
  /// Weights below this size stay in the caches.
  private static let weightBytesMin = 32 << 20

  /// The threads, of `threads`, among which work of `rows` rows is divided. The others help.
  package static func hosts(of threads: Int, rows: Int, weightBytes: Int) -> [Int] {
    let isTeamWork = rows < rowsAlone * threads && weightBytes >= weightBytesMin
    return Array(stride(from: 0, to: threads, by: isTeamWork ? guestsMax + 1 : 1))
  }

  /// - Parameters:
  ///   - threads: how many there are.
  ///   - hosts: these have work from the beginning.
  package init(_ threads: Int, busy hosts: [Int] = []) {
    members = Mutex((0..<threads).map { Member(isBusy: hosts.contains($0)) })
    teams = (0..<threads).map { _ in .ofGuests(min(threads - 1, Crew.guestsMax)) }
  }

  /// The team of a thread, for its own work.
  package func team(of thread: Int) -> Team { teams[thread] }

  /// Says that a thread has work, or that it has none any more. Then its guests leave.
  package func set(_ thread: Int, isBusy: Bool) {
    members.withLock { $0[thread].isBusy = isBusy }
    if !isBusy { teams[thread].wakeGuests() }
  }

  /// The calling thread, which has no work, helps a busy one until that has no work or `isFree` is false.
  /// - Returns: false, at once, if no thread needs help.
  package func help(from thread: Int, while isFree: () -> Bool) -> Bool {
    let chosen = members.withLock { members -> Int? in
      let hosts = members.indices.filter { members[$0].isBusy && members[$0].guests < teams[$0].size - 1 }
      guard let host = hosts.min(by: { members[$0].guests < members[$1].guests }) else { return nil }
      members[host].guests += 1
      members[thread].host = host
      return host
    }
    guard let host = chosen else { return false }
    teams[host].join { isFree() && members.withLock { $0[host].isBusy } }
    members.withLock { members in
      members[host].guests -= 1
      members[thread].host = nil
    }
    return true
  }

  /// Lets a thread ask whether it is still free, if it is helping another one.
  package func recall(_ thread: Int) {
    if let host = members.withLock({ $0[thread].host }) { teams[host].wakeGuests() }
  }
}
