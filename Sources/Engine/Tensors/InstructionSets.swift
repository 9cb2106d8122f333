// InstructionSets: which kernels this processor can run, and which of them this process uses.
//
// All give the same bits, so the choice decides the speed and nothing else.

import CKernels
import Glibc

extension Kernels {
  /// The kernels that this processor can run, fastest first.
  package static let available: [Kernels] = {
    let wide: [UnsafePointer<ttrl_kernels>?] =
      ttrl_pair_instruction_is_fast()
      ? [ttrl_kernels_avx512_bf16(), ttrl_kernels_avx512()] : [ttrl_kernels_avx512(), ttrl_kernels_avx512_bf16()]
    return ([ttrl_kernels_amx()] + wide + [ttrl_kernels_avx2(), ttrl_kernels_portable()])
      .compactMap { $0.map(Kernels.init) }
  }()

  /// The variable that caps what a process uses, for tests: the name of one of `available`.
  package static let capVariable = "TTRL_INSTRUCTION_SET"

  /// The value of that variable; nil if it is not set.
  package static var cap: String? { getenv(capVariable).map { String(cString: $0) } }

  /// The kernels that this process uses. `Arithmetic.problem` reports a cap that this processor does not have.
  package static let best: Kernels = available.first { $0.name == cap } ?? available[0]
}
