// ProcessTable: the running processes, read from /proc as `ps` reads them.

import Foundation

struct ProcessEntry {
  let id: Int32
  let parent: Int32
  /// "Z" is a process that has ended and is not reaped yet.
  let state: String
  let arguments: [String]
  let environment: [String]

  /// The first argument of `ttrl`: "coordinator", "worker", "learner", "train".
  var role: String? { arguments.first.map { $0.hasSuffix("/ttrl") } == true ? arguments.dropFirst().first : nil }
  /// Open MPI 5's mpirun becomes prterun.
  var isLauncher: Bool { arguments.first.map { $0.hasSuffix("mpirun") || $0.hasSuffix("prterun") } == true }
  /// The value of a flag of its command line.
  func value(of flag: String) -> String? {
    arguments.firstIndex(of: flag).flatMap { $0 + 1 < arguments.count ? arguments[$0 + 1] : nil }
  }

  fileprivate init?(_ id: Int32) {
    // The name, in parentheses, can contain any character.
    let status = textOfProc(id, "stat")
    guard let end = status.lastIndex(of: ")") else { return nil }
    let fields = status[status.index(after: end)...].split(separator: " ")
    guard fields.count > 1, let parent = Int32(fields[1]) else { return nil }
    self.id = id
    self.parent = parent
    state = String(fields[0])
    arguments = textOfProc(id, "cmdline").split(separator: "\0").map(String.init)
    environment = textOfProc(id, "environ").split(separator: "\0").map(String.init)
  }
}

enum ProcessTable {
  static var all: [ProcessEntry] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return names.compactMap { Int32($0) }.sorted().compactMap(ProcessEntry.init)
  }

  /// The living processes that a process has started, and their living descendants.
  static func descendants(of id: Int32) -> [ProcessEntry] {
    let living = all.filter { $0.state != "Z" }
    var family: [ProcessEntry] = []
    var parents = [id]
    while let parent = parents.popLast() {
      let children = living.filter { $0.parent == parent }
      family += children
      parents += children.map(\.id)
    }
    return family
  }

  /// Bytes of memory that a process holds now.
  static func residentBytes(of id: Int32) -> Int {
    let line = textOfProc(id, "status").split(separator: "\n").first { $0.hasPrefix("VmRSS:") } ?? ""
    return line.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) }.map { $0 * 1024 } ?? 0
  }

  /// Local addresses of the TCP sockets on which processes wait for connections, as hexadecimal digits of
  /// /proc/net/tcp and tcp6, with the name of the process.
  static func listeners(of processes: [ProcessEntry]) -> [(name: String, address: String)] {
    let lines = ["tcp", "tcp6"].flatMap { textOfFile("/proc/net/\($0)").split(separator: "\n").dropFirst() }
    var open: [String: String] = [:]
    for fields in lines.map({ $0.split(separator: " ") }) where fields.count > 9 && fields[3] == "0A" {
      open["socket:[\(fields[9])]"] = String(fields[1].prefix { $0 != ":" })
    }
    return processes.flatMap { process in
      let directory = "/proc/\(process.id)/fd"
      let descriptors = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
      let targets = descriptors.compactMap {
        try? FileManager.default.destinationOfSymbolicLink(atPath: "\(directory)/\($0)")
      }
      let name = process.role ?? (process.isLauncher ? "mpirun" : "another")
      return targets.compactMap { open[$0] }.map { (name, $0) }
    }
  }

  static func isAlive(_ id: Int32) -> Bool { ProcessEntry(id).map { $0.state != "Z" } ?? false }
}

private func textOfProc(_ id: Int32, _ name: String) -> String { textOfFile("/proc/\(id)/\(name)") }
