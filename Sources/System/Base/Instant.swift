// Instant: a point on a monotonic clock, as a number.
//
// Pure code never reads a clock; every call that depends on time carries `now`. The shell fills it in from
// CLOCK_MONOTONIC, the simulator from its own counter. Not here: the wall clock, which only labels logs and reports.

/// Nanoseconds on a monotonic clock whose zero has no meaning. Instants of different processes (or simulations) cannot
/// be compared.
package struct Instant: Comparable, Hashable, Sendable {
  package var nanoseconds: UInt64

  package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

  package static let zero = Instant(nanoseconds: 0)

  package static func < (left: Instant, right: Instant) -> Bool { left.nanoseconds < right.nanoseconds }

  /// The instant `span` later. A sum that is too large becomes the largest instant; it never wraps.
  package static func + (left: Instant, span: Span) -> Instant {
    let (sum, overflow) = left.nanoseconds.addingReportingOverflow(span.nanoseconds)
    return Instant(nanoseconds: overflow ? .max : sum)
  }

  /// The time from `earlier` to this instant; zero if this one is not later.
  package func since(_ earlier: Instant) -> Span {
    Span(nanoseconds: nanoseconds > earlier.nanoseconds ? nanoseconds - earlier.nanoseconds : 0)
  }

  /// A length of time, never negative.
  package struct Span: Comparable, Hashable, Sendable {
    package var nanoseconds: UInt64

    package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    package static let zero = Span(nanoseconds: 0)
    package static func milliseconds(_ count: UInt64) -> Span { Span(nanoseconds: count * 1_000_000) }
    package static func seconds(_ count: UInt64) -> Span { Span(nanoseconds: count * 1_000_000_000) }

    package var seconds: Double { Double(nanoseconds) / 1e9 }
    package var milliseconds: UInt64 { nanoseconds / 1_000_000 }

    package static func < (left: Span, right: Span) -> Bool { left.nanoseconds < right.nanoseconds }
    package static func + (left: Span, right: Span) -> Span { Span(nanoseconds: left.nanoseconds + right.nanoseconds) }
    /// Not below zero.
    package static func - (left: Span, right: Span) -> Span {
      Span(nanoseconds: left.nanoseconds - min(left.nanoseconds, right.nanoseconds))
    }
    package static func * (left: Span, factor: UInt64) -> Span { Span(nanoseconds: left.nanoseconds * factor) }
  }
}
