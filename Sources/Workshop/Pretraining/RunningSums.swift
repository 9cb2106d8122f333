// RunningSums: the synthetic questions that the built-in base model is made from.
//
// A question is a two-digit start and L terms, each a letter, an operator and a digit; the letters count down to "a":
//
//     42d+1c+5b+2a+5
//
// A solution restates the start, then writes every term with the running value modulo 100, then the answer:
//
//     42d+1=43c+5=48b+2=50a+5=55\boxed{55}
//
// Why this shape: each token of a step is a copy from the question (found by its letter) or depends on tokens at fixed
// distances, so a two-layer model learns it in minutes; and letters that count down make "next term" and "stop" local.
// Pretraining texts slip on purpose: after a step the value may be off by one of a few amounts and the solution goes on
// consistently from there. The model that results knows the way but slips often, differently every time, more often the
// longer the question: right sometimes, wrong in scattered ways, which is where majority voting has something to find.
//
// Nothing outside `ttrl pretrain` knows any of this; the trainer sees questions and text.

import Base

package struct RunningSum: Sendable, Equatable {
  package enum Operator: Character, Sendable {
    case plus = "+"
    /// Never shown in pretraining: questions with it cannot be solved, only guessed (claim C10).
    case times = "*"
  }

  package struct Term: Sendable, Equatable {
    package var symbol: Operator
    package var operand: Int
  }

  /// 0–99.
  package var start: Int
  package var terms: [Term]

  /// A question with `length` additions of 1–9.
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

  /// A worked solution; each step slips with probability `slipRate`.
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
  /// Terms in the easiest and the hardest question. Question i has 2 + i mod 9, so the lengths are balanced.
  static let lengths = 2...10

  /// Questions of the default run, or, from another seed, of its held-out split.
  package static func balanced(count: Int, seed: UInt64) -> [RunningSum] {
    var random = RandomSequence(seed: seed, purpose: .questions)
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
