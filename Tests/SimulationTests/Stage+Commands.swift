// Stage+Commands: the lines of a transcript that begin with ">".

import Base
import Fleet
import Records

extension Stage {
  /// A command that the stage does not know, or that does not fit.
  struct UnknownCommand: Error {
    let command: String
  }

  /// Performs a command, and lets everything arrive that it sends.
  ///
  ///     plan: 2 steps of 2 prompts and 2 samples            what the run samples; see `plan`
  ///     coordinator starts | coordinator dies
  ///     ada starts | ada dies                               ada is a worker
  ///     learner starts at policy 1 | learner dies
  ///     ada disconnects | ada reconnects                    her process lives on
  ///     ada samples 2                                       her engine has sampled her next two slots
  ///     learner trains                                      the step is trained
  ///     policy is verified                                  the bytes that have arrived are the version's
  ///     policy is verified, the run ends at 1               and the steps so far end the run
  ///     vote of prompt 0 in step 0 is decided without 2 3   samples 2 and 3 are not needed
  ///     60 s pass
  mutating func perform(_ command: String) throws {
    let words = command.split { " :,".contains($0) }.map(String.init)
    let numbers = words.compactMap { UInt32($0) }
    switch (words.first ?? "", words.dropFirst().first ?? "") {
    case ("plan", _): plan = Self.plan(numbers, words)
    case ("coordinator", "starts"): startCoordinator()
    case ("coordinator", "dies"): killCoordinator()
    case ("learner", "starts"): start("learner", Self.learner(at: PolicyVersion(numbers.first ?? 0)))
    case ("learner", "trains"): try train(command)
    case ("policy", "is"): try verify(endingAt: numbers.first, command)
    case ("vote", "of") where numbers.count > 2:
      let event = CoordinatorEvent.decided(
        .train(step: numbers[1]), prompt: numbers[0], unneeded: Array(numbers[2...]))
      decisions.append(event)
      feed(event)
    case (let name, "starts"): start(name, Self.worker(name))
    case (let name, "dies"): end(name)
    case (let name, "disconnects"): disconnect(name)
    case (let name, "reconnects"): connect(name)
    case (let name, "samples"): sample(Int(numbers.first ?? 0), name)
    case (_, "s"): pass(seconds: UInt64(numbers.first ?? 0))
    default: throw UnknownCommand(command: command)
    }
    settle()
  }

  /// "2 steps of 2 prompts and 3 samples, 1 version behind, 2 samples required". The last version is evaluated with one
  /// sample of the first prompt.
  private static func plan(_ numbers: [UInt32], _ words: [String]) -> [RoundSpec] {
    func number(before word: String) -> UInt32? {
      words.firstIndex { $0.hasPrefix(word) }.flatMap { $0 > 0 ? UInt32(words[$0 - 1]) : nil }
    }
    let sampling = Sampling(temperature: 1, maxNewTokens: 2, stopTokens: [])
    let steps = number(before: "step") ?? 1
    let prompts = Array(0..<(number(before: "prompt") ?? 1))
    let behind = number(before: "version") ?? 0
    let required = words.contains("required") ? prompts.map { _ in Array(0..<(numbers.last ?? 0)) } : []
    let training = (0..<steps).map { step in
      RoundSpec(
        id: .train(step: step), policy: PolicyVersion(step - min(step, behind)), prompts: prompts,
        samples: number(before: "sample") ?? 1, sampling: sampling, required: required)
    }
    let evaluation = RoundSpec(
      id: .evaluate(.training, at: PolicyVersion(steps)), prompts: [0], samples: 1, sampling: sampling)
    return (training + [evaluation]).sorted { ($0.policy, $0.id) < ($1.policy, $1.id) }
  }

  private mutating func train(_ command: String) throws {
    guard let step = processes["learner"]?.training else { throw UnknownCommand(command: command) }
    _ = processes.update("learner") { $0.training = nil }
    feed("learner", .tick(tokens: 0), .trained(Self.manifest(PolicyVersion(step).next), report: StepReport(step: step)))
  }

  private mutating func verify(endingAt end: UInt32?, _ command: String) throws {
    guard let (manifest, peer) = unverified else { throw UnknownCommand(command: command) }
    unverified = nil
    memory.policies.append(manifest)
    if let end { memory.course = RunCourse(best: PolicyVersion(0), end: PolicyVersion(end)) }
    feed(.sealed(manifest, isIntact: true, from: peer, course: memory.course))
  }

  /// A second at a time; a worker's tokens stay as they are.
  private mutating func pass(seconds: UInt64) {
    for _ in 0..<seconds {
      now = now + .seconds(1)
      feed(.tick)
      for name in processes.keys { feed(name, .tick(tokens: 0), .tick) }
      settle()
    }
  }
}
