// LearnerRank: one rank of the learner: the work that every rank does, including rank 0.
//
// A rank begins with its part of the newest checkpoint. For each batch it runs `learn`, the same code that `improve`
// runs, and all ranks use the same batch. The ranks sum their gradients together, end with the same weights, and check
// that the weights are the same. Only rank 0 reads and writes files and communicates with the coordinator: that is in
// LearnerShell. The other ranks do what rank 0 tells them (`follow`). MPI is called only from this thread. Ranks sleep
// while they wait for a command.

import Base
import Fleet
import LanguageModel
package import Platform
import Records
package import Runs
package import Settings
import TTRL
package import Tensors

/// How to start a learner.
package struct LearnerOptions: Sendable {
  /// The coordinator's address, and those of standbys that can have taken over.
  package var coordinators: [HostPort]
  /// nil means plain TCP. Only rank 0 uses it: the other ranks do not communicate with the coordinator.
  package var keys: ClusterKeys?
  package var threads: Int
  package var checkpointEvery: CheckpointInterval
  package var keepCheckpoints: Int

  package init(
    coordinators: [HostPort], keys: ClusterKeys?, threads: Int, checkpointEvery: CheckpointInterval,
    keepCheckpoints: Int
  ) {
    self.coordinators = coordinators
    self.keys = keys
    self.threads = threads
    self.checkpointEvery = checkpointEvery
    self.keepCheckpoints = keepCheckpoints
  }
}

package final class LearnerRank {
  let run: Run
  let ranks: any Collectives
  let shared: SharedState
  /// The report of the step that made the checkpoint's version. Only rank 0 has it; it is nil for version 0.
  let reportOfCheckpoint: StepReport?
  private(set) var policy: LanguageModelPolicy
  /// For the steps up to the held version: each prompt's earlier labels.
  private(set) var history: History
  private let watchdog: Watchdog
  /// Where the current step's time goes on this rank.
  private var clock = PartClock(in: .voteSeconds, at: MonotonicClock.now())
  /// The times of the ranks in the newest step; of at most `StepReport.processesMax` ranks.
  private var times: [ProcessTimes] = []
  private let form: GradientForm
  /// How many of the ranks are on this machine.
  private let here: Int
  /// Called after every micro-batch.
  var onMicroBatch: () -> Void = {}
  /// Called before masters and moments change.
  var willChange: () throws -> Void = {}

  /// Loads the newest checkpoint that is not damaged. All ranks call it. Rank 0 reads the checkpoint and sends the
  /// others their parts.
  ///
  /// - Throws: if rank 0 cannot read the model or the checkpoints, or MPI fails.
  ///
  /// - Parameters:
  ///   - gradient: what to keep of a gradient. If one rank streams, all do.
  ///   - here: how many of the ranks are on this machine.
  package init(
    _ run: Run, threads: Int, gradient: GradientForm, here: Int, _ ranks: any Collectives
  ) throws {
    self.run = run
    self.ranks = ranks
    shared = SharedState(run, ranks)
    try Agreement.requireRelease(Program.release, ranks)
    let saved = try ranks.rank == 0 ? Checkpoints(run).newest() : nil
    let beginning = try shared.exchange(saved)
    reportOfCheckpoint = saved?.report
    history = beginning.history
    var options = TrainerOptions(
      microBatchTokens: run.settings.microBatchTokens, isExact: run.settings.reduction == .exact,
      threads: threads, activationBytesMax: RunMemory.activationBytesMax(ranks: ranks.size))
    // A rank that nothing fits streams: it needs the least.
    let wanted = Self.memory(run, gradient, here: here, ranks).gradient == .streamed
    options.isStreamed = try ranks.max([wanted ? 1 : 0])[0] > 0
    form = options.isStreamed ? .streamed : .whole
    self.here = here
    policy = try LanguageModelPolicy(
      plan: run.transformer, optimizer: beginning.optimizer, critic: beginning.critic, version: beginning.version,
      reference: beginning.reference, base: try shared.preparedBase(threads: threads), options: options,
      seed: run.settings.method.seed, ranks: ranks, reader: run.reader)
    watchdog = Watchdog(patience: Int(Limits.training.seconds))
    policy.onMicroBatch = { [unowned self] in
      self.watchdog.wake()
      self.onMicroBatch()
    }
    policy.onPart = { [unowned self] in self.begin($0) }
    policy.willChange = { [unowned self] in try self.willChange() }
    try watchdog.start()
    Log.info(
      "learner.ready",
      ["policy": beginning.version, "rank": ranks.rank, "ranks": ranks.size, "gradient": form.rawValue])
  }

  /// The memory of this machine's ranks.
  private static func memory(_ run: Run, _ gradient: GradientForm, here: Int, _ ranks: any Collectives) -> RunMemory {
    var settings = run.settings
    settings.operation.gradient = gradient
    let first = min(ranks.rank, ranks.size - here)
    return RunMemory(
      settings, model: run.model.configuration.model, adapter: run.transformer.adapter,
      questions: QuestionSizes(of: run),
      share: MachineShare(workers: 0, ranks: first..<first + here, of: ranks.size))
  }

  /// Ranks other than 0: does what rank 0 says until rank 0 says that the run has ended.
  ///
  /// - Throws: any error after which the run cannot continue; the launcher then ends the other ranks.
  package func follow() throws {
    let room = Floats(count: shared.roomCount)
    while true {
      switch try command() {
      case .train(let step, let trajectories):
        beginStep()
        _ = try learn(step: step, from: trajectories)
      case .gather(let piece): _ = try gather(piece: Int(piece), into: room)
      case .end: return noteMemory()
      }
    }
  }

  private func command() throws -> RankCommand {
    let bytes = try ranks.receiveFromRoot()
    do {
      let command = try RankCommand(bytes)
      if case .gather(let piece) = command, piece >= UInt64(shared.pieceCount) {
        throw ByteError.invalid(field: "piece", value: piece)
      }
      return command
    } catch {
      throw LearnerError.notACommand("\(error)")
    }
  }

  // MARK: What all ranks do together

  /// Trains one step.
  func learn(step: UInt32, from trajectories: [Trajectory]) throws -> (Lesson, [Group]) {
    watchdog.wake()
    defer { watchdog.rest() }
    begin(.voteSeconds)
    let groups = Group.groups(of: trajectories)
    let lesson = try TTRL.learn(
      &policy, step: step, from: groups, prompts: run.training.prompts, truth: run.training.truth,
      history: history, method: run.method)
    history.record(lesson.judgements)
    begin(.sumsSeconds)
    if ranks.size > 1 { try Agreement.require(policy.fingerprint, step: step, ranks) }
    begin(.voteSeconds)
    times = try gatheredTimes()
    return (lesson, groups)
  }

  // MARK: Times

  /// The clock begins at zero.
  func beginStep() { clock = PartClock(in: .voteSeconds, at: MonotonicClock.now()) }

  /// Another part of the step begins.
  func begin(_ part: FigureName) { clock.begin(part, at: MonotonicClock.now()) }

  /// Rank 0 adds its parts, and the ranks' times, to the step's report.
  func addTimes(to report: inout StepReport) {
    report.processes = times
    for part in FigureName.rankParts {
      let seconds = clock[part].seconds
      (report.figures[part], report.processes[0].seconds[part]) = (seconds, seconds)
    }
  }

  private func gatheredTimes() throws -> [ProcessTimes] {
    let parts = FigureName.rankParts
    // The sum over the ranks: a rank has zeros in the places of the others.
    var all = [Int64](repeating: 0, count: ranks.size * parts.count)
    for (place, part) in parts.enumerated() {
      all[ranks.rank * parts.count + place] = Int64(clamping: clock[part].nanoseconds)
    }
    try all.withUnsafeMutableBufferPointer { try ranks.sum($0) }
    return (0..<min(ranks.size, StepReport.processesMax)).map { rank in
      var seconds = FigureValues()
      for (place, part) in parts.enumerated() { seconds[part] = Double(all[rank * parts.count + place]) / 1e9 }
      return ProcessTimes(process: "rank \(rank)", seconds: seconds)
    }
  }

  /// Gathers a piece of a checkpoint at rank 0.
  ///
  /// - Parameters:
  ///   - piece: below `shared.pieceCount`.
  ///   - room: memory for one bucket; only rank 0's is filled.
  /// - Returns: the number of values in the piece.
  func gather(piece: Int, into room: Floats) throws -> Int {
    try shared.gather(piece: piece, of: policy.optimizers, into: room)
  }

  /// Logs the rank's peak memory, compared with the plan.
  func noteMemory() {
    let plan = Self.memory(run, form, here: here, ranks).learner(rank: ranks.rank)
    Log.info(
      "learner.memory",
      [
        "rank": ranks.rank, "ranks": ranks.size, "peak_bytes": Machine.peakResidentBytes, "planned_bytes": plan.bytes,
      ])
  }
}

/// The reason why a learner cannot continue, if the cause is not the model, a file or MPI.
enum LearnerError: Error, CustomStringConvertible {
  /// The machine's reason.
  case cannotGoOn(Departure)
  /// Rank 0 sent bytes that are not a command to another rank.
  case notACommand(String)

  var description: String {
    switch self {
    case .cannotGoOn(let departure): "\(departure)"
    case .notACommand(let problem):
      "rank 0 sent what is not a command: \(problem). Do all ranks run the same version of ttrl?"
    }
  }
}
