// RunView: the state of a run at this moment, as plain values: open rounds, workers, the latest events.
//
// RunWatch fills it in. LiveView, PageAnswers and Prometheus show it.

import Base
package import Records

package struct RunView: Sendable {
  /// The run directory.
  package var path = ""
  /// "stage 2 of 3, vote: " if the run is a stage of a course; else empty.
  package var stage = ""
  package var stepCount = 0
  /// The newest policy version.
  package var policy = 0
  package var isFinished = false
  /// Whether a coordinator is running: its last report of the fleet is only seconds old.
  package var isAlive = false
  /// Whether a process on this machine keeps the run's processes running.
  package var isSupervised = false
  /// The standbys, and how far their copies are: "node2-standby has everything".
  package var standbys: [String] = []
  /// How the run's processes ended before its end.
  package var ending: RunEnding?
  /// Why the run could not be read at the last look; what is shown is older.
  package var problem: String?
  package var openRounds: [OpenRound] = []
  package var workers: [WorkerView] = []
  /// The learner; nil if the fleet is not known.
  package var learner: LearnerView?
  /// Tokens per second that all workers delivered in the last seconds; nil if none did.
  package var samplingRate: Double?
  /// Tokens per second of sampling and of training, if all cores of this machine reached their peak speed; nil if the
  /// run also has other machines.
  package var peak: (sampling: Double, training: Double)?
  /// Newest first.
  package var events: [EventView] = []
  /// Durable trajectories, and their tokens.
  package var trajectories = 0
  package var tokens = 0
  /// False while rows from before the watcher's start are still being counted.
  package var isCounted = true
  package var wallSeconds: Double?
  package var now = 0.0
  /// URL of the run's page; empty if there is none.
  package var page = ""

  package init() {}

  package struct OpenRound: Sendable, Equatable {
    package let name: String
    package let isTraining: Bool
    package let step: Int
    package let slots: Int
    package let settled: Int
    /// All slots are settled, and so many have no verdict of the reward command yet; nil while slots are sampled, and
    /// without such a command.
    package var verdictsLeft: Int?

    package init(name: String, isTraining: Bool, step: Int, slots: Int, settled: Int) {
      self.name = name
      self.isTraining = isTraining
      self.step = step
      self.slots = slots
      self.settled = settled
    }
  }

  package struct LearnerView: Sendable, Equatable {
    package let name: String
    /// Seconds since its last message.
    package let silence: Double

    package init(name: String, silence: Double) {
      self.name = name
      self.silence = silence
    }
  }

  package struct EventView: Sendable, Equatable {
    package let number: Int
    /// Seconds since 1970 UTC.
    package let time: Double
    package let kind: String
    package let detail: String

    package init(number: Int, time: Double, kind: String, detail: String) {
      self.number = number
      self.time = time
      self.kind = kind
      self.detail = detail
    }
  }

  package var condition: RunCondition {
    RunCondition(isFinished: isFinished, isAlive: isAlive, isSupervised: isSupervised, ending: ending)
  }

  /// When its processes ended before its end, seconds since 1970 UTC.
  package var endedAt: Double? { ending?.time }

  package var banner: Banner? { Banner(condition, path: path, now: now) }

  package var connected: [WorkerView] { workers.filter(\.isConnected) }
  package var stragglers: [WorkerView] { workers.filter(\.isStraggler) }

  /// What the run waits for, in words.
  package func waiting(for digest: RunDigest) -> String {
    if let rest = condition.rest { return rest }
    guard isAlive else { return "the coordinator, to start" }
    guard let open = openRounds.first else {
      return "the learner, to train step \(digest.lastStep + 1) and publish"
    }
    if let left = open.verdictsLeft { return "the reward command, for \(counted(left, "verdict")) of \(open.name)" }
    let slots = counted(max(0, open.slots - open.settled), "slot")
    guard !connected.isEmpty else { return "workers: none is connected, \(slots) of \(open.name) are open" }
    return "\(counted(connected.count, "worker")), to sample \(slots) of \(open.name)"
  }
}

/// One worker, by its name; all its connections together.
package struct WorkerView: Sendable, Equatable {
  package var name: String
  package var address: String
  /// Instruction set and kernel library: they determine the last bits of a result.
  package var arithmetic: String
  package var isConnected: Bool
  /// Why the last connection ended.
  package var leftBecause: String?
  /// Seconds since 1970 UTC.
  package var joinedAt: Double
  package var connections = 1
  package var trajectories = 0
  package var tokens = 0
  /// Tokens per second that it delivered in the last seconds; nil if the watcher has not seen any yet.
  package var rate: Double?
  /// When it last delivered something, as far as the watcher saw it.
  package var deliveredAt: Double?
  /// From the coordinator: seconds since its last message; what it holds, and seconds since that made progress.
  package var silence: Double?
  package var leases: Int?
  package var slots: Int?
  package var holding: String?
  package var stillness: Double?
  package var isStraggler = false

  package init(name: String, address: String, arithmetic: String, isConnected: Bool, joinedAt: Double) {
    self.name = name
    self.address = address
    self.arithmetic = arithmetic
    self.isConnected = isConnected
    self.joinedAt = joinedAt
  }
}

extension RunView {
  /// A worker that holds a lease and has made no progress for these seconds is a straggler.
  static let stillnessMax = 10.0

  /// Marks workers that delay a round: what they hold has made no progress for a while, or they are less than half as
  /// fast as the median of the fleet.
  package mutating func markStragglers() {
    let rates = connected.compactMap(\.rate).sorted()
    let middle = rates.count >= 3 ? rates[rates.count / 2] : nil
    for index in workers.indices where workers[index].isConnected {
      let worker = workers[index]
      let isStill = worker.slots ?? 0 > 0 && worker.stillness ?? 0 > Self.stillnessMax
      let isSlow = middle.map { worker.rate ?? .infinity < $0 / 2 } ?? false
      workers[index].isStraggler = isStill || isSlow
    }
  }
}
