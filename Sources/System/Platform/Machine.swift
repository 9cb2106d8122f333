// Machine: facts about this computer: cores, memory, instruction set, limits.

import CLinux
import Glibc

package enum Machine {
  /// Cores that this process can use: its affinity mask, which `taskset`, Slurm and MPI set.
  package static var coreCount: Int { max(1, Int(ttrl_affinity_count())) }

  /// The widest instruction set that the processor has and the operating system supports: "sse2", "avx2", "avx512",
  /// "avx512_bf16", "amx_bf16"; "other" if the processor is not x86-64. Each includes those before it.
  package static var instructionSet: String { ttrl_instruction_set().map { String(cString: $0) } ?? "other" }

  /// Bytes of memory in the machine.
  package static var memoryBytes: Int { sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)) }

  /// The number of files and connections that this process can have open at once.
  package static var descriptorLimit: Int {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
    return Int(clamping: limit.rlim_cur)
  }

  /// Raises that limit to the largest value that needs no privilege. The usual 1,024 is meant for programs that use
  /// `select`.
  package static func raiseDescriptorLimit() {
    var limit = rlimit()
    let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    guard getrlimit(resource, &limit) == 0, limit.rlim_cur < limit.rlim_max else { return }
    limit.rlim_cur = limit.rlim_max
    setrlimit(resource, &limit)
  }

  /// The most memory that this process has held so far. getrusage is only the fallback: it also counts the time before
  /// exec, when the process was a copy of its parent.
  package static var peakResidentBytes: Int {
    if let peak = kibibytes("VmHWM:", in: (try? Files.readText("/proc/self/status")) ?? "") { return peak * 1024 }
    var usage = rusage()
    getrusage(RUSAGE_SELF.rawValue, &usage)
    return usage.ru_maxrss * 1024
  }

  /// Lets `peakResidentBytes` begin again, at what this process holds now.
  ///
  /// - Throws: `.file` if the kernel does not allow it.
  package static func forgetPeakResidentBytes() throws(PlatformError) {
    // 5 resets the peak: man 5 proc, clear_refs.
    let file = try Descriptor(writing: "/proc/self/clear_refs", O_WRONLY, to: "reset the peak with")
    let five: [UInt8] = [UInt8(ascii: "5")]
    try five.span.withUnsafeBytes { bytes throws(PlatformError) in try file.write(bytes) }
  }

  /// The value of a line of /proc/PID/status.
  static func kibibytes(_ name: String, in status: String) -> Int? {
    for line in status.split(separator: "\n") where line.hasPrefix(name) {
      return Int(line.dropFirst(name.count).drop { $0 == " " || $0 == "\t" }.prefix { $0.isNumber })
    }
    return nil
  }

  /// Bytes that this process can use: the machine's memory, or less if a control group or a limit (`ulimit -v`) is
  /// lower.
  package static var memoryLimit: Int {
    var limit = rlimit()
    let own = getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0 ? Int(clamping: limit.rlim_cur) : .max
    return ([memoryBytes, own] + groupLimits).min() ?? memoryBytes
  }

  /// The limits of the process's memory control groups, innermost first; versions 2 and 1.
  private static var groupLimits: [Int] {
    let groups = (try? Files.readText("/proc/self/cgroup")) ?? ""
    var limits: [Int] = []
    for line in groups.split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let isUnified = fields[1].isEmpty
      guard isUnified || fields[1].split(separator: ",").contains("memory") else { continue }
      let root = isUnified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory"
      let file = isUnified ? "memory.max" : "memory.limit_in_bytes"
      // In a container the path can be the host's; then the root is the container's own group.
      var path = fields[2].split(separator: "/")
      while true {
        let name = ([root] + path.map(String.init) + [file]).joined(separator: "/")
        if let text = try? Files.readText(name), let bytes = Int(text.prefix { $0.isNumber }) { limits.append(bytes) }
        if path.isEmpty { break }
        path.removeLast()
      }
    }
    return limits.filter { $0 > 0 }
  }

  package static var hostName: String {
    var text = [CChar](repeating: 0, count: 256)
    gethostname(&text, text.count - 1)
    return String(nulTerminated: text)
  }
}
