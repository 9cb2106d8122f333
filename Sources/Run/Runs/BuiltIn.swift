// BuiltIn: the small model and questions that come with the program.
//
// They are files inside the binary (CEmbedded, made by scripts/make-base). They are unpacked once per user into the
// cache directory; from then on they are an ordinary model directory and ordinary question files. The names "builtin",
// "builtin:questions", "builtin:held-out" and "builtin:unsolvable" stand for them in settings.

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

  private static let files = [
    "config.json", "generation_config.json", "tokenizer.json", "model.safetensors", "questions.jsonl",
    "held-out.jsonl", "unsolvable.jsonl",
  ]

  /// The bytes of one file inside the binary; empty if the binary was built without it.
  private static func bytes(of name: String) -> [UInt8] {
    var count = 0
    guard let start = ttrl_embedded_file(name, &count) else { return [] }
    return Array(UnsafeBufferPointer(start: start, count: count))
  }

  /// Unpacks the files into the user's cache directory, unless they are there.
  ///
  /// - Returns: the directory.
  /// - Throws: if it cannot be written.
  package static func unpacked() throws -> String {
    let contents = files.map { (name: $0, bytes: bytes(of: $0)) }
    var text = ""
    for file in contents { text += SHA256.hex(of: file.bytes) }
    let directory = "\(cache)/base-\(SHA256.hex(of: Array(text.utf8)).prefix(12))"
    // If the last file is there, all are: it is written last.
    guard !Files.exists("\(directory)/\(files[files.count - 1])") else { return directory }
    try Files.createDirectory(directory)
    for file in contents { try Files.write(file.bytes, to: "\(directory)/\(file.name)") }
    return directory
  }

  private static var cache: String {
    func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
    if let cache = variable("XDG_CACHE_HOME"), !cache.isEmpty { return cache + "/ttrl" }
    return (variable("HOME") ?? "/tmp") + "/.cache/ttrl"
  }

  /// The directory of a model setting.
  ///
  /// - Throws: if the built-in model cannot be unpacked.
  package static func resolve(model: String) throws -> String {
    if model == "builtin" { return try unpacked() }
    return ThisProcess.absolute(model)
  }

  /// The questions of a data setting.
  ///
  /// - Throws: if the file is missing or malformed, with every problem's line.
  package static func questions(_ name: String) throws -> [Question] {
    var path = name
    if name.hasPrefix("builtin:") { path = try unpacked() + "/" + name.dropFirst("builtin:".count) + ".jsonl" }
    if let problem = OtherInput.questions(at: path) { throw QuestionsError(path: path, problem: problem) }
    do {
      return try Question.read(try Files.read(path))
    } catch let error as QuestionFileError {
      throw QuestionsError(path: path, problem: "\(error)")
    }
  }
}

/// A question file that cannot be used.
package struct QuestionsError: LastingError, Sendable, CustomStringConvertible {
  package var path: String
  package var problem: String
  package var description: String { "cannot use the questions in \(path): \(problem)" }
}
