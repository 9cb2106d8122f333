// Question forms: the forms in which public data sets have prompts, options and answers, and what is refused by name.

import Base
import Records
import Testing

@Suite struct QuestionFormsTests {
  private static func read(_ text: String) throws(QuestionFileError) -> [Question] {
    try Question.read(Array(text.utf8))
  }

  /// What is wrong with a file, as text; empty if nothing is.
  private static func refusal(_ text: String) -> String { refusal(Array(text.utf8)) }

  private static func refusal(_ bytes: [UInt8]) -> String {
    do {
      _ = try Question.read(bytes)
      return ""
    } catch { return "\(error)" }
  }

  // MARK: Conversations

  @Test func `system and earlier turns are kept, and the last message is the question`() throws {
    let system = Turn(role: "system", text: "Be brief.")
    let turns = [system, Turn(role: "user", text: "1+1?"), Turn(role: "assistant", text: "2")]
    let asked = #"{"role":"user","content":"And 2+2?"}"#
    let before =
      #"{"role":"system","content":"Be brief."},{"role":"user","content":"1+1?"},{"role":"assistant","content":"2"}"#
    for key in ["prompt", "messages", "conversations"] {
      let questions = try Self.read(#"{"\#(key)":[\#(before),\#(asked)],"answer":"4"}"#)
      #expect(questions == [Question(id: "1", prompt: "And 2+2?", earlier: turns, answer: "4")], "\(key)")
    }
    let shareGPT = try Self.read(
      #"{"system":"Be brief.","conversations":[{"from":"human","value":"1+1?"},{"from":"gpt","value":"2"},"#
        + #"{"from":"human","value":"And 2+2?"},{"from":"gpt","value":"4"}]}"#)
    #expect(shareGPT == [Question(id: "1", prompt: "And 2+2?", earlier: turns)])
    #expect(
      try Self.read(#"{"system":"Be brief.","prompt":"1+1?"}"#)
        == [Question(id: "1", prompt: "1+1?", earlier: [system])])
  }

  @Test func `text parts are joined, in any message`() throws {
    let parts = #"[{"type":"text","text":"1+"},{"type":"text","text":"1?"}]"#
    let questions = try Self.read(
      #"{"prompt":[{"role":"developer","content":\#(parts)},{"role":"user","content":\#(parts)}]}"#)
    #expect(questions == [Question(id: "1", prompt: "1+1?", earlier: [Turn(role: "developer", text: "1+1?")])])
  }

  @Test(arguments: [
    (#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}"#, ["[0].content[0]", "image_url"]),
    (#"{"role":"user","content":[{"type":"text"}]}"#, ["[0].content[0]", "type \"text\""]),
    (#"{"role":"user","content":null}"#, ["[0].content", "null"]),
    (#"{"role":"tool","content":"x"}"#, ["[0].role", "\"tool\"", "system, developer, user or assistant"]),
    (#"{"from":"bing","value":"x"}"#, ["[0].from", "\"bing\"", "human or gpt"]),
    (#"{"content":"x"}"#, ["[0].role", "missing"]),
    (#""x""#, ["[0]", "the string \"x\""]),
    (#"{"role":"system","content":"x"}"#, ["ends with the role \"system\"", "the user's question"]),
    (#"{"role":"user","content":" "}"#, ["empty in its last message"]),
    (
      #"{"role":"assistant","content":"","tool_calls":[{"id":"1"}]},{"role":"user","content":"x"}"#,
      ["[0].tool_calls", "alone"]
    ),
    (
      #"{"role":"assistant","content":"2","reasoning_content":"1+1"},{"role":"user","content":"x"}"#,
      ["[0].reasoning_content"]
    ),
    ("", ["an empty list"]),
  ])
  func `a message that cannot be used is refused by name`(messages: String, words: [String]) {
    for key in ["prompt", "messages"] {
      let text = Self.refusal(#"{"\#(key)":[\#(messages)]}"#)
      #expect(words.allSatisfy(text.contains), "\(text)")
      #expect(text.hasPrefix("line 1: \"\(key)"), "\(text)")
    }
  }

  @Test func `a reply is left out of chat data, and refused at the end of a prompt`() throws {
    let messages = #"[{"role":"user","content":"1+1?"},{"role":"assistant","content":"It is 2."}]"#
    let file = try QuestionFile(Array(#"{"messages":\#(messages)}"#.utf8))
    #expect(file.questions == [Question(id: "1", prompt: "1+1?")])
    #expect(file.leftOut.map(\.what) == ["the reply at the end of \"messages\""])
    #expect(Self.refusal(#"{"prompt":\#(messages)}"#).contains("ends with the role \"assistant\""))
    let solved = messages.replacing("It is 2.", with: #"1+1=2\n#### 2"#)
    #expect(try Self.read(#"{"messages":\#(solved)}"#) == [Question(id: "1", prompt: "1+1?", answer: "2")])
  }

  @Test func `two system lines that differ, and tools, are refused`() {
    let messages = #"[{"role":"system","content":"a"},{"role":"user","content":"x"}]"#
    #expect(Self.refusal(#"{"system":"b","messages":\#(messages)}"#).contains("another text than the system message"))
    #expect(Self.refusal(#"{"system":"a","messages":\#(messages)}"#) == "")
    #expect(Self.refusal(#"{"prompt":"x","tools":[{"name":"f"}]}"#).contains("without tools"))
    #expect(Self.refusal(#"{"prompt":"x","tools":[]}"#) == "")
  }

  // MARK: Answers

  @Test(arguments: [
    ("\"48/2 = <<48/2=24>>24\\n#### 72\"", "72"), ("\"#### 1,234 \"", "1,234"), ("\"a #### 1\\n#### -2\"", "-2"),
    ("\"nothing ####\"", nil), ("\"\"", nil), ("\" \\n\"", nil), ("null", nil), ("-0.50", "-0.50"), ("\"25\"", "25"),
  ])
  func `the answer is what follows ####, and an empty answer is none`(json: String, answer: String?) throws {
    #expect(try Self.read(#"{"question":"q","answer":\#(json)}"#) == [Question(id: "1", prompt: "q", answer: answer)])
  }

  @Test func `of two places that have an answer, both have to agree`() throws {
    let verl = #""reward_model":{"style":"rule","ground_truth":"72"}"#
    #expect(try Self.read(#"{"prompt":"q","answer":"… #### 72",\#(verl)}"#)[0].answer == "72")
    let text = Self.refusal(#"{"prompt":"q","answer":"71",\#(verl)}"#)
    #expect(text == #"line 1: "ground_truth" is "72", expected the same as "answer", "71""#)
  }

  @Test func `two answers for one id are refused with both lines`() {
    let text = Self.refusal(
      #"{"prompt":"a","id":"x","answer":"1"}"# + "\n" + #"{"prompt":"b"}"# + "\n"
        + #"{"prompt":"a","id":"x","answer":"2"}"#)
    #expect(text.contains(#"line 3: the id "x" has the answer "2" here and "1" on line 1"#), "\(text)")
  }

  // MARK: Choices

  private static let shown = "Capital?\nA) Rome\nB) Oslo\nC) Paris"

  @Test(arguments: [
    #""choices":["Rome","Oslo","Paris"],"answer":1"#, #""options":["Rome","Oslo","Paris"],"answer":"B""#,
    #""choices":["Rome","Oslo","Paris"],"answer":"Oslo","kind":"choice""#,
    #""choices":["Rome","Oslo","Paris"],"answer":"1""#, #""choices":["Rome","Oslo","Paris"],"answer":"(b)""#,
    #""choices":["Rome","Oslo","Paris"],"answer":"B) Oslo""#,
    #""choices":{"text":["Rome","Oslo","Paris"],"label":["A","B","C"]},"answerKey":"B""#,
    #""choices":{"text":["Rome","Oslo","Paris"],"label":["1","2","3"]},"answerKey":"2""#,
    #""choices":[{"label":"1","text":"Rome"},{"label":"2","text":"Oslo"},{"label":"3","text":"Paris"}],"answer":"2""#,
    #""options":{"A":"Rome","B":"Oslo","C":"Paris"},"answer":"B""#,
    #""options":{"A":"Rome","B":"Oslo","C":"Paris"},"answer":"Oslo""#,
    #""options":["A)Rome","B)Oslo","C)Paris"],"answer":"B""#, #""A":"Rome","B":"Oslo","C":"Paris","answer":"B""#,
    #""choices":["Rome","Oslo","Paris"],"answer":1,"answerKey":"B""#,
  ])
  func `the right option is its letter, its label, its text or its index, and options are shown`(members: String)
    throws
  {
    let questions = try Self.read(#"{"question":"Capital?",\#(members)}"#)
    #expect(questions == [Question(id: "1", prompt: Self.shown, answer: "B", kind: .choice)])
    #expect(try Self.read(questions.fileText) == questions)
  }

  @Test(arguments: [
    (#""choices":["Rome","Oslo"],"answer":2"#, ["\"answer\" is 2,", "from A to B", "index from 0"]),
    (#""choices":["Rome","Oslo"],"answer":-1"#, ["is -1"]),
    (#""choices":["Rome","Oslo"],"answer":"Paris""#, ["is \"Paris\",", "the text of one option"]),
    (#""choices":["Rome","Oslo"],"answer":"C""#, ["is \"C\","]),
    (#""choices":["0","1","2"],"answer":"1.0""#, ["is \"1.0\","]),
    (#""choices":["1","2","3"],"answer":"2""#, ["can mean B or C"]),
    (#""choices":["Rome","Rome"],"answer":"Rome""#, ["can mean A or B"]),
    (#""choices":["B","A"],"answer":"A""#, ["can mean A or B"]),
    (#""choices":{"text":["x","y"],"label":["1","2"]},"answerKey":"0""#, ["is \"0\"", "labels 1, 2"]),
    (#""choices":["Rome","Oslo"],"answer":0,"answerKey":"B""#, ["\"answerKey\" is \"B\"", "the same as \"answer\""]),
    (#""choices":["Rome"],"answer":0"#, ["a list of 1 option", "2 to 10"]),
    (#""choices":["Rome",["Oslo"]]"#, ["a list with an array of 1"]), (#""choices":7"#, ["the number 7"]),
    (#""choices":{"text":["a","b"],"label":["A"]}"#, ["2 texts and 1 label"]),
    (#""choices":{"text":["a","b"],"label":["A","A"]}"#, ["a label that occurs twice"]),
    (#""choices":["Rome","Oslo"],"kind":"math""#, ["\"kind\" is math", "choice"]),
    (#""kind":"choice","answer":"Paris""#, ["is \"Paris\"", "a letter from A to J", "\"choices\""]),
    (#""kind":"choice","answer":"2""#, ["is \"2\""]), (#""kind":"choice","answer":"K""#, ["is \"K\""]),
    (#""kind":"choice","answer":"A and B""#, ["is \"A and B\""]),
  ])
  func `an option that is none, or that can be two, is refused with its line`(members: String, words: [String]) {
    let text = Self.refusal(#"{"prompt":"x"}"# + "\n" + #"{"question":"Capital?",\#(members)}"#)
    #expect(text.hasPrefix("line 2: "), "\(text)")
    #expect(words.allSatisfy(text.contains), "\(text)")
  }

  @Test func `without options, the answer of a choice is a letter`() throws {
    for (written, letter) in [("E", "E"), ("(e)", "E"), ("c", "C"), ("D) 12", "D"), ("D. 12", "D")] {
      let questions = try Self.read(#"{"prompt":"x","kind":"choice","answer":"\#(written)"}"#)
      #expect(questions == [Question(id: "1", prompt: "x", answer: letter, kind: .choice)])
    }
    #expect(try Self.read(#"{"prompt":"x","choices":[]}"#) == [Question(id: "1", prompt: "x")])
  }

  @Test func `an index is an index, also if options are numbers`() throws {
    let questions = try Self.read(#"{"question":"4/2?","choices":["4","8","2","1"],"answer":2}"#)
    #expect(questions[0].answer == "C")
  }

  // MARK: CSV

  @Test func `CSV is read: quotes, line breaks and commas inside fields, both line ends, a byte order mark`() throws {
    let table =
      "\u{feff},id, prompt,answer,level\n0,a,1+1?,2,easy\n\n1,b,\"x, \"\"y\"\",\r\nz\",,\r\n2,c,\"é\n\",\"1,5\",9\n"
    for text in [table, table.replacing("\r\n", with: "\n"), table.replacing("\n", with: "\r\n")] {
      let file = try QuestionFile(Array(text.utf8))
      #expect(
        file.questions == [
          Question(id: "a", prompt: "1+1?", answer: "2"), Question(id: "b", prompt: "x, \"y\",\nz"),
          Question(id: "c", prompt: "é\n", answer: "1,5"),
        ])
      #expect(file.leftOut.map(\.what) == ["the key \"\"", "the key \"level\""])
      #expect(file.leftOut.map(\.count) == [3, 2])
      #expect(try Self.read(file.questions.fileText) == file.questions)
    }
    #expect(try Self.read("question\nx\ny") == [Question(id: "2", prompt: "x"), Question(id: "3", prompt: "y")])
  }

  @Test func `lists in CSV are JSON text, and options can be columns`() throws {
    let lists = "question,choices,answer\nCapital?,\"[\"\"Rome\"\",\"\"Oslo\"\",\"\"Paris\"\"]\",B\n"
    let columns = "question,A,B,C,D,answer\nCapital?,Rome,Oslo,Paris,,B\n"
    let messages = "messages,answer\n\"[{\"\"role\"\":\"\"user\"\",\"\"content\"\":\"\"1+1?\"\"}]\",2\n"
    for text in [lists, columns] {
      #expect(try Self.read(text) == [Question(id: "2", prompt: Self.shown, answer: "B", kind: .choice)])
    }
    #expect(try Self.read(messages) == [Question(id: "2", prompt: "1+1?", answer: "2")])
    #expect(Self.refusal("question,choices\nx,\"['a', 'b']\"\n").contains("\"choices\" is the string"))
  }

  @Test(arguments: [
    ("prompt,answer\na,1\nb\nc,1,2\n", ["line 3: the row has 1 field, the header 2", "line 4: the row has 3 fields"]),
    ("prompt,answer\na,1\n5\" pipe,2\nb,3\n", ["line 3: field 1 has a double quote"]),
    ("prompt,answer\n\"a\"b,1\n", ["line 2: field 1 has text behind its closing"]),
    ("prompt,answer\na,1\n\"b\n\n,2\n", ["line 3: a double quote of this row is not closed"]),
    ("prompt,answer,answer\na,1,2\n", ["line 1: the header has two columns \"answer\""]),
    ("ask,answer\na,1\n", ["line 1: found \"ask,answer\"", "a column \"prompt\""]),
    ("What is 1+1?\n", ["found \"What is 1+1?\"", "expected JSON"]),
    ("prompt;answer\na;1\n", ["semicolons", "sep=';'"]), ("prompt\tanswer\na\t1\n", ["tabs", "sep='\\t'"]),
    ("prompt,answer\n,1\n", ["line 2: no \"prompt\""]),
    ("prompt,answer\n\"a\n\nb\",1\nc\n", ["line 5: the row has 1 field"]), ("prompt,answer\n", ["no questions"]),
  ])
  func `a table that is not CSV is refused with its line`(text: String, words: [String]) {
    let refusal = Self.refusal(text)
    #expect(words.allSatisfy(refusal.contains), "\(refusal)")
  }

  // MARK: Encodings

  @Test func `other encodings are named`() {
    let text = #"{"prompt":"x"}"#
    let little = text.utf16.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
    let big = text.utf16.flatMap { [UInt8($0 >> 8), UInt8(truncatingIfNeeded: $0)] }
    for (bytes, name) in [
      ([0xFF, 0xFE] + little, "UTF-16"), ([0xFE, 0xFF] + big, "UTF-16"), (little, "UTF-16LE"), (big, "UTF-16BE"),
      ([0xFF, 0xFE, 0, 0, 0x7B, 0, 0, 0], "UTF-32"),
    ] {
      let refusal = Self.refusal(bytes)
      #expect(refusal.contains("the text is \(name), expected UTF-8"), "\(refusal)")
      #expect(refusal.contains("iconv -f \(name) "), "\(refusal)")
    }
    #expect(
      Self.refusal(Array("prompt,answer\nx,".utf8) + [0xE9, 0x0A]).contains("line 2: field 2 is not valid UTF-8"))
    #expect(Self.refusal(Array("{\"prompt\":\"x\"}\r\n{\"prompt\":\"y\"}\r\n".utf8)) == "")
  }
}
