// GGUFModel: a .gguf file as the model directory that says the same.
//
// A .gguf file has in one file what a model directory has in several: the configuration, the weights, the tokenizer and
// the chat template, all under other names. This type says what each file of the directory contains. What a file has
// and this cannot say is refused by name; what a directory has and a .gguf file cannot say is in `notes`.
//
// Not here: the format (module GGUF), keys that become a configuration (GGUFConfiguration.swift), the vocabulary
// (GGUFTokenizer.swift), weights (GGUFWeights.swift), files (Runs/ModelImport.swift).

package import Base
package import GGUF

package struct GGUFModel: Sendable {
  package let configuration: CheckpointConfiguration
  package let layout: ParameterLayout
  /// tokenizer.json and tokenizer_config.json.
  package let tokenizer: JSON
  package let tokenizerConfig: JSON
  /// nil if the file has none.
  package let chatTemplate: String?
  /// What is lost, or can be: a sentence each.
  package let notes: [String]
  /// The types of the weights, each once, and what the tokenizer is, for reports.
  package let weightTypes: [BlockType]
  package let tokenizerKind: String
  let sources: [GGUFSource]

  /// - Parameters:
  ///   - file: what the file says it has.
  ///   - data: the whole file, in memory or mapped.
  /// - Throws: every problem at once.
  package init(_ file: GGUFFile, data: UnsafeRawBufferPointer) throws(GGUFModelError) {
    precondition(data.count == file.fileBytes, "\(data.count) bytes of a file of \(file.fileBytes)")
    var metadata = GGUFMetadata(file)
    let architecture = try metadata.architecture()
    let config = metadata.config(architecture, file, data: data)
    let tokenizer = metadata.tokenizer()
    guard metadata.problems.isEmpty, let config, let tokenizer else {
      throw GGUFModelError(problems: metadata.problems)
    }
    do {
      configuration = try CheckpointConfiguration(config: config.bytes())
    } catch { throw GGUFModelError(problems: [.configuration("\(error)")]) }
    layout = ParameterLayout(configuration.model)
    sources = try GGUFSource.all(of: layout, configuration.model, architecture, file)
    self.tokenizer = tokenizer.file
    tokenizerConfig = tokenizer.config
    tokenizerKind = tokenizer.kind
    chatTemplate = file["tokenizer.chat_template"]?.string
    notes = metadata.notes
    weightTypes = BlockType.allCases.filter { type in file.tensors.contains { $0.type == type } }
  }
}

/// All reasons why a .gguf file is not a model that can be used.
package struct GGUFModelError: Error, Equatable, Sendable, CustomStringConvertible {
  package enum Problem: Equatable, Sendable {
    case missing(key: String, expected: String)
    case malformed(key: String, found: String, expected: String)
    case unsupported(key: String, found: String, supported: String)
    /// What is wrong with the configuration that follows from the metadata.
    case configuration(String)
    case missingTensor(String, shape: [Int])
    case wrongShape(tensor: String, found: [Int], expected: [Int])
    /// The model has no such tensor.
    case unexpectedTensor(String, architecture: String)
    case notFinite(tensor: String, index: Int, value: Float)
  }

  package let problems: [Problem]

  package init(problems: [Problem]) { self.problems = problems }

  package var description: String {
    // A file of another architecture has hundreds of other tensors.
    let lines = problems.prefix(WeightsError.linesMax).map(\.description.visible)
    let rest = problems.count - lines.count
    return (lines + (rest > 0 ? ["and \(rest) more"] : [])).joined(separator: "\n")
  }
}

extension GGUFModelError.Problem: CustomStringConvertible {
  package var description: String {
    switch self {
    case .missing(let key, let expected): "the metadata has no \(key), expected \(expected)"
    case .malformed(let key, let found, let expected): "\(key) is \(found), expected \(expected)"
    case .unsupported(let key, let found, let supported):
      "\(key) is \(found), which ttrl does not support; supported: \(supported)"
    case .configuration(let problem): "the configuration that its metadata means cannot be used: \(problem)"
    case .missingTensor(let name, let shape): "tensor \"\(name)\" \(shape) is missing"
    case .wrongShape(let name, let found, let expected): "tensor \"\(name)\" is \(found), expected \(expected)"
    case .unexpectedTensor(let name, let architecture):
      "tensor \"\(name)\" is not part of a \(architecture) model that ttrl supports"
    case .notFinite(let name, let index, let value):
      "tensor \"\(name)\" has \(value) at element \(index); weights must be finite"
    }
  }
}

/// The metadata of a file, with the problems that were found while it was read. A bad value is replaced by a harmless
/// one, so that reading can continue.
struct GGUFMetadata {
  /// The values by key. Looked up, never iterated.
  private let values: [String: GGUFValue]
  let keys: [String]
  var problems: [GGUFModelError.Problem] = []
  var notes: [String] = []

  init(_ file: GGUFFile) {
    values = Dictionary(file.metadata.map { ($0.key, $0.value) }) { first, _ in first }
    keys = file.metadata.map(\.key)
  }

  subscript(key: String) -> GGUFValue? { values[key] }

  mutating func refuse(_ key: String, _ value: GGUFValue, _ supported: String) {
    problems.append(.unsupported(key: key, found: value.summary, supported: supported))
  }

  /// The value as `read` gives it; nil if there is none. A value of another kind is a problem.
  mutating func optional<Value>(
    _ key: String, _ expected: String, _ read: (GGUFValue) -> Value?
  ) -> Value? {
    guard let value = values[key] else { return nil }
    if let result = read(value) { return result }
    problems.append(.malformed(key: key, found: value.summary, expected: expected))
    return nil
  }

  mutating func natural(_ key: String) -> Int? {
    optional(key, "an integer from 0") { $0.int.flatMap { $0 >= 0 ? $0 : nil } }
  }
  mutating func flag(_ key: String) -> Bool? { optional(key, "true or false", \.bool) }
  mutating func text(_ key: String) -> String? { optional(key, "text", \.string) }
  mutating func number(_ key: String) -> Double? {
    optional(key, "a finite number") { $0.number.flatMap { $0.isFinite ? $0 : nil } }
  }

  /// A list of one kind.
  mutating func list<Value>(_ key: String, _ expected: String, _ read: (GGUFValue) -> Value?) -> [Value]? {
    optional(key, "a list of \(expected)") { value in
      guard let elements = value.elements else { return nil }
      let values = elements.compactMap(read)
      return values.count == elements.count ? values : nil
    }
  }
}
