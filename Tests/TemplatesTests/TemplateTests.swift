// Templates render what Jinja renders, or are refused with the place; nothing that a model brings can stop the program.

import Base
import Foundation
import Templates
import Testing

@Suite struct TemplateTests {
  private static let date = CalendarTime(year: 2026, month: 7, day: 4)

  private func render(
    _ source: String, _ values: JSON = [:], limits: TemplateLimits = TemplateLimits()
  ) throws(TemplateError) -> String {
    let values = (values.members ?? []).map { ($0.key, TemplateValue($0.value)) }
    return try Template(source, limits: limits).render(values, now: Self.date)
  }

  /// Small templates of our own, and what Jinja 3.1 rendered from them in the environment of transformers 5.24. The
  /// first line has the values that all of them see.
  private static let cases: [JSON] = {
    let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Fixtures/templates/cases.jsonl")
    let lines = (try? String(contentsOf: path, encoding: .utf8))?.split(separator: "\n") ?? []
    return lines.compactMap { try? JSON.parse(Array($0.utf8)) }
  }()

  @Test func `every construct renders as Jinja renders it, and fails where Jinja fails`() throws {
    let values = try #require(Self.cases.first?["values"])
    #expect(Self.cases.count > 80)
    for row in Self.cases.dropFirst() {
      let source = try #require(row["template"]?.string)
      do throws(TemplateError) {
        let text = try render(source, values)
        #expect(text == row["text"]?.string, "\(source)")
      } catch {
        #expect(row["text"] == nil, "\(source): \(error)")
      }
    }
  }

  @Test(arguments: [
    ("a\n{% if x %}", "line 2, column 11: the template ends within a statement; expected {% endif %}"),
    ("{{ 1 +\n }}", "line 2, column 2: unexpected }}, expected a value"),
    ("{% if 1 if 2 %}{% endif %}", "line 1, column 9: unexpected \"if\", expected %}"),
    ("{{ 1 is defined is true }}", "line 1, column 17: a test cannot follow a test"),
    ("{{ 1 is defined if 2 else 3 }}", "line 1, column 20: unexpected 2"),
    ("{{ 1 is defined(2) }}", "the test defined takes no value to compare with"),
    ("\n\n {% include 'x' %}", "line 3, column 5: the statement include, which ttrl does not reproduce"),
    ("{{ 'x' | wordwrap(3) }}", "line 1, column 10: the filter wordwrap, which ttrl does not reproduce"),
    ("{{ raise_exception('Only one turn.') }}", "the template refuses these messages: Only one turn."),
    ("{{ strftime_now('%c') }}", "the date format '%c', which ttrl does not reproduce"),
    ("{{ ('a' | safe) ~ 'b' }}", "joining text marked as safe, which ttrl does not reproduce"),
    ("{{ 'x'.format(1) }}", "the method format of text, which ttrl does not reproduce"),
    ("{{ 99999999999999999999 }}", "a number of more than 64 bits, which ttrl does not reproduce"),
  ])
  func `what is wrong or not reproduced is named with its place`(_ source: String, _ words: String) {
    #expect { try render(source) } throws: { "\($0)".contains(words) }
  }

  @Test(arguments: [
    // Loops that do not end in time, texts and values that double, calls and expressions without an end.
    "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
    "{% set ns = namespace(t='xxxxxxxxxx') %}{% for i in range(60) %}{% set ns.t = ns.t + ns.t %}{% endfor %}",
    "{{ 'x' * 10000000000 }}",
    "{% set ns = namespace(l=[]) %}{% for i in range(99999) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l }}",
    "{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
    "{% set ns = namespace() %}{% set ns.me = ns %}{% set ns.you = ns %}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{{ " + String(repeating: "(", count: 100_000) + "1" + String(repeating: ")", count: 100_000) + " }}",
    "{{ 1" + String(repeating: " + 1", count: 100_000) + " }}",
    "{{ x" + String(repeating: ".a", count: 100_000) + " }}",
    "{{ x" + String(repeating: " | trim", count: 100_000) + " }}",
    "{{ " + String(repeating: "not ", count: 100_000) + "1 }}",
    "{{ " + String(repeating: "-", count: 100_000) + "1 }}",
    "{{ 1" + String(repeating: " if 1", count: 100_000) + " }}",
    String(repeating: "{% if 1 %}", count: 100_000),
    String(repeating: "a", count: 1_000_001),
  ])
  func `a template without an end reaches a limit, on a small stack`(_ source: String) {
    let done = DispatchSemaphore(value: 0)
    nonisolated(unsafe) var seen: String?
    let thread = Thread {
      do throws(TemplateError) { seen = try render(source) } catch { seen = "\(error)" }
      done.signal()
    }
    thread.stackSize = 8 << 20
    thread.start()
    #expect(done.wait(timeout: .now() + 20) == .success, "\(source.prefix(80))")
    #expect(seen?.contains("more than") ?? false, "\(source.prefix(80)): \(seen?.prefix(200) ?? "")")
  }

  @Test func `a date is the one that is given`() throws {
    let source = "{{ strftime_now('%d %B %Y, %a %H:%M') }}"
    let later = CalendarTime(year: 2028, month: 2, day: 29, hour: 13, minute: 5)
    #expect(try Template(source).render([], now: later) == "29 February 2028, Tue 13:05")
  }

  @Test func `damaged templates give a text or an error`() throws {
    let values = try #require(Self.cases.first?["values"])
    let sources = Self.cases.dropFirst().compactMap { $0["template"]?.string.map { Array($0.unicodeScalars) } }
    var limits = TemplateLimits()
    limits.steps = 10_000
    limits.scalars = 100_000
    var state: UInt64 = 1
    func next(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % max(bound, 1)
    }
    var texts = 0
    for round in 0..<4000 {
      var source = sources[round % sources.count]
      for _ in 0...next(2) where !source.isEmpty {
        let (at, other) = (next(source.count), sources[next(sources.count)])
        switch next(3) {
        case 0: source.remove(at: at)
        case 1: source.insert(other[next(other.count)], at: at)
        default: source.replaceSubrange(at..<at, with: other)
        }
      }
      let text = String(String.UnicodeScalarView(source))
      if (try? render(text, values, limits: limits)) != nil { texts += 1 }
    }
    #expect(texts > 200)
  }
}
