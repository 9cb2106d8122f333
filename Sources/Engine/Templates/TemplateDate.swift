// TemplateDate: the moment that a template is told, for templates that write today's date. It is an input like every
// other, so that a run that is continued on another day renders the same prompts.

package struct TemplateDate: Sendable, Equatable {
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
  func text(_ format: String) -> String? {
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
