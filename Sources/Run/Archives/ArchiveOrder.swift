// ArchiveOrder: which line can follow which. Seals show that no line was changed; they do not show that a program other
// than `ttrl export` wrote lines that belong together.

import Records

struct ArchiveOrder {
  /// How many questions each set has.
  private var questions: [QuestionSet: UInt32] = [:]
  private var round: RoundID?
  /// Of the last training round.
  private var lastStep: UInt32?
  /// Questions of the round that had their group.
  private var asked: Set<UInt32> = []
  /// The group whose responses follow, how many of them came, and the last one's sample.
  private var group: ArchivedGroup?
  private var responses = 0
  private var lastSample: UInt32?

  /// - Returns: what is wrong with a line after those before it; nil if it can follow them.
  mutating func problem(with line: ArchiveLine) -> String? {
    switch line {
    case .header: return nil
    case .question(let question):
      guard round == nil else { return "it is a question, and the first round has begun" }
      let count = questions[question.set, default: 0]
      guard question.index == count else {
        return "it is question \(question.index) of the set \(question.set.name), expected \(count)"
      }
      questions[question.set] = count + 1
      return nil
    case .round(let next):
      if let problem = problemAtEnd { return problem }
      if next.id.purpose == .train {
        if let lastStep, next.id.step <= lastStep {
          return "it is step \(next.id.step), and step \(lastStep) came before it"
        }
        lastStep = next.id.step
      }
      (round, asked, group) = (next.id, [], nil)
      return nil
    case .group(let next):
      if let problem = problemAtEnd { return problem }
      guard let round, next.round == round else { return "it is a group of \(next.round), which has not begun" }
      guard next.question < questions[round.set, default: 0] else {
        return "it is a group of question \(next.question), and the set \(round.set.name) has "
          + "\(questions[round.set, default: 0])"
      }
      guard asked.insert(next.question).inserted else { return "question \(next.question) has a group already" }
      (group, responses, lastSample) = (next, 0, nil)
      return nil
    case .response(let response):
      let slot = response.slot
      guard let group, slot.round == group.round, slot.prompt == group.question else {
        return "it is a response to question \(slot.prompt) in \(slot.round), and does not follow its group"
      }
      if let lastSample, slot.sample <= lastSample {
        return "it is sample \(slot.sample), and sample \(lastSample) came before it"
      }
      guard responses < group.samples else { return "the group has \(group.samples) responses, and this is one more" }
      guard !response.tokens.isEmpty else { return "the response has no tokens" }
      (responses, lastSample) = (responses + 1, slot.sample)
      return nil
    }
  }

  /// - Returns: what is missing if the archive ends here, or the next group begins.
  var problemAtEnd: String? {
    guard let group, responses < group.samples else { return nil }
    return "the group before it has \(responses) of its \(group.samples) responses"
  }
}
