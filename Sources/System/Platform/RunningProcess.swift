// RunningProcess: the processes of this machine, from /proc as `ps` reads them, and the sockets on which they listen.

import Glibc

package struct RunningProcess: Sendable {
  package let id: Int32
  package let parent: Int32
  package let arguments: [String]

  /// The name of its program, without the directory.
  package var name: String { arguments.first?.split(separator: "/").last.map(String.init) ?? "" }

  /// The value of a flag of its command line; empty if there is none.
  package func value(of flag: String) -> String {
    guard let index = arguments.firstIndex(of: flag), index + 1 < arguments.count else { return "" }
    return arguments[index + 1]
  }

  /// nil for a process that has ended.
  package init?(_ id: Int32) {
    guard let status = try? Files.readText("/proc/\(id)/stat"), let end = status.lastIndex(of: ")"),
      let commands = try? Files.readText("/proc/\(id)/cmdline")
    else { return nil }
    // The name, in parentheses, can contain any character; then come the state and the parent.
    let fields = status[status.index(after: end)...].split(separator: " ")
    guard fields.count > 1, fields[0] != "Z", fields[0] != "X", let parent = Int32(fields[1]) else { return nil }
    self.id = id
    self.parent = parent
    arguments = commands.split(separator: "\0").map(String.init)
  }

  /// In the order of process numbers.
  package static var all: [RunningProcess] {
    ((try? Files.list("/proc")) ?? []).compactMap { Int32($0) }.sorted().compactMap(RunningProcess.init)
  }

  /// A process and those that it has started, directly or indirectly.
  ///
  /// - Returns: the process itself first; empty if it has ended.
  package static func family(of root: Int32, among processes: [RunningProcess] = all) -> [RunningProcess] {
    var family = processes.filter { $0.id == root }
    var index = 0
    while index < family.count {
      family += processes.filter { $0.parent == family[index].id }
      index += 1
    }
    return family
  }
}

/// A TCP socket on which a process waits for connections.
package struct ListeningSocket: Equatable, Sendable {
  package let process: Int32
  package let address: HostPort

  /// The sockets of some processes. A socket that several processes share is listed once, for the first of them.
  ///
  /// - Returns: nothing of a process whose files this user cannot read.
  package static func of(_ processes: [Int32]) -> [ListeningSocket] {
    var open = ["tcp", "tcp6"].reduce(into: [String: HostPort]()) { found, table in
      let lines = ((try? Files.readText("/proc/net/\(table)")) ?? "").split(separator: "\n").dropFirst()
      for line in lines { if let (inode, address) = listener(line) { found[inode] = address } }
    }
    return processes.flatMap { id in
      let directory = "/proc/\(id)/fd"
      let inodes = ((try? Files.list(directory)) ?? []).compactMap { socketInode("\(directory)/\($0)") }
      let addresses = inodes.compactMap { open.removeValue(forKey: $0) }
      return addresses.sorted { "\($0)" < "\($1)" }.map { ListeningSocket(process: id, address: $0) }
    }
  }

  /// The number of the socket that a descriptor is; nil if it is something else.
  private static func socketInode(_ path: String) -> String? {
    var text = [CChar](repeating: 0, count: 64)
    guard readlink(path, &text, text.count - 1) > 0 else { return nil }
    let target = String(nulTerminated: text)
    return target.hasPrefix("socket:[") ? String(target.dropFirst(8).dropLast()) : nil
  }

  /// A line of /proc/net/tcp or tcp6, if its socket listens.
  static func listener(_ line: Substring) -> (inode: String, address: HostPort)? {
    let fields = line.split(separator: " ")
    guard fields.count > 9, fields[3] == "0A", let colon = fields[1].firstIndex(of: ":"),
      let port = UInt16(fields[1][fields[1].index(after: colon)...], radix: 16)
    else { return nil }
    // Words of 32 bits, each with its bytes in the machine's order, which is from the lowest.
    var bytes: [UInt8] = []
    var digits = fields[1][..<colon]
    while !digits.isEmpty {
      guard let word = UInt32(digits.prefix(8), radix: 16) else { return nil }
      bytes += (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }
      digits = digits.dropFirst(8)
    }
    guard let host = text(bytes) else { return nil }
    return (String(fields[9]), HostPort(host: host, port: port))
  }

  private static func text(_ bytes: [UInt8]) -> String? {
    let dotted = bytes.suffix(4).map { "\($0)" }.joined(separator: ".")
    if bytes.count == 4 { return dotted }
    guard bytes.count == 16 else { return nil }
    if bytes.dropLast().allSatisfy({ $0 == 0 }) { return bytes[15] == 0 ? "::" : "::\(bytes[15])" }
    // An IPv4 address on a socket of IPv6.
    if bytes.prefix(10).allSatisfy({ $0 == 0 }), bytes[10] == 0xff, bytes[11] == 0xff { return dotted }
    return stride(from: 0, to: 16, by: 2).map { String(UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]), radix: 16) }
      .joined(separator: ":")
  }
}
