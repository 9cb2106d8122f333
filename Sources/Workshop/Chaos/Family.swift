// Family: the living processes of a run, found in /proc as `ps` finds them.

import Glibc
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
    let entries = ((try? Files.list("/proc")) ?? []).compactMap { Int32($0) }.compactMap(Entry.init)
    guard let train = entries.first(where: { $0.id == root }) else { return [] }
    var family = [FamilyMember(id: root, kind: .train, name: "")]
    var parents = [root]
    var index = 0
    while index < parents.count {
      for child in entries where child.parent == parents[index] {
        parents.append(child.id)
        guard let (kind, name) = child.role(under: train) else { continue }
        family.append(FamilyMember(id: child.id, kind: kind, name: name))
      }
      index += 1
    }
    return family.sorted { $0.id < $1.id }
  }

  private struct Entry {
    let id: Int32
    let parent: Int32
    let arguments: [String]

    /// nil for a process that has ended.
    init?(_ id: Int32) {
      guard let status = try? Files.readText("/proc/\(id)/stat"), let name = status.lastIndex(of: ")"),
        let commands = try? Files.readText("/proc/\(id)/cmdline")
      else { return nil }
      // The name, in parentheses, can contain any character; then come the state and the parent.
      let fields = status[status.index(after: name)...].split(separator: " ")
      guard fields.count > 1, fields[0] != "Z", fields[0] != "X", let parent = Int32(fields[1]) else { return nil }
      self.id = id
      self.parent = parent
      arguments = commands.split(separator: "\0").map(String.init)
    }

    /// Processes of ttrl run the same program. mpirun, which can have another name, has it among its arguments.
    func role(under train: Entry) -> (ProcessKind, name: String)? {
      guard arguments.count > 1 else { return nil }
      guard arguments[0] == train.arguments.first else { return arguments.contains("learner") ? (.mpirun, "") : nil }
      return switch arguments[1] {
      case "coordinator": (.coordinator, "")
      case "worker": (.worker, value(of: "--name"))
      case "learner": (.learner, rank)
      default: nil
      }
    }

    private func value(of flag: String) -> String {
      guard let index = arguments.firstIndex(of: flag), index + 1 < arguments.count else { return "" }
      return arguments[index + 1]
    }

    /// The rank, from the variable of Open MPI or of MPICH.
    private var rank: String {
      let environment = (try? Files.readText("/proc/\(id)/environ")) ?? ""
      let names = ["OMPI_COMM_WORLD_RANK=", "PMI_RANK="]
      let entry = environment.split(separator: "\0").first { entry in names.contains { entry.hasPrefix($0) } }
      return entry?.split(separator: "=").last.map(String.init) ?? ""
    }
  }
}
