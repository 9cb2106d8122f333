// Figures: numbers as text, in ASCII.
//
// Terminal lines, tables and the report write the same figure in the same way, in every locale. A figure that is not
// known, or not finite, is a dash. Not here: typographic signs, with which the report replaces the ASCII ones
// (`typeset`). The page's script has the same functions (CPageFiles/files/shared.js).

import Base

/// Numbers to text. A number that is not finite becomes `missing`.
package enum Figures {
  /// In place of a figure that is not known.
  package static let missing = "-"

  /// A fraction as a percentage with one decimal: 0.3125 is "31.3%".
  package static func percent(_ fraction: Double?) -> String {
    guard let fraction, fraction.isFinite else { return missing }
    return fixed(fraction * 100, decimals: 1) + "%"
  }

  /// A difference of two fractions in percentage points, always with its sign: "+27.2", "-0.4", "0.0".
  package static func points(_ difference: Double?) -> String {
    guard let difference, difference.isFinite else { return missing }
    let text = fixed(difference * 100, decimals: 1)
    return text.hasPrefix("-") || text == "0.0" ? text : "+" + text
  }

  /// Both ends of an interval of differences: "+21.0 to +33.5".
  static func pointsInterval(_ interval: Interval) -> String { "\(points(interval.low)) to \(points(interval.high))" }

  /// "40 turned right and 2 turned wrong; 80 stayed right, 6 stayed wrong".
  static func learnedAndLost(_ changes: LabelChanges) -> String {
    "\(grouped(changes.learned.count)) turned right and \(grouped(changes.lost.count)) turned wrong; "
      + "\(grouped(changes.kept)) stayed right, \(grouped(changes.missed)) stayed wrong"
  }

  /// A number with a fixed number of decimals, rounded half away from zero. Never "-0.0".
  package static func fixed(_ value: Double, decimals: Int) -> String {
    guard value.isFinite else { return missing }
    var unit = 1
    for _ in 0..<decimals { unit *= 10 }
    let scaled = (abs(value) * Double(unit)).rounded()
    // A larger double has no such decimals.
    guard scaled < 9e15 else { return "\(value)" }
    let count = Int(scaled)
    let sign = value < 0 && count > 0 ? "-" : ""
    guard decimals > 0 else { return "\(sign)\(count)" }
    let fraction = String(count % unit)
    return "\(sign)\(count / unit).\(String(repeating: "0", count: decimals - fraction.count))\(fraction)"
  }

  /// Three significant digits without trailing zeros: "0.125", "1,240", "5e-7".
  package static func short(_ value: Double?) -> String {
    guard let value, value.isFinite else { return missing }
    guard value != 0 else { return "0" }
    var (mantissa, exponent) = decimalParts(abs(value))
    let sign = value < 0 ? "-" : ""
    if (-3..<6).contains(exponent) {
      if exponent >= 2 { return sign + grouped(Int(abs(value).rounded())) }
      return sign + trimmed(fixed(abs(value), decimals: 2 - exponent))
    }
    if mantissa >= 9.995 { (mantissa, exponent) = (1, exponent + 1) }
    return "\(sign)\(trimmed(fixed(mantissa, decimals: 2)))e\(exponent)"
  }

  /// A time span in its two largest units: "8.4 s", "42 s", "14 min", "3 h 05 min", "2 d 4 h".
  package static func duration(seconds: Double?) -> String {
    guard let seconds, seconds.isFinite, seconds >= 0, seconds < 1e12 else { return missing }
    if seconds < 9.95 { return fixed(seconds, decimals: 1) + " s" }
    if seconds < 99.5 { return fixed(seconds, decimals: 0) + " s" }
    let minutes = Int((seconds / 60).rounded())
    if minutes < 60 { return "\(minutes) min" }
    if minutes < 24 * 60 { return "\(minutes / 60) h \(minutes % 60 < 10 ? "0" : "")\(minutes % 60) min" }
    return "\(minutes / 1440) d \(minutes % 1440 / 60) h"
  }

  /// `value` > 0 as mantissa · 10^exponent with 1 <= mantissa < 10.
  static func decimalParts(_ value: Double) -> (mantissa: Double, exponent: Int) {
    var (mantissa, exponent) = (value, 0)
    while mantissa >= 10 { (mantissa, exponent) = (mantissa / 10, exponent + 1) }
    while mantissa < 1 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
    return (mantissa, exponent)
  }

  private static func trimmed(_ text: String) -> String {
    guard text.contains(".") else { return text }
    var text = text
    while text.hasSuffix("0") { text.removeLast() }
    if text.hasSuffix(".") { text.removeLast() }
    return text
  }
}

/// Text in a field of `width` characters; wider text is left as it is.
func padded(_ text: String, to width: Int, right isRight: Bool = false) -> String {
  let fill = String(repeating: " ", count: max(0, width - text.count))
  return isRight ? fill + text : text + fill
}
