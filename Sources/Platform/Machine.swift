// Machine: the facts about this computer that plans and join messages need.

import CLinux
import Glibc

package enum Machine {
  /// Cores that this process may use: its affinity mask, which `taskset`, Slurm and MPI set.
  package static var coreCount: Int { max(1, Int(ttrl_affinity_count())) }

  /// The widest instruction set that the processor has and the system supports: "sse2", "avx2", "avx512",
  /// "avx512_bf16", "amx_bf16"; "other" where it is not x86-64. Each includes those before it.
  package static var instructionSet: String { ttrl_instruction_set().map { String(cString: $0) } ?? "other" }

  /// Bytes of memory in the machine.
  package static var memoryBytes: Int { sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)) }

  /// Bytes that new work can have without swapping: the kernel's estimate, or less where a control group allows less.
  package static var availableBytes: Int {
    let lines = (try? Files.readText("/proc/meminfo"))?.split(separator: "\n") ?? []
    let fields = lines.first { $0.hasPrefix("MemAvailable:") }?.split(separator: " ") ?? []
    let free = fields.count > 1 ? Int(fields[1]).map { $0 * 1024 } : nil
    let group = (try? Files.readText("/sys/fs/cgroup/memory.max"))?.split(separator: "\n").first.flatMap { Int($0) }
    return min(free ?? memoryBytes, group ?? .max)
  }

  /// The most memory that this process has held so far.
  package static var peakResidentBytes: Int {
    var usage = rusage()
    getrusage(RUSAGE_SELF.rawValue, &usage)
    return usage.ru_maxrss * 1024
  }

  package static var hostName: String {
    var text = [CChar](repeating: 0, count: 256)
    gethostname(&text, text.count - 1)
    return String(nulTerminated: text)
  }
}
