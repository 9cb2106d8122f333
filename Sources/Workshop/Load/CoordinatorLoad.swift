// CoordinatorLoad: a real coordinator process that serves many synthetic workers over real sockets.
//
// The coordinator is `ttrl coordinator` with its ledger on the disk. The workers and a learner run in this process,
// which is the load. The workers can also run in other processes (SyntheticFleet); then this process waits for them.
// The figures are the coordinator's: the trajectories that it has made durable and acknowledged, its share of a core,
// its memory over time, and how long a worker waits for a lease. Not here: sampling (bench rollout).

import Base
import LanguageModel
import Ledger
package import Platform
import Records
import Runs
import Tensors

/// The settings of the load.
package struct CoordinatorLoad: Sendable {
  package var workers: Int
  /// Prompts of a step, and responses to each prompt.
  package var prompts: Int
  package var samples: Int
  package var responseTokens: Int
  /// The speed of one worker. 0: a lease is sampled at once.
  package var tokensPerSecond: Int
  /// How long to measure, after all workers have joined.
  package var seconds: Int
  /// nil means plain TCP.
  package var key: ClusterKeys?
  /// The address to which workers in other processes connect. nil: the workers are in this process.
  package var listen: HostPort?

  package init(
    workers: Int, prompts: Int, samples: Int, responseTokens: Int, tokensPerSecond: Int, seconds: Int,
    key: ClusterKeys?,
    listen: HostPort?
  ) {
    self.workers = workers
    self.prompts = prompts
    self.samples = samples
    self.responseTokens = responseTokens
    self.tokensPerSecond = tokensPerSecond
    self.seconds = seconds
    self.key = key
    self.listen = listen
  }

  static let arithmetic = "synthetic none"
}

/// Why there are no figures.
package enum LoadError: Error, Sendable, CustomStringConvertible {
  case noCoordinator(log: String)
  case notAllJoined(Int, of: Int, seconds: Int)
  case tooFewDescriptors(Int, needed: Int)
  case workerEnded(String)
  case interrupted

  package var description: String {
    switch self {
    case .noCoordinator(let log): "the coordinator did not start, or ended; its last words: \(log)"
    case .notAllJoined(let joined, let all, let seconds):
      "\(joined) of \(counted(all, "worker")) have joined after \(seconds) s; try fewer, or look at the machine's "
        + "other load"
    case .tooFewDescriptors(let limit, let needed):
      "\(needed) connections are needed, and this process may have \(limit) (ulimit -Hn); raise the limit"
    case .workerEnded(let reason): "a worker ended: \(reason)"
    case .interrupted: "interrupted"
    }
  }
}

package final class LoadedCoordinator {
  private let load: CoordinatorLoad
  private let directory: String
  private let say: (String) -> Void
  private let loop: EventLoop
  private var child: ChildProcess?
  /// nil if the workers are in other processes.
  private var fleet: SyntheticFleet?
  private var learner: SyntheticLearner?
  private var failure: (any Error)?
  private var joined = 0
  private var settled = 0
  private var waits: [Double] = []
  private var isMeasuring = false
  /// The run's steps are done, so there is nothing left to measure.
  private var isFinished = false

  /// The longest time until the coordinator listens, and until the workers have joined.
  private static let startSeconds: UInt64 = 30
  private static let joinSeconds: UInt64 = 240
  /// Trajectories and steps per second that no coordinator reaches, and the most prompts of all rounds together: as a
  /// list they take some megabytes, which the measured memory includes.
  private static let trajectoryRateMax = 200_000
  private static let stepRateMax = 200
  private static let plannedPromptsMax = 1 << 17
  /// Between two looks at workers in other processes.
  private static let lookMilliseconds: UInt64 = 250
  /// The most waiting times that are kept for the percentiles.
  private static let waitsMax = 1 << 20

  /// - Parameters:
  ///   - load: the load on the coordinator.
  ///   - directory: an empty directory, which the coordinator fills.
  ///   - say: gets a line of progress from time to time.
  /// - Throws: if the loop or the key cannot be made.
  package init(_ load: CoordinatorLoad, in directory: String, say: @escaping (String) -> Void) throws {
    self.load = load
    self.directory = directory
    self.say = say
    Machine.raiseDescriptorLimit()
    let needed = load.workers + 64
    guard Machine.descriptorLimit >= needed else {
      throw LoadError.tooFewDescriptors(Machine.descriptorLimit, needed: needed)
    }
    loop = try EventLoop()
  }

  /// Starts everything, measures, and ends everything.
  ///
  /// - Throws: `LoadError`, or the error that keeps the coordinator from starting.
  package func run() throws -> LoadFigures {
    try loop.onSignals([Signal.interrupt, Signal.terminate]) { _ in self.fail(LoadError.interrupted) }
    try prepare()
    defer { end() }
    let begun = MonotonicClock.now()
    let address = try self.address()
    let context = if let key = load.key { try TLSContext(key.ring) } else { nil as TLSContext? }
    try join(address, context)
    let joinSeconds = MonotonicClock.now().since(begun).seconds
    say("\(counted(load.workers, "worker")) joined within \(Int(joinSeconds)) s; this time is not measured")
    var figures = try measure()
    figures.joinSeconds = joinSeconds
    figures.steps = learner?.steps ?? 0
    figures.waits = waits.sorted()
    end()
    figures.ledgerOnly = try ledgerAlone(figures)
    return figures
  }

  // MARK: Before

  private var runDirectory: RunDirectory { RunDirectory(directory + "/run") }
  private var log: String { directory + "/coordinator.log" }

  private func prepare() throws {
    let model = directory + "/model"
    try RandomCheckpoint.write(try RandomCheckpoint.least(), tokenizer: try BuiltIn.unpacked(), to: model, seed: 0)
    let questions = (0..<load.prompts).map { "{\"prompt\": \"question \($0)\"}\n" }.joined()
    try Files.write(Array(questions.utf8), to: directory + "/questions.jsonl")
    var keyPath = "none"
    if let key = load.key {
      keyPath = directory + "/key"
      try key.ring.write(to: keyPath)
    }
    let settings: [(String, String)] = [
      ("run", runDirectory.path), ("model", model), ("data", directory + "/questions.jsonl"),
      ("listen", load.listen.map { "\($0)" } ?? "127.0.0.1:0"),
      ("key", keyPath), ("template", "plain"), ("prompts-per-step", "\(load.prompts)"), ("votes", "\(load.samples)"),
      ("train-samples", "\(min(load.samples, 32))"), ("max-new-tokens", "\(load.responseTokens)"),
      ("steps", "\(steps)"), ("eval", "none"), ("guard", "off"),
    ]
    var command = ChildProcess.Command(
      try ThisProcess.sibling("ttrl"), ["coordinator"] + settings.flatMap { ["--" + $0.0, $0.1] })
    command.output = .file(log)
    command.errors = .file(log)
    child = try ChildProcess(command, loop: loop) { status in
      self.child = nil
      if status == .exited(0) { self.finish() } else { self.fail(LoadError.noCoordinator(log: self.lastWords)) }
    }
  }

  /// So many that the run does not finish while it is measured. They are fewer if the coordinator's list of rounds
  /// would become large; then the run can finish early.
  private var steps: Int {
    let perSecond = min(Self.stepRateMax, Self.trajectoryRateMax / max(1, load.prompts * load.samples))
    return max(64, min(perSecond * load.seconds, Self.plannedPromptsMax / max(1, load.prompts)))
  }

  private var lastWords: String {
    let text = (try? Files.readText(log)) ?? ""
    return text.split(separator: "\n").suffix(3).joined(separator: " | ")
  }

  private func address() throws -> HostPort {
    let deadline = MonotonicClock.now() + .seconds(Self.startSeconds)
    while failure == nil, MonotonicClock.now() < deadline {
      if let text = try? Files.readText(runDirectory.address), text.hasSuffix("\n") {
        return try HostPort(parsing: String(text.dropLast()))
      }
      loop.run(until: MonotonicClock.now() + .milliseconds(50))
    }
    throw failure ?? LoadError.noCoordinator(log: lastWords)
  }

  private func join(_ address: HostPort, _ context: TLSContext?) throws {
    let reports = WorkerReports(
      joined: { self.joined += 1 },
      settled: { count in if self.isMeasuring { self.settled += count } },
      waited: { span in
        if self.isMeasuring, self.waits.count < Self.waitsMax { self.waits.append(span.seconds) }
      },
      ended: { end in
        switch end {
        case .finished: self.finish()
        case .failed(let reason): self.fail(LoadError.workerEnded(reason))
        }
      })
    if load.listen == nil {
      fleet = SyntheticFleet(load, to: address, context, loop: loop, reports)
      fleet?.start()
    } else {
      say("waiting for \(counted(load.workers, "worker")) at \(address)")
    }
    tickLearner()
    let deadline = MonotonicClock.now() + .seconds(Self.joinSeconds)
    while joined < load.workers {
      if let failure { throw failure }
      guard MonotonicClock.now() < deadline else {
        throw LoadError.notAllJoined(joined, of: load.workers, seconds: Int(Self.joinSeconds))
      }
      loop.run(until: MonotonicClock.now() + .milliseconds(fleet == nil ? Self.lookMilliseconds : 20))
      if fleet == nil { joined = Set(try watched().workers().map(\.name)).count }
    }
    // Without a learner there would be only one round.
    let learner = SyntheticLearner(
      policyBytes: RandomCheckpoint.publishedBytes(try RandomCheckpoint.least()), to: address, context, loop: loop)
    learner.connect()
    self.learner = learner
  }

  private func tickLearner() {
    learner?.tick()
    loop.schedule(at: MonotonicClock.now() + .milliseconds(500)) { self.tickLearner() }
  }

  /// The coordinator's ledger in its present state.
  private func watched() throws(LedgerError) -> Ledger { try Ledger(path: runDirectory.ledger, mode: .readOnly) }

  // MARK: Measuring

  private func measure() throws -> LoadFigures {
    guard let pid = child?.pid else { throw LoadError.noCoordinator(log: lastWords) }
    var figures = LoadFigures(load)
    isMeasuring = true
    // Workers in other processes do not report how many trajectories were acknowledged, so the ledger is read.
    let stored = fleet == nil ? try watched().trajectoryCount() : 0
    let begun = MonotonicClock.now()
    let before = ProcessUsage(of: pid)
    var last = before
    let own = ProcessUsage(of: Int32(bitPattern: ThisProcess.id))
    let quarter = max(1, load.seconds / 4)
    for second in 1...load.seconds {
      loop.run(until: begun + .seconds(UInt64(second)))
      if let failure { throw failure }
      if fleet == nil, isFinished || second == load.seconds { settled = try watched().trajectoryCount() - stored }
      if isFinished { break }
      guard let usage = ProcessUsage(of: pid) else { throw LoadError.noCoordinator(log: lastWords) }
      last = usage
      figures.residentBytes.append(usage.residentBytes)
      figures.peakBytes = usage.peakBytes
      if second % quarter == 0 {
        if fleet == nil { settled = try watched().trajectoryCount() - stored }
        say("after \(second) s: \(settled / second) trajectories/s, \(usage.residentBytes >> 20) MiB")
      }
    }
    figures.seconds = MonotonicClock.now().since(begun).seconds
    figures.settled = settled
    isMeasuring = false
    if isFinished { say("the run finished after \(Int(figures.seconds)) s; the figures are of this time") }
    if let before, let after = ProcessUsage(of: pid) ?? last {
      figures.coordinatorCores = (after.cpuSeconds - before.cpuSeconds) / figures.seconds
    }
    if let own, let after = ProcessUsage(of: Int32(bitPattern: ThisProcess.id)) {
      figures.loadCores = (after.cpuSeconds - own.cpuSeconds) / figures.seconds
    }
    return figures
  }

  private func finish() {
    isFinished = true
    loop.stop()
  }

  private func fail(_ error: any Error) {
    if failure == nil { failure = error }
    loop.stop()
  }

  private func end() {
    guard let child else { return }
    failure = failure ?? LoadError.interrupted
    fleet?.leave()
    learner?.leave()
    child.signal(Signal.terminate)
    let deadline = MonotonicClock.now() + .seconds(10)
    while self.child != nil, MonotonicClock.now() < deadline {
      loop.run(until: MonotonicClock.now() + .milliseconds(20))
    }
    self.child?.signal(Signal.kill)
  }

  // MARK: The ceiling

  /// Trajectories per second that the ledger alone makes durable on this disk. The commits are as large as those that
  /// were measured.
  private func ledgerAlone(_ figures: LoadFigures) throws -> Double {
    let ledger = try Ledger(path: directory + "/ceiling.sqlite", mode: .readWrite)
    let round = RoundID.train(step: 0)
    try ledger.open(round, policy: PolicyVersion(0), slots: 1, at: 0)
    // A commit waits 10 ms for more trajectories. It has those that arrive in that time at the measured rate, and at
    // least one delivery.
    let batch = max(16, figures.settled / max(1, Int(figures.seconds * 100)))
    let tokens = [Int32](repeating: 7, count: load.responseTokens)
    let logprobs = [Float](repeating: -1, count: load.responseTokens)
    var sample: UInt32 = 0
    let begun = MonotonicClock.now()
    while MonotonicClock.now().since(begun).seconds < 3 {
      try ledger.transaction { () throws(LedgerError) in
        for _ in 0..<batch {
          let slot = Slot(round: round, prompt: sample >> 16, sample: sample & 0xFFFF)
          let trajectory = Trajectory(
            slot: slot, policy: PolicyVersion(0), tokens: tokens, logprobs: logprobs, entropySum: 1, finish: .length)
          _ = try ledger.insert(trajectory, worker: nil, lease: 1)
          sample += 1
        }
      }
    }
    return Double(sample) / MonotonicClock.now().since(begun).seconds
  }
}
