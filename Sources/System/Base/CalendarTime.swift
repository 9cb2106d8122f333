// CalendarTime: a date and a time of day, without a time zone. Templates that write today's date are given one.

package struct CalendarTime: Sendable, Equatable {
  package var year: Int
  /// From 1.
  package var month: Int
  package var day: Int
  package var hour: Int
  package var minute: Int
  package var second: Int

  package init(year: Int, month: Int, day: Int, hour: Int = 0, minute: Int = 0, second: Int = 0) {
    self.year = year
    self.month = month
    self.day = day
    self.hour = hour
    self.minute = minute
    self.second = second
  }

  /// Reads "2026-07-04" or "2026-07-04T13:05:00".
  ///
  /// - Returns: nil for any other text, and for a day that no calendar has.
  package init?(_ text: String) {
    let bytes = Array(text.utf8)
    let form = Array("0000-00-00T00:00:00".utf8)
    guard bytes.count == 10 || bytes.count == form.count else { return nil }
    for (byte, mark) in zip(bytes, form) {
      guard mark == 0x30 ? (0x30...0x39).contains(byte) : byte == mark else { return nil }
    }
    func number(_ range: Range<Int>) -> Int {
      range.reduce(0) { $1 < bytes.count ? $0 * 10 + Int(bytes[$1] - 0x30) : $0 }
    }
    self.init(
      year: number(0..<4), month: number(5..<7), day: number(8..<10), hour: number(11..<13), minute: number(14..<16),
      second: number(17..<19))
    let isLeap = year.isMultiple(of: 4) && !year.isMultiple(of: 100) || year.isMultiple(of: 400)
    let days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    guard year > 0, (1...12).contains(month), (1...days[month - 1]).contains(day), hour < 24, minute < 60, second < 60
    else { return nil }
  }

  /// ISO 8601, as `init` reads it.
  package var text: String { format("%FT%T") ?? "" }

  private static let months = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
  ]
  private static let days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]

  /// From 0, Sunday. Source: Sakamoto's method.
  private var weekday: Int {
    let offsets = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4]
    let year = month < 3 ? self.year - 1 : self.year
    return (year + year / 4 - year / 100 + year / 400 + offsets[(month - 1) % 12] + day) % 7
  }

  /// Python's strftime in the C locale, for the directives that are the same on every system.
  ///
  /// - Returns: nil for a directive that is not reproduced.
  package func format(_ format: String) -> String? {
    var text = ""
    var rest = format.unicodeScalars[...]
    func digits(_ value: Int, _ width: Int = 2) -> String {
      String(repeating: "0", count: max(0, width - "\(value)".count)) + "\(value)"
    }
    while let scalar = rest.popFirst() {
      guard scalar == "%" else {
        text.unicodeScalars.append(scalar)
        continue
      }
      guard let directive = rest.popFirst() else { return nil }
      switch directive {
      case "Y": text += digits(year, 4)
      case "y": text += digits(year % 100)
      case "m": text += digits(month)
      case "d": text += digits(day)
      case "H": text += digits(hour)
      case "I": text += digits((hour + 11) % 12 + 1)
      case "M": text += digits(minute)
      case "S": text += digits(second)
      case "p": text += hour < 12 ? "AM" : "PM"
      case "B": text += Self.months[(month - 1) % 12]
      case "b": text += Self.months[(month - 1) % 12].prefix(3)
      case "A": text += Self.days[weekday]
      case "a": text += Self.days[weekday].prefix(3)
      case "F": text += "\(digits(year, 4))-\(digits(month))-\(digits(day))"
      case "T": text += "\(digits(hour)):\(digits(minute)):\(digits(second))"
      case "%": text += "%"
      default: return nil
      }
    }
    return text
  }
}
