// Clock: the only place where ttrl reads the time.
//
// The state machines' `now` comes from the monotonic clock. The wall clock labels logs and reports; it can jump, so no
// decision depends on it.

package import Base
import Glibc

/// CLOCK_MONOTONIC: the same for all processes of one machine until the machine restarts.
package enum MonotonicClock {
  package static func now() -> Instant {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Instant(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
  }
}

/// CLOCK_REALTIME, for people.
package enum WallClock {
  /// Seconds since 1970-01-01 UTC.
  package static func seconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  /// A time as text for people; the texts sort in the order of their times.
  /// - Parameter seconds: since 1970-01-01 UTC; the default is now.
  /// - Returns: ISO 8601 in UTC with milliseconds: "2026-02-03T04:05:06.789Z".
  package static func text(of seconds: Double = seconds()) -> String {
    let milliseconds = Int((seconds * 1000).rounded(.down))
    var whole = milliseconds / 1000
    var parts = tm()
    gmtime_r(&whole, &parts)
    let date = "\(parts.tm_year + 1900)-\(padded(parts.tm_mon + 1))-\(padded(parts.tm_mday))"
    let time = "\(padded(parts.tm_hour)):\(padded(parts.tm_min)):\(padded(parts.tm_sec))"
    return "\(date)T\(time).\(padded(Int32(milliseconds % 1000), width: 3))Z"
  }

  /// Now, where this machine is.
  package static func local() -> CalendarTime {
    var now = time(nil)
    var parts = tm()
    localtime_r(&now, &parts)
    return CalendarTime(
      year: Int(parts.tm_year) + 1900, month: Int(parts.tm_mon) + 1, day: Int(parts.tm_mday), hour: Int(parts.tm_hour),
      minute: Int(parts.tm_min), second: min(Int(parts.tm_sec), 59))
  }

  /// The inverse of `text(of:)`.
  ///
  /// - Returns: seconds since 1970, or nil for any other text.
  package static func seconds(of text: some StringProtocol) -> Double? {
    let digits = text.utf8.map { Int($0) - 48 }
    let isShaped = zip(text, "0000-00-00T00:00:00.000Z").allSatisfy { $1 == "0" ? $0.isASCII && $0.isNumber : $0 == $1 }
    guard isShaped, digits.count == 24 else { return nil }
    func number(_ range: Range<Int>) -> Int32 { range.reduce(0) { $0 * 10 + Int32(digits[$1]) } }
    var parts = tm()
    (parts.tm_year, parts.tm_mon, parts.tm_mday) = (number(0..<4) - 1900, number(5..<7) - 1, number(8..<10))
    (parts.tm_hour, parts.tm_min, parts.tm_sec) = (number(11..<13), number(14..<16), number(17..<19))
    return Double(timegm(&parts)) + Double(number(20..<23)) / 1000
  }

  private static func padded(_ value: Int32, width: Int = 2) -> String {
    let digits = String(value)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }
}
