// Template: a chat template, read once and rendered for any messages.
//
// Models bring their prompt as a program in the language Jinja, which the transformers library runs in Python. This is
// an interpreter for the part of the language that chat templates use, with the settings of that library. It gives the
// same text, or an error with the place: what it does not know is refused by name, never skipped. Rendering has no
// access to anything but its arguments and is bounded (TemplateLimits).
// Source: the documentation of Jinja 3.1 and of transformers' apply_chat_template.

package import Base

package struct Template: Sendable {
  private let body: [TemplateStatement]
  private let limits: TemplateLimits
  /// Every name in the template: of what it is given, and of its own.
  package let names: Set<String>

  /// - Throws: `TemplateError` with the place of what is wrong or not supported.
  package init(_ source: String, limits: TemplateLimits = TemplateLimits()) throws(TemplateError) {
    let tokens = try TemplateLexer.tokens(source, limits: limits)
    names = Set(
      tokens.compactMap { token in
        if case .name(let name) = token.kind { name } else { nil }
      })
    var parser = TemplateParser(tokens, limits: limits)
    body = try parser.parse()
    try TemplateNames.check(body)
    self.limits = limits
  }

  /// The template's text.
  ///
  /// - Parameters:
  ///   - values: the names that the template can use. A later pair overrides an earlier one.
  ///   - now: for templates that write a date.
  /// - Throws: `TemplateError`.
  package func render(_ values: [(name: String, value: TemplateValue)], now: CalendarTime) throws(TemplateError)
    -> String
  {
    var renderer = Renderer(limits: limits, now: now)
    for (name, value) in values { renderer.define(name, value) }
    try renderer.run(body)
    var text = ""
    text.unicodeScalars.append(contentsOf: renderer.output)
    return text
  }
}
