// Question files with responses to learn: the shapes that are read, and what is refused, with its line.

import Base
import Records
import Testing

@Suite struct QuestionResponseTests {
  private static func read(_ text: String) throws(QuestionFileError) -> [Question] {
    try QuestionFile(Array(text.utf8), takesResponses: true).questions
  }

  @Test(arguments: [
    #"{"prompt": "p", "response": "r"}"#, #"{"question": "p", "response": ["r"]}"#,
    #"{"prompt": "p", "completion": "r"}"#, #"{"instruction": "p", "input": "", "output": "r"}"#,
    #"{"messages": [{"role": "user", "content": "p"}, {"role": "assistant", "content": "r"}]}"#,
    #"{"conversations": [{"from": "human", "value": "p"}, {"from": "gpt", "value": "r"}]}"#,
    #"{"prompt": [{"role": "user", "content": "p"}], "completion": [{"role": "assistant", "content": "r"}]}"#,
    "prompt,response\np,r\n",
  ])
  func `a response is read from the shapes that data sets have`(_ text: String) throws {
    let question = try #require(try Self.read(text).first)
    #expect(question.prompt == "p" && question.responses == ["r"] && question.earlier.isEmpty)
  }

  @Test func `a question can have several responses, and earlier messages`() throws {
    let turns = #"{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}"#
    let questions = try Self.read(
      """
      {"prompt": "p", "response": ["a", " b\\n"]}
      {"messages": [{"role": "system", "content": "s"}, \(turns), {"role": "user", "content": "p"}, \
      {"role": "assistant", "content": "r"}]}
      """)
    #expect(questions[0].responses == ["a", " b\n"])
    #expect(questions[1].earlier.map(\.text) == ["s", "1", "2"] && questions[1].responses == ["r"])
  }

  @Test func `without being asked for, responses are left out, and the file says so`() throws {
    let file = try QuestionFile(
      Array(#"{"prompt": "p", "response": "r"}"#.utf8) + [0x0A]
        + Array(#"{"messages": [{"role": "user", "content": "p"}, {"role": "assistant", "content": "r"}]}"#.utf8))
    #expect(file.questions.allSatisfy { $0.responses.isEmpty })
    let leftOut = file.leftOut.map { $0.what }
    #expect(leftOut == ["the key \"response\"", "the reply at the end of \"messages\""])
    // They are not part of the run's question file.
    let questions = try Self.read(#"{"prompt": "p", "response": "r"}"#)
    #expect(!questions.fileText.contains("response"))
  }

  @Test func `all problems of a file are reported together, each with its line`() {
    let file = """
      {"prompt": "1"}
      {"prompt": "2", "response": " "}
      {"prompt": "3", "response": []}
      {"prompt": "4", "response": "a", "output": "b"}
      {"prompt": "5", "response": ["a", 6]}
      {"prompt": "6", "completion": {"text": "a"}}
      {"instruction": "7", "input": "and", "output": "a"}
      {"messages": [{"role": "user", "content": "8"}, {"role": "assistant", "content": ""}]}
      {"messages": [{"role": "user", "content": "9"}]}
      """
    let error = #expect(throws: QuestionFileError.self) { try Self.read(file) }
    let lines = (error?.description ?? "").split(separator: "\n").map(String.init)
    let expected = [
      "line 1: no \"response\"", "line 2: \"response\" is empty", "line 3: \"response\" is an empty list",
      "line 4: \"response\" is one of several responses (\"response\", \"output\")",
      "line 5: \"response[1]\" is the number 6", "line 6: \"completion\" is an object",
      "line 7: \"input\" is a second part of the question",
      "line 8: \"the reply at the end of messages\" is empty", "line 9: no \"response\"",
    ]
    #expect(lines.count == expected.count, "\(lines)")
    for (line, words) in zip(lines, expected) { #expect(line.hasPrefix(words), "\(line)") }
  }
}
