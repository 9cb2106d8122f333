// Answers of the kind `number:GRID`: numbers that are rounded to a grid before they are compared.

import Answers
import Base
import Testing

@Suite struct GridTests {
  private func kind(_ grid: String) throws -> AnswerKind { try #require(AnswerKind(rawValue: "number:\(grid)")) }

  @Test(arguments: [
    ("0.01", "3.14", "\\pi"), ("0.01", "3.142", "\\frac{22}{7}"), ("0.01", "0.33", "1/3"), ("0.5", "1.25", "1.5"),
    ("1", "2.71828", "e"), ("100", "12{,}345", "1.23\\times10^4"), ("0.01", "50\\%", "50"), ("0.1", "x=2.04", "2"),
    ("0.01", "-0.004", "0"), ("0.01", "\\sqrt2", "1.41421356"), ("0.01", "\\text{East}", "east"),
    ("0.01", "(1,2)", "( 1, 2 )"),
  ])
  func `these are the same answer`(_ grid: String, _ left: String, _ right: String) throws {
    let kind = try kind(grid)
    #expect(areEquivalent(left, right, kind: kind), "\(answerKey(left, kind: kind)) \(answerKey(right, kind: kind))")
  }

  @Test(arguments: [
    ("0.01", "0.0149", "0.0151"), ("0.01", "3.13", "3.14"), ("1", "2.4", "2.5"), ("0.01", "x+1", "1"),
    ("1", "-0.6", "0"),
    ("0.01", "i", "1"), ("0.01", "(1,2)", "(1,2.001)"),
  ])
  func `these are different answers`(_ grid: String, _ left: String, _ right: String) throws {
    #expect(!areEquivalent(left, right, kind: try kind(grid)))
  }

  /// Integer arithmetic of its own: n = ⌊(2p + q) / 2q⌋ for p/q in units of the grid.
  @Test func `a fraction is the multiple that integer arithmetic finds`() throws {
    for (grid, hundredths) in [("0.01", 1), ("0.25", 25), ("1", 100), ("7", 700)] {
      let kind = try kind(grid)
      for numerator in -60...60 {
        for denominator in 1...9 {
          // numerator / denominator divided by hundredths / 100.
          let (p, q) = (numerator * 100, denominator * hundredths)
          let doubled = 2 * p + q
          let multiple = doubled >= 0 ? doubled / (2 * q) : -((-doubled + 2 * q - 1) / (2 * q))
          let answer = "\\frac{\(numerator)}{\(denominator)}"
          #expect(answerKey(answer, kind: kind).text == "\(grid)*\(multiple)", "\(answer) on \(grid)")
        }
      }
    }
  }

  @Test(arguments: [
    "number", "number:", "number:0", "number:-1", "number:1e3", "number:.5", "number:1/2", "number:0.00",
  ])
  func `a grid has to be a positive decimal number`(_ text: String) { #expect(AnswerKind(rawValue: text) == nil) }

  @Test func `a kind's name is read back`() throws {
    for kind in AnswerKind.allCases { #expect(AnswerKind(rawValue: kind.rawValue) == kind) }
    #expect(try kind("0.25").rawValue == "number:0.25")
  }
}
