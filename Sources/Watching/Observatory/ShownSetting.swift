// ShownSetting: a setting of a run, as people read it: those that differ from their defaults come first.

package struct ShownSetting: Sendable, Equatable {
  package let name: String
  package let value: String
  package let isDefault: Bool

  package init(name: String, value: String, isDefault: Bool = false) {
    self.name = name
    self.value = value
    self.isDefault = isDefault
  }

  /// Those that differ from their defaults.
  static func chosen(_ settings: [ShownSetting]) -> [ShownSetting] { settings.filter { !$0.isDefault } }

  static func defaults(_ settings: [ShownSetting]) -> [ShownSetting] { settings.filter(\.isDefault) }

  /// For the report: a list of names and values.
  static func list(_ settings: [ShownSetting]) -> Markup {
    """
    <dl class="pairs">
    \(settings.map { "<div><dt>\($0.name)</dt><dd>\($0.value)</dd></div>\n" as Markup })</dl>

    """
  }
}
