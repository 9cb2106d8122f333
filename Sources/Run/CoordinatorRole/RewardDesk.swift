// RewardDesk: between the coordinator and the processes of its reward command.
//
// It makes a request of every response that the state machine asks about, from the ledger, and says what it is waiting
// for. The request has what a judge needs and nothing that the method must not know: the question's own answer is in it
// only with `labels truth`, as the label.
//
// Not here: when responses are judged (Fleet's Coordinator), processes (RewardPool), docs/rewards.md for users.

import Answers
import Base
import Platform
import Records
import Runs
import Settings
import TTRL

final class RewardDesk {
  enum Event {
    case judged([SlotVerdict])
    case notStarted(String)
  }

  private let run: Run
  private let recorder: RunRecorder
  private let report: (Event) -> Void
  private var pool: RewardPool?
  /// When something was said about the wait for verdicts.
  private var said: Instant?
  /// Faults that were logged since the last request was made.
  private var faultsLogged = 0

  /// A wait that takes longer is said, and then again after each of the second spans.
  private static let quiet = Instant.Span.seconds(2)
  private static let again = Instant.Span.seconds(10)
  /// Faults that are logged as warnings between two prompts. A program that always fails must not fill the log: all
  /// faults are in the ledger.
  private static let faultsLoggedMax = 10

  /// - Parameter report: called with what the program said, and if it cannot be started.
  /// - Throws: if its directory cannot be made.
  init(
    _ run: Run, _ recorder: RunRecorder, processes: Int, loop: EventLoop, report: @escaping (Event) -> Void
  ) throws {
    self.run = run
    self.recorder = recorder
    self.report = report
    let settings = run.settings
    let command = RewardCommand(
      words: settings.rewardWords, processes: processes,
      patience: Instant.Span(nanoseconds: UInt64(settings.rewardSeconds * 1e9)),
      memoryBytes: settings.rewardMemory << 20, directory: run.directory.rewards,
      launcher: try ThisProcess.executablePath())
    pool = try RewardPool(command, loop: loop) { [unowned self] in self.handle($0) }
    let isolation = Confinement.Isolation.here
    Log.info(
      "coordinator.reward_command",
      [
        "words": RunSettings.rewardCommand(of: command.words), "processes": processes,
        "seconds": settings.rewardSeconds, "memory_mib": settings.rewardMemory,
        "network": isolation.noNetwork ? "none" : "open", "own_processes": isolation.ownProcesses,
      ])
    if !isolation.noNetwork {
      Log.warning("coordinator.reward_network", ["reason": "this kernel lets no process give up the network"])
    }
  }

  func stop() { pool?.stop() }
  func drop(_ round: RoundID) { pool?.drop(round) }
  /// After `stop`, when the processes have had time to end.
  func removeDirectories() { try? Files.removeTree(run.directory.rewards) }

  /// Asks about responses. They are in the order of their slots, and prompts are complete.
  ///
  /// - Throws: if the ledger cannot be read.
  func judge(_ slots: [Slot]) throws {
    faultsLogged = 0
    var rest = slots[...]
    while let first = rest.first {
      let group = rest.prefix { ($0.round, $0.prompt) == (first.round, first.prompt) }
      rest = rest.dropFirst(group.count)
      pool?.ask(try requests(for: Array(group), first))
    }
  }

  private func requests(for slots: [Slot], _ first: Slot) throws -> [RewardRequest] {
    let start = Slot(round: first.round, prompt: first.prompt, sample: 0)
    let end = Slot(round: first.round, prompt: first.prompt + 1, sample: 0)
    let trajectories = try recorder.trajectories(of: first.round, from: start, before: end)
    let (prompt, question) = (run.training.prompts[Int(first.prompt)], run.training.questions[Int(first.prompt)])
    let answers = trajectories.map { run.reader.answer(of: $0.tokens, to: prompt) }
    let label = provisionalLabel(of: answers, truth: run.training.truth[Int(first.prompt)], method: run.method)
    let asked = Set(slots.map(\.sample))
    return zip(trajectories, answers).filter { asked.contains($0.0.slot.sample) }.map { trajectory, answer in
      let slot = trajectory.slot
      let id = "\(slot.round.step)/\(slot.prompt)/\(slot.sample)"
      let json: JSON = [
        "id": .string(id), "step": .int(Int(slot.round.step)), "prompt_id": .string(question.id),
        "sample": .int(Int(slot.sample)), "prompt": .string(question.prompt),
        "response": .string(run.reader.text(of: trajectory.tokens)), "answer": .optional(answer?.text),
        "label": .optional(label?.text),
      ]
      return RewardRequest(slot: slot, id: id, line: json.bytes() + [10])
    }
  }

  private func handle(_ event: RewardPool.Event) {
    switch event {
    case .judged(let verdicts): report(.judged(verdicts))
    case .failed(let fault, let slot, let what):
      faultsLogged += 1
      guard faultsLogged <= Self.faultsLoggedMax else { return }
      Log.warning(
        "coordinator.reward_failed",
        ["fault": fault.name, "slot": slot.map { "\($0)" } ?? "none", "what": what])
    case .notStarted(let what):
      report(
        .notStarted(
          "the reward command \(RunSettings.rewardCommand(of: run.settings.rewardWords)) cannot be started: "
            + "\(what). Put the program back where it was when the run began, then start the run again"))
    }
  }

  /// Says so if the coordinator waits for verdicts.
  func tick() {
    guard let pool, pool.waitingCount > 0, pool.longestWork > Self.quiet else { return }
    let now = MonotonicClock.now()
    if let said, now.since(said) < Self.again { return }
    said = now
    Log.info(
      "coordinator.awaits_verdicts",
      ["responses": pool.waitingCount, "longest_seconds": pool.longestWork.seconds])
  }
}
