// `ttrl export` on a small run: the archive has what the ledger has, and what follows from it by the formulas.

import Archives
import Base
import Ledger
import Platform
import Records
import RunReading
import Runs
import Synchronization
import Testing

@Suite struct ExportTests {
  private struct Content {
    var header: ArchiveHeader
    var questions: [ArchivedQuestion] = []
    var rounds: [ArchivedRound] = []
    var groups: [(group: ArchivedGroup, responses: [ArchivedResponse])] = []
  }

  private func content(of path: String) throws -> Content {
    let reader = try ArchiveReader(path)
    var content = Content(header: reader.header)
    while let line = try reader.next() {
      switch line {
      case .header: break
      case .question(let question): content.questions.append(question)
      case .round(let round): content.rounds.append(round)
      case .group(let group): content.groups.append((group, []))
      case .response(let response): content.groups[content.groups.count - 1].responses.append(response)
      }
    }
    return content
  }

  @Test func `the archive has the ledger's responses, and votes, rewards and advantages by the formulas`() throws {
    let copy = try EarlierRun()
    let path = copy.directory.path + "/a.jsonl.zst"
    let export = try RunExport(copy.directory, license: "CC0-1.0")
    let (counts, hash) = try export.write(to: path)
    let content = try content(of: path)
    let ledger = try Ledger(path: copy.directory.ledger, mode: .readOnly)
    #expect(content.header.license == "CC0-1.0" && content.header.json["state"]?.string == "finished")
    #expect(content.header.setting("estimator") ?? "vote" == "vote")
    #expect(content.header.json["questions"]?["training"]?.int == content.questions.count { $0.set == .training })
    for set in QuestionSet.allCases {
      let (stored, found) = (try ledger.prompts(of: set), content.questions.filter { $0.set == set })
      #expect(stored.map(\.tokens) == found.map(\.tokens) && stored.map(\.text) == found.map(\.text))
      #expect(stored.map(\.id) == found.map(\.id) && stored.map(\.answer) == found.map(\.truth))
    }
    let rounds = try ledger.rounds()
    #expect(content.rounds.map(\.id) == rounds.map(\.id))
    let responses = content.groups.flatMap(\.responses)
    let recorded = try rounds.flatMap { try ledger.trajectories(of: $0.id) }
    #expect(responses.map(\.trajectory) == recorded)
    #expect(counts.responses == responses.count && export.done.value.load(ordering: .relaxed) == export.responses)
    for (group, responses) in content.groups {
      // The answer that most responses give; among equals, that of the earliest sample.
      let keys = responses.compactMap(\.key)
      let votes = keys.map { key in keys.count { $0 == key } }
      let label = zip(keys, votes).first { $0.1 == votes.max() }?.0
      #expect(group.label == label && group.labelVotes == votes.max() ?? 0 && group.samples == responses.count)
      #expect(responses.map(\.reward) == responses.map { $0.key == label ? 1 : 0 })
      #expect(group.votes.map(\.votes) == group.votes.map(\.votes).sorted(by: >))
      #expect(group.votes.reduce(0) { $0 + $1.votes } == keys.count)
      let truth = content.questions.first { $0.set == .training && $0.index == group.question }
      #expect(responses.map(\.isRight) == responses.map { $0.key == truth?.truthKey })
      // GRPO over the responses that are trained on.
      let trained = responses.filter(\.isTrained)
      let rewards = trained.map { Double($0.reward ?? 0) }
      let mean = rewards.reduce(0, +) / Double(rewards.count)
      let deviation = (rewards.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(rewards.count - 1)).squareRoot()
      for (response, reward) in zip(trained, rewards) {
        let expected = (reward - mean) / (deviation + 1e-6)
        #expect(response.advantages.count == response.tokens.count)
        #expect(response.advantages.allSatisfy { abs(Double($0) - expected) < 1e-6 })
      }
      #expect(responses.filter { !$0.isTrained }.allSatisfy { $0.advantages.isEmpty })
    }
    let trained = try ledger.stepMetrics().map { try StepReport(parsing: $0.json).figures[.trainedTokens] }
    for (step, tokens) in trained.enumerated() {
      let own = responses.filter { $0.isTrained && $0.slot.round.step == UInt32(step) }
      #expect(own.reduce(0) { $0 + $1.tokens.count } == Int(tokens ?? -1))
    }
    let bytes = try Files.read(path)
    #expect(try RunExport(copy.directory, license: "CC0-1.0").write(to: path).sha256 == hash)
    #expect(try Files.read(path) == bytes)
  }

  @Test func `a run that this version would judge differently is refused, with the step and the prompt`() throws {
    let copy = try EarlierRun()
    let ledger = try Ledger(path: copy.directory.ledger, mode: .readWrite)
    let row = try #require(try ledger.metrics(ofStep: 1))
    let report = try StepReport(parsing: row)
    let label = try #require(report.prompts[0].label)
    try ledger.setMetrics(row.replacing("\"label\":\"\(label)\"", with: "\"label\":\"q:other\""), ofStep: 1)
    let path = copy.directory.path + "/a.jsonl.zst"
    #expect {
      _ = try RunExport(copy.directory, license: "").write(to: path)
    } throws: { error in
      let text = "\(error)"
      return text.contains("step 1, prompt #\(report.prompts[0].prompt): the label was recorded as q:other")
        && text.contains(label)
    }
    #expect(try !Files.exists(path))
  }
}
