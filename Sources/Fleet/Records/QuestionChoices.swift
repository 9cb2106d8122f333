// QuestionChoices: the options of a question with choices, and which of them the file says is right.
//
// The options become lines of the prompt, "A) oxygen", because a model can choose only among what it reads; the answer
// becomes the letter. The right option can be written as its letter, its label, its text, or its index from 0. What can
// be read in two ways that mean different options is refused. Letters go up to J, as far as answers are read.

import Base

struct QuestionChoices {
  let texts: [String]
  /// As the file calls the options, if it does.
  private let labels: [String]

  static let letters = Array("ABCDEFGHIJ")

  struct Problem: Error {
    let key: String
    let found: String
    let expected: String
  }

  // MARK: Reading

  /// The options of a row, and the keys that they are in; nil if it has none.
  static func read(_ json: JSON) throws(Problem) -> (QuestionChoices, keys: [String])? {
    for key in ["choices", "options"] {
      guard let value = json[key], !value.isNull, value.elements?.isEmpty != true else { continue }
      return (try QuestionChoices(value, key), [key])
    }
    // One column for each option, as in MMLU's tables.
    let keys = letters.map(String.init).prefix { key in json[key].map { !$0.isNull } ?? false }
    guard keys.count >= 2 else { return nil }
    return (try QuestionChoices(texts: keys.map { json[$0] ?? .null }, labels: [], keys[0]), Array(keys))
  }

  private init(_ value: JSON, _ key: String) throws(Problem) {
    // In a table, the options are JSON text.
    let value = value.string.flatMap { try? JSON.parse($0) } ?? value
    if let elements = value.elements {
      let isLabelled = elements.allSatisfy { $0["text"] != nil }
      try self.init(
        texts: isLabelled ? elements.map { $0["text"] ?? .null } : elements,
        labels: isLabelled ? elements.compactMap { $0["label"] ?? $0["key"] } : [], key)
    } else if let texts = value["text"]?.elements, let labels = value["label"]?.elements {
      try self.init(texts: texts, labels: labels, key)
    } else if let members = value.members {
      try self.init(texts: members.map(\.value), labels: members.map { .string($0.key) }, key)
    } else {
      throw Problem(
        key: key, found: value.summary,
        expected: "a list of options, an object of letters and options, or {\"text\":[…],\"label\":[…]}")
    }
  }

  /// - Parameter labels: empty if there are none.
  private init(texts: [JSON], labels: [JSON], _ key: String) throws(Problem) {
    func plain(_ value: JSON) throws(Problem) -> String {
      switch value {
      case .string(let text) where !text.trimmed.isEmpty: return String(text.trimmed)
      case .number(let number): return number.literal
      default: throw Problem(key: key, found: "a list with \(value.summary)", expected: "options that are text")
      }
    }
    guard (2...Self.letters.count).contains(texts.count) else {
      throw Problem(
        key: key, found: "a list of \(counted(texts.count, "option"))",
        expected: "2 to \(Self.letters.count), which have the letters A to J")
    }
    guard labels.isEmpty || labels.count == texts.count else {
      throw Problem(
        key: key, found: "\(counted(texts.count, "text")) and \(counted(labels.count, "label"))",
        expected: "a label for every text")
    }
    var plainTexts: [String] = []
    for text in texts { plainTexts.append(try plain(text)) }
    self.texts = Self.withoutLetters(plainTexts)
    var plainLabels: [String] = []
    for label in labels { plainLabels.append(try plain(label)) }
    self.labels = plainLabels
    let sorted = plainLabels.sorted()
    guard zip(sorted, sorted.dropFirst()).allSatisfy({ $0 != $1 }) else {
      throw Problem(key: key, found: "a list with a label that occurs twice", expected: "a different label for each")
    }
  }

  /// Some files have the letters in the texts already: "A) 21", "B) 21.5".
  private static func withoutLetters(_ texts: [String]) -> [String] {
    let isLettered = zip(texts, letters).allSatisfy { text, letter in
      text.first == letter && text.dropFirst().first.map(")".contains) == true
    }
    return isLettered ? texts.map { String($0.dropFirst(2).trimmed) } : texts
  }

  // MARK: What becomes of them

  /// What the options add to the prompt.
  var text: String { Self.text(of: texts) }

  static func text(of texts: [String]) -> String { zip(letters, texts).map { "\n\($0)) \($1)" }.joined() }

  /// The letter of the right option; nil if what is written means none of them, or more than one.
  ///
  /// - Parameter isIndex: it was written as a number.
  func letter(of written: String, isIndex: Bool) -> String? {
    let meant = options(meant: String(written.trimmed), isIndex: isIndex)
    return meant.count == 1 ? String(Self.letters[meant[0]]) : nil
  }

  /// Every option that it can mean, ascending.
  private func options(meant written: String, isIndex: Bool) -> [Int] {
    let labelled = labels.indices.filter { labels[$0] == written }
    if !labelled.isEmpty { return labelled }
    // If the options have numbers as labels, a number is a label and not an index.
    let hasNumbers = labels.contains { Int($0) != nil }
    let index = hasNumbers ? nil : Int(written).flatMap { texts.indices.contains($0) ? $0 : nil }
    if isIndex { return index.map { [$0] } ?? [] }
    let place = Self.letter(in: written).flatMap { Self.letters.firstIndex(of: $0) }
    return texts.indices.filter { texts[$0] == written || $0 == index || $0 == place }
  }

  func found(_ written: String, isIndex: Bool) -> String {
    let meant = options(meant: String(written.trimmed), isIndex: isIndex).map { String(Self.letters[$0]) }
    return (isIndex ? written : "\"\(written.excerpt)\"")
      + (meant.isEmpty ? "" : ", which can mean \(meant.joined(separator: " or "))")
  }

  /// What an answer can be, for messages.
  var expected: String {
    "a letter from A to \(Self.letters[texts.count - 1]), the text of one option, or its index from 0"
      + (labels.isEmpty ? "" : " (here the labels \(labels.joined(separator: ", ").excerpt))")
  }

  /// The letter of an answer that is one, or that begins with one: `C`, `c`, `(C)`, `C) 12`, `C. twelve`.
  static func letter(in written: String) -> Character? {
    var rest = written.trimmed
    let isBracketed = rest.first == "("
    if isBracketed { rest = rest.dropFirst() }
    guard let first = rest.first, let letter = first.uppercased().first, letters.contains(letter) else { return nil }
    rest = rest.dropFirst()
    if rest.isEmpty { return isBracketed ? nil : letter }
    guard let mark = rest.first, isBracketed ? mark == ")" : ").:".contains(mark) else { return nil }
    rest = rest.dropFirst()
    return rest.isEmpty || rest.first?.isWhitespace == true ? letter : nil
  }
}
