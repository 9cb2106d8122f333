// ModelImport: a .gguf file becomes a model directory, on disk.
//
// `ttrl import` makes the directory where the user says. Where a command is given a .gguf file as its model, the
// directory is made once, in the user's cache, under a name with the file's digest; from then on it is an ordinary
// model directory. The weights are written in pieces, so a model needs little memory. A directory that is not complete
// has no config.json or not yet its name, so nothing takes it for a model.
//
// Not here: what the file means (LanguageModel/GGUF), the format (module GGUF).

import Base
import GGUF
import Glibc
package import LanguageModel
import Platform

package struct ModelImport: Sendable {
  package let path: String
  package let model: GGUFModel
  private let file: MappedFile

  /// What was written.
  package struct Outcome: Sendable {
    package var directory: String
    /// Names in the directory.
    package var files: [String]
    package var weightType: WeightType
    package var weightBytes: Int
    /// Why ttrl cannot use the tokenizer; other programs can.
    package var tokenizerProblem: String?
  }

  /// The version of what is written, for the names in the cache. It changes when a later version writes other files.
  private static let version = 1

  /// Reads what the file says, and no weights.
  ///
  /// - Throws: `ModelDirectoryError` with everything that is wrong, or `PlatformError` if it cannot be opened.
  package init(_ path: String) throws {
    self.path = path
    file = try MappedFile(path)
    do {
      model = try GGUFModel(try GGUFFile(file.bytes), data: file.bytes)
    } catch {
      throw ModelDirectoryError.unreadable(path: path, problem: "\(error)".visibleLines)
    }
  }

  // MARK: Writing

  /// Makes a model directory.
  ///
  /// - Parameters:
  ///   - directory: does not exist, or is empty.
  ///   - type: how weights are stored; nil for the smallest type that has every value of the file.
  /// - Throws: `ModelDirectoryError`, or `PlatformError`, for example on a full disk.
  package func write(to directory: String, as type: WeightType? = nil) throws -> Outcome {
    try ModelDirectoryError.requireFree(directory)
    let exact: WeightType
    do { exact = try model.exactType(in: file.bytes) } catch {
      throw ModelDirectoryError.unreadable(path: path, problem: "\(error)".visibleLines)
    }
    try Files.createDirectory(directory, mode: 0o755)
    let type = type ?? exact
    let bytes = try writeWeights(type, to: directory + "/model.safetensors")
    let tokenizer = model.tokenizer.bytes()
    var names = ["model.safetensors"]
    func write(_ name: String, _ bytes: [UInt8]) throws {
      try Files.write(bytes, to: "\(directory)/\(name)")
      names.append(name)
    }
    try write("tokenizer.json", tokenizer)
    try write("tokenizer_config.json", model.tokenizerConfig.bytes(.pretty))
    if let template = model.chatTemplate { try write("chat_template.jinja", Array(template.utf8)) }
    var configuration = model.configuration
    configuration.weightType = type
    try write("generation_config.json", configuration.generationFile())
    try write("config.json", configuration.configFile())
    var problem: String?
    do { _ = try Tokenizer(file: tokenizer) } catch { problem = "\(error)" }
    return Outcome(
      directory: directory, files: names.sorted(), weightType: type, weightBytes: bytes, tokenizerProblem: problem)
  }

  /// - Returns: the file's size.
  private func writeWeights(_ type: WeightType, to path: String) throws -> Int {
    let writer = SafeTensorsWriter(model.layout, type: type)
    let target = try AtomicFile(path)
    try target.write(writer.header)
    try model.forEachPiece(in: file.bytes) { piece in try target.write(writer.data(piece)) }
    try target.commit()
    return writer.fileBytes
  }

  // MARK: The cache

  /// The model directory of a .gguf file, in the cache; made if it is not there.
  ///
  /// - Throws: `CacheError` if there is no place for it, else as `init` and `write`.
  package static func cached(_ path: String) throws -> String {
    let cache = try BuiltIn.cache()
    let digest = try SHA256.hex(ofFile: path).prefix(16)
    let directory = "\(cache)/gguf-\(version)-\(plainName(of: path))-\(digest)"
    // Root can have imported it for all users.
    if [cache, directory].allSatisfy({ (try? OwnedDirectory.require($0, isReadOnly: true)) != nil }) {
      return directory
    }
    let imported = try ModelImport(path)
    do { try OwnedDirectory.make(cache) } catch { throw CacheError.unusable("\(error)") }
    try removeRemains(of: directory, in: cache)
    let temporary = "\(directory).tmp-\(getpid())"
    let outcome: Outcome
    do {
      outcome = try imported.write(to: temporary)
      try OwnedDirectory.make(temporary)
      try Files.rename(temporary, to: directory)
    } catch {
      try? Files.removeTree(temporary)
      // Another process can have imported the same file in the meantime.
      if (try? OwnedDirectory.require(directory, isReadOnly: true)) != nil { return directory }
      throw error
    }
    let size = outcome.weightBytes >> 20
    StandardError.write(
      "\(path) was imported into \(directory) (\(outcome.weightType.configName), \(size) MiB), once\n".visibleLines)
    return directory
  }

  /// Removes what processes that died left of an import.
  private static func removeRemains(of directory: String, in cache: String) throws {
    let prefix = directory.dropFirst(cache.count + 1) + ".tmp-"
    for name in try Files.list(cache) where name.hasPrefix(prefix) {
      guard let process = pid_t(name.dropFirst(prefix.count)), kill(process, 0) != 0, errno == ESRCH else { continue }
      try Files.removeTree("\(cache)/\(name)")
    }
  }

  /// The file's name without its ending, and without what a path should not have.
  private static func plainName(of path: String) -> String {
    let name = path.split(separator: "/").last.map(String.init) ?? ""
    let stem = name.lowercased().hasSuffix(".gguf") ? String(name.dropLast(5)) : name
    let plain = stem.unicodeScalars.prefix(60).map { scalar in
      scalar.isASCII
        && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar) || "-_.".unicodeScalars.contains(scalar))
        ? Character(scalar) : "_"
    }
    return String(plain)
  }
}
