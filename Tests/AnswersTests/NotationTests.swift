// NotationTests: spellings that the world sent: digits of other scripts, spaces as thousands marks, plain TeX, colors,
// repeating decimals, towers of powers, identities of functions.
//
// Each group stands for a kind. A pair of the first table must be one answer, and read; one of the second must be two.

import Answers
import Base
import Testing

private let oneAnswer: [(String, String)] = [
  // Digits, superscripts and subscripts of Unicode.
  ("１２", "12"), ("１２．５", "12.5"), ("٣", "3"), ("𝟒𝟐", "42"), ("10⁴", "10000"), ("3×10⁸", "3\\times10^8"),
  ("2¹⁰", "1024"), ("10⁻³", "0.001"), ("x²³", "x^{23}"), ("2ⁿ⁺¹", "2^{n+1}"), ("¹⁄₂", "0.5"), ("⅔", "2/3"),
  ("⅝", "5/8"),
  ("x₁₂", "x_{12}"), ("60º", "60"), ("90˚", "90^\\circ"), ("25℃", "25"),
  // Spaces of every kind as thousands marks.
  ("1\\ 000", "1000"), ("1\u{A0}000", "1000"), ("1\u{202F}000", "1000"), ("1\u{2009}000", "1000"), ("1~000", "1000"),
  ("1\\;000", "1000"), ("1\\:000\\:000", "1000000"), ("1\\thinspace 000", "1000"), ("14{, }916", "14916"),
  ("14{ , }916", "14916"), ("14 {, }916", "14916"), ("14{\\,}916", "14916"), ("14{\\ }916.5", "14916.5"),
  ("\u{3000}5\u{3000}", "5"),
  ("(1\\ 000, 2)", "(1000,2)"),
  // Plain TeX, colors, lines, sizes.
  ("{1 \\over 2}", "1/2"), ("1 \\over 2", "1/2"), ("{x+1 \\over x-1}", "\\frac{x+1}{x-1}"), ("2{1 \\over 3}", "2/3"),
  ("\\left(1 \\over 2\\right)", "0.5"), ("\\sqrt{1 \\over 4}", "0.5"), ("\\textcolor{red}{5}", "5"),
  ("{\\color{red}5}", "5"), ("\\color{blue}{5}", "5"), ("\\color[rgb]{1,0,0} 5", "5"), ("\\colorbox{yellow}{$5$}", "5"),
  ("\\fcolorbox{red}{white}{5}", "5"), ("\\underline{5}", "5"), ("\\bm{x}", "x"), ("\\Large 5", "5"),
  ("\\mathbb R", "\\mathbb{R}"), ("\\Bbb R", "\\mathbb{R}"), ("\\mathbf x", "x"), ("\\mathrm e", "e"),
  // Backslashes that were escaped once or twice too often.
  ("\\\\frac{3}{2}", "\\frac{3}{2}"), ("\\\\sqrt{2}", "\\sqrt2"), ("50\\\\%", "50"), ("3\\\\pi", "3\\pi"),
  ("\\\\left( 3, \\\\frac{\\\\pi}{2} \\\\right)", "(3,\\frac{\\pi}{2})"), ("\\\\\\\\frac{1}{2}", "0.5"),
  ("\\\\dfrac{2}{3} +\\frac{1}{72}", "\\frac{49}{72}"),
  ("\\\\begin{pmatrix}1\\\\\\\\2\\\\end{pmatrix}", "\\begin{pmatrix}1\\\\2\\end{pmatrix}"),
  // Repeating decimals.
  ("0.(3)", "1/3"), ("0.(6)", "2/3"), ("0.1(6)", "1/6"), ("2.(142857)", "15/7"), ("0.\\dot{3}", "1/3"),
  ("0.\\dot3", "1/3"), ("0.1\\dot{6}", "1/6"), ("0.\\dot{1}4285\\dot{7}", "1/7"), ("0.\\dot{1}\\dot{2}", "12/99"),
  ("0.\\bar3", "1/3"), ("0.\\overline 3", "1/3"), (".\\overline{3}", "1/3"), ("0.3\u{305}", "1/3"),
  ("0.16\u{305}", "1/6"), ("0.1\u{307}42857\u{307}", "1/7"), ("5.\\overline{0}", "5"),
  // A numeral as a factor, where it can be nothing else. Towers from right to left.
  ("n2^{n-1}", "n\\cdot 2^{n-1}"), ("(n+1)2^n", "2^n(n+1)"), ("n!2^n", "2^n n!"), ("2^6 3^5", "15552"),
  ("\\frac{1}{2}3", "\\frac32"),
  ("\\frac{1}{2}3x", "1.5x"), ("2^3^2", "512"), ("2^{3^2}", "2^3^2"), ("2^2^2^2", "65536"), ("{2^3}^2", "64"),
  ("x^2^3", "x^8"), ("2^-1^2", "0.5"),
  // Identities that need surds, logarithms or factorials to be taken apart.
  ("\\cos(\\sqrt{8}x)", "\\cos(2\\sqrt{2}x)"), ("\\sin(\\frac{x}{\\sqrt2})", "\\sin\\frac{\\sqrt2x}{2}"),
  ("e^{x/\\sqrt2}", "e^{\\sqrt2x/2}"), ("2^{\\sqrt{12}x}", "2^{2\\sqrt3x}"),
  ("\\cos(\\sqrt[3]{16}x)", "\\cos(2\\sqrt[3]2x)"),
  ("\\cos(\\sqrt8\\pi x)", "\\cos(2\\sqrt2\\pi x)"), ("\\cos(\\sqrt2\\sqrt8x)", "\\cos4x"),
  ("\\cos(-\\sqrt8x)", "\\cos(2\\sqrt2x)"), ("\\sqrt{\\sqrt8x}", "\\sqrt{2\\sqrt2x}"),
  ("\\cos(\\sqrt2\\sqrt3x)", "\\cos\\sqrt6x"),
  ("100e^{-\\frac{\\ln2}{5}t}", "100\\cdot2^{-t/5}"), ("e^{x\\ln3}", "3^x"), ("e^{2x\\ln\\frac12}", "4^{-x}"),
  ("(n+1)!", "(n+1)n!"), ("(n+2)!", "(n+2)(n+1)n!"), ("(n-1)!", "\\frac{n!}{n}"), ("\\frac{(2n)!}{(2n-1)!}", "2n"),
  ("\\binom{n}{2}", "\\frac{n(n-1)}{2}"), ("\\binom{n}{k}", "\\binom{n}{n-k}"),
  ("\\binom{n}{k}", "\\frac{n!}{k!(n-k)!}"),
  ("10^{100},10^{1/100}", "10^{1/100},10^{100}"), ("2^{0.01}", "\\sqrt[100]{2}"), ("\\sqrt[81]{x^{81}}", "x"),
  // Names in front of lists of tuples; times of day.
  ("(x,y)=(5,8),(8,5)", "(5,8),(8,5)"), ("(x,y) = (1,2) \\text{ or } (2,1)", "(2,1),(1,2)"),
  ("11:30\\text{ AM}", "11:30 a.m."), ("11:30AM", "11:30 am"), ("5 p.m.", "5:00\\text{ PM}"),
  ("5\\text{ p.m.}", "5 PM"),
  // Sentences.
  ("\\text{The answer is }5", "5"), ("The largest $n$ is 34.", "34"), ("There are $12$ ways", "12"),
  ("The area is equal to $\\frac{1}{2}$", "0.5"), ("The sum of the first 10 terms is 55", "55"),
  ("\\text{Thus, the sum is }5", "\\text{Thus, the sum is }5"),
]

private let twoAnswers: [(String, String)] = [
  ("0.(3)", "0"), ("0.(3)", "0.(6)"), ("0.(3)", "0.3"), ("0.1(6)", "0.6"), ("0.1(6)", "0.1"), ("0.\\dot{1}2", "0.12"),
  ("0.\\dot{3}", "0.3"), ("0.\\dot{1}\\dot{2}", "0.1\\dot{2}"), ("2^3^2", "64"), ("2^3^2", "2^{6}"),
  ("12:00 AM", "12:00 PM"), ("12:00 AM", "0"), ("12:00 AM", "12:00"), ("6 a.m.", "6 p.m."), ("6\\text{ AM}", "6"),
  ("0:30 AM", "0"), ("1,2 000", "1,2,0"), ("1，234", "1234"), ("(1,234)", "1234"), ("x2", "2x"), ("x2", "x^2"),
  ("2^6 3", "192"),
  ("2 3", "6"), ("\\frac12 3", "3/2"), ("1 234 5", "12345"), ("x=1\\\\y=2", "x=1y=2"), ("5!!", "(5!)!"), ("5!!", "5!"),
  ("e^{n\\ln x}", "x^{2n}"), ("e^{x\\ln(-2)}", "e^{x\\ln2}"), ("(n+1)!", "n!"), ("(n+1)!", "n!+1"), ("(2n)!", "2n!"),
  ("\\binom{n}{2}", "\\frac{n(n+1)}{2}"), ("\\cos(\\sqrt8x)", "\\cos(\\sqrt2x)"),
  ("\\sin(-\\sqrt8x)", "\\sin(2\\sqrt2x)"),
  ("10^{1/100}", "10^{1/101}"), ("10^{1/100}", "1"), ("(x,y)=(5,8),(8,5)", "(8,5)"),
  ("(x,y)=(5,8),(8,5)", "((5,8),(8,5))"),
  ("The larger is 5 and the smaller is 3", "3"), ("The answer is not 5", "5"), ("n is even", "n is odd"),
  ("The number is 5 or 6", "5"), ("The answer is five", "5"), ("The profit is 5, the loss is 3", "3"),
]

@Suite struct NotationTests {
  @Test(arguments: oneAnswer) func `another notation is the same answer`(_ left: String, _ right: String) {
    let key = answerKey(left, kind: .math)
    #expect(key == answerKey(right, kind: .math), "\(key.text)")
    #expect(!key.isLexical || left == right, "\(key.text)")
  }

  @Test(arguments: twoAnswers) func `a similar notation is another answer`(_ left: String, _ right: String) {
    #expect(!areEquivalent(left, right, kind: .math), "\(answerKey(left, kind: .math).text)")
  }
}
