// RewardPool: the processes of the reward command, and which of them is asked what.
//
// Requests wait in one queue. A process that has room gets the next ones; those that it leaves unanswered are asked
// again, of another. A process is started when it is needed, and again after a fault. A fault costs the response that
// the process worked on its verdict, and this is reported as the verdict, so a program that always fails ends: no
// response is asked about for ever.
//
// The pool has no memory: what it answers is recorded by the coordinator, and after a restart the coordinator asks
// again for what is not recorded. Everything runs on the coordinator's loop.

package import Base
package import Platform
package import Records

/// A reward command, and how it is run.
package struct RewardCommand: Sendable {
  /// The program, as a path, and its arguments.
  package var words: [String]
  package var processes: Int
  /// How long an answer may take. For a process's first answer, its start is part of this.
  package var patience: Instant.Span
  package var bounds: Confinement.Bounds
  /// Its processes have their directories here.
  package var directory: String
  /// The path of `ttrl`.
  package var launcher: String

  package init(
    words: [String], processes: Int, patience: Instant.Span, memoryBytes: Int, directory: String, launcher: String
  ) {
    self.words = words
    self.processes = processes
    self.patience = patience
    bounds = Confinement.Bounds(memoryBytes: memoryBytes, processes: RewardLimits.processes)
    self.directory = directory
    self.launcher = launcher
  }
}

/// The bounds of a reward command's processes that are not settings.
enum RewardLimits {
  /// The most processes that one process of the program may have below itself. A test suite that runs in parallel has
  /// some dozens.
  static let processes = 256
  /// Bytes of one answer. It has one number.
  static let answerBytes = 64 << 10
  /// Bytes that may be written to standard error per answer, and how many of the last ones a message shows.
  static let errorBytes = 1 << 20
  static let errorBytesKept = 200
  /// How much work a process is given ahead, so that it does not wait for this process: in time, in requests, in bytes
  /// (from there on, one request at a time).
  static let ahead = Instant.Span.milliseconds(20)
  static let requestsAhead = 1024
  static let bytesAhead = 1 << 20
  /// How long a process has to end after it was told to.
  static let farewell = Instant.Span.seconds(2)
}

package final class RewardPool {
  package enum Event {
    case judged([SlotVerdict])
    /// A process had to be ended; the verdicts say what it cost.
    case failed(VerdictFault, Slot?, what: String)
    /// The program cannot be started.
    case notStarted(String)
  }

  private let loop: EventLoop
  private let report: (Event) -> Void
  private var processes: [RewardProcess] = []
  private var queue: [RewardRequest] = []
  private var next = 0
  private var isStopped = false

  /// - Parameters:
  ///   - command: what to run.
  ///   - loop: watches the processes.
  ///   - report: called on later turns of the loop.
  /// - Throws: if the directory cannot be made.
  package init(_ command: RewardCommand, loop: EventLoop, report: @escaping (Event) -> Void) throws(PlatformError) {
    self.loop = loop
    self.report = report
    // A program that ends while it is written to must not end this process.
    ThisProcess.ignoreBrokenPipes()
    // Of an earlier start.
    try? Files.removeTree(command.directory)
    try Files.createDirectory(command.directory)
    processes = (0..<command.processes).map { number in
      RewardProcess(command, place: "\(command.directory)/\(number)", loop: loop) { [unowned self] in
        self.handle($0)
      }
    }
  }

  /// Requests that have no answer yet.
  package var waitingCount: Int { queue.count - next + processes.reduce(0) { $0 + $1.askedCount } }

  /// The longest time that a process has worked on one request.
  package var longestWork: Instant.Span {
    let now = MonotonicClock.now()
    return processes.map { $0.busy(at: now) }.max() ?? .zero
  }

  package func ask(_ requests: [RewardRequest]) {
    queue += requests
    dispatch()
  }

  /// Leaves out the requests of a round that is not needed any more. Those that a process has are still answered.
  package func drop(_ round: RoundID) {
    queue.removeFirst(next)
    next = 0
    queue.removeAll { $0.slot.round == round }
  }

  /// Ends all processes. The loop has to run until they have ended; their guards end them in any case.
  package func stop() {
    isStopped = true
    for process in processes { process.stop() }
  }

  // MARK: The queue

  private func handle(_ event: RewardProcess.Event) {
    guard !isStopped else { return }
    switch event {
    case .answered(let verdicts): report(.judged(verdicts))
    case .failed(let fault, let first, let others, let what):
      report(.failed(fault, first?.slot, what: what))
      queue.replaceSubrange(..<next, with: others)
      next = 0
      if let first { report(.judged([SlotVerdict(first.slot, Verdict(fault))])) }
    case .notStarted(let what): report(.notStarted(what))
    case .ended: break
    }
    dispatch()
  }

  private func dispatch() {
    guard !isStopped else { return }
    // The process with the least to do first. Each is given its share, so that none gets all of a short queue.
    let free = processes.filter { $0.room > 0 }.sorted { $0.askedCount < $1.askedCount }
    for (index, process) in free.enumerated() where next < queue.count {
      let left = queue.count - next
      let share = (left + free.count - index - 1) / (free.count - index)
      let end = next + min(process.room, share)
      let requests = queue[next..<end]
      next = end
      do throws(PlatformError) {
        try process.ask(requests)
      } catch {
        return report(.notStarted("\(error)"))
      }
    }
    guard next > queue.count / 2 else { return }
    queue.removeFirst(next)
    next = 0
  }
}
