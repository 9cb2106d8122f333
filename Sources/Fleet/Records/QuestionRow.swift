// QuestionRow: one object of a question file as a question: which keys it can have, and what they mean.
//
// Public data sets call the same things by different names; the names and forms that are read are in docs/data.md. What
// is not understood exactly is a problem with the row. What is understood and not used (unknown keys, the solution
// before GSM8K's ####, a reply at the end of a conversation) is named in `leftOut`. A file for supervised training is
// read with its responses; then a row without one is a problem. Not here: options (QuestionChoices).

import Base

struct QuestionRow {
  private let json: JSON
  private(set) var problems: [QuestionFileError.Reason] = []
  private(set) var leftOut: [String] = []
  /// Keys that became a part of the question.
  private var used: [String] = []

  /// Where the prompt can be; the first that is there counts.
  static let promptKeys = ["prompt", "problem", "question", "messages", "conversations", "instruction"]
  /// The same for messages: "prompt" (or "problem", …).
  static let prompts = "\"\(promptKeys[0])\" (or \(promptKeys.dropFirst().map { "\"\($0)\"" }.joined(separator: ", ")))"
  /// Where responses can be, besides the end of a conversation.
  static let responseKeys = ["response", "completion", "output"]
  /// Data sets for chat models: their conversations can end with the reply that was given.
  private static let chatKeys = ["messages", "conversations"]

  /// Whether the question has to have responses.
  private let takesResponses: Bool
  /// Whether its options and its other wording are kept.
  private let takesForms: Bool

  init(_ json: JSON, takesResponses: Bool = false, takesForms: Bool = false) {
    self.json = json
    self.takesResponses = takesResponses
    self.takesForms = takesForms
  }

  /// - Returns: nil if the row has no prompt. With other problems, the question is only for finding more of them.
  mutating func question(defaultID: Int) -> Question? {
    guard let key = Self.promptKeys.first(where: { value($0) != nil }) else {
      problems.append(.noPrompt)
      return nil
    }
    used.append(key)
    let given = kind()
    let choices = choices(given)
    let kind = choices == nil ? given ?? .math : .choice
    var (earlier, prompt) = asked(key) ?? ([], "")
    if let system = text("system", limit: Limits.questionBytes), !system.trimmed.isEmpty {
      if let first = earlier.first, first.role == "system", first.text != system {
        refuse("system", "another text than the system message of \"\(key)\"", expected: "one of the two")
      } else if earlier.first?.role != "system" {
        earlier.insert(Turn(role: "system", text: system), at: 0)
      }
    }
    if let tools = value("tools"), tools.elements?.isEmpty != true {
      refuse("tools", tools.summary, expected: "a prompt without tools, because responses cannot call them")
    }
    if let choices { prompt += choices.text }
    let length = earlier.reduce(prompt.utf8.count) { $0 + $1.text.utf8.count }
    if length > Limits.questionBytes {
      refuse(key, "\(length) bytes long with all that belongs to it", expected: "at most \(Limits.questionBytes) bytes")
    }
    let names = Limits.questionNameBytes
    let responses = takesResponses ? responses(key) : []
    var question = Question(
      id: literal("id", limit: names) ?? literal("unique_id", limit: names) ?? "\(defaultID)", prompt: prompt,
      earlier: earlier, answer: answer(choices, kind),
      source: text("source", limit: names) ?? text("data_source", limit: names), domain: domain(limit: names),
      set: text("set", limit: names), kind: kind)
    question.responses = responses
    if choices == nil, kind == .choice { question.order = order() }
    if takesForms {
      question.choices = choices?.texts ?? []
      question.rephrased = text(QuestionForms.rephrasedKey, limit: Limits.questionBytes)
        .flatMap { $0.trimmed.isEmpty ? nil : $0 }
    }
    for member in json.members ?? [] where !used.contains(member.key) && !member.value.isNull {
      leftOut.append("the key \"\(member.key.excerpt)\"")
    }
    return question
  }

  /// The order in which a run shows the options of a question of the user's.
  private mutating func order() -> [UInt8] {
    let key = QuestionForms.orderKey
    guard let letters = text(key, limit: Limits.questionNameBytes) else { return [] }
    let order = QuestionForms.order(letters)
    if order == nil { refuse(key, "\"\(letters.excerpt)\"", expected: "the first letters from A, each once") }
    return order ?? []
  }

  /// A blank one is none.
  private mutating func domain(limit: Int) -> String? {
    text("domain", limit: limit).map { String($0.trimmed) }.flatMap { $0.isEmpty ? nil : $0 }
  }

  private mutating func refuse(_ key: String, _ found: String, expected: String) {
    problems.append(.malformed(key: key, found: found, expected: expected))
  }

  private func value(_ key: String) -> JSON? { json[key].flatMap { $0.isNull ? nil : $0 } }

  // MARK: Prompt

  /// The question, and the messages before it.
  private mutating func asked(_ key: String) -> (earlier: [Turn], prompt: String)? {
    if let messages = list(key) { return conversation(messages, key) }
    guard let prompt = text(key, limit: Limits.questionBytes, expected: "a string, or a list of messages") else {
      return nil
    }
    guard !prompt.trimmed.isEmpty else {
      refuse(key, "empty", expected: "a question")
      return nil
    }
    // Where it belongs differs from program to program.
    if key == "instruction", let input = text("input", limit: Limits.questionBytes), !input.trimmed.isEmpty {
      refuse("input", "a second part of the question", expected: "the whole question in one text, as \"prompt\"")
    }
    return ([], prompt)
  }

  /// The list of a key. In a table, it is a list as JSON text.
  private func list(_ key: String) -> [JSON]? {
    if let elements = value(key)?.elements { return elements }
    guard Self.chatKeys.contains(key), let text = value(key)?.string else { return nil }
    return (try? JSON.parse(text))?.elements
  }

  private mutating func conversation(_ messages: [JSON], _ key: String) -> (earlier: [Turn], prompt: String)? {
    var turns: [Turn] = []
    for (index, message) in messages.enumerated() {
      guard let turn = turn(message, "\(key)[\(index)]") else { return nil }
      turns.append(turn)
    }
    if Self.chatKeys.contains(key), turns.last?.role == "assistant" {
      reply = turns.removeLast().text
      if !takesResponses { leftOut.append("the reply at the end of \"\(key)\"") }
    }
    guard let last = turns.last, last.role == "user" else {
      refuse(
        key, turns.last.map { "a conversation that ends with the role \"\($0.role.excerpt)\"" } ?? "an empty list",
        expected: "the user's question as its last message")
      return nil
    }
    guard !last.text.trimmed.isEmpty else {
      refuse(key, "empty in its last message", expected: "a question")
      return nil
    }
    return (turns.dropLast(), last.text)
  }

  /// The reply at the end of the conversation, if there is one.
  private var reply: String?

  /// Members of a message that change what a chat template makes of it, and that a `Turn` does not have.
  private static let otherParts = [
    "tool_calls", "function_call", "tool_call_id", "reasoning_content", "reasoning", "thinking",
  ]
  private static let roles = [
    "system": "system", "developer": "developer", "user": "user", "assistant": "assistant",
    // As in ShareGPT.
    "human": "user", "gpt": "assistant",
  ]

  /// - Parameter place: for messages, as `messages[2]`.
  private mutating func turn(_ message: JSON, _ place: String) -> Turn? {
    guard message.members != nil else {
      refuse(place, message.summary, expected: "an object with \"role\" and \"content\"")
      return nil
    }
    for name in Self.otherParts {
      guard let part = message[name], !part.isNull, part.string?.isEmpty != true, part.elements?.isEmpty != true else {
        continue
      }
      refuse("\(place).\(name)", part.summary, expected: "messages of \"role\" and \"content\" alone")
      return nil
    }
    let (roleKey, textKey) = message["from"] != nil && message["role"] == nil ? ("from", "value") : ("role", "content")
    guard let role = message[roleKey]?.string.flatMap({ Self.roles[$0] }) else {
      refuse(
        "\(place).\(roleKey)", message[roleKey]?.summary ?? "missing",
        expected: roleKey == "role" ? "system, developer, user or assistant" : "system, human or gpt")
      return nil
    }
    return content(message[textKey] ?? .null, "\(place).\(textKey)").map { Turn(role: role, text: $0) }
  }

  /// A message's text; of a list of parts, the texts one after the other, as chat templates put them together.
  private mutating func content(_ content: JSON, _ place: String) -> String? {
    if let text = content.string { return text }
    guard let parts = content.elements else {
      refuse(place, content.summary, expected: "a string, or a list of parts of type \"text\"")
      return nil
    }
    var texts = ""
    for (index, part) in parts.enumerated() {
      let isText = part["type"] == nil || part["type"]?.string == "text"
      guard let text = part.string ?? (isText ? part["text"]?.string : nil) else {
        let found = part["type"]?.string.map { "a part of type \"\($0.excerpt)\"" } ?? part.summary
        refuse("\(place)[\(index)]", found, expected: "a part of type \"text\"; other parts cannot be used")
        return nil
      }
      texts += text
    }
    return texts
  }

  // MARK: Responses

  /// The responses of the row, at least one if there is no problem.
  ///
  /// - Parameter prompt: the key of the prompt.
  private mutating func responses(_ prompt: String) -> [String] {
    let keys = Self.responseKeys.filter { value($0) != nil }
    let places = (reply == nil ? [] : ["the reply at the end of \"\(prompt)\""]) + keys.map { "\"\($0)\"" }
    guard places.count < 2 else {
      refuse(keys[0], "one of several responses (\(places.joined(separator: ", ")))", expected: "one place for them")
      return []
    }
    if let reply { return [reply].filter { !isEmpty($0, "the reply at the end of \(prompt)") } }
    guard let key = keys.first else {
      problems.append(.noResponse)
      return []
    }
    used.append(key)
    let texts = key == "response" ? value(key)?.elements : nil
    if texts?.isEmpty == true { refuse(key, "an empty list", expected: "at least one response") }
    guard let texts else { return [response(value(key) ?? .null, key)].compactMap { $0 } }
    return texts.enumerated().compactMap { response($1, "\(key)[\($0)]") }
  }

  /// A text, or, as the completion of a conversation, a list of one message of the assistant.
  private mutating func response(_ json: JSON, _ place: String) -> String? {
    var found = json.string
    if let messages = json.elements, messages.count == 1, place == "completion",
      let turn = turn(messages[0], "completion[0]"), turn.role == "assistant"
    {
      found = turn.text
    }
    guard let found else {
      refuse(
        place, json.summary,
        expected: place == "completion" ? "a string, or a list of one message of the assistant" : "a string")
      return nil
    }
    return isEmpty(found, place) ? nil : bounded(found, place, limit: Limits.questionBytes)
  }

  private mutating func isEmpty(_ response: String, _ place: String) -> Bool {
    guard response.trimmed.isEmpty else { return false }
    refuse(place, "empty", expected: "a response")
    return true
  }

  // MARK: Answer

  private mutating func choices(_ kind: AnswerKind?) -> QuestionChoices? {
    do throws(QuestionChoices.Problem) {
      guard let (choices, keys) = try QuestionChoices.read(json) else { return nil }
      used += keys
      if let kind, kind != .choice {
        refuse("kind", kind.rawValue, expected: "choice, because the question has \"\(keys[0])\"; or leave it out")
      }
      return choices
    } catch {
      used.append(error.key)
      refuse(error.key, error.found, expected: error.expected)
      return nil
    }
  }

  /// The right answer, from wherever the row has it. If several places have one, they have to agree.
  private mutating func answer(_ choices: QuestionChoices?, _ kind: AnswerKind) -> String? {
    var found: (key: String, answer: String)?
    for (key, place) in [("answer", json), ("answerKey", json), ("ground_truth", json["reward_model"] ?? .null)] {
      if key == "ground_truth", value("reward_model")?.members != nil { used.append("reward_model") }
      let isNumber = if case .number = place[key] { true } else { false }
      guard let written = literal(key, of: place, limit: Limits.answerBytes),
        let answer = answer(written, isNumber: isNumber, key, choices, kind)
      else { continue }
      if let found, found.answer != answer {
        refuse(key, "\"\(answer.excerpt)\"", expected: "the same as \"\(found.key)\", \"\(found.answer.excerpt)\"")
      }
      found = found ?? (key, answer)
    }
    guard found == nil, kind.isMathematical, let reply else { return found?.answer }
    return Self.afterSolution(reply).flatMap { bounded($0, "####", limit: Limits.answerBytes) }
  }

  /// - Parameter written: as it is in the file.
  /// - Returns: nil if the text is empty, or if there is a problem with it.
  private mutating func answer(
    _ written: String, isNumber: Bool, _ key: String, _ choices: QuestionChoices?, _ kind: AnswerKind
  ) -> String? {
    guard !written.trimmed.isEmpty else {
      leftOut.append("an empty \"\(key)\"")
      return nil
    }
    if let choices {
      let letter = choices.letter(of: written, isIndex: isNumber)
      if letter == nil { refuse(key, choices.found(written, isIndex: isNumber), expected: choices.expected) }
      return letter
    }
    switch kind {
    case .choice:
      let letter = QuestionChoices.letter(in: written).map(String.init)
      if letter == nil {
        refuse(
          key, "\"\(written.excerpt)\"",
          expected: "a letter from A to J; for an index or a text, give the options as a list, in \"choices\"")
      }
      return letter
    case .math, .number:
      guard written.contains(Self.solutionEnd) else { return written }
      leftOut.append("the solution before \"\(Self.solutionEnd)\"")
      let answer = Self.afterSolution(written)
      if answer == nil { leftOut.append("an empty \"\(key)\"") }
      return answer
    case .string, .exact, .code: return written
    }
  }

  /// GSM8K writes a solution, and behind this mark the answer.
  private static let solutionEnd = "####"

  private static func afterSolution(_ text: String) -> String? {
    guard let mark = text.utf8Range(ofLast: solutionEnd) else { return nil }
    let answer = text[mark...].trimmed
    return answer.isEmpty ? nil : String(answer)
  }

  // MARK: Values

  /// The string of a key; nil if it is absent or null.
  private mutating func text(_ key: String, limit: Int, expected: String = "a string") -> String? {
    guard let value = value(key) else { return nil }
    used.append(key)
    if value.string == nil { refuse(key, value.summary, expected: expected) }
    return value.string.flatMap { bounded($0, key, limit: limit) }
  }

  /// The text; nil, with a problem, if it has more bytes than `limit`.
  private mutating func bounded(_ text: String, _ key: String, limit: Int) -> String? {
    guard text.utf8.count > limit else { return text }
    refuse(key, "\(text.utf8.count) bytes long", expected: "at most \(limit) bytes")
    return nil
  }

  private mutating func literal(_ key: String, limit: Int) -> String? { literal(key, of: json, limit: limit) }

  /// The string of a key, or its number as spelled; nil if it is absent or null.
  private mutating func literal(_ key: String, of place: JSON, limit: Int) -> String? {
    used.append(key)
    switch place[key] {
    case nil, .null: return nil
    case .string(let text): return bounded(text, key, limit: limit)
    case .number(let number): return bounded(number.literal, key, limit: limit)
    case .some(let value):
      refuse(key, value.summary, expected: "a string or a number")
      return nil
    }
  }

  /// nil if the row does not say it.
  private mutating func kind() -> AnswerKind? {
    guard let value = value("kind") else { return nil }
    used.append("kind")
    if let kind = value.string.flatMap(AnswerKind.init) { return kind }
    refuse("kind", value.summary, expected: "one of \(AnswerKind.names)")
    return nil
  }
}

extension String {
  /// Where the text behind the last occurrence of `mark`, which is ASCII, begins.
  fileprivate func utf8Range(ofLast mark: String) -> Index? {
    let (text, mark) = (Array(utf8), Array(mark.utf8))
    guard text.count >= mark.count else { return nil }
    let place = (0...text.count - mark.count).last { text[$0..<$0 + mark.count].elementsEqual(mark) }
    return place.map { utf8.index(utf8.startIndex, offsetBy: $0 + mark.count) }
  }
}
