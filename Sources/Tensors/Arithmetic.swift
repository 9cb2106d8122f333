// Arithmetic: a name for what decides the last bits of a result on this machine.

import CKernels
import COneDNN

package enum Arithmetic {
  /// The instruction set of the kernels and the library of the matrix products: "avx512 oneDNN 2.6.3 amx".
  package static var description: String { "\(Kernels.best.name) \(MatrixLibrary.description)" }
}
