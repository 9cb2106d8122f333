// stand-in, replaced at merge
package struct AnswerKey: Hashable, Comparable, Sendable {
  package var text: String
  package init(_ text: String) { self.text = text }
  package static func < (l: Self, r: Self) -> Bool { l.text < r.text }
}
