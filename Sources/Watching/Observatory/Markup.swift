// Markup: HTML into which no text can inject markup.
//
// A question, an answer or a setting can contain anything, also "</script>". So HTML has a type of its own: literals in
// the source are markup, interpolated text is escaped, and only Markup enters Markup unescaped. No call can forget to
// escape. Text is never put into a script, a style or an unquoted attribute.

import PageFiles

/// A piece of HTML. It is well-formed if its literals are.
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

  static func + (left: Markup, right: Markup) -> Markup { "\(left)\(right)" }
}

extension Markup {
  /// For the style and script elements of a report. The files are part of the program, so nothing is escaped.
  static let reportStyle = Markup(stringLiteral: PageFile.text([.sharedStyle, .reportStyle]))
  static let reportScript = Markup(stringLiteral: PageFile.text([.sharedScript, .reportScript]))
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

/// A figure with typographic signs: a true minus, and an en dash in place of a figure that is not known.
func typeset(_ figure: String) -> String {
  if figure == Figures.missing { return "–" }
  return figure.hasPrefix("-") ? "−" + figure.dropFirst() : figure
}
