// ResponseFile: responses.jsonl of a run directory: the responses that a run was given when it began.
//
// One line per response: the question's id and index, the sample's index in its group, the text, the tokens, and how
// it ended; of recorded responses also where they were recorded, their log-probabilities and their rewards. A group is
// what is learned of a question in one step: its lines follow each other, and its first line has sample 0. A question
// can have several groups, the visits of the run that recorded them, in the order of their steps.
//
// The coordinator reads a group when its round is complete, and puts it into the ledger as settled slots. So the file
// is needed once per step, memory holds where the lines are and nothing else, and the ledger grows as in every other
// run.
// Not here: where the responses come from (GivenResponses).

package import Base
import Platform
package import Records
import TTRL

/// One line.
package struct GivenResponse: Sendable, Equatable {
  /// The question's id and its index in the run.
  package var id: String
  package var prompt: UInt32
  /// From 0 in its group.
  package var sample: UInt32
  /// For people: nothing reads it.
  package var text: String
  /// [T] with the token that ended it.
  package var tokens: [Int32]
  package var finish = FinishReason.stop
  /// Only of recorded responses.
  package var record: Record?

  /// What a run recorded of a response that it sampled.
  package struct Record: Sendable, Equatable {
    /// The step and the sample's index in that run.
    package var step: UInt32
    package var sample: UInt32
    /// [T] natural log-probabilities under the distribution that was sampled from.
    package var logprobs: [Float]
    package var reward: Float

    package init(step: UInt32, sample: UInt32, logprobs: [Float], reward: Float) {
      (self.step, self.sample, self.logprobs, self.reward) = (step, sample, logprobs, reward)
    }
  }

  /// Without its newline.
  package var json: JSON {
    var members: [JSON.Member] = [
      .init("id", .string(id)), .init("prompt", .int(Int(prompt))), .init("sample", .int(Int(sample))),
      .init("response", .string(text)), .init("finish", .string(finish.name)),
      .init("tokens", .array(tokens.map { .int(Int($0)) })),
    ]
    if let record {
      members += [
        .init("recorded_step", .int(Int(record.step))), .init("recorded_sample", .int(Int(record.sample))),
        .init("reward", .float(record.reward)), .init("logprobs", .array(record.logprobs.map { .float($0) })),
      ]
    }
    return .object(members)
  }

  /// - Returns: nil if it is not such a line.
  package init?(_ json: JSON) {
    func count(_ name: String) -> UInt32? { json[name]?.int.flatMap(UInt32.init(exactly:)) }
    guard let id = json["id"]?.string, let prompt = count("prompt"), let sample = count("sample"),
      let text = json["response"]?.string, let elements = json["tokens"]?.elements, !elements.isEmpty,
      let finish = [FinishReason.stop, .length].first(where: { $0.name == json["finish"]?.string })
    else { return nil }
    self.init(
      id: id, prompt: prompt, sample: sample, text: text,
      tokens: elements.compactMap { $0.int.flatMap(Int32.init(exactly:)) }, finish: finish)
    guard tokens.count == elements.count else { return nil }
    guard let values = json["logprobs"]?.elements else { return }
    guard let step = count("recorded_step"), let recorded = count("recorded_sample"),
      let reward = Self.float(json["reward"])
    else { return nil }
    let logprobs = values.compactMap { Self.float($0) }
    guard logprobs.count == tokens.count else { return nil }
    record = Record(step: step, sample: recorded, logprobs: logprobs, reward: reward)
  }

  /// The float32 that was written. Through a double it could be rounded twice.
  private static func float(_ json: JSON?) -> Float? {
    guard case .number(let number) = json else { return nil }
    return Float(number.literal)
  }

  package init(
    id: String, prompt: UInt32, sample: UInt32, text: String, tokens: [Int32], finish: FinishReason = .stop,
    record: Record? = nil
  ) {
    (self.id, self.prompt, self.sample, self.text) = (id, prompt, sample, text)
    (self.tokens, self.finish, self.record) = (tokens, finish, record)
  }

  /// The response in a slot of a round.
  ///
  /// Without a record it was not sampled: its log-probabilities are 0, and the loss does not read them.
  func trajectory(in round: RoundSpec) -> Trajectory {
    var trajectory = Trajectory(
      slot: Slot(round: round.id, prompt: prompt, sample: sample), policy: round.policy, tokens: tokens,
      logprobs: record?.logprobs ?? tokens.map { _ in 0 }, entropySum: 0, finish: finish)
    trajectory.verdict = record.map { Verdict(reward: $0.reward) }
    return trajectory
  }
}

/// The file cannot be read.
package struct ResponseFileError: LastingError, Sendable, CustomStringConvertible {
  let path: String
  let line: Int
  let problem: String
  package var description: String {
    "line \(line) of \(path.visible) \(problem). The file is written once, when a run begins; restore it, or begin "
      + "another run in an empty directory"
  }
}

/// The responses of a run, group by group.
package struct ResponseFile: Sendable {
  /// The lines of one group.
  private struct Lines: Sendable {
    var bytes: Range<Int>
    var count: UInt32
    /// Of its first line, counted from 1.
    var first: Int
  }

  private let file: MappedFile
  /// [prompt][visit].
  private var groups: [[Lines]]

  /// - Parameters:
  ///   - path: of the file.
  ///   - promptCount: the run's training questions. Each has at least one group.
  /// - Throws: `ResponseFileError`, or `PlatformError`.
  package init(_ path: String, promptCount: Int) throws {
    file = try MappedFile(path)
    groups = Array(repeating: [], count: promptCount)
    var (start, line) = (0, 1)
    while start < file.bytes.count {
      let end = endOfLine(at: start)
      let response = try response(in: start..<end, line: line)
      let prompt = Int(response.prompt)
      guard groups.indices.contains(prompt) else {
        throw problem(line, "is a response to question #\(prompt), and the run's last question is #\(promptCount - 1)")
      }
      if response.sample == 0 { groups[prompt].append(Lines(bytes: start..<start, count: 0, first: line)) }
      guard var lines = groups[prompt].last, lines.count == response.sample, lines.bytes.upperBound == start else {
        throw problem(line, "has sample \(response.sample), which does not follow the line before it")
      }
      lines.bytes = lines.bytes.lowerBound..<min(end + 1, file.bytes.count)
      lines.count += 1
      groups[prompt][groups[prompt].count - 1] = lines
      (start, line) = (end + 1, line + 1)
    }
    if let prompt = groups.firstIndex(where: \.isEmpty) {
      throw problem(line, "ends the file without prompt \(prompt)")
    }
  }

  /// Where the line that begins at `start` ends, without its newline.
  private func endOfLine(at start: Int) -> Int {
    file.bytes[start...].firstIndex(of: UInt8(ascii: "\n")) ?? file.bytes.count
  }

  private func problem(_ line: Int, _ problem: String) -> ResponseFileError {
    ResponseFileError(path: file.path, line: line, problem: problem)
  }

  private func response(in range: Range<Int>, line: Int) throws(ResponseFileError) -> GivenResponse {
    guard let json = try? JSON.parse(Array(file.bytes[range])), let response = GivenResponse(json) else {
      throw problem(line, "is not a response")
    }
    return response
  }

  /// The group of a prompt that a pass over the questions learns. Each pass takes another one, the latest first.
  private func lines(of prompt: UInt32, inPass pass: Int) -> Lines {
    let visits = groups[Int(prompt)]
    return visits[visits.count - 1 - pass % visits.count]
  }

  /// A planned training round, with how many responses its prompts have.
  package func given(_ round: RoundSpec, method: Method) -> RoundSpec {
    var round = round
    let pass = passOfStep(round.id.step, promptCount: groups.count, method: method)
    round.given = round.prompts.map { lines(of: $0, inPass: pass).count }
    return round
  }

  /// The trajectories of a round, in slot order.
  ///
  /// - Throws: `ResponseFileError` if the file has changed.
  package func trajectories(of round: RoundSpec, method: Method) throws(ResponseFileError) -> [Trajectory] {
    let pass = passOfStep(round.id.step, promptCount: groups.count, method: method)
    var trajectories: [Trajectory] = []
    for prompt in round.prompts {
      let lines = lines(of: prompt, inPass: pass)
      var start = lines.bytes.lowerBound
      for line in 0..<Int(lines.count) {
        let end = endOfLine(at: start)
        trajectories.append(try response(in: start..<end, line: lines.first + line).trajectory(in: round))
        start = end + 1
      }
    }
    return trajectories
  }
}
