// ProcessUsage: time and memory that a process of this machine has used, from /proc.

import Glibc

package struct ProcessUsage: Sendable {
  /// Processor time, all threads, user and system.
  package let cpuSeconds: Double
  package let residentBytes: Int
  /// The most memory that it has held.
  package let peakBytes: Int

  /// - Parameter pid: its process number.
  /// - Returns: nil if there is no such process, or this user cannot read its files in /proc.
  package init?(of pid: Int32) {
    guard let stat = try? Files.readText("/proc/\(pid)/stat"), let name = stat.lastIndex(of: ")"),
      let status = try? Files.readText("/proc/\(pid)/status")
    else { return nil }
    // The name, in parentheses, can contain any character. Then come the state (field 3), …, utime (14), stime (15).
    let fields = stat[stat.index(after: name)...].split(separator: " ")
    guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else { return nil }
    cpuSeconds = (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    residentBytes = Machine.kibibytes("VmRSS:", in: status).map { $0 * 1024 } ?? 0
    peakBytes = Machine.kibibytes("VmHWM:", in: status).map { $0 * 1024 } ?? 0
  }
}
