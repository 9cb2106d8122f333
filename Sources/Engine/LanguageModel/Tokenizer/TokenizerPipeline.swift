// TokenizerPipeline: reads the parts of tokenizer.json around the model: normalizer, pre-tokenizer, decoder and
// post-processor.

import Base

extension Tokenizer {
  /// How many bytes a replacement can have: "▁" has 3.
  private static let replacementBytesMax = 16
  /// How much longer all replacements together can make a text: a space that becomes "▁" makes it 3 times as long.
  private static let growthMax = 16
  /// Steps of a sequence, also within sequences. Real files have 4.
  private static let stepsMax = 64

  /// The parts of a Sequence, also within others, each with its path; the part itself, if it is none.
  private static func flattened(
    _ json: JSON, _ list: String, path: String
  ) throws(TokenizerError) -> [(part: JSON, path: String)] {
    guard json["type"] == "Sequence" else { return [(json, path)] }
    guard let elements = json[list]?.elements else {
      throw .malformed(path: "\(path).\(list)", found: summary(json[list]), expected: "an array")
    }
    var parts: [(JSON, String)] = []
    for (index, element) in elements.enumerated() {
      parts += try flattened(element, list, path: "\(path).\(list)[\(index)]")
    }
    guard parts.count <= stepsMax else {
      throw .malformed(path: path, found: "\(parts.count) steps", expected: "at most \(stepsMax)")
    }
    return parts
  }

  static func typeName(_ json: JSON) -> String { json["type"]?.string ?? json.summary }
  static func summary(_ json: JSON?) -> String { json?.summary ?? "missing" }

  // MARK: Normalizer

  static func normalizer(_ json: JSON?) throws(TokenizerError) -> TextNormalizer {
    guard let json, !json.isNull else { return TextNormalizer() }
    var steps: [TextNormalizer.Step] = []
    var growth = 1
    for (part, path) in try flattened(json, "normalizers", path: "normalizer") {
      switch part["type"]?.string {
      case "NFC": steps.append(.compose)
      case "Prepend": steps.append(.prepend(try shortText(part["prepend"], path: "\(path).prepend")))
      case "Replace":
        let replacement = try replacement(part, path: path)
        // Growth is below `growthMax` before, so this cannot overflow.
        growth *= max(1, (replacement.content.count + replacement.pattern.count - 1) / replacement.pattern.count)
        guard growth <= growthMax else {
          throw .malformed(path: path, found: "longer text", expected: "text at most \(growthMax) times as long")
        }
        steps.append(.replace(replacement))
      default:
        throw .unsupported(
          path: path, found: typeName(part), supported: "null, NFC, Prepend, Replace of a text, a Sequence of these")
      }
    }
    return TextNormalizer(steps: steps)
  }

  private static func shortText(_ json: JSON?, path: String) throws(TokenizerError) -> [UInt8] {
    guard let text = json?.string, text.utf8.count <= replacementBytesMax else {
      throw .malformed(path: path, found: summary(json), expected: "a text of at most \(replacementBytesMax) bytes")
    }
    return Array(text.utf8)
  }

  private static func replacement(_ json: JSON, path: String) throws(TokenizerError) -> Replacement {
    guard let pattern = json["pattern"]?["String"] else {
      throw .unsupported(
        path: "\(path).pattern", found: json["pattern"]?.text() ?? "missing", supported: #"{"String": …}"#)
    }
    let text = try shortText(pattern, path: "\(path).pattern.String")
    guard !text.isEmpty else {
      throw .malformed(path: "\(path).pattern.String", found: "empty", expected: "some text")
    }
    return Replacement(pattern: text, content: try shortText(json["content"], path: "\(path).content"))
  }

  // MARK: Pre-tokenizer

  static func splitting(
    _ json: JSON?, _ normalizer: TextNormalizer
  ) throws(TokenizerError) -> (steps: [SplittingStep], isByteLevel: Bool) {
    guard let json, !json.isNull else { return ([], false) }
    var steps: [SplittingStep] = []
    let parts = try flattened(json, "pretokenizers", path: "pre_tokenizer")
    for (index, (part, path)) in parts.enumerated() {
      switch part["type"]?.string {
      case "ByteLevel" where index == parts.count - 1:
        if part["add_prefix_space"]?.bool ?? true { steps.append(.spaceInFront) }
        if part["use_regex"]?.bool ?? true { steps.append(try isolated(gpt2Expression, path: path)) }
        return (steps, true)
      case "Split": steps.append(try split(part, path: path))
      case "Digits":
        guard let isIndividual = part["individual_digits"]?.bool else {
          throw .malformed(
            path: "\(path).individual_digits", found: summary(part["individual_digits"]), expected: "true or false")
        }
        steps.append(try isolated(isIndividual ? #"\p{N}"# : #"\p{N}+"#, path: path))
      case "Metaspace":
        let metaspace = try metaspace(part, path: path)
        guard metaspace.scheme != .first || index == 0 && normalizer.steps.isEmpty else {
          // The library compares places in the original text, which are ambiguous after such steps.
          throw .unsupported(
            path: "\(path).prepend_scheme", found: "first, after other steps",
            supported: "first, without a normalizer and as the first pre-tokenizer")
        }
        steps.append(.metaspace(metaspace))
      default:
        throw .unsupported(
          path: path, found: typeName(part), supported: "Split, Digits, Metaspace, ByteLevel as the last of a Sequence")
      }
    }
    return (steps, false)
  }

  /// The expression that ByteLevel uses.
  private static let gpt2Expression =
    #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

  private static func isolated(_ regex: String, path: String) throws(TokenizerError) -> SplittingStep {
    .split(.expression(try expression(regex, path: path)), .isolated, isInverted: false)
  }

  private static func expression(_ regex: String, path: String) throws(TokenizerError) -> SplitExpression {
    do { return try SplitExpression(regex) } catch {
      throw .unsupported(
        path: path, found: "an expression with \"\(error.part.excerpt)\" at character \(error.place + 1)",
        supported: #"characters, sets, \p{…}, \s, \d, groups, (?i:…), |, ? * + {n,m} and ?+ *+ ++, (?=…) and (?!…) "#
          + "with one set, and no match without a character")
    }
  }

  private static func split(_ json: JSON, path: String) throws(TokenizerError) -> SplittingStep {
    guard let behavior = json["behavior"]?.string.flatMap(SplittingStep.Behavior.init) else {
      throw .malformed(
        path: "\(path).behavior", found: summary(json["behavior"]),
        expected: SplittingStep.Behavior.allCases.map(\.rawValue).joined(separator: ", "))
    }
    return .split(
      try pattern(json["pattern"], path: "\(path).pattern"), behavior, isInverted: json["invert"]?.bool ?? false)
  }

  private static func pattern(_ json: JSON?, path: String) throws(TokenizerError) -> SplittingStep.Pattern {
    if let regex = json?["Regex"]?.string { return .expression(try expression(regex, path: "\(path).Regex")) }
    let text = try shortText(json?["String"], path: "\(path).String")
    guard !text.isEmpty else { throw .malformed(path: "\(path).String", found: "empty", expected: "some text") }
    return .text(text)
  }

  private static func metaspace(_ json: JSON, path: String) throws(TokenizerError) -> SplittingStep.Metaspace {
    guard let replacement = json["replacement"]?.string, replacement.unicodeScalars.count == 1 else {
      throw .malformed(path: "\(path).replacement", found: summary(json["replacement"]), expected: "one character")
    }
    guard let scheme = SplittingStep.Metaspace.Scheme(rawValue: json["prepend_scheme"]?.string ?? "always") else {
      throw .malformed(
        path: "\(path).prepend_scheme", found: summary(json["prepend_scheme"]),
        expected: SplittingStep.Metaspace.Scheme.allCases.map(\.rawValue).joined(separator: ", "))
    }
    guard json["add_prefix_space"]?.bool != false || scheme == .never else {
      throw .malformed(
        path: "\(path).add_prefix_space", found: "false", expected: "true with the prepend_scheme \(scheme.rawValue)")
    }
    return .init(replacement: Array(replacement.utf8), scheme: scheme, splits: json["split"]?.bool ?? true)
  }

  // MARK: Decoder

  static func decoding(_ json: JSON?, isByteLevel: Bool) throws(TokenizerError) -> TokenDecoding {
    guard let json, !json.isNull else {
      throw .unsupported(path: "decoder", found: summary(json), supported: "ByteLevel, or a Sequence as below")
    }
    let parts = try flattened(json, "decoders", path: "decoder")
    let isByteLevelDecoder = parts.count == 1 && parts[0].part["type"] == "ByteLevel"
    guard isByteLevel == isByteLevelDecoder else {
      throw .unsupported(
        path: "decoder", found: "\(typeName(json)) \(isByteLevel ? "with" : "without") the pre-tokenizer ByteLevel",
        supported: "ByteLevel in both, or in neither")
    }
    if isByteLevel { return .byteLevel }
    var decoding = CharacterDecoding()
    // The order in which SentencePiece's conversions have them; in another order they mean something else.
    var stage = 0
    for (part, path) in parts {
      let name = typeName(part)
      let order = ["Replace", "ByteFallback", "Fuse", "Strip"]
      guard let place = order.firstIndex(of: name), place > stage || place == 0 && stage == 0 else {
        throw .unsupported(
          path: path, found: name, supported: "ByteLevel, or a Sequence of \(order.joined(separator: ", "))")
      }
      switch name {
      case "Replace": decoding.replacements.append(try replacement(part, path: path))
      case "ByteFallback": decoding.hasByteFallback = true
      case "Strip": decoding.strip = try strip(part, isFused: stage == 2, path: path)
      default: break
      }
      stage = place
    }
    return .characters(decoding)
  }

  private static func strip(
    _ json: JSON, isFused: Bool, path: String
  ) throws(TokenizerError) -> (character: [UInt8], count: Int) {
    guard let character = json["content"]?.string, character.unicodeScalars.count == 1,
      let count = json["start"]?.int, count >= 0
    else {
      throw .malformed(path: path, found: json.text(), expected: "one character as content, and a number as start")
    }
    guard json["stop"]?.int == 0, isFused else {
      throw .unsupported(path: path, found: json.text(), supported: "Strip after Fuse, with the stop 0")
    }
    return (Array(character.utf8), count)
  }

  // MARK: Post-processor

  static func tokensAround(_ json: JSON?) throws(TokenizerError) -> TokensAround {
    var around = TokensAround()
    guard let json, !json.isNull else { return around }
    for (part, path) in try flattened(json, "processors", path: "post_processor") {
      switch part["type"]?.string {
      case "ByteLevel": break
      case "TemplateProcessing":
        let template = try template(part, path: path)
        around.before = template.before + around.before
        around.after += template.after
      default:
        throw .unsupported(
          path: path, found: typeName(part), supported: "null, TemplateProcessing, ByteLevel, a Sequence of these")
      }
    }
    return around
  }

  private static func template(_ json: JSON, path: String) throws(TokenizerError) -> TokensAround {
    var around = TokensAround()
    var hasText = false
    for (index, piece) in (json["single"]?.elements ?? []).enumerated() {
      if piece["Sequence"]?["id"] == "A", !hasText {
        hasText = true
        continue
      }
      guard let name = piece["SpecialToken"]?["id"]?.string,
        let ids = json["special_tokens"]?[name]?["ids"]?.elements?.compactMap({ $0.int.flatMap(Int32.init(exactly:)) })
      else {
        throw .malformed(
          path: "\(path).single[\(index)]", found: piece.text(), expected: "a token of special_tokens, or once the text"
        )
      }
      if hasText { around.after += ids } else { around.before += ids }
    }
    guard hasText else {
      throw .malformed(path: "\(path).single", found: summary(json["single"]), expected: "a list with the text")
    }
    return around
  }
}
