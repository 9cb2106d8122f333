// Figures: how docs/results.md writes numbers.

/// Numbers as text.
enum Figures {
  /// A dash if the figure does not exist.
  static func decimal(_ value: Double, _ digits: Int = 2) -> String {
    guard value.isFinite else { return "–" }
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let whole = Int((abs(value) * scale).rounded())
    let fraction = "\(whole % Int(scale))"
    let sign = value < 0 && whole != 0 ? "−" : ""
    return "\(sign)\(whole / Int(scale))." + String(repeating: "0", count: digits - fraction.count) + fraction
  }

  static func percent(_ value: Double) -> String { value.isFinite ? decimal(value * 100, 1) + " %" : "–" }

  static func change(_ before: Double, _ after: Double) -> String { "\(percent(before)) → \(percent(after))" }

  /// The mean, with the lowest and the highest in parentheses.
  static func span(_ values: [Double]) -> String {
    let mean = values.reduce(0, +) / Double(values.count)
    return "\(percent(mean)) (\(decimal((values.min() ?? .nan) * 100, 1))–\(decimal((values.max() ?? .nan) * 100, 1)))"
  }

  static func points(_ value: Double, sign: Bool = true) -> String {
    (sign && value > 0 ? "+" : "") + decimal(value * 100, 1)
  }

  /// "commit a, b".
  static func commits(_ names: [String]) -> String {
    (names.count == 1 ? "commit " : "commits ") + names.joined(separator: ", ")
  }
}
