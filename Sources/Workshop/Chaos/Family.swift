// Family: the living processes of a run, found in /proc as `ps` finds them.

import Platform

package struct FamilyMember: Equatable, Sendable {
  package var id: Int32
  package var kind: ProcessKind
  /// A worker's `--name`, or a rank's number.
  package var name: String
}

package enum Family {
  /// `ttrl train` and the processes of its run.
  ///
  /// - Parameter root: the process number of `ttrl train`.
  /// - Returns: in the order of process numbers; empty if `ttrl train` has ended.
  package static func members(of root: Int32) -> [FamilyMember] {
    let family = RunningProcess.family(of: root)
    guard let train = family.first else { return [] }
    let members = family.dropFirst().compactMap { process in
      role(of: process, under: train).map { FamilyMember(id: process.id, kind: $0.0, name: $0.name) }
    }
    return ([FamilyMember(id: root, kind: .train, name: "")] + members).sorted { $0.id < $1.id }
  }

  /// Processes of ttrl run the same program. mpirun, which can have another name, has it among its arguments.
  private static func role(of process: RunningProcess, under train: RunningProcess) -> (ProcessKind, name: String)? {
    guard process.arguments.count > 1 else { return nil }
    guard process.arguments[0] == train.arguments.first else {
      return process.arguments.contains("learner") ? (.mpirun, "") : nil
    }
    return switch process.arguments[1] {
    case "coordinator": (.coordinator, "")
    case "worker": (.worker, process.value(of: "--name"))
    case "learner": (.learner, rank(of: process))
    default: nil
    }
  }

  /// The rank, from the variable of Open MPI or of MPICH.
  private static func rank(of process: RunningProcess) -> String {
    let environment = (try? Files.readText("/proc/\(process.id)/environ")) ?? ""
    let names = ["OMPI_COMM_WORLD_RANK=", "PMI_RANK="]
    let entry = environment.split(separator: "\0").first { entry in names.contains { entry.hasPrefix($0) } }
    return entry?.split(separator: "=").last.map(String.init) ?? ""
  }
}
