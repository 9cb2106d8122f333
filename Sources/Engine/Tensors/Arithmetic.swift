// Arithmetic: a name for what decides the last bits of a result on this machine.

import COneDNN

package enum Arithmetic {
  /// The instruction set of our kernels, and version and instruction set of the matrix library:
  /// "avx512 oneDNN 2.6.3 avx512_core_amx".
  package static var description: String {
    "\(Kernels.best.name) oneDNN \(String(cString: ttrl_onednn_version())) \(String(cString: ttrl_onednn_isa()))"
  }

  /// Why this machine cannot compute; nil where it can.
  ///
  /// An x86-64 processor without AVX2 and fused multiply-adds would compute, hundreds of times slower.
  package static var problem: String? {
    #if arch(x86_64)
      let library = String(cString: ttrl_onednn_isa())
      guard Kernels.best.name == "portable" || ["sse41", "avx"].contains(library) else { return nil }
      let found = Kernels.best.name == "portable" ? "this processor has none of them" : "oneDNN is kept to \(library)"
      return "computing needs the AVX2 and FMA instructions (any x86-64 server since about 2015), and \(found). Use "
        + "another machine, and leave DNNL_MAX_CPU_ISA unset or at AVX2 or above"
    #else
      return nil
    #endif
  }
}
