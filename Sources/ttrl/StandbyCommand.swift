// StandbyCommand: `ttrl standby`, and how one process changes between leading and following.
//
// A standby that takes over is the coordinator from then on. A coordinator that another one has superseded becomes a
// standby of that one. Each turn opens everything anew from the directory, so what is remembered between two turns is
// only where the others are, and the highest term.

import Base
import Commands
import CoordinatorRole
import Foundation
import Platform
import Records
import Runs
import Settings
import StandbyRole

/// A process that leads or follows, in its run's directory.
struct CoordinatorSeat {
  enum Turn {
    /// As coordinator; nil if it has not been a standby before.
    case lead(Takeover?, at: HostPort)
    case follow([HostPort], seen: Term, at: HostPort)
  }

  private let operation: OperationSettings
  private let directory: RunDirectory
  private let keys: ClusterKeys?

  init(_ operation: OperationSettings, _ directory: RunDirectory, _ keys: ClusterKeys?) {
    self.operation = operation
    self.directory = directory
    self.keys = keys
  }

  /// Serves until the run is finished, or a signal asks the process to stop.
  ///
  /// - Returns: the exit status.
  /// - Throws: if the process cannot go on.
  func serve(beginning: Turn) throws -> Int32 {
    var turn = beginning
    if case .lead(nil, let own) = beginning, try Files.exists(directory.following) {
      let former = try Files.readText(directory.following).trimmingCharacters(in: .whitespacesAndNewlines)
      turn = .follow(try HostPort.list(parsing: former), seen: .none, at: own)
    }
    while true {
      switch turn {
      case .lead(let takeover, let address):
        let shell = try CoordinatorShell(
          try Run(opening: directory), keys: keys, rewardProcesses: operation.rewardProcessCount,
          durability: takeover == nil ? operation.durability : nil, takeover: takeover)
        switch try shell.serve(on: address) {
        case .exit(let status): return status
        case .superseded(let term, let addresses, let own):
          let others = try addresses.filter { $0 != "\(own)" }.map { address throws(PlatformError) in
            try HostPort(parsing: address)
          }
          guard !others.isEmpty else { throw Superseded(term: term, directory: directory.path) }
          turn = .follow(others, seen: term, at: own)
        }
      case .follow(let others, let seen, let address):
        let options = StandbyOptions(
          coordinators: others, keys: keys, directory: directory.path, listen: address,
          patience: .seconds(UInt64(operation.takeoverAfter)), seen: seen)
        switch try StandbyShell(options).run() {
        case .exit(let status): return status
        case .lead(let takeover, let own): turn = .lead(takeover, at: own)
        }
      }
    }
  }
}

/// Another coordinator leads, and its address is not known.
private struct Superseded: LastingError, CustomStringConvertible {
  let term: Term
  let directory: String

  var description: String {
    "another coordinator of this run leads (term \(term)), and its address is not known here. To follow it: ttrl "
      + "standby --follow HOST:PORT --run \(directory.visible)"
  }
}

extension Command {
  @Sendable static func standby(_ settings: OperationSettings, _ call: CallSettings) throws -> Int32 {
    Log.start(role: "standby", level: Log.Level(settings.logLevel))
    let directory = RunDirectory(ThisProcess.absolute(settings.run))
    let seat = CoordinatorSeat(settings, directory, try ClusterAccess.key(settings.key))
    return try seat.serve(
      beginning: .follow(
        try HostPort.list(parsing: settings.follow), seen: .none, at: try HostPort(parsing: settings.listen)))
  }
}
