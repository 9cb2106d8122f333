// Arithmetic: a name for what decides the last bits of a result on this machine.

import COneDNN

package enum Arithmetic {
  /// The instruction set of our kernels, and version and instruction set of the matrix library:
  /// "avx512 oneDNN 2.6.3 avx512_core_amx".
  package static var description: String {
    "\(Kernels.best.name) oneDNN \(String(cString: ttrl_onednn_version())) \(String(cString: ttrl_onednn_isa()))"
  }
}
