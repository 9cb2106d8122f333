// Arithmetic: a name for everything on this machine that determines the last bits of a result.

package enum Arithmetic {
  /// The instruction set of the kernels, and the version and instruction set of the matrix library, for example
  /// "avx512 oneDNN 2.6.3 avx512_core_amx".
  package static var description: String {
    "\(Kernels.best.name) oneDNN \(oneDNNVersion) \(oneDNNInstructionSet)"
  }

  /// Why this machine is refused; nil if it is suitable.
  ///
  /// An x86-64 processor without AVX2 and fused multiply-adds could compute, but hundreds of times slower.
  package static var problem: String? {
    #if arch(x86_64)
      let library = oneDNNInstructionSet
      guard Kernels.best.name == "portable" || ["sse41", "avx"].contains(library) else { return nil }
      let found =
        Kernels.best.name == "portable" ? "this processor does not have both" : "oneDNN is limited to \(library)"
      return "computing needs the AVX2 and FMA instructions (any x86-64 server since about 2015), and \(found). Use "
        + "another machine, and leave DNNL_MAX_CPU_ISA unset or at AVX2 or above"
    #else
      return nil
    #endif
  }
}
