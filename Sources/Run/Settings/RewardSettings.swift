// RewardSettings: the words of the reward command, and settings that contradict it.

import Base
import Records

extension RunSettings {
  package var hasRewardCommand: Bool { !rewardCommand.isEmpty }

  /// The reward command's program and arguments. There is no shell: a word with a space in it needs the list.
  ///
  /// - Returns: empty without a command, and if the list is not one of texts.
  package var rewardWords: [String] {
    guard rewardCommand.hasPrefix("[") else { return rewardCommand.split(separator: " ").map(String.init) }
    let words = (try? JSON.parse(Array(rewardCommand.utf8)))?.elements?.map(\.string) ?? []
    return words.contains(nil) ? [] : words.compactMap { $0 }
  }

  /// The text of a setting with these words.
  package static func rewardCommand(of words: [String]) -> String {
    JSON.array(words.map { .string($0) }).text()
  }

  /// Settings of a reward command without one. A run that continues has the command that it began with.
  package var rewardsWithoutCommand: [String] {
    let plain = RunSettings()
    let given = [
      ("reward-seconds", rewardSeconds != plain.rewardSeconds), ("reward-memory", rewardMemory != plain.rewardMemory),
      ("reward-processes", operation.rewardProcesses != plain.operation.rewardProcesses),
    ].filter(\.1).map(\.0)
    guard !hasRewardCommand, !given.isEmpty else { return [] }
    return ["\(given.joined(separator: ", ")) belong to a reward command, and there is none; give reward-command too"]
  }

  var rewardProblems: [String] {
    guard hasRewardCommand else { return [] }
    var found: [String] = []
    if rewardWords.first?.isEmpty ?? true || rewardWords.contains(where: { $0.utf8.contains(0) }) {
      found.append(
        "reward-command is \(rewardCommand.excerpt), expected a program and its arguments, as python3 judge.py, or as "
          + "a JSON list, [\"python3\", \"my judge.py\"]")
    }
    if method.stopsEarly {
      found.append(
        "early-stop stops when a majority is certain, but a reward command decides which responses vote, so all are "
          + "needed; turn it off")
    }
    if method.labels == .random {
      found.append("labels random gives rewards of its own, and so does a reward command; leave one of them out")
    }
    if [.nft, .prime].contains(method.objective) {
      found.append(
        "objective \(method.objective.rawValue) needs rewards of 0 and 1, and a reward command can give any number; "
          + "use another objective")
    }
    if method.steps == 0 {
      found.append("reward-command judges the responses of steps, and steps is 0; leave it out")
    }
    return found
  }
}
