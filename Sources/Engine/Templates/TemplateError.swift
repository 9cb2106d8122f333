// TemplateError: why a template cannot be read or rendered, with the place in it.

/// A place in a template's source: both count from 1.
package struct TemplatePlace: Sendable, Equatable, CustomStringConvertible {
  package var line: Int
  package var column: Int

  package var description: String { "line \(line), column \(column)" }
}

package enum TemplateError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The text does not follow the language.
  case syntax(TemplatePlace, problem: String)
  /// The text follows the language, but uses a part of it that is not reproduced here.
  case unsupported(TemplatePlace, what: String)
  /// The template does something that its language forbids, such as adding text and a number.
  case failed(TemplatePlace, problem: String)
  /// The template called `raise_exception`: it refuses these messages.
  case raised(TemplatePlace, message: String)
  /// The template needs more than the named limit.
  case limit(TemplatePlace, name: String, value: Int)

  package var description: String {
    switch self {
    case .syntax(let place, let problem): "\(place): \(problem)"
    case .unsupported(let place, let what): "\(place): \(what), which ttrl does not reproduce"
    case .failed(let place, let problem): "\(place): \(problem)"
    case .raised(let place, let message): "\(place): the template refuses these messages: \(message)"
    case .limit(let place, let name, let value): "\(place): more than \(value) \(name)"
    }
  }
}

/// What a template may use. A chat template needs a small part of each.
package struct TemplateLimits: Sendable, Equatable {
  /// Statements and expressions that are evaluated: a loop that does not end stops here.
  package var steps = 500_000
  /// Unicode scalars of all texts that are made on the way.
  package var scalars = 50_000_000
  /// Parts and Unicode scalars of one value.
  package var value = 2_000_000
  /// Unicode scalars of the source. The longest known chat template has 20,000.
  package var source = 1_000_000
  /// Expressions within expressions, statements within statements, and calls within calls.
  package var depth = 300

  package init() {}
}
