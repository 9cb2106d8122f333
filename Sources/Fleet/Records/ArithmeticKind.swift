// ArithmeticKind: which processes compute the same bits.
//
// Our own kernels do, on every processor and in both data types. Where the matrix library multiplies (bfloat16 on a
// processor with AMX), its version and its instruction set decide the last bits. A process says what it has in its
// hello, as "avx512 oneDNN 2.6.3 avx512_core_amx"; here is the part of it that counts.

package struct ArithmeticKind: Equatable, Sendable, CustomStringConvertible {
  package let description: String

  /// - Parameters:
  ///   - arithmetic: of a hello.
  ///   - dtype: of the run, "bfloat16" or "float32".
  package init(_ arithmetic: String, dtype: String) {
    let isLibrarys = dtype == "bfloat16" && arithmetic.hasSuffix("_amx")
    description = isLibrarys ? String(arithmetic.drop { $0 != " " }.dropFirst()) : "our own kernels"
  }
}
