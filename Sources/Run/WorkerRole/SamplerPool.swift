// SamplerPool: the compute threads of a worker.
//
// Each thread owns one Generator, with its batch and its key/value cache. A lease is given to one thread as a whole, so
// that a prompt is prefilled once. The result does not depend on which thread gets which lease (E1). A thread samples
// leases of one policy together, and finishes one policy before it begins the next. A thread without a lease helps
// another one (Crew).

import Base
package import Fleet
package import LanguageModel
package import Platform
package import Records
import Synchronization
import Tensors

/// What the pool reports to the worker's loop.
package enum SamplerReport: Sendable {
  /// At least one trajectory.
  case sampled([SampledTrajectory])
  case failed(any Error)
}

package final class SamplerPool: Sendable {
  private struct Job: Sendable {
    var lease: Lease
    var model: PreparedModel
  }

  private struct Queue: Sendable {
    var jobs: [Job] = []
    /// Slots that this thread was given and has not sampled yet.
    var load = 0
    /// Leases that the thread must drop. It drops them before it takes a new job, because a lease's number can be used
    /// again.
    var cancelled: [LeaseID] = []
  }

  private let queues: Mutex<[Queue]>
  private let wakeups: [Wakeup]
  private let crew: Crew
  private let tokenCount = Atomic<UInt64>(0)
  private let seed: UInt64
  private let batchRows: Int
  private let keyValueBytesMax: Int
  private let tokenTexts: TokenTexts
  private let reports: Inbox<SamplerReport>

  /// Starts the threads. They run until the process ends.
  ///
  /// - Parameters:
  ///   - threads: at least 1.
  ///   - batchRows: sequences that one thread samples at a time.
  ///   - keyValueBytesMax: the most bytes of keys and values that one thread can hold.
  ///   - seed: the run's seed.
  ///   - tokenTexts: the texts of the tokenizer's tokens, for leases that have stop strings.
  ///   - reports: receives trajectories and errors.
  /// - Throws: if a thread cannot be started.
  package init(
    threads: Int, batchRows: Int, keyValueBytesMax: Int, seed: UInt64, tokenTexts: TokenTexts,
    reports: Inbox<SamplerReport>
  ) throws(PlatformError) {
    queues = Mutex(Array(repeating: Queue(), count: threads))
    wakeups = (0..<threads).map { _ in Wakeup() }
    crew = Crew(threads)
    self.seed = seed
    self.batchRows = batchRows
    self.keyValueBytesMax = keyValueBytesMax
    self.tokenTexts = tokenTexts
    self.reports = reports
    for index in 0..<threads {
      try startThread(named: "sampler-\(index)") { self.run(index) }
    }
  }

  /// Tokens sampled since the start.
  package var tokens: UInt64 { tokenCount.load(ordering: .relaxed) }

  /// Gives a lease to the thread that has the fewest slots to sample, of those that are hosts at the present load.
  package func enqueue(_ lease: Lease, with model: PreparedModel) {
    let chosen = queues.withLock { queues in
      let rows = queues.reduce(lease.slotCount) { $0 + $1.load }
      let hosts = Crew.hosts(
        of: queues.count, rows: rows, weightBytes: MemoryPlan.weightBytes(model.plan))
      let chosen = hosts.min { queues[$0].load < queues[$1].load } ?? 0
      queues[chosen].jobs.append(Job(lease: lease, model: model))
      queues[chosen].load += lease.slotCount
      return chosen
    }
    wakeups[chosen].signal()
    crew.recall(chosen)
  }

  /// Drops a lease. Jobs that have not begun are dropped at once; sequences that are being sampled are dropped after
  /// their next token.
  package func cancel(_ id: LeaseID) {
    queues.withLock { queues in
      for index in queues.indices {
        for job in queues[index].jobs where job.lease.id == id { queues[index].load -= job.lease.slotCount }
        queues[index].jobs.removeAll { $0.lease.id == id }
        if queues[index].load > 0 { queues[index].cancelled.append(id) }
      }
    }
  }

  // MARK: On a sampler's thread

  /// What one thread is sampling now.
  private struct Current {
    var generator: Generator
    var policy: PolicyVersion
    var sampling: Sampling
    var leases: [Slot: LeaseID] = [:]
  }

  private func run(_ index: Int) {
    var current: Current?
    while true {
      do {
        dropCancelled(index, &current)
        try takeJobs(index, &current)
        guard let busy = current, busy.generator.hasWork else {
          current = nil
          waitForJob(index)
          continue
        }
        let before = busy.generator.tokenCount
        let finished = try busy.generator.advance()
        // Tokens are counted at every step, not when a trajectory is finished. A batch of long responses can finish all
        // at once. Until then, a worker whose token count does not grow looks stuck and loses its leases.
        tokenCount.add(UInt64(busy.generator.tokenCount - before), ordering: .relaxed)
        deliver(finished, index, &current)
      } catch {
        return reports.post(.failed(error))
      }
    }
  }

  /// Helps another thread in the meantime.
  private func waitForJob(_ index: Int) {
    func hasNone() -> Bool { queues.withLock { $0[index].jobs.isEmpty } }
    crew.set(index, isBusy: false)
    if hasNone(), !crew.help(from: index, while: hasNone) { wakeups[index].wait() }
  }

  /// A job has begun, so the threads without one have something to help with.
  private func begin(_ index: Int) {
    crew.set(index, isBusy: true)
    let idle = queues.withLock { queues in queues.indices.filter { $0 != index && queues[$0].load == 0 } }
    for other in idle { wakeups[other].signal() }
  }

  private func dropCancelled(_ index: Int, _ current: inout Current?) {
    let ids = queues.withLock { queues in
      defer { queues[index].cancelled = [] }
      return queues[index].cancelled
    }
    guard !ids.isEmpty, let leases = current?.leases else { return }
    let unwanted = leases.filter { ids.contains($0.value) }
    current?.generator.cancel { unwanted[$0] != nil }
    current?.leases = leases.filter { unwanted[$0.key] == nil }
    queues.withLock { $0[index].load -= unwanted.count }
  }

  /// Adds the waiting leases, in order, while their policy and sampling match what is being sampled. Stops at the first
  /// lease that does not match.
  private func takeJobs(_ index: Int, _ current: inout Current?) throws {
    while let job = nextJob(index, fitting: current) {
      if current == nil {
        current = Current(
          generator: Generator(
            model: job.model, policy: job.lease.policy, seed: seed, sampling: job.lease.sampling,
            batchRows: batchRows, tokenTexts: tokenTexts, keyValueBytesMax: keyValueBytesMax,
            team: crew.team(of: index)),
          policy: job.lease.policy, sampling: job.lease.sampling)
        begin(index)
      }
      for prompt in job.lease.prompts {
        for sample in prompt.samples {
          current?.leases[Slot(round: job.lease.round, prompt: prompt.prompt, sample: sample)] = job.lease.id
        }
        try current?.generator.add(
          GenerationRequest(
            prompt: prompt.tokens, round: job.lease.round, promptIndex: prompt.prompt, samples: prompt.samples))
      }
    }
  }

  private func nextJob(_ index: Int, fitting current: Current?) -> Job? {
    queues.withLock { queues in
      guard queues[index].cancelled.isEmpty, let job = queues[index].jobs.first else { return nil }
      if let current, current.policy != job.lease.policy || current.sampling != job.lease.sampling { return nil }
      return queues[index].jobs.removeFirst()
    }
  }

  private func deliver(_ finished: [Trajectory], _ index: Int, _ current: inout Current?) {
    guard !finished.isEmpty else { return }
    queues.withLock { $0[index].load -= finished.count }
    let sampled = finished.compactMap { trajectory in
      current?.leases.removeValue(forKey: trajectory.slot).map { SampledTrajectory(trajectory, of: $0) }
    }
    if !sampled.isEmpty { reports.post(.sampled(sampled)) }
  }
}
