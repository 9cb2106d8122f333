// Arithmetic: which instructions this process computes with, and whether this machine can compute at all.
//
// The instructions decide the speed and nothing else: every processor computes the same bits.

package import Base

package enum Arithmetic {
  /// The instruction set of the kernels, and what computes bfloat16 products in each order, for example
  /// "avx512_bf16 tile by float32, pair by vdpbf16ps".
  package static var description: String {
    let name = Kernels.best.name
    return "\(name) tile by \(name == "amx" ? "AMX" : "float32"), pair by "
      + (name == "avx512_bf16" ? "vdpbf16ps" : "float32")
  }

  /// The order that is fastest on this processor.
  package static var fastestOrder: ProductOrder { Kernels.best.name == "amx" ? .tile : .pair }

  /// Why this machine is refused; nil if it is suitable.
  ///
  /// An x86-64 processor without AVX2 and fused multiply-adds could compute, but hundreds of times slower.
  package static var problem: String? {
    let names = Kernels.available.map(\.name)
    if let cap = Kernels.cap, !names.contains(cap) {
      return "\(Kernels.capVariable) is \"\(cap)\", which this processor does not have; it has "
        + "\(names.dropLast().joined(separator: ", ")). Unset the variable, or set it to one of these"
    }
    #if arch(x86_64)
      guard Kernels.best.name == "portable" else { return nil }
      return "computing needs the AVX2 and FMA instructions (any x86-64 server since about 2015), and this processor "
        + "does not have both. Use another machine"
    #else
      return nil
    #endif
  }
}
