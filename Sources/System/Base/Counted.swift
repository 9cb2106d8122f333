// Counted: whole numbers for people.

/// "1 worker", "1,240 workers", "1 reply", "2 replies".
///
/// - Parameters:
///   - count: any whole number.
///   - noun: in the singular.
///   - plural: if it is not the noun with an s.
package func counted(_ count: some BinaryInteger, _ noun: String, plural: String? = nil) -> String {
  "\(grouped(count)) " + (count == 1 ? noun : plural ?? noun + "s")
}

/// An integer in groups of three: "1,240".
package func grouped(_ value: some BinaryInteger) -> String {
  var text = ""
  for (index, digit) in String(value.magnitude).reversed().enumerated() {
    if index > 0, index % 3 == 0 { text.append(",") }
    text.append(digit)
  }
  return (value < 0 ? "-" : "") + String(text.reversed())
}
