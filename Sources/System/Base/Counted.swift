// Counted: a number with its noun, in the singular or the plural.

/// "1 worker", "2 workers", "1 reply", "2 replies".
///
/// - Parameters:
///   - noun: in the singular.
///   - plural: if it is not the noun with an s.
package func counted(_ count: some BinaryInteger, _ noun: String, plural: String? = nil) -> String {
  "\(count) " + (count == 1 ? noun : plural ?? noun + "s")
}
