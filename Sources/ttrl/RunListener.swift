// RunListener: where the processes of ttrl on this machine wait for connections, for `ttrl status` and `ttrl doctor`.

import Base
import Collectives
import Commands
import Glibc
import Platform
import Runs

struct RunListener {
  /// A role, a worker's name, or the name of MPI's launcher.
  let process: String
  let id: Int32
  let address: HostPort
  let purpose: String

  /// The run's processes on this machine. Processes that were started by hand are those of their coordinator only.
  static func of(_ directory: RunDirectory) -> [RunListener] {
    let holders = [RunDirectory.supervisorLock, "lock"].compactMap { name in
      (try? RunLock.holder(directory: directory.path, name: name)) ?? nil
    }
    return list(holders.first.map { RunningProcess.family(of: $0) } ?? [])
  }

  /// All processes of ttrl and what they have started, and the launchers of learners that were started by hand.
  static var all: [RunListener] {
    let all = RunningProcess.all
    let own = all.filter { $0.name == "ttrl" || isOfMPI($0.name) && $0.arguments.contains("learner") }
    let family = Set(own.flatMap { RunningProcess.family(of: $0.id, among: all).map(\.id) })
    return list(all.filter { family.contains($0.id) })
  }

  /// The launcher that has started this process, and all that it has started.
  static var ofThisJob: [RunListener] {
    let all = RunningProcess.all
    var root = getppid()
    while let parent = all.first(where: { $0.id == root })?.parent,
      all.contains(where: { $0.id == parent && isOfMPI($0.name) })
    { root = parent }
    return list(RunningProcess.family(of: root, among: all))
  }

  private static func isOfMPI(_ name: String) -> Bool {
    MPIImplementation(libraryVersion: MPICollectives.libraryVersion).processNames.contains(name)
  }

  private static func list(_ processes: [RunningProcess]) -> [RunListener] {
    ListeningSocket.of(processes.map(\.id)).compactMap { socket in
      guard let process = processes.first(where: { $0.id == socket.process }) else { return nil }
      let role = process.name == "ttrl" ? process.arguments.dropFirst().first ?? "" : process.name
      let name = process.value(of: "--name")
      return RunListener(
        process: name.isEmpty ? role : name, id: process.id, address: socket.address,
        purpose: purposes[role] ?? (isOfMPI(role) ? "MPI's own processes connect" : "not known to ttrl"))
    }
  }

  private static let purposes = [
    "coordinator": "workers and the learner connect", "worker": "other workers fetch weights",
    "learner": "other ranks connect (MPI)", "two-ranks": "other ranks connect (MPI)", "page": "the live page",
  ]

  var text: String {
    "\(process) (\(id)) at \(address): \(purpose)" + (address.isLoopback ? "" : Self.isOpen)
  }

  /// Ends the text of a listener whose address is not a loopback address.
  static let isOpen = "; other machines can connect"

  var json: JSON {
    [
      "process": .string(process), "pid": .int(Int(id)), "address": .string("\(address)"),
      "purpose": .string(purpose), "loopback": .bool(address.isLoopback),
    ]
  }
}
