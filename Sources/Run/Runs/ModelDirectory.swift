// ModelDirectory: a Hugging Face model directory on disk, read and written.
//
// LanguageModel parses, Platform reads and writes files. Weights are memory-mapped. A sampler packs them from there; a
// learner copies them once, into the flat float32 array that it owns.

import Base
package import LanguageModel
package import Platform
package import Templates
package import Tensors

/// Why a directory is not a model that can be used.
package enum ModelDirectoryError: LastingError, Sendable, CustomStringConvertible {
  case missing(path: String, file: String)
  case noWeights(path: String)
  /// Something else is there: what, and what to do.
  case other(path: String, problem: String)
  /// The parser's error, as text.
  case unreadable(path: String, problem: String)
  /// Two files, or two sets of files, can be meant.
  case ambiguous(path: String, found: String, remedy: String)
  case pointer(path: String, file: String)
  /// Where a model is about to be written, there is something.
  case occupied(path: String)

  package var description: String {
    switch self {
    case .missing(let path, let file):
      "cannot load a model from \(path): there is no \(file). Expected a Hugging Face model directory with "
        + "config.json, model.safetensors and tokenizer.json"
    case .noWeights(let path):
      "cannot load a model from \(path): it has neither model.safetensors nor model.safetensors.index.json. "
        + "Convert weights in other formats (.bin) with save_pretrained(safe_serialization=True)"
    case .other(let path, let problem), .unreadable(let path, let problem):
      "cannot load a model from \(path): \(problem)"
    case .occupied(let path):
      "cannot write a model to \(path): it is there already, and not an empty directory. Give a path that does "
        + "not exist"
    case .ambiguous(let path, let found, let remedy):
      "cannot load a model from \(path): it has \(found). \(remedy)"
    case .pointer(let path, let file):
      "cannot load a model from \(path): \(file) is a Git LFS pointer, a few lines of text in place of the file. Fetch "
        + "the file with \"git lfs pull\" in the directory, or download the model with \"hf download\""
    }
  }
}

extension ModelDirectoryError {
  /// The error of a path that does not have a file of every model directory.
  init(at path: String, without file: String) {
    self = OtherInput.model(at: path).map { .other(path: path, problem: $0) } ?? .missing(path: path, file: file)
  }

  /// Checks that a model can be written there.
  ///
  /// - Throws: `.occupied` if there is something else than an empty directory.
  static func requireFree(_ path: String) throws {
    guard try !Files.exists(path) || Files.isDirectory(path) && Files.list(path).isEmpty else {
      throw occupied(path: path)
    }
  }
}

package struct ModelDirectory: Sendable {
  package let path: String
  package let configuration: CheckpointConfiguration
  package let layout: ParameterLayout

  package static let weightsName = "model.safetensors"

  /// Files that other programs need to use a checkpoint; copied without changes.
  private static let companions = [
    "tokenizer.json", "tokenizer_config.json", "generation_config.json", "special_tokens_map.json", "vocab.json",
    "merges.txt", "chat_template.jinja", "added_tokens.json",
  ]

  /// Reads the configuration; weights and tokenizer are read when asked for.
  ///
  /// - Throws: `ModelDirectoryError`, or `PlatformError` if a file cannot be read.
  package init(_ path: String) throws {
    self.path = path
    guard try Files.exists(path + "/config.json") else { throw ModelDirectoryError(at: path, without: "config.json") }
    let generation = path + "/generation_config.json"
    do {
      configuration = try CheckpointConfiguration(
        config: try Files.read(path + "/config.json", limit: Limits.configurationBytes),
        generation: try Files.exists(generation) ? Files.read(generation, limit: Limits.configurationBytes) : nil)
    } catch let error as ConfigurationError {
      throw ModelDirectoryError.unreadable(path: path, problem: "\(error)")
    }
    layout = ParameterLayout(configuration.model)
  }

  /// The tokenizer. Each of its tokens must have a row in the model.
  ///
  /// - Throws: `ModelDirectoryError` if tokenizer.json is missing, not supported, or of another model.
  package func tokenizer() throws -> Tokenizer {
    let tokenizer = try Self.tokenizer(at: path)
    let vocabulary = configuration.model.vocabularySize
    guard tokenizer.idBound <= vocabulary else {
      throw ModelDirectoryError.unreadable(
        path: path,
        problem:
          "tokenizer.json has tokens up to number \(tokenizer.idBound - 1), but the vocabulary of config.json has "
          + "\(vocabulary). Is it the tokenizer of this model?")
    }
    return tokenizer
  }

  /// The tokenizer of a directory that may have no other files.
  ///
  /// - Throws: `ModelDirectoryError` if tokenizer.json is missing or not supported.
  package static func tokenizer(at path: String) throws -> Tokenizer {
    guard try Files.exists(path + "/tokenizer.json") else {
      throw ModelDirectoryError(at: path, without: "tokenizer.json")
    }
    let bytes = try Files.read(path + "/tokenizer.json", limit: Limits.tokenizerBytes)
    guard !isPointer(bytes) else { throw ModelDirectoryError.pointer(path: path, file: "tokenizer.json") }
    do {
      return try Tokenizer(file: bytes)
    } catch {
      throw ModelDirectoryError.unreadable(path: path, problem: "\(error)".visible)
    }
  }

  // MARK: The chat template

  /// The files that decide how the directory's own chat template renders.
  ///
  /// - Throws: if one cannot be read.
  package static func templateFiles(at path: String) throws -> ModelTemplate.Files {
    func text(_ name: String, _ limit: Int) throws -> String? {
      let file = path + "/" + name
      return try Files.exists(file) ? Files.readText(file, limit: limit) : nil
    }
    func json(_ name: String) throws -> JSON? {
      guard let text = try text(name, Limits.tokenizerConfigBytes) else { return nil }
      do { return try JSON.parse(Array(text.utf8)) } catch {
        throw ModelDirectoryError.unreadable(path: path, problem: "\(name): \(error)")
      }
    }
    return ModelTemplate.Files(
      jinja: try text("chat_template.jinja", Limits.chatTemplateBytes),
      configuration: try json("tokenizer_config.json"),
      specialTokens: try json("special_tokens_map.json"))
  }

  /// The text of a directory's own chat template; nil if it has none.
  ///
  /// - Throws: if a file cannot be read, or has templates without a default.
  package static func chatTemplate(at path: String) throws -> String? {
    try ModelTemplate.source(try templateFiles(at: path))?.text
  }

  // MARK: Weights

  /// The names of the weight files, sorted.
  private func shardNames() throws -> (names: [String], index: SafeTensorsIndex?) {
    guard try !Files.exists(path + "/adapter_config.json") else {
      throw ModelDirectoryError.ambiguous(
        path: path, found: "a model, and an adapter (adapter_config.json)",
        remedy: "Programs differ in whether they add the adapter. Move its files to a directory of their own, which is "
          + "given as --adapter, or remove them")
    }
    let indexPath = path + "/model.safetensors.index.json"
    if try Files.exists(indexPath) {
      let index = try SafeTensorsIndex(try Files.read(indexPath, limit: Limits.weightIndexBytes))
      guard try index.files.contains(Self.weightsName) || !Files.exists(path + "/\(Self.weightsName)") else {
        throw ModelDirectoryError.ambiguous(
          path: path,
          found: "model.safetensors, and model.safetensors.index.json, which names other files: "
            + "\(index.files.prefix(3).joined(separator: ", "))\(index.files.count > 3 ? ", …" : "")",
          remedy: "Programs differ in which of the two they load. Remove the one that is not the model")
      }
      return (index.files, index)
    }
    guard try Files.exists(path + "/\(Self.weightsName)") else { throw ModelDirectoryError.noWeights(path: path) }
    return ([Self.weightsName], nil)
  }

  /// Whether a file is what a repository has in place of a large file that was not fetched.
  static func isPointer(_ bytes: some Sequence<UInt8>) -> Bool {
    bytes.starts(with: Array("version https://git-lfs".utf8))
  }

  /// The parameters, in the order of `layout`, read from the mapped files where they are needed.
  ///
  /// - Throws: `ModelDirectoryError` with every tensor that is missing, misshapen or not finite.
  package func parameters() throws -> ParameterSource {
    try naming { () throws -> ParameterSource in
      let (files, plan) = try planned()
      return try plan.source(files.map(\.bytes), keptBy: files)
    }
  }

  /// All parameters as float32.
  ///
  /// - Throws: as `parameters`.
  package func loadParameters() throws -> Floats { try parameters().values(0..<layout.count) }

  /// The smallest type that has every weight.
  ///
  /// - Throws: as `unusedParts`.
  package func exactType() throws -> WeightType {
    try naming { () throws -> WeightType in try planned().plan.exactType }
  }

  /// Parts of the weight files that are not used, for example those for pictures.
  ///
  /// - Throws: as `loadParameters`, as far as the files' headers show it.
  package func unusedParts() throws -> [UnusedPart] {
    try naming { () throws -> [UnusedPart] in try planned().plan.unused }
  }

  /// The mapped weight files, and what is copied from them.
  private func planned() throws -> (files: [MappedFile], plan: LoadPlan) {
    let (names, index) = try shardNames()
    for name in names where try !Files.exists(path + "/" + name) {
      throw ModelDirectoryError.missing(path: path, file: name)
    }
    let files = try names.map { try MappedFile(path + "/" + $0) }
    for (name, file) in zip(names, files) where Self.isPointer(file.bytes) {
      throw ModelDirectoryError.pointer(path: path, file: name)
    }
    let headers = try zip(names, files).map { (name: $0, header: try SafeTensorsHeader($1.bytes)) }
    return (files, try LoadPlan(layout, shards: headers, index: index))
  }

  /// Runs `body`, and turns a parser's error into one that names the directory.
  private func naming<Result>(_ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch let error as WeightsError {
      throw ModelDirectoryError.unreadable(path: path, problem: "\(error)")
    } catch let error as SafeTensorsError {
      throw ModelDirectoryError.unreadable(path: path, problem: "\(error)".visible)
    }
  }

  /// SHA-256 of configuration and weights: the identity of the model that a run begins with.
  ///
  /// - Throws: if a file cannot be read.
  package func identity() throws -> String {
    var text = ""
    for name in ["config.json"] + (try shardNames().names) { text += try SHA256.hex(ofFile: "\(path)/\(name)") }
    return SHA256.hex(of: Array(text.utf8))
  }

  /// The size of all weight files.
  ///
  /// - Throws: if they cannot be looked at.
  func weightsFilesBytes() throws -> Int {
    try shardNames().names.reduce(0) { $0 + (try Files.facts(of: "\(path)/\($1)")?.bytes ?? 0) }
  }

  /// Writes a model directory from the bytes of a policy version, which are the file's data.
  ///
  /// - Returns: SHA-256 of model.safetensors, in hexadecimal.
  /// - Throws: `PlatformError`, for example on a full disk.
  package func write(published: HeldBytes, as type: WeightType, to target: String) throws -> String {
    let sum = try SafeTensorsWriter(layout, type: type).write(published, to: target + "/\(Self.weightsName)")
    try writeCompanions(type, to: target)
    return sum
  }

  /// Writes what is needed besides the weights. The configuration is last: without it, nothing takes the directory for
  /// a model.
  func writeCompanions(_ type: WeightType, to target: String) throws {
    for name in Self.companions where try Files.exists(path + "/" + name) {
      try Files.write(try Files.read(path + "/" + name), to: target + "/" + name)
    }
    var configuration = configuration
    configuration.weightType = type
    try Files.write(String(decoding: configuration.configFile(), as: UTF8.self), to: target + "/config.json")
  }
}
