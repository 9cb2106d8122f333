// The forms of a question: orders of its options, another wording.

import Base
import Records
import Testing

@Suite struct ChoiceOrderTests {
  private static let letters = Array("ABCDEFGHIJ")

  private static func question(options: Int, answer: Int?, id: String = "q") throws -> Question {
    let texts = (0..<options).map { "\"option \($0)\"" }.joined(separator: ",")
    let right = answer.map { ",\"answer\":\($0)" } ?? ""
    let row = #"{"id":"\#(id)","prompt":"Which?","choices":[\#(texts)]\#(right)}"#
    return try #require(try QuestionFile(Array(row.utf8), takesForms: true).questions.first)
  }

  @Test func `every option is at different places, the letters name what is shown, and so does the answer`() throws {
    for options in 2...10 {
      for count in 1...options {
        for seed in UInt64(0)..<10 {
          let right = Int(seed) % options
          let forms = try Self.question(options: options, answer: right).inOrders(count, seed: seed)
          #expect(forms.count == count && Set(forms.map(\.id)).count == count)
          for place in 0..<options { #expect(Set(forms.map { $0.order[place] }).count == count) }
          for form in forms {
            #expect(form.order.sorted() == (0..<UInt8(options)).map { $0 })
            let lines = form.order.enumerated().map { "\n\(Self.letters[$0])) option \($1)" }
            #expect(form.prompt == "Which?" + lines.joined())
            let place = try #require(form.order.firstIndex(of: UInt8(right)))
            #expect(form.answer == String(Self.letters[place]) && form.fileAnswer == String(Self.letters[right]))
            #expect(form.id == "q/" + String(form.order.map { Self.letters[Int($0)] }))
          }
        }
      }
    }
  }

  @Test func `the seed and the id decide the orders, and the answer does not`() throws {
    func orders(_ id: String, answer: Int?, seed: UInt64) throws -> [[UInt8]] {
      try Self.question(options: 6, answer: answer, id: id).inOrders(3, seed: seed).map(\.order)
    }
    let some = try orders("a", answer: nil, seed: 1)
    for answer in 0..<6 { #expect(try orders("a", answer: answer, seed: 1) == some) }
    #expect(try orders("b", answer: nil, seed: 1) != some && orders("a", answer: nil, seed: 2) != some)
    // All first orders occur.
    let firsts = try (0..<400).map { try Self.question(options: 3, answer: nil, id: "\($0)").inOrders(1, seed: 0)[0] }
    #expect(Set(firsts.map(\.order)).count == 6)
  }

  @Test func `a run's file keeps the order, and reading it gives the same questions`() throws {
    let forms = try Self.question(options: 4, answer: 2).inOrders(4, seed: 7)
    var read = try Question.read(Array(forms.fileText.utf8))
    #expect(read.map(\.order) == forms.map(\.order) && read.map(\.fileAnswer) == ["C", "C", "C", "C"])
    for index in read.indices { read[index].choices = forms[index].choices }
    #expect(read == forms)
  }

  @Test(arguments: ["AAB", "ABD", "abc", "A", "ABCDEFGHIJK", "1,2"])
  func `an order that is none is refused`(_ order: String) {
    let row = #"{"prompt":"x","kind":"choice","choice_order":"\#(order)"}"#
    #expect {
      try Question.read(Array(row.utf8))
    } throws: {
      "\($0)".contains("\"choice_order\" is \"\(order)\"")
    }
  }

  @Test func `a question and its other wording are two prompts with one answer`() throws {
    let rows = """
      {"id":"a","prompt":"1+1?","rephrased":"one and one?","answer":"2"}
      {"id":"b","prompt":"Which?","choices":["x","y"],"rephrased":"What?","answer":"B"}
      {"id":"c","prompt":"z","rephrased":" "}
      """
    let questions = try QuestionFile(Array(rows.utf8), takesForms: true).questions
    let forms = questions.map(\.inBothWordings)
    #expect(forms[0]?.map(\.prompt) == ["1+1?", "one and one?"] && forms[0]?.map(\.answer) == ["2", "2"])
    #expect(forms[0]?.map(\.id) == ["a", "a/rephrased"])
    #expect(forms[1]?.map(\.prompt) == ["Which?\nA) x\nB) y", "What?\nA) x\nB) y"])
    #expect(forms[2] == nil)
    // Who does not ask for forms is told that the key is not used.
    let plain = try QuestionFile(Array(rows.utf8))
    #expect(plain.leftOut.map(\.what) == ["the key \"rephrased\""] && plain.questions[0].rephrased == nil)
  }
}
