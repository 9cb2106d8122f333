// UnitTests: which words behind a number are dropped: units of a list, and nothing else.
//
// A word that is dropped although it carries meaning makes different answers equal, and the vote rewards that. So the
// second table is the important one.

import Answers
import Base
import Testing

private let droppedUnits: [(String, String)] = [
  ("5\\text{ cm}", "5"), ("5 cm", "5"), ("864 \\mbox{ inches}^2", "864"), ("9.8\\ \\mathrm{m/s^2}", "9.8"),
  ("9.8\\text{ m/s}^2", "9.8"), ("9.8\\,\\mathrm{m\\,s^{-2}}", "9.8"), ("9.8\\ \\mathrm{m \\cdot s^{-2}}", "9.8"),
  ("5\\,\\mathrm{m}", "5"), ("5\\text{ kg m/s}^2", "5"), ("5\\text{ kg}\\cdot\\text{m}^2", "5"),
  ("60\\text{ km/h}", "60"),
  ("60\\text{ miles per hour}", "60"), ("60 miles per hour", "60"), ("5\\,\\frac{\\text{m}}{\\text{s}}", "5"),
  ("12 \\text{ square units}", "12"), ("12\\text{ sq. ft.}", "12"), ("12 sq. ft", "12"), ("12\\text{ cubic cm}", "12"),
  ("12\\text{ meters squared}", "12"), ("18\\text{ ways.}", "18"), ("18 ways.", "18"), ("18\\text{ ft.}", "18"),
  ("48 (pieces of junk mail)", "48"), ("6 (feet)", "6"), ("6\\text{ (feet)}", "6"), ("5\\text{ (m/s)}", "5"),
  ("5个", "5"),
  ("5 厘米", "5"), ("5人", "5"), ("20 percent", "20\\%"), ("10weeks", "10"), ("60\\text{ degrees}", "60^\\circ"),
  ("3\\text{ boxes}", "3"),
  ("3\\text{ pennies}", "3"), ("5\\text{ million dollars}", "5000000"), ("\\$5\\text{ million}", "5000000"),
  ("€5", "5"), ("5 €", "5"), ("¥5", "5"), ("-\\$5", "-5"), ("\\$-5", "-5"), ("5\\text{ USD}", "5"),
  // One unit in a list: the order does not count.
  ("2\\text{ cm}, 3\\text{ cm}", "3,2"), ("2, 3\\text{ cm}", "3,2"), ("30^\\circ, 60^\\circ", "60,30"),
  ("\\$2, \\$3", "3,2"),
  ("2\\text{ feet and }3\\text{ feet}", "2,3"), ("(2\\text{ cm}, 3\\text{ cm})", "(2,3)"), ("(5, 30^\\circ)", "(5,30)"),
  ("2\\text{ feet}, 3\\text{ inches}", "2\\text{ ft}, 3\\text{ in}"),
  ("4\\text{ ft}\\times 12\\text{ ft}", "4 ft by 12 ft"),
  ("4\\text{ ft}\\times 12\\text{ ft}", "4 \\times 12\\text{ feet}"), ("3\\times10^8\\text{ m/s}", "300000000"),
  ("\\theta=30^\\circ, r=2", "r=2, \\theta=30"),
]

private let keptWords: [(String, String)] = [
  // Words that carry meaning.
  ("2\\text{ thirds}", "2"), ("3\\text{ quarters}", "3"), ("3\\text{ tenths}", "3"), ("2\\text{ dozen}", "2"),
  ("2\\text{ halves}", "2"), ("25\\%\\text{ increase}", "25\\%\\text{ decrease}"), ("25\\%\\text{ increase}", "25"),
  ("25\\%\\text{ gain}", "25\\%\\text{ loss}"), ("\\$50\\text{ profit}", "\\$50\\text{ loss}"),
  ("\\$50\\text{ profit}", "50"),
  ("5\\text{ miles north}", "5\\text{ miles south}"), ("5\\text{ miles north}", "5"), ("5\\text{ miles N}", "5"),
  ("5\\text{ miles W}", "5\\text{ miles E}"), ("40^\\circ\\text{N}", "40^\\circ\\text{S}"),
  ("40^\\circ\\text{N}", "40"),
  ("40^\\circ\\text{ W}", "40"), ("40^\\circ\\mathrm{N}", "40"), ("500\\text{ BC}", "500\\text{ AD}"),
  ("500\\text{ BC}", "500"),
  ("500 BC", "500"), ("5\\text{ below}", "5"), ("5\\text{ less}", "5"), ("3\\text{ red}", "3"),
  ("3\\text{ wins}", "3\\text{ losses}"),
  ("2\\text{ heads}", "2\\text{ tails}"), ("5\\text{ minutes early}", "5\\text{ minutes late}"),
  ("5\\text{ years ago}", "5"),
  ("5\\text{ units left}", "5\\text{ units right}"), ("5 (loss)", "5"), ("5 (pieces of profit)", "5"),
  ("5\\text{ K}", "5"),
  ("5万", "5"), ("5成", "5"), ("5\\text{ squared}", "5"), ("\\text{Profit} = 5", "\\text{Loss} = 5"),
  ("\\text{Profit} = 5", "5"),
  // Different units in a list.
  ("2\\text{ red}, 3\\text{ blue}", "3\\text{ red}, 2\\text{ blue}"),
  ("2\\text{ ft}, 3\\text{ in}", "3\\text{ ft}, 2\\text{ in}"),
  ("2\\text{ ft}, 3\\text{ in}", "3\\text{ in}, 2\\text{ ft}"),
  ("2\\text{ ft}, 3\\text{ in}", "2\\text{ in}, 3\\text{ ft}"),
  ("2\\text{ hours and }30\\text{ minutes}", "30\\text{ hours and }2\\text{ minutes}"), ("\\$2, €3", "\\$3, €2"),
  ("5\\%, 3", "3\\%, 5"), ("30^\\circ, 2", "2^\\circ, 30"), ("\\$2, 50\\text{ cents}", "\\$50, 2\\text{ cents}"),
  ("\\{2\\text{ ft}, 3\\text{ in}\\}", "\\{3\\text{ ft}, 2\\text{ in}\\}"),
  ("(2\\text{ ft}, 3\\text{ in})", "(2\\text{ in}, 3\\text{ ft})"),
  ("[1\\text{ cm}, 2\\text{ m}]", "(1\\text{ cm}, 2\\text{ m})"),
  ("2\\text{ ft}+3\\text{ in}", "3\\text{ ft}+2\\text{ in}"),
  ("2\\text{ ft }3\\text{ in}", "3\\text{ ft }2\\text{ in}"),
  ("2\\text{ ft}:3\\text{ in}", "2\\text{ in}:3\\text{ ft}"),
  ("x=2\\text{ ft}, y=3\\text{ in}", "x=2\\text{ in}, y=3\\text{ ft}"),
  // Dimensions.
  ("4\\text{ ft}\\times 12\\text{ ft}", "6\\text{ ft}\\times 8\\text{ ft}"),
  ("4\\text{ ft}\\times 12\\text{ ft}", "48"),
  ("4 ft x 12 ft", "6 ft x 8 ft"), ("4\\times12\\text{ ft}", "6\\times8\\text{ ft}"), ("4\\text{ by }12", "48"),
  ("4\\text{ cm}\\cdot12\\text{ cm}", "6\\text{ cm}\\cdot8\\text{ cm}"),
  ("2\\text{ m}\\times3\\text{ m}\\times4\\text{ m}", "24"),
]

@Suite struct UnitTests {
  @Test(arguments: droppedUnits) func `a unit of the list is no part of the answer`(_ left: String, _ right: String) {
    let key = answerKey(left, kind: .math)
    #expect(key == answerKey(right, kind: .math), "\(key.text)")
    #expect(!key.isLexical, "\(key.text)")
  }

  @Test(arguments: keptWords) func `any other word, and different units, are a part of the answer`(
    _ left: String, _ right: String
  ) {
    #expect(!areEquivalent(left, right, kind: .math), "\(answerKey(left, kind: .math).text)")
    #expect(areEquivalent(left, left + " ", kind: .math))
  }
}
