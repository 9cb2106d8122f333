// WordPattern: where one word ends and the next begins, before byte-pair merging.
//
// tokenizer.json states this as a regular expression. The supported models use three. So there is one hand-written
// splitter for these three, chosen by their exact text, and no engine for all regular expressions. An unknown
// expression is refused, because a splitter that is almost right gives tokens that the model never saw.
//
// Letters, numbers and white space are those of Unicode 16.0, the version of the `tokenizers` library. Characters that
// a later version of Unicode assigned are none of these, even if the Swift toolchain knows them.

import Base

/// A supported regular expression of a pre-tokenizer.
enum WordPattern: CaseIterable, Sendable {
  case gpt2, qwen2, llama3

  init?(regex: String) {
    guard let pattern = Self.allCases.first(where: { $0.regex.isSameBytes(as: regex) }) else { return nil }
    self = pattern
  }

  /// The expression, exactly as it is in tokenizer.json.
  var regex: String {
    switch self {
    case .gpt2:
      #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
    case .qwen2:
      #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    case .llama3:
      #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"#
        + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    }
  }

  /// The words of `text`, as ranges of its bytes. Together they cover the whole text.
  func words(in text: ArraySlice<UInt8>) -> [Range<Int>] {
    let scalars = ClassifiedText(text)
    var words: [Range<Int>] = []
    var start = 0
    while start < scalars.count {
      let end = self == .gpt2 ? scalars.gpt2WordEnd(from: start) : scalars.wordEnd(from: start, digitsMax: digitsMax)
      words.append(scalars.offsets[start]..<scalars.offsets[end])
      start = end
    }
    return words
  }

  private var digitsMax: Int { self == .llama3 ? 3 : 1 }
}

/// The classes of characters that the expressions distinguish.
enum CharacterClass: UInt8, Sendable {
  case letter, number, newline, space, other

  init(_ scalar: Unicode.Scalar) {
    switch scalar.value {
    case 0x0A, 0x0D: self = .newline
    case 0x09, 0x0B, 0x0C, 0x20: self = .space
    case 0x41...0x5A, 0x61...0x7A: self = .letter
    case 0x30...0x39: self = .number
    case 0..<0x80: self = .other
    default: self = Self.classify(scalar.properties)
    }
  }

  private static func classify(_ properties: Unicode.Scalar.Properties) -> CharacterClass {
    if properties.isWhitespace { return .space }
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
      return isKnown(properties) ? .letter : .other
    case .decimalNumber, .letterNumber, .otherNumber: return isKnown(properties) ? .number : .other
    default: return .other
    }
  }

  private static func isKnown(_ properties: Unicode.Scalar.Properties) -> Bool {
    properties.age.map { $0.major <= 16 } ?? false
  }
}

/// Text as scalars, with their classes.
private struct ClassifiedText {
  private var values: [UInt32] = []
  private var classes: [CharacterClass] = []
  /// [count + 1] the byte where each scalar begins, and the byte where the last one ends.
  private(set) var offsets: [Int] = []

  var count: Int { values.count }

  init(_ utf8: ArraySlice<UInt8>) {
    values.reserveCapacity(utf8.count)
    classes.reserveCapacity(utf8.count)
    offsets.reserveCapacity(utf8.count + 1)
    var offset = utf8.startIndex
    for scalar in String(decoding: utf8, as: UTF8.self).unicodeScalars {
      values.append(scalar.value)
      classes.append(CharacterClass(scalar))
      offsets.append(offset)
      offset += UTF8.width(scalar)
    }
    offsets.append(offset)
  }

  /// The end of one match of the Qwen 2 or Llama 3 expression. The alternatives are tried in the expression's order.
  func wordEnd(from start: Int, digitsMax: Int) -> Int {
    if let end = contractionEnd(from: start, ignoringCase: true) { return end }
    switch classes[start] {
    case .letter: return run(of: .letter, from: start)
    // No further than needed: in a text of digits only, every word would look at all of them.
    case .number: return run(of: .number, from: start, to: min(start + digitsMax, count))
    case .newline: break
    // One character that is not a letter, number or newline can be the first of a word.
    case .space, .other: if hasClass(.letter, at: start + 1) { return run(of: .letter, from: start + 1) }
    }
    if let end = symbolsEnd(from: start) { return run(of: .newline, from: end) }
    return spaceEnd(from: start, stoppingAfterNewlines: true)
  }

  /// The end of one match of the GPT-2 expression. The alternatives are tried in the expression's order.
  func gpt2WordEnd(from start: Int) -> Int {
    if let end = contractionEnd(from: start, ignoringCase: false) { return end }
    let first = values[start] == 0x20 ? start + 1 : start
    if hasClass(.letter, at: first) { return run(of: .letter, from: first) }
    if hasClass(.number, at: first) { return run(of: .number, from: first) }
    return symbolsEnd(from: start) ?? spaceEnd(from: start, stoppingAfterNewlines: false)
  }

  /// `'s|'t|'re|'ve|'m|'ll|'d`
  private func contractionEnd(from start: Int, ignoringCase: Bool) -> Int? {
    guard values[start] == 0x27, start + 1 < count else { return nil }
    func letter(_ index: Int) -> UInt32 {
      guard index < count else { return 0 }
      // If case is ignored, the long s (U+017F) equals s. No other character folds to one of these letters.
      if ignoringCase, values[index] == 0x17F { return 0x73 }
      let isUppercase = (0x41...0x5A).contains(values[index])
      return ignoringCase && isUppercase ? values[index] + 0x20 : values[index]
    }
    switch (Unicode.Scalar(letter(start + 1)), Unicode.Scalar(letter(start + 2))) {
    case ("s", _), ("t", _), ("m", _), ("d", _): return start + 2
    case ("r", "e"), ("v", "e"), ("l", "l"): return start + 3
    default: return nil
    }
  }

  /// ` ?[^\s\p{L}\p{N}]+`
  private func symbolsEnd(from start: Int) -> Int? {
    let first = values[start] == 0x20 ? start + 1 : start
    return hasClass(.other, at: first) ? run(of: .other, from: first) : nil
  }

  /// `\s*[\r\n]+|\s+(?!\S)|\s+`; the first alternative only with `stoppingAfterNewlines`. There is white space at
  /// `start`.
  private func spaceEnd(from start: Int, stoppingAfterNewlines: Bool) -> Int {
    let end = classes[start...].firstIndex { $0 != .space && $0 != .newline } ?? count
    if stoppingAfterNewlines, let newline = classes[start..<end].lastIndex(of: .newline) { return newline + 1 }
    // The last space before a word belongs to that word, unless it is the only one.
    return end == count || end == start + 1 ? end : end - 1
  }

  private func hasClass(_ wanted: CharacterClass, at index: Int) -> Bool { index < count && classes[index] == wanted }

  private func run(of wanted: CharacterClass, from start: Int) -> Int { run(of: wanted, from: start, to: count) }

  private func run(of wanted: CharacterClass, from start: Int, to end: Int) -> Int {
    classes[start..<end].firstIndex { $0 != wanted } ?? end
  }
}
