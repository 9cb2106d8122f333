// ArithmeticKind: tells which processes compute the same bits.
//
// ttrl's own kernels compute the same bits on every processor, in both data types. Where the matrix library multiplies
// (bfloat16 on a processor with AMX), its version and its instruction set decide the last bits. A process reports both
// in its hello, such as "avx512 oneDNN 2.6.3 avx512_core_amx"; this type keeps the part that decides the bits.

package struct ArithmeticKind: Equatable, Sendable, CustomStringConvertible {
  package let description: String

  /// - Parameters:
  ///   - arithmetic: the field of a hello.
  ///   - dtype: the run's data type, "bfloat16" or "float32".
  package init(_ arithmetic: String, dtype: String) {
    let usesLibrary = dtype == "bfloat16" && arithmetic.hasSuffix("_amx")
    description = usesLibrary ? String(arithmetic.drop { $0 != " " }.dropFirst()) : "our own kernels"
  }
}
