// RewardProgram: finds the program of a reward command, before a run begins.
//
// The program runs in directories of its own, so paths in its words are made absolute, and the run keeps them so.

import Base
import Glibc
import Platform
package import Settings

package enum RewardProgram {
  /// The command with absolute paths: of the program, and of each argument that is a file.
  ///
  /// - Returns: as a JSON list; empty if there is no command.
  /// - Throws: if the program is not there or cannot be executed.
  package static func resolved(_ settings: RunSettings) throws -> String {
    var words = settings.rewardWords
    guard let program = words.first, !program.isEmpty else { return settings.rewardCommand }
    words[0] = try path(of: program)
    for (index, word) in words.enumerated().dropFirst() where !word.isEmpty && !word.hasPrefix("-") {
      if (try? Files.exists(ThisProcess.absolute(word))) == true { words[index] = ThisProcess.absolute(word) }
    }
    return RunSettings.rewardCommand(of: words)
  }

  private static func path(of program: String) throws -> String {
    let path = try ThisProcess.absolute(ChildProcess.locate(program))
    let problem: String? =
      switch true {
      case (try? Files.exists(path)) != true: "it is not there"
      case Files.isDirectory(path): "it is a directory"
      case access(path, X_OK) != 0: "it is not executable"
      default: nil
      }
    if let problem { throw RunError.noRewardProgram(path: path, problem: problem) }
    return path
  }
}
