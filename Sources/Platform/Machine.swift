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
