// Rules: what may be imported where, and which words have no place in which code. A line says what to do instead.

import Foundation

/// A word that does not belong somewhere.
struct Ban {
  var word: String
  /// What to write instead.
  var advice: String

  init(_ word: String, _ advice: String) {
    self.word = word
    self.advice = advice
  }

  /// Whether a text has the word, not as the end of a longer one.
  func isIn(_ text: Substring) -> Bool {
    var rest = text
    while let found = rest.range(of: word) {
      let before = rest[..<found.lowerBound].last
      if !(before.map { $0.isLetter || $0.isNumber || $0 == "_" } ?? false) { return true }
      rest = rest[found.upperBound...]
    }
    return false
  }
}

enum Rules {
  static let ownPath = "Tests/TidyTests/Rules.swift"

  /// The layers of docs/architecture.md: what each target may import of the others. Imports point down only.
  static let layers: [String: [String]] = [
    // 1: the nouns.
    "Base": [],
    "Records": ["Base"],
    "Answers": ["Base"],
    "Settings": ["Base", "Records"],
    // 2: pure logic.
    "TTRL": ["Base", "Records", "Answers"],
    "Fleet": ["Base", "Records"],
    "Wire": ["Base", "Records"],
    "Packages": ["Base", "Records", "CZstd"],
    "Tensors": ["Base", "CKernels", "COneDNN"],
    "LanguageModel": ["Tensors", "TTRL", "Answers", "Records", "Base"],
    // 3: the outside world.
    "Platform": ["Base", "CLinux", "COpenSSL"],
    "Ledger": ["Records", "Base", "CSQLite"],
    "Collectives": ["Base", "CMPI"],
    // 4: roles, and what they share.
    "Transport": ["Wire", "Platform", "Records", "Base"],
    "Runs": [
      "Settings", "LanguageModel", "Tensors", "TTRL", "Answers", "Ledger", "Platform", "Records", "Base", "CEmbedded",
    ],
    "Observatory": ["Base"],
    "CoordinatorRole": [
      "Fleet", "Wire", "Transport", "Packages", "Runs", "Settings", "Ledger", "Observatory", "TTRL", "LanguageModel",
      "Tensors",
      "Platform", "Records", "Base",
    ],
    "PageRole": [
      "CoordinatorRole", "Runs", "Settings", "Ledger", "Observatory", "LanguageModel", "Answers", "Platform", "Records",
      "Base", "CMicrohttpd",
    ],
    "WorkerRole": ["Fleet", "Transport", "Packages", "LanguageModel", "Tensors", "Platform", "Records", "Base"],
    "LearnerRole": [
      "Fleet", "Wire", "Transport", "Runs", "Settings", "TTRL", "LanguageModel", "Tensors", "Collectives", "Platform",
      "Records", "Base",
    ],
    "Pretraining": ["Runs", "LanguageModel", "Tensors", "TTRL", "Answers", "Platform", "Records", "Base"],
    "Benchmarks": [
      "CoordinatorRole", "WorkerRole", "LearnerRole", "Fleet", "Transport", "Packages", "Runs", "LanguageModel",
      "Tensors", "TTRL", "Collectives", "Platform", "Records", "Base", "COneDNN", "CCeilings",
    ],
    "Load": ["Fleet", "Transport", "Runs", "Ledger", "LanguageModel", "Tensors", "Platform", "Records", "Base"],
    "Chaos": ["Runs", "Ledger", "Platform", "Records", "Base"],
    "Fuzzing": ["Wire", "Packages", "Ledger", "CSQLite", "LanguageModel", "Settings", "Platform", "Records", "Base"],
    "Simulation": ["Fleet", "Wire", "Packages", "TTRL", "Answers", "Records", "Base"],
    // 5: programs.
    "ttrl": [
      "CoordinatorRole", "PageRole", "WorkerRole", "LearnerRole", "Pretraining", "Benchmarks", "Load", "Chaos",
      "Observatory",
      "Runs", "Settings", "TTRL", "LanguageModel", "Tensors", "Answers", "Collectives", "Ledger", "Transport",
      "Platform", "Records", "Base",
    ],
    "ttrl-dev": [
      "Simulation", "Fuzzing", "Load", "Runs", "Settings", "Ledger", "LanguageModel", "Tensors", "TTRL", "Answers",
      "Wire",
      "Platform", "Records", "Base",
    ],
  ]

  /// Targets of C, which import nothing of ours.
  static let shims = [
    "CMPI", "COneDNN", "COpenSSL", "CSQLite", "CZstd", "CMicrohttpd", "CKernels", "CLinux", "CEmbedded", "CCeilings",
  ]

  /// What comes with the toolchain and every target may use. Glibc is for mathematics, where code is pure.
  static let system = ["Glibc", "Synchronization", "Swift"]

  /// The same arguments, the same result: nothing here may look at the world.
  static let pure = [
    "Base", "Records", "Answers", "Settings", "TTRL", "Fleet", "Wire", "Packages", "Tensors", "LanguageModel",
    "Observatory", "Simulation",
  ]

  static let impure: [Ban] = [
    Ban("Foundation", "do without, or put the code into Platform or a role"),
    Ban("Date(", "take `now: Instant` as an argument"),
    Ban("ContinuousClock", "take `now: Instant` as an argument"),
    Ban("SuspendingClock", "take `now: Instant` as an argument"),
    Ban("clock_gettime", "take `now: Instant` as an argument"),
    Ban("Task {", "return an effect; the shell performs it and brings the result back as an event"),
    Ban("Task.detached", "return an effect; the shell performs it and brings the result back as an event"),
    Ban("SystemRandomNumberGenerator", "draw from Philox under a RandomPurpose"),
    Ban(".random(in", "draw from Philox under a RandomPurpose"),
    Ban(".shuffled()", "use RandomSequence.permutation under a RandomPurpose"),
    Ban("fatalError", "throw an error with data, or state the invariant as a precondition"),
  ]

  /// Banned in all Swift.
  static let unsafe: [Ban] = [
    Ban("try!", "handle the error or let it through"),
    Ban("as!", "use `as?` and say what happens otherwise"),
  ]

  /// Banned in every text, comments included.
  static let everywhere: [Ban] = [
    Ban("TODO", "do it now, or write an issue and leave it out"),
    Ban("FIXME", "fix it now, or say in prose what the limits are"),
    Ban("/tmp/wt", "name no path of one machine"),
    Ban("/root/", "name no path of one machine"),
  ]

  static let columns = 120
}
