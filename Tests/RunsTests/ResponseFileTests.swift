// responses.jsonl: what it gives each step, and what is refused of a damaged one.

import Base
import Platform
import Records
import Runs
import Testing

/// A file in a directory of its own.
private final class Folder {
  let path: String

  init(_ lines: [GivenResponse]) throws {
    path = try OwnedDirectory.temporary(prefix: "ttrl-test")
    try Files.write(lines.map { $0.json.text() + "\n" }.joined(), to: file)
  }

  deinit { try? Files.removeTree(path) }

  var file: String { path + "/responses.jsonl" }
}

@Suite struct ResponseFileTests {
  /// Prompt 0 was visited in steps 0 and 4, prompt 1 in step 2.
  private static let recorded: [GivenResponse] =
    group(prompt: 0, step: 0, count: 2) + group(prompt: 1, step: 2, count: 1) + group(prompt: 0, step: 4, count: 3)
  private static let logprobs: [Float] = [-0.1, -Float.pi]

  private static func group(prompt: UInt32, step: UInt32, count: UInt32) -> [GivenResponse] {
    (0..<count).map { sample in
      let record = GivenResponse.Record(
        step: step, sample: 10 + sample, logprobs: logprobs, reward: Float(sample) / 3)
      return GivenResponse(
        id: "q\(prompt)", prompt: prompt, sample: sample, text: "é \"\(sample)\"",
        tokens: [Int32(step), Int32(sample)], finish: .length, record: record)
    }
  }

  /// One step is a pass.
  private static var method: Method {
    var method = Method()
    (method.objective, method.promptsPerStep, method.trainSamples) = (.awr, 2, 3)
    return method
  }

  private static func round(_ step: UInt32) -> RoundSpec {
    RoundSpec(id: .train(step: step), prompts: [0, 1], samples: 3, sampling: method.sampling)
  }

  @Test func `a line is read as it was written, bit for bit`() throws {
    for response in Self.recorded {
      #expect(GivenResponse(try JSON.parse(response.json.text())) == response)
    }
    let plain = GivenResponse(id: "a", prompt: 3, sample: 0, text: "t", tokens: [1])
    #expect(GivenResponse(try JSON.parse(plain.json.text())) == plain)
    #expect(plain.json["reward"] == nil && plain.json["logprobs"] == nil)
  }

  @Test func `each pass learns another visit of a question, the latest first`() throws {
    let folder = try Folder(Self.recorded)
    let file = try ResponseFile(folder.file, promptCount: 2)
    for (step, visit) in [(UInt32(0), Int32(4)), (1, 0), (2, 4)] {
      let round = file.given(Self.round(step), method: Self.method)
      let count: UInt32 = visit == 4 ? 3 : 2
      #expect(round.given == [count, 1] && round.slotCount == Int(count) + 1)
      let trajectories: [Trajectory] = try file.trajectories(of: round, method: Self.method)
      let expected: [Slot] = (0..<count).map { Slot(round: round.id, prompt: 0, sample: $0) }
      #expect(trajectories.map(\.slot) == expected + [Slot(round: round.id, prompt: 1, sample: 0)])
      for trajectory in trajectories {
        let (isFirst, sample) = (trajectory.slot.prompt == 0, trajectory.slot.sample)
        #expect(trajectory.tokens == [isFirst ? visit : 2, Int32(sample)])
        #expect(trajectory.policy == PolicyVersion(step) && trajectory.logprobs == Self.logprobs)
        #expect(trajectory.verdict?.reward == Float(sample) / 3)
      }
    }
  }

  @Test func `a response that nobody sampled has no verdict`() throws {
    let folder = try Folder([GivenResponse(id: "a", prompt: 0, sample: 0, text: "t", tokens: [4, 5])])
    let file = try ResponseFile(folder.file, promptCount: 1)
    let round = file.given(
      RoundSpec(id: .train(step: 7), prompts: [0], samples: 3, sampling: Self.method.sampling), method: Self.method)
    let trajectory = try #require(try file.trajectories(of: round, method: Self.method).first)
    #expect(trajectory.tokens == [4, 5] && trajectory.logprobs == [0, 0] && trajectory.verdict == nil)
  }

  @Test func `a damaged file is refused with its line`() throws {
    let folder = try Folder(Self.recorded)
    let lines = try Files.readText(folder.file).split(separator: "\n").map(String.init)
    func problem(_ lines: [String], prompts: Int = 2) throws -> String {
      try Files.write(lines.joined(separator: "\n") + "\n", to: folder.file)
      let error = #expect(throws: ResponseFileError.self) { try ResponseFile(folder.file, promptCount: prompts) }
      return error?.description ?? ""
    }
    #expect(try problem([lines[0], "{}"] + lines[2...]).hasPrefix("line 2 of "))
    #expect(try problem(Array(lines.dropFirst())).contains("line 1"))
    #expect(try problem([lines[0], lines[2], lines[1]] + lines[3...]).contains("has sample 1, which does not follow"))
    #expect(try problem(lines, prompts: 1).contains("is a response to question #1, and the run's last question is #0"))
    #expect(try problem(lines, prompts: 3).contains("ends the file without prompt 2"))
    #expect(try problem([lines[0].replacing("[0,0]", with: "[0,0.5]")]).contains("is not a response"))
  }
}
