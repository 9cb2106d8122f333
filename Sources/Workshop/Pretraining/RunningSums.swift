// RunningSums: the synthetic questions with which the built-in base model is trained.
//
// A question is a two-digit start and L terms, each a letter, an operator and a digit; the letters count down to "a":
//
//     42d+1c+5b+2a+5
//
// A solution restates the start, then writes every term with the running value modulo 100, then the answer:
//
//     42d+1=43c+5=48b+2=50a+5=55\boxed{55}
//
// The reasons for this form: each token of a step is a copy from the question, which is found by its letter, or depends
// on tokens at fixed distances. So a two-layer model learns it in minutes. Because the letters count down, the next
// term and the end can be recognised locally. Pretraining texts contain slips on purpose: after a step, the value can
// be wrong by one of a few amounts, and the solution continues consistently from there. The resulting model knows the
// method but slips often, differently each time, and more often in longer questions. So it is right sometimes, and its
// wrong answers scatter: majority voting can then find the right one.
//
// Only pretraining knows this. The trainer sees questions and text.

import Base

package struct RunningSum: Sendable, Equatable {
  package enum Operator: Character, Sendable {
    case plus = "+"
    /// Never in pretraining texts: questions with it cannot be solved, only guessed (C10 in docs/results.md).
    case times = "*"
  }

  package struct Term: Sendable, Equatable {
    package var symbol: Operator
    package var operand: Int
  }

  /// 0 to 99.
  package var start: Int
  package var terms: [Term]

  /// A question with `length` additions of 1 to 9.
  init(length: Int, from random: inout RandomSequence) {
    start = random.index(below: 100)
    terms = (0..<length).map { _ in Term(symbol: .plus, operand: 1 + random.index(below: 9)) }
  }

  private func letter(_ index: Int) -> Character {
    Character(Unicode.Scalar(UInt8(ascii: "a") + UInt8(terms.count - 1 - index)))
  }

  private static func apply(_ term: Term, to value: Int) -> Int {
    switch term.symbol {
    case .plus: (value + term.operand) % 100
    case .times: value * term.operand % 100
    }
  }

  private static func twoDigits(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }

  package var question: String {
    var text = Self.twoDigits(start)
    for (index, term) in terms.enumerated() { text += "\(letter(index))\(term.symbol.rawValue)\(term.operand)" }
    return text
  }

  package var answer: String { Self.twoDigits(terms.reduce(start) { Self.apply($1, to: $0) }) }

  /// What a slip adds to a running value, modulo 100.
  private static let slips = [1, -1, 10, -10, 5, 50]

  /// A worked solution without a slip.
  package var solution: String {
    // Without slips no random number is drawn.
    var random = RandomSequence(seed: 0, purpose: .questions, stream: SIMD3(0, 0, 0))
    return solution(slipRate: 0, from: &random)
  }

  /// A worked solution. Each step slips with probability `slipRate`.
  func solution(slipRate: Double, from random: inout RandomSequence) -> String {
    var value = start
    var text = Self.twoDigits(start)
    for (index, term) in terms.enumerated() {
      value = Self.apply(term, to: value)
      if slipRate > 0, random.uniform() < slipRate {
        value = (value + Self.slips[random.index(below: Self.slips.count)] + 100) % 100
      }
      text += "\(letter(index))\(term.symbol.rawValue)\(term.operand)=\(Self.twoDigits(value))"
    }
    return text + "\\boxed{\(Self.twoDigits(value))}"
  }
}

/// The question sets that come with the base model.
package enum QuestionSets {
  /// The numbers of terms of the easiest and the hardest question. Question i has 2 + i mod 9 terms, so that all
  /// lengths are equally frequent.
  static let lengths = 2...10
  /// Lengths of questions of which the base model answers few.
  package static let longLengths = 8...10

  static let trainingSeed: UInt64 = 777

  /// `builtin:questions`.
  package static var builtIn: [RunningSum] { balanced(count: 128, seed: trainingSeed) }

  /// The questions of the default run; with another seed, those of its held-out set.
  package static func balanced(count: Int, seed: UInt64) -> [RunningSum] {
    balanced(count: count, lengths: lengths, seed: seed, stream: 0)
  }

  /// Like `balanced`, but every question is long.
  package static func long(count: Int, seed: UInt64) -> [RunningSum] {
    balanced(count: count, lengths: longLengths, seed: seed, stream: 3)
  }

  private static func balanced(count: Int, lengths: ClosedRange<Int>, seed: UInt64, stream: UInt32) -> [RunningSum] {
    var random = RandomSequence(seed: seed, purpose: .questions, stream: SIMD3(stream, 0, 0))
    return (0..<count).map { RunningSum(length: lengths.lowerBound + $0 % lengths.count, from: &random) }
  }

  /// Like `balanced`, but every question has one multiplication, which the base model has never seen.
  package static func unsolvable(count: Int, seed: UInt64) -> [RunningSum] {
    var random = RandomSequence(seed: seed, purpose: .questions, stream: SIMD3(1, 0, 0))
    return (0..<count).map { index in
      var sum = RunningSum(length: lengths.lowerBound + index % lengths.count, from: &random)
      let term = random.index(below: sum.terms.count)
      sum.terms[term] = RunningSum.Term(symbol: .times, operand: 2 + random.index(below: 8))
      return sum
    }
  }
}
