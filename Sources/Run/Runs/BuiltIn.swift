// BuiltIn: the small model and questions that come with the program.
//
// They are files inside the binary (CEmbedded, made by scripts/make-base). The model is unpacked once per user into the
// cache directory; from then on it is an ordinary model directory. What lies there is believed only if it has the
// digest of what is in the binary, and if no other user can change it. Questions are read from the binary itself. The
// names "builtin", "builtin:questions", "builtin:held-out" and "builtin:unsolvable" stand for them in settings.

import Base
import CEmbedded
import Glibc
import Platform
package import Records
package import Settings

package enum BuiltIn {
  /// What `train` runs without a model of the user's: settings with which a tiny model shows the paper's claims.
  package static var defaults: RunSettings {
    var settings = RunSettings()
    settings.model = "builtin"
    settings.data = "builtin:questions"
    settings.heldOut = "builtin:held-out"
    settings.template = "plain"
    settings.operation.run = "ttrl-run"
    settings.maxNewTokens = 80
    settings.dtype = .bfloat16
    // So that it has the same result on every machine.
    settings.products = .pair
    settings.temperature = 0.6
    settings.method.steps = 30
    settings.method.promptsPerStep = 16
    settings.method.miniBatch = 128
    settings.method.learningRate = 1e-4
    settings.method.warmupSteps = 2
    settings.method.learningRateFloor = 0.1
    settings.method.beta2 = 0.95
    settings.method.weightDecay = 0
    settings.evaluateEvery = 5
    // So that the example shows every mechanism.
    settings.operation.workers = 2
    settings.operation.learners = 2
    return settings
  }

  private static let modelFiles = ["config.json", "generation_config.json", "tokenizer.json", "model.safetensors"]

  /// The bytes of one file inside the binary; empty if the binary was built without it.
  private static func bytes(of name: String) -> [UInt8] {
    var count = 0
    guard let start = ttrl_embedded_file(name, &count) else { return [] }
    return Array(UnsafeBufferPointer(start: start, count: count))
  }

  /// Unpacks the model into the user's cache directory. Files that are there already with the right content stay.
  ///
  /// - Returns: the directory.
  /// - Throws: `CacheError` if there is no place for it, `PlatformError` if it cannot be written.
  package static func unpacked() throws -> String {
    let contents = modelFiles.map { name in
      let bytes = bytes(of: name)
      return (name: name, bytes: bytes, digest: SHA256.hex(of: bytes))
    }
    let digest = SHA256.hex(of: Array(contents.map(\.digest).joined().utf8))
    let cache = try cache()
    let directory = "\(cache)/base-\(digest.prefix(12))"
    func isIntact(_ name: String, _ digest: String) -> Bool {
      (try? SHA256.hex(ofFile: "\(directory)/\(name)")) == digest
    }
    // Root can have unpacked it for all users.
    let isSafe = [cache, directory].allSatisfy { (try? OwnedDirectory.require($0, isReadOnly: true)) != nil }
    if isSafe, contents.allSatisfy({ isIntact($0.name, $0.digest) }) { return directory }
    do {
      for path in [cache, directory] { try OwnedDirectory.make(path) }
      for file in contents where !isIntact(file.name, file.digest) {
        try Files.write(file.bytes, to: "\(directory)/\(file.name)")
      }
    } catch {
      throw CacheError.unusable("\(error)")
    }
    return directory
  }

  /// The directory for files that can be made again. Never one that several users share.
  package static func cache() throws(CacheError) -> String {
    func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
    if let cache = variable("XDG_CACHE_HOME"), cache.hasPrefix("/") { return cache + "/ttrl" }
    // Without HOME, and with that of another user (sudo), the user database says where home is.
    let given = variable("HOME") ?? ""
    let isOwn = given.hasPrefix("/") && (try? OwnedDirectory.owner(of: given)) == User.current
    guard let home = isOwn ? given : User.home, home.hasPrefix("/") else { throw .noHome }
    return home + "/.cache/ttrl"
  }

  /// The same directory, which exists.
  package static func cacheDirectory() throws -> String {
    let path = try cache()
    try OwnedDirectory.make(path)
    return path
  }

  /// The directory of a model setting.
  ///
  /// - Throws: if the built-in model cannot be unpacked, or a GGUF file not imported.
  package static func resolve(model: String) throws -> String {
    if model == "builtin" { return try unpacked() }
    let path = ThisProcess.absolute(model)
    return OtherInput.isGGUF(path) ? try ModelImport.cached(path) : path
  }

  /// The questions of a data setting.
  ///
  /// - Parameters:
  ///   - name: a path, or the name of a built-in set.
  ///   - takesResponses: whether every question has to have responses.
  ///   - takesForms: whether options and other wordings are read too.
  /// - Throws: if the file is missing or malformed, with every problem's line.
  package static func questions(
    _ name: String, takesResponses: Bool = false, takesForms: Bool = false
  ) throws -> [Question] {
    try questionFile(name, takesResponses: takesResponses, takesForms: takesForms).questions
  }

  /// The questions of a data setting, and what of the file is in none of them.
  ///
  /// - Parameters:
  ///   - name: a path, or the name of a built-in set.
  ///   - takesResponses: whether every question has to have responses, which are then read too.
  ///   - takesForms: whether options and other wordings are read too.
  /// - Throws: if the file is missing or malformed, with every problem's line.
  package static func questionFile(
    _ name: String, takesResponses: Bool = false, takesForms: Bool = false
  ) throws -> QuestionFile {
    if !name.hasPrefix("builtin:"), let problem = OtherInput.questions(at: name) {
      throw QuestionsError(path: name, problem: problem)
    }
    do {
      guard name.hasPrefix("builtin:") else {
        return try QuestionFile(try Files.read(name), takesResponses: takesResponses, takesForms: takesForms)
      }
      guard !takesResponses else {
        throw QuestionsError(
          path: name, problem: "built-in questions have no responses; give --data FILE, or --responses RUN")
      }
      let bytes = bytes(of: name.dropFirst("builtin:".count) + ".jsonl")
      guard !bytes.isEmpty else { throw QuestionsError(path: name, problem: "there is no built-in set of this name") }
      return try QuestionFile(bytes)
    } catch let error as QuestionFileError {
      throw QuestionsError(path: name, problem: "\(error)")
    }
  }
}

/// A question file that cannot be used.
package struct QuestionsError: LastingError, Sendable, CustomStringConvertible {
  package var path: String
  package var problem: String
  package var description: String { "cannot use the questions in \(path): \(problem)" }
}
