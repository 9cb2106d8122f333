// Markup: HTML that cannot be injected into, by construction.
//
// A question, an answer or a setting may hold anything, "</script>" included. So HTML has a type of its own: what is
// written in the source is markup, what is interpolated as text is escaped, and only Markup enters Markup unescaped.
// Nobody has to remember to escape. Text never lands in a script, a style or an unquoted attribute.

/// A piece of HTML; well-formed as far as whoever wrote its literals took care.
package struct Markup: Sendable, Equatable, ExpressibleByStringInterpolation {
  package private(set) var text: String

  package init(stringLiteral value: String) { text = value }

  package init(stringInterpolation: StringInterpolation) { text = stringInterpolation.text }

  /// Text is escaped, markup is not.
  package struct StringInterpolation: StringInterpolationProtocol {
    fileprivate var text = ""

    package init(literalCapacity: Int, interpolationCount: Int) { text.reserveCapacity(literalCapacity) }

    package mutating func appendLiteral(_ literal: String) { text += literal }
    package mutating func appendInterpolation(_ value: String) { text += escaped(value) }
    package mutating func appendInterpolation(_ value: Int) { text += String(value) }
    package mutating func appendInterpolation(_ value: Markup) { text += value.text }
    package mutating func appendInterpolation(_ values: [Markup]) { for value in values { text += value.text } }
  }

  static func += (left: inout Markup, right: Markup) { left.text += right.text }
}

/// `text` for use between tags and in quoted attributes. Control characters, which HTML does not allow, become U+FFFD.
package func escaped(_ text: String) -> String {
  var result = ""
  result.reserveCapacity(text.utf8.count)
  for scalar in text.unicodeScalars {
    switch scalar {
    case "&": result += "&amp;"
    case "<": result += "&lt;"
    case ">": result += "&gt;"
    case "\"": result += "&quot;"
    case "'": result += "&#39;"
    case "\n", "\t": result.unicodeScalars.append(scalar)
    case "\0"..<" ", "\u{7F}"..<"\u{A0}": result += "\u{FFFD}"
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result
}

/// A figure with typographic signs: a true minus, an en dash where there is none.
func typeset(_ figure: String) -> String {
  if figure == Figures.missing { return "–" }
  return figure.hasPrefix("-") ? "−" + figure.dropFirst() : figure
}
