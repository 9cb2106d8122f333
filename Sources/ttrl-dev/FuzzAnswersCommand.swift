// FuzzAnswersCommand: `ttrl-dev fuzz-answers`: hostile texts for extraction and grading.
//
// A case is a function of (seed, number): a text from a small grammar of LaTeX, or a person's answer whose pieces are
// cut, doubled, swapped and repeated, or random bytes. What must be true of every case: nothing traps (a trap ends the
// process, and the last reported case says where to look), no step count is above the budget, the same text gives the
// same key twice, a space around it changes nothing, equality is symmetric, and what is extracted is not empty. Grading
// of people's answers is also timed.
//
// Not here: whether the verdicts are right (Tests/AnswersTests, Tests/Differential).

import Answers
import Base
import Commands

struct FuzzAnswersCommand: DeveloperTool {
  static let usage = "fuzz-answers [--seconds N] [--seed S] [--from CASE] [--cases N]"

  private var seconds = 60
  private var seed: UInt64 = 1
  private var from: UInt64 = 0
  private var cases: UInt64 = .max

  init?(_ arguments: inout ToolArguments) {
    arguments.read("--seconds", &seconds)
    arguments.read("--seed", &seed)
    arguments.read("--from", &from)
    arguments.read("--cases", &cases)
  }

  /// - Returns: the exit status: 0 if everything holds, 1 if something does not.
  func run() -> Int32 {
    var tally = FuzzTally()
    let start = ContinuousClock.now
    var lastReport = start
    var number = from
    while number - from < cases, ContinuousClock.now - start < .seconds(seconds) {
      // Reported before the block is tried: a trap is in one of the next 1,000 cases.
      if ContinuousClock.now - lastReport > .seconds(5) {
        lastReport = .now
        Command.complain("case \(number), \(tally.failures.count) failed")
      }
      for number in number..<min(number + 1_000, from &+ min(cases, .max - from)) {
        var generator = CaseGenerator(seed: seed, number: number)
        tally.check(generator.text(), number: number)
      }
      number += 1_000
    }
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    print(tally.report(seconds: seconds, median: medianMicroseconds()), terminator: "")
    return tally.failures.isEmpty ? 0 : 1
  }

  /// The median time of one grading (two keys and their comparison) over people's answers. Each time is the best of 20.
  private func medianMicroseconds() -> Double {
    let answers = CaseGenerator.answers
    var times: [Double] = []
    for (answer, reference) in zip(answers, answers.dropFirst()) {
      let trials = (0..<20).map { _ in
        ContinuousClock().measure { _ = areEquivalent(answer, reference, kind: .math) } / .microseconds(1)
      }
      times.append(trials.min() ?? 0)
    }
    return times.sorted()[times.count / 2]
  }
}

/// The results so far.
private struct FuzzTally {
  var cases = 0
  var failures: [String] = []
  private var read = 0
  private var lexical = 0
  private var exhausted = 0
  private var extracted = 0
  private var stepsMost: (steps: Int, text: String) = (0, "")
  private var slowest: (seconds: Double, text: String) = (0, "")
  private var previous = ""

  mutating func check(_ text: String, number: UInt64) {
    cases += 1
    let start = ContinuousClock.now
    let reading = readAnswer(text, kind: .math)
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    if seconds > slowest.seconds { slowest = (seconds, text) }
    if reading.steps > stepsMost.steps { stepsMost = (reading.steps, text) }
    if reading.key.isExhausted { exhausted += 1 } else if reading.key.isLexical { lexical += 1 } else { read += 1 }

    func expect(_ holds: Bool, _ claim: String) {
      if !holds { failures.append("case \(number): \(claim): \(text.debugDescription)") }
    }
    expect(reading.steps <= AnswerReading.stepsMax, "\(reading.steps) steps are above the budget")
    expect(readAnswer(text, kind: .math).key == reading.key, "two keys of one text differ")
    expect(answerKey(" " + text + " ", kind: .math) == reading.key, "spaces around it change the key")
    for kind in AnswerKind.allCases {
      expect(
        areEquivalent(text, previous, kind: kind) == areEquivalent(previous, text, kind: kind), "\(kind) is asymmetric")
      for response in [text, "So it is $\\boxed{\(text)}$.", "The answer is \(text).\nDone."] {
        guard let answer = extractAnswer(from: response, kind: kind) else { continue }
        extracted += 1
        expect(!answer.isEmpty, "an empty answer was extracted")
        _ = answerKey(answer, kind: kind)
      }
    }
    previous = text
  }

  func report(seconds: Double, median: Double) -> String {
    var lines = failures.prefix(20).map { "FAILS: " + $0 }
    lines += [
      "\(cases) cases in \(Int(seconds)) s, \(failures.count) failed: \(read) read, \(lexical) by spelling, "
        + "\(exhausted) beyond the budget; \(extracted) answers extracted",
      "most steps \(stepsMost.steps) of \(AnswerReading.stepsMax): \(stepsMost.text.prefix(120).debugDescription)",
      "slowest \(Int(slowest.seconds * 1e6)) µs: \(slowest.text.prefix(120).debugDescription)",
      "median comparison \((median * 100).rounded() / 100) µs",
    ]
    return lines.joined(separator: "\n") + "\n"
  }
}

/// Generates the text of a case.
private struct CaseGenerator {
  private var random: RandomSequence

  init(seed: UInt64, number: UInt64) {
    random = RandomSequence(
      seed: seed, purpose: .questions,
      stream: SIMD3(UInt32(truncatingIfNeeded: number), UInt32(truncatingIfNeeded: number >> 32), 0xF022))
  }

  mutating func text() -> String {
    switch random.index(below: 10) {
    case 0..<5: expression(depth: 1 + random.index(below: 5))
    case 5..<8: mutated()
    case 8: repeated()
    default: bytes()
    }
  }

  private mutating func pick(_ choices: [String]) -> String { choices[random.index(below: choices.count)] }

  /// A text of the grammar, mostly well-formed.
  private mutating func expression(depth: Int) -> String {
    guard depth > 0 else { return pick(Self.atoms) }
    func inner(_ generator: inout Self) -> String {
      generator.expression(depth: depth - 1 - generator.random.index(below: 2))
    }
    let a = inner(&self)
    switch random.index(below: 22) {
    case 0: return "\\frac{\(a)}{\(inner(&self))}"
    case 1: return "\\sqrt{\(a)}"
    case 2: return "\\sqrt[\(pick(Self.atoms))]{\(a)}"
    case 3: return "(\(a))^{\(inner(&self))}"
    case 4: return "\(a)^\(inner(&self))"
    case 5, 6: return "\(a)\(pick(["+", "-", "\\pm ", "\\mp "]))\(inner(&self))"
    case 7: return "\(a)\(pick(["", " ", "\\cdot ", "/", "*", "\\times "]))\(inner(&self))"
    case 8: return "\(pick(Self.functions))\(pick(["", "{", "("]))\(a)\(pick(["", "}", ")"]))"
    case 9: return "\\log_{\(a)}{\(inner(&self))}"
    case 10: return "\(pick(["(", "["]))\(a),\(inner(&self))\(pick([")", "]"]))"
    case 11: return "\\{\(a),\(inner(&self))\\}"
    case 12:
      return
        "\(a)\(pick([",", ";", " \\text{ or } ", " \\text{ and } ", "\\cup ", "\\cap ", "\\setminus "]))\(inner(&self))"
    case 13:
      return "\(pick(["x", "f(x)", "(x,y)", "x_1", a]))\(pick(["=", "<", ">", "\\le ", "\\ge ", "\\ne ", "\\in "]))\(a)"
    case 14: return "\\begin{pmatrix}\(a)&\(inner(&self))\\\\\(inner(&self))&1\\end{pmatrix}"
    case 15: return "\(a)\(pick(["\\%", "^\\circ", "!", "\\text{ cm}^2", " million", "\\$", "_{\(pick(Self.atoms))}"]))"
    case 16: return "\\left|\(a)\\right|"
    case 17: return "\\lfloor \(a)\\rfloor"
    case 18: return "\\text{\(a)}"
    case 19: return "-\(a)"
    case 20: return "\\binom{\(a)}{\(inner(&self))}"
    default: return "\(a)<\(pick(["x", "y"]))\\le \(inner(&self))"
    }
  }

  /// A person's answer, whose pieces are dropped, doubled, swapped or replaced.
  private mutating func mutated() -> String {
    var pieces = Array(pick(Self.answers)).map { String($0) }
    for _ in 0...random.index(below: 6) where !pieces.isEmpty {
      let place = random.index(below: pieces.count)
      switch random.index(below: 5) {
      case 0: pieces.remove(at: place)
      case 1: pieces.insert(pieces[place], at: random.index(below: pieces.count))
      case 2: pieces.swapAt(place, random.index(below: pieces.count))
      case 3: pieces[place] = pick(Self.atoms + Self.functions + Self.marks)
      default: pieces.insert(contentsOf: pick(Self.answers).map { String($0) }, at: place)
      }
    }
    return pieces.joined()
  }

  private mutating func repeated() -> String {
    let piece =
      pick(Self.marks + Self.atoms + Self.functions + Self.answers) + pick(["", "", " ", "{", "("] + Self.atoms)
    let times =
      [2, 2, 2, 3, 3, 5, 5, 10, 10, 25, 60, 150][random.index(below: 12)] * (random.index(below: 500) == 0 ? 20 : 1)
    return pick(["", "x=", "\\boxed{"]) + String(repeating: piece, count: times)
  }

  private mutating func bytes() -> String {
    let count = random.index(below: 60)
    return String(decoding: (0..<count).map { _ in UInt8(random.index(below: 256)) }, as: UTF8.self)
  }

  private static let atoms = [
    "0", "1", "2", "3", "7", "12", "-1", "025", "0.5", "1,234", "3e8", "0.\\overline{3}", "10^{40}", "x", "y", "n", "i",
    "e", "\\pi", "\\infty", "A", "99999999999999999999999", "1e9999", "\\frac12", "x_1", "１２", "10⁻³", "0.(3)",
    "0.\\dot{3}", "12:00 AM", "5\\text{ ft}", "\\$3", "5个", "1\\ 000",
  ]
  private static let functions = [
    "\\sin", "\\cos", "\\tan", "\\ln", "\\log", "\\exp", "\\arctan", "\\sinh", "f", "\\gcd",
  ]
  private static let marks = [
    "{", "}", "(", ")", "[", "]", "\\{", "\\}", "^", "_", "+", "-", "*", "/", "=", "<", ".", ",", "{,}", ",\\!", " ",
    "\\text{", "\\boxed{", "\\boxed", "$", "\\begin{pmatrix}", "\\end{pmatrix}", "&", "\\\\", "\\left", "\\right", "|",
    "!", "%", "or ", "east", "(C) ", "C) ", "\u{1F600}", "é", "答案是", "−", "½", "\\", "'", ":", ";", "\\choose",
    "\\over", "**", "\"", "e9", "answer is ", "Answer: ", "<think>", "</think>", "\\color{red}",
    "\\text{ in}", "\\times ", "\\dot", "\u{305}", "\u{A0}", "\\\\frac", " and ", "The sum is ", "^\\circ", "\\mathrm{",
    "#", "~",
  ]
  /// Answers of people: at least one of each kind, and more of the usual kinds. They are also timed.
  static let answers = [
    "42", "-7", "204", "025", "1,234,567", "3.14", "0.75", "\\frac{14}{3}", "-\\frac{5}{3}", "7/12", "2\\frac{1}{3}",
    "113", "16", "3\\sqrt{13}", "\\frac{3\\sqrt{3}}{4}", "\\frac{1}{2+\\sqrt{3}}", "2^{1/2}", "11\\sqrt2", "36", "5",
    "(3, -5)", "\\left( 3, \\frac{\\pi}{2} \\right)", "[0,1)", "(-\\infty,-1)\\cup(2,\\infty)", "\\{1,2,3\\}", "1,-2",
    "\\text{east}", "\\text{(C)}", "C", "x^5 - x^4 + x^3 - x^2 + x - 1", "(a+5)(b+2)", "\\frac{x+2}{7}", "p - q", "70",
    "5x - 7y + 11z + 4 = 0", "y = 2x+1", "x=5", "-2 \\le x \\le 7", "1 \\pm \\sqrt{19}", "\\pm 3", "6 - 5i", "8", "120",
    "\\begin{pmatrix} -1/3 \\\\ 2/3 \\\\ 5/3 \\end{pmatrix}", "12\\text{ cm}^2", "40\\%", "60^\\circ", "\\$18.90", "90",
    "4210_{5}", "e^{i\\pi}", "\\log_2 8", "\\sin^2 x", "\\pi", "2k\\pi", "10:30", "3 \\times 10^{8}", "1/2", "0", "17",
  ]
}
