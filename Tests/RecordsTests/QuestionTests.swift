// Questions: every form that a question file can have, and every problem, all reported together.

import Base
import Foundation
import Records
import Testing

@Suite struct QuestionTests {
  private static func read(_ text: String) throws(QuestionFileError) -> [Question] {
    try Question.read(Array(text.utf8))
  }

  private static func problems(_ bytes: [UInt8]) -> [QuestionFileError.Problem] {
    do {
      _ = try Question.read(bytes)
      return []
    } catch { return error.problems }
  }

  @Test func `each line is a question, with any of the three key names`() throws {
    let questions = try Self.read(
      """
      {"prompt": "1+1?", "answer": "2", "id": "a", "source": "sums", "kind": "string"}

      {"problem": "½ of 284?", "answer": 142.0}\r
      {"question": "Why?", "answer": null, "id": 7, "kind": "choice", "level": [1]}
      """)
    #expect(
      questions == [
        Question(id: "a", prompt: "1+1?", answer: "2", source: "sums", kind: .string),
        Question(id: "3", prompt: "½ of 284?", answer: "142.0"),
        Question(id: "7", prompt: "Why?", kind: .choice),
      ])
  }

  @Test func `the formats of public sets are read: MATH-500, verl, and the reference's train.json`() throws {
    let math = #"{"problem": "p", "solution": "\\boxed{3}", "answer": "3", "level": 2, "unique_id": "test/1.json"}"#
    let messages = #"[{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]"#
    let truth = #"{"style": "rule", "ground_truth": "\\frac12"}"#
    let verl = #"{"data_source": "math", "prompt": \#(messages), "reward_model": \#(truth)}"#
    let questions = try Self.read(math + "\n" + verl)
    #expect(
      questions == [
        Question(id: "test/1.json", prompt: "p", answer: "3"),
        Question(
          id: "2", prompt: "q", earlier: [Turn(role: "system", text: "s")], answer: "\\frac12", source: "math"),
      ])
    let reference = try Self.read(#"[{"prompt": "p", "answer": "025", "source": "AIME", "id": "60"}]"#)
    #expect(reference == [Question(id: "60", prompt: "p", answer: "025", source: "AIME")])
  }

  @Test func `questions that are written to a file are read back`() throws {
    let questions = [
      Question(id: "a", prompt: "½ \"x\"\n\\frac", answer: "142.0", source: "s", domain: "sums", kind: .string),
      Question(id: "2", prompt: "y"),
      Question(
        id: "3", prompt: "and 2+2?",
        earlier: [
          Turn(role: "system", text: "s"), Turn(role: "user", text: "1+1?"), Turn(role: "assistant", text: "2"),
        ]),
    ]
    #expect(try Self.read(questions.fileText) == questions)
  }

  @Test func `an array of objects is read, and its ids count from 1`() throws {
    let questions = try Self.read("\u{feff} [{\"prompt\":\"x\"},\n{\"prompt\":\"y\",\"answer\":-0.50}]\n")
    #expect(questions == [Question(id: "1", prompt: "x"), Question(id: "2", prompt: "y", answer: "-0.50")])
  }

  @Test func `all problems of a file are reported together, each with its line`() {
    let file =
      Array("{\"prompt\":\"x\",\"id\":\"a\"}\n{\"prompt\": x}\n[1]\n{\"answer\":\"4\"}\n{\"prompt\":\"".utf8) + [0xFF]
      + Array("\"}\n{\"prompt\":\"y\",\"id\":\"a\"}\n{\"prompt\":\" \"}\n{\"prompt\":\"z\",\"kind\":\"poem\"}\n".utf8)
      + Array("{\"prompt\":3,\"answer\":[1]}".utf8)
    let kinds = "one of math, choice, string, exact, code, or number:GRID as in number:0.01"
    #expect(
      Self.problems(file) == [
        .init(line: 2, reason: .notJSON(.unexpected(found: "\"x\"", expected: "a value"), column: 12)),
        .init(line: 3, reason: .notAnObject(found: "an array of 1")),
        .init(line: 4, reason: .noPrompt),
        .init(line: 5, reason: .notJSON(.invalidUTF8, column: 12)),
        .init(line: 6, reason: .repeatedID("a", firstLine: 1)),
        .init(line: 7, reason: .malformed(key: "prompt", found: "empty", expected: "a question")),
        .init(line: 8, reason: .malformed(key: "kind", found: "the string \"poem\"", expected: kinds)),
        .init(
          line: 9, reason: .malformed(key: "prompt", found: "the number 3", expected: "a string, or a list of messages")
        ),
        .init(line: 9, reason: .malformed(key: "answer", found: "an array of 1", expected: "a string or a number")),
      ])
  }

  @Test(arguments: ["", "\n\n \n", "[]"])
  func `a file without questions is refused`(text: String) {
    #expect(Self.problems(Array(text.utf8)) == [.init(line: 1, reason: .noQuestions)])
  }

  @Test func `of a thousand problems, twenty are printed and the rest are counted`() {
    let file = String(repeating: "{}\n", count: 1000)
    let error = #expect(throws: QuestionFileError.self) { try Self.read(file) }
    let lines = error?.description.split(separator: "\n") ?? []
    #expect(lines.count == 21 && lines.last == "and 980 more")
  }

  @Test func `a line, an element and a text above its limit are refused by name`() {
    func text(_ count: Int) -> String { String(repeating: "1", count: count) }
    let long = "{\"prompt\":\"\(text(Limits.lineBytes))\"}"
    let tooLong = QuestionFileError.Reason.notJSON(.tooLong(limit: Limits.lineBytes), column: 1)
    #expect(Self.problems(Array("{\"prompt\":\"x\"}\n\(long)\n".utf8)) == [.init(line: 2, reason: tooLong)])
    #expect(Self.problems(Array("[{\"prompt\":\"x\"},\n\(long)]".utf8)) == [.init(line: 2, reason: tooLong)])
    for (key, limit) in [
      ("prompt", Limits.questionBytes), ("answer", Limits.answerBytes), ("id", Limits.questionNameBytes),
      ("source", Limits.questionNameBytes), ("set", Limits.questionNameBytes),
    ] {
      func line(_ count: Int) -> [UInt8] {
        Array("{\(key == "prompt" ? "" : "\"prompt\":\"x\",")\"\(key)\":\"\(text(count))\"}".utf8)
      }
      let reason = QuestionFileError.Reason.malformed(
        key: key, found: "\(limit + 1) bytes long", expected: "at most \(limit) bytes")
      #expect(Self.problems(line(limit + 1)) == [.init(line: 1, reason: reason)])
      #expect(Self.problems(line(limit)) == [])
    }
  }

  @Test func `a file of bad lines is read only up to a number of problems`() {
    let file = String(repeating: "{x\n", count: 2 * Limits.questionProblems)
    let error = #expect(throws: QuestionFileError.self) { try Self.read(file) }
    #expect(error?.problems.count == Limits.questionProblems)
    #expect(error?.description.hasSuffix("\nand more; reading stopped there") == true)
  }

  @Test func `a damaged array names the line of the damage`() {
    let problem = JSONError.Problem.unexpected(found: "\"{\"", expected: "\",\" or \"]\"")
    #expect(
      Self.problems(Array("[\n{\"prompt\":\"x\"}\n{\"prompt\":\"y\"}]".utf8)) == [
        .init(line: 3, reason: .notJSON(problem, column: 1))
      ])
  }

  @Test func `withoutAnswers removes only the answers`() throws {
    let questions = try Self.read(#"{"prompt":"x","answer":"D","source":"s","id":"i","kind":"choice"}"#)
    #expect(questions.withoutAnswers == [Question(id: "i", prompt: "x", source: "s", kind: .choice)])
  }

  @Test func `no mutation of a file makes the reader trap`() {
    let files = [
      "{\"prompt\":\"x\",\"id\":\"a\"}\n\n{\"problem\":\"é\",\"answer\":1.5}\n[{\"prompt\":\"x\"}]",
      "[{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]},"
        + "{\"role\":\"assistant\",\"content\":\"#### 2\"}]}]",
      "{\"question\":\"q\",\"choices\":{\"text\":[\"a\",\"b\"],\"label\":[\"1\",\"2\"]},\"answerKey\":\"2\"}",
      "id,prompt,A,B,answer\r\n1,\"x, \"\"y\"\"\r\nz\",a,b,1\r\n2,é,,,\n",
    ].map { Array($0.utf8) }
    var state: UInt64 = 7
    func random(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % bound
    }
    for round in 0..<20_000 {
      var bytes = files[round % files.count]
      for _ in 0...random(3) { bytes[random(bytes.count)] = UInt8(random(256)) }
      _ = Self.problems(Array(bytes[random(bytes.count)...]))
    }
  }
}
