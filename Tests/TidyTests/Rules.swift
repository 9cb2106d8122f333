// Rules: which words are banned in which code, and what to write instead. The allowed imports are in Package.swift
// (Layers).

import Foundation

/// A word that is banned in some code.
struct Ban {
  var word: String
  /// What to write instead.
  var advice: String

  init(_ word: String, _ advice: String) {
    self.word = word
    self.advice = advice
  }

  /// Whether a text contains the word, but not as the end of a longer word.
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

  /// Modules of the toolchain that every target can import. Pure code uses Glibc for mathematics only.
  static let system = ["Glibc", "Synchronization", "Swift"]

  /// Banned in pure and numeric modules.
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
    Ban("try!", "handle the error or rethrow it"),
    Ban("as!", "use `as?` and handle nil"),
  ]

  /// Banned in all Swift outside Platform: another user could have put a link or a directory there.
  static let files: [Ban] = [
    Ban("O_CREAT", "use Files, LineFile or AtomicFile, which follow no links"),
    Ban("O_WRONLY", "use Files, LineFile or AtomicFile, which follow no links"),
    Ban("O_RDWR", "use Files, LineFile or AtomicFile, which follow no links"),
    Ban("mkdir(", "use OwnedDirectory.make or Files.createDirectory"),
    Ban("NSTemporaryDirectory", "use OwnedDirectory.temporary"),
    Ban("\"/tmp", "use OwnedDirectory.temporary"),
  ]

  /// Banned in commands: names from outside must not reach a terminal as they are.
  static let printing: [Ban] = [Ban("print(", "use Command.show or Command.showJSON")]

  /// Banned in every text, comments included.
  static let everywhere: [Ban] = [
    Ban("TODO", "do it now, or write an issue and leave it out"),
    Ban("FIXME", "fix it now, or say in prose what the limits are"),
    Ban("/tmp/wt", "name no path of one machine"),
    Ban("/root/", "name no path of one machine"),
  ]

  static let columns = 120
  static let linesMax = 500
}
