// EquivalenceTests: which answers are the same answer, and that this is an equivalence relation.
//
// The tables are the specification to read first: each entry is a claim about two answers. The shared pairs and the
// gold answers of MATH-500 are further evidence, if they are present.

import Answers
import Base
import Testing

private struct Claim: Sendable, CustomTestStringConvertible {
  let left: String
  let right: String
  init(_ left: String, _ right: String) { (self.left, self.right) = (left, right) }
  var testDescription: String { left + " | " + right }
}

private let equalAnswers = [
  // Numerals.
  Claim("025", "25"), Claim("25.0", "25"), Claim("42.", "42"), Claim(".5", "0.50"), Claim("1,234,567", "1234567"),
  Claim("10{,}000", "10000"), Claim("11,\\! 111,\\! 100", "11111100"), Claim("1\\,000", "1 000"), Claim("- 7", "−7"),
  Claim("3e8", "3\\times10^8"), Claim("8,000,000", "8 million"), Claim("0.\\overline{3}", "\\frac13"),
  Claim("0.1\\overline{6}", "1/6"), Claim("three", "3"), Claim("10^{40}", "1" + String(repeating: "0", count: 40)),
  // Fractions.
  Claim("\\frac12", "\\dfrac{1}{2}"), Claim("\\frac{270}7", "270/7"), Claim("\\frac 59", "5/9"), Claim("½", "0.5"),
  Claim("2\\frac{1}{3}", "\\frac{7}{3}"), Claim("2 1/3", "7/3"), Claim("-1\\frac12", "-1.5"),
  Claim("\\frac{5}{-3}", "-\\frac{5}{3}"), Claim("\\frac{\\frac12}{3}", "1/6"), Claim("6/4", "3/2"),
  // Ignored parts.
  Claim("\\$18.90", "18.9"), Claim("40\\%", "40"), Claim("60^{\\circ}", "60°"), Claim("12\\text{ cm}^2", "12 cm"),
  Claim("3 \\text{ hours}", "3"), Claim("60 miles/hour", "60"), Claim("5\\,\\mathrm{m/s}", "5"), Claim("x=5", "y = 5"),
  Claim("f(x)=2x+1", "2x+1"), Claim("(x,y)=(1,2)", "(1,2)"), Claim("x_1 = 2", "2"), Claim("5 = x", "5"),
  Claim("x \\in [-2,7]", "[-2,7]"), Claim("\\text{Area} = 12", "12"), Claim("$\\left(5\\right)$", "**5**"),
  // Radicals, powers, complex numbers.
  Claim("\\sqrt2", "\\sqrt{2}"), Claim("\\frac{1}{\\sqrt{2}}", "√2/2"), Claim("\\sqrt{12}", "2\\sqrt3"),
  Claim("\\frac{1}{2+\\sqrt{3}}", "2-\\sqrt{3}"), Claim("\\sqrt[3]{16}", "2\\sqrt[3]{2}"), Claim("2^{1/2}", "\\sqrt2"),
  Claim("\\frac{2}{\\sqrt[3]{2}}", "\\sqrt[3]{4}"), Claim("\\sqrt{53}\\sqrt{59}", "\\sqrt{3127}"),
  Claim("\\sqrt{127}\\sqrt{131}\\sqrt{137}", "\\sqrt{2279269}"),
  Claim("\\frac{1}{\\sqrt[4]{8}}", "\\frac{\\sqrt[4]2}{2}"),
  Claim("\\sqrt{5+2\\sqrt{6}}", "\\sqrt2+\\sqrt3"), Claim("\\sqrt{3-2\\sqrt2}", "\\sqrt2-1"), Claim("\\sqrt{-4}", "2i"),
  Claim("\\frac{1}{1+i}", "\\frac{1-i}{2}"), Claim("e^{i\\pi}", "-1"), Claim("3^{-2}", "\\frac19"),
  // Polynomials and rational functions.
  Claim("(x-1)(x+1)", "x^2-1"), Claim("\\frac{x^2-1}{x-1}", "x+1"), Claim("0.5x", "\\frac{x}{2}"),
  Claim("(x+1)^{100}(x-1)^{100}", "(x^2-1)^{100}"), Claim("p - q", "-q+p"), Claim("\\frac{a+b}{2}", "(a+b)/2"),
  Claim("\\sqrt{x^2y}", "|x|\\sqrt{y}"), Claim("\\sqrt{7200x^3}", "60x\\sqrt{2x}"), Claim("4|x|", "\\sqrt{16x^2}"),
  Claim("|x|^2", "x^2"), Claim("|x||y|", "|xy|"), Claim("\\frac{1}{\\sqrt{x^2+1}}", "\\frac{\\sqrt{x^2+1}}{x^2+1}"),
  Claim("\\sqrt{x+1}\\sqrt{x+1}", "x+1"), Claim("\\sqrt{x/y}", "\\frac{\\sqrt{xy}}{|y|}"),
  Claim("\\sqrt[3]{xy}", "\\sqrt[3]{x}\\sqrt[3]{y}"), Claim("\\sqrt{4x+4}", "2\\sqrt{x+1}"), Claim("x^{2n}", "(x^n)^2"),
  Claim("2^{n+1}", "2\\cdot 2^n"), Claim("4^n", "2^{2n}"), Claim("e^{x+1}", "e \\cdot e^x"),
  // Constants that can be compared only by their value.
  Claim("\\arctan 1", "\\frac{\\pi}{4}"), Claim("\\cos\\frac{2\\pi}{5}", "\\frac{\\sqrt5-1}{4}"),
  Claim("\\sqrt[3]{7+5\\sqrt2}", "1+\\sqrt2"), Claim("\\sqrt[3]{2+\\sqrt5}+\\sqrt[3]{2-\\sqrt5}", "1"),
  Claim("\\sqrt{6+2\\sqrt2+2\\sqrt3+2\\sqrt6}", "1+\\sqrt2+\\sqrt3"), Claim("e^{\\ln 2}", "2"),
  Claim("\\cos\\frac{\\pi}{7}\\cos\\frac{2\\pi}{7}\\cos\\frac{3\\pi}{7}", "1/8"), Claim("\\lceil -\\pi \\rceil", "-3"),
  Claim("\\frac{\\sqrt{6+\\sqrt5}}{6+\\sqrt5}", "\\sqrt{\\frac{1}{6+\\sqrt5}}"), Claim("|1-\\sqrt2|", "\\sqrt2-1"),
  Claim("\\arctan\\frac12+\\arctan\\frac13", "\\frac{\\pi}{4}"),
  Claim("\\frac{\\sqrt{2+\\sqrt2}}{2}", "\\cos\\frac{\\pi}{8}"),
  Claim("\\cosh 1", "\\frac{e+e^{-1}}{2}"), Claim("\\sin\\pi", "0"), Claim("\\log_2 10", "\\frac{\\ln 10}{\\ln 2}"),
  // Functions.
  Claim("\\log_2 8", "3"), Claim("\\ln 8", "3\\ln 2"), Claim("\\log x + \\log y", "\\log(xy)"), Claim("5!", "120"),
  Claim("\\binom{5}{2}", "{5 \\choose 2}"), Claim("|-3|", "3"), Claim("\\lfloor -2.5 \\rfloor", "-3"),
  Claim("\\sin^2 x+\\cos^2 x", "1"), Claim("\\sin 2x", "2\\sin x\\cos x"), Claim("\\sec^2 x", "1+\\tan^2x"),
  Claim("\\cos 15^\\circ", "\\frac{\\sqrt{6}+\\sqrt{2}}{4}"), Claim("\\sin(a+b)", "\\sin a\\cos b+\\cos a\\sin b"),
  // Structures.
  Claim("3,5", "5 \\text{ and } 3"), Claim("\\{1,2,3\\}", "\\{3,1,2,2\\}"), Claim("\\pm 3", "3,-3"),
  Claim("x=2 \\text{ or } x=-3", "-3, 2"), Claim("\\{1\\pm\\sqrt5,-2\\}", "-2, 1+\\sqrt5, 1-\\sqrt5"),
  Claim("(0,9) \\cup (9,36)", "(9,36)\\cup(0,9)"), Claim("\\varnothing", "\\{\\}"),
  Claim("\\mathbb{R}", "(-\\infty,\\infty)"),
  Claim("x<5", "5>x"), Claim("-2 \\le x \\le 7", "[-2,7]"), Claim("x \\ge 0", "[0,+\\infty)"),
  Claim("x>2 \\text{ or } x<-1", "(-\\infty,-1)\\cup(2,\\infty)"),
  Claim("\\begin{pmatrix}\\frac12\\\\3\\end{pmatrix}", "\\begin{bmatrix} 0.5 \\\\ 3 \\end{bmatrix}"),
  Claim("5x - 7y = -4", "10x-14y+8=0"), Claim("2+3=5", "5"), Claim("3 : 4", "3:4"),
  Claim("x=1, y=2", "(1,2)"), Claim("y=2 \\text{ and } x=1", "(1,2)"), Claim("x_1=1, x_2=2", "2,1"),
  Claim("x > 2 \\text{ and } x < 5", "x<5, x>2"), Claim("\\pi \\approx 3.14", "\\pi"),
  Claim("25^\\circ\\text{C}", "25"),
  // Words and choices.
  Claim("\\text{east}", "East"), Claim("\\mathrm{even}", "even"), Claim("\\text{(C)}", "C"), Claim("C) 12", "C"),
  Claim("\\textbf{(C)}\\ 12", "C"), Claim("\\boxed{17}", "17"), Claim("4210_{5}", "4210_5"),
]

private let unequalAnswers = [
  // Words that say more than a unit, and letters that only look like a unit.
  Claim("n \\text{ is even}", "n \\text{ is odd}"), Claim("4ade", "4"), Claim("4 ade", "4"), Claim("2ft", "2"),
  Claim("x=1, y=2", "x=2, y=1"), Claim("x>2 \\text{ and } x<5", "x>2 \\text{ or } x<5"), Claim("1=2", "\\pi=3"),
  Claim("\\text{(A) and (C)}", "A"),
  Claim("\\sqrt{x^2}", "x"), Claim("|x|", "x"), Claim("|x|", "-x"), Claim("\\sqrt{xy}", "\\sqrt{x}\\sqrt{y}"),
  Claim("\\sqrt2+10^{-60}", "\\sqrt2"), Claim("e^{10^{-60}}", "e^{10^{-61}}"), Claim("e^{10^{-60}}", "1"),
  Claim("e^{\\pi\\sqrt{163}}", "262537412640768744"), Claim("\\cos 10^{-40}", "\\cos 10^{-41}"),
  Claim("\\sqrt{1-\\sqrt3}\\sqrt{1-\\sqrt5}", "\\sqrt{(1-\\sqrt3)(1-\\sqrt5)}"),
  Claim("\\sqrt{5+\\sqrt[3]{-2}\\sqrt[3]{4}\\sqrt{6}}", "\\sqrt2+\\sqrt3"), Claim("\\arctan 2", "1.1071487177940904"),
  Claim("0.333...", "0.333"), Claim("0.333", "1/3"),
  Claim("2\\pi", "6.28"), Claim("1.41421356", "\\sqrt2"), Claim("40\\%", "0.4"),
  Claim("025", "0"), Claim("\\frac{x+2}{7}", "x+2/7"), Claim("(3,-5)", "(-5,3)"), Claim("[0,1)", "(0,1)"),
  Claim("1,2", "(1,2)"), Claim("2,2,3", "2,3"), Claim("\\{\\{1,2\\},3\\}", "\\{1,2,3\\}"), Claim("\\sqrt2", "-\\sqrt2"),
  Claim("i", "-i"), Claim("x", "y"), Claim("x", "-x"), Claim("A", "B"), Claim("1101_2", "13"), Claim("1101_2", "1101"),
  Claim("x<5", "x\\le5"), Claim("x<5", "x>5"), Claim("\\infty", "-\\infty"), Claim("3:4", "4:3"), Claim("east", "seat"),
  Claim("2x=4y", "2x+4y=0"), Claim("x+y=5", "x=5"), Claim("\\ln x", "\\log x"), Claim("\\sin x", "\\cos x"),
  Claim("\\sqrt{3+2\\sqrt2}", "-1-\\sqrt2"), Claim("\\sqrt{x^2+2x+1}", "-x-1"), Claim("\\sqrt{4x+4}", "-2\\sqrt{x+1}"),
  Claim("3 \\text{ million}", "3"), Claim("10:30 AM", "10:30 PM"), Claim("\\textbf{2x+1}", "3"), Claim("1/0", "2/0"),
  Claim("3410224218957882959", "0"), Claim("2552870207005136399", "0"), Claim("AB", "BA"), Claim("C", "D"),
  Claim("5", ""),
  Claim("\\begin{vmatrix}1&2\\\\3&4\\end{vmatrix}", "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}"),
]

@Suite struct EquivalenceTests {
  @Test(arguments: equalAnswers)
  private func `two spellings of one answer have one key, and it is not their spelling`(_ claim: Claim) {
    let left = answerKey(claim.left, kind: .math)
    #expect(left == answerKey(claim.right, kind: .math))
    #expect(!left.isLexical)
  }

  @Test(arguments: unequalAnswers)
  private func `different answers have different keys`(_ claim: Claim) {
    #expect(!areEquivalent(claim.left, claim.right, kind: .math))
  }

  @Test func `the relation is reflexive, symmetric and transitive over all strings of the tables and the pairs`() throws
  {
    var answers = (equalAnswers + unequalAnswers).flatMap { [$0.left, $0.right] }
    for pair in try SharedMaterial.lines(of: "answers/pairs.jsonl", as: AnswerPair.self) {
      answers += [pair.answer, pair.reference]
    }
    // Callers rely on this, whatever areEquivalent does inside.
    let related = answers.map { left in answers.map { areEquivalent(left, $0, kind: .math) } }
    for a in answers.indices {
      #expect(related[a][a], "\(answers[a]) is not equal to itself")
      for b in answers.indices where related[a][b] {
        #expect(related[b][a], "\(answers[a]) = \(answers[b]), but not the other way round")
        #expect(related[a] == related[b], "\(answers[a]) = \(answers[b]), but they are equal to different answers")
      }
    }
  }

  @Test(.enabled(if: SharedMaterial.isPresent, "the shared answer pairs are not here"))
  func `every shared pair gets its intended verdict`() throws {
    let pairs = try SharedMaterial.lines(of: "answers/pairs.jsonl", as: AnswerPair.self)
    #expect(pairs.count == 60)
    for pair in pairs {
      #expect(
        areEquivalent(pair.answer, pair.reference, kind: .math) == pair.equivalent,
        "\(pair.category): \(pair.answer) | \(pair.reference)")
    }
  }

  @Test(.enabled(if: SharedMaterial.isPresent, "the shared questions are not here"))
  func `every gold answer of MATH-500 is found in its box and read`() throws {
    for question in try SharedMaterial.lines(of: "data/math500.jsonl", as: SharedQuestion.self) {
      let response = "So the result is $\\boxed{\(question.answer)}$."
      let extracted = try #require(extractAnswer(from: response, kind: .math))
      #expect(areEquivalent(extracted, question.answer, kind: .math), "\(question.answer)")
      #expect(!answerKey(question.answer, kind: .math).isLexical, "\(question.answer) was not read")
    }
  }

  @Test(.enabled(if: SharedMaterial.isPresent, "the shared questions are not here"))
  func `gold answers of MATH-500 share a key only by the documented rules`() throws {
    var spellings: [AnswerKey: Set<String>] = [:]
    for question in try SharedMaterial.lines(of: "data/math500.jsonl", as: SharedQuestion.self) {
      spellings[answerKey(question.answer, kind: .math), default: []].insert(question.answer)
    }
    let merged = spellings.values.filter { $0.count > 1 }.map { $0.sorted() }.sorted { $0[0] < $1[0] }
    #expect(
      merged == [
        ["-2,1", "1,-2"], ["10,\\!080", "10080"], ["120", "120^\\circ"], ["15", "15\\mbox{ cm}^2"],
        ["2 \\sqrt{5}", "2\\sqrt{5}"], ["30", "30^\\circ"], ["36", "36^\\circ", "\\$36"], ["5", "x=5"],
        ["90", "90^\\circ"], ["\\frac14", "\\frac{1}{4}"],
      ])
  }

  @Test func `a key's text shows how the answer was read`() {
    #expect(answerKey("\\frac{2}{4}", kind: .math).text == "q:1/2")
    #expect(answerKey("(3, -5)", kind: .math).text == "(q:3,q:-5)")
    #expect(answerKey("\\text{East}", kind: .math).text == "words:east")
    #expect(answerKey("option (c)", kind: .choice).text == "choice:C")
    #expect(answerKey("x ? y", kind: .math).isLexical)
  }

  @Test func `choices are compared by letter, strings without case and spacing`() {
    for spelling in ["C", "(C)", "\\text{(C)}", "C. 12", "c", "**C**", "Option C", "(C) 12"] {
      #expect(answerKey(spelling, kind: .choice).text == "choice:C", "\(spelling)")
    }
    for several in ["C and D", "(C) and (D)", "C, D", "(C), (D)"] {
      #expect(answerKey(several, kind: .choice).isLexical, "\(several)")
    }
    #expect(areEquivalent("New  York", "new york.", kind: .string))
    #expect(!areEquivalent("New York", "New Yorker", kind: .string))
    #expect(!areEquivalent("1/2", "0.5", kind: .string))
  }
}
