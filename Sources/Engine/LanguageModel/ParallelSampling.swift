// ParallelSampling: samples many requests on several threads, for commands that have no fleet.
//
// Requests are cut into portions that keep every thread busy and its batch full. A thread that has no portion left
// helps another one. If there are fewer requests than threads, a team of threads samples each request: then a prompt is
// computed once, and weights are read once for all its samples. No result depends on which thread samples what
// (Generator).
// Not here: leases (WorkerRole's SamplerPool distributes those as they arrive).

package import Records
import Synchronization
import Tensors

/// How far `sampleAll` is. Another thread can read it at any time.
package final class SamplingProgress: Sendable {
  private let sampleCount = Atomic<Int>(0)
  private let tokenCount = Atomic<Int>(0)
  private let draftCount = Atomic<Int>(0)
  private let acceptedDraftCount = Atomic<Int>(0)

  package init() {}

  /// Finished samples.
  package var samples: Int { sampleCount.load(ordering: .relaxed) }
  /// Sampled tokens, also of unfinished samples.
  package var tokens: Int { tokenCount.load(ordering: .relaxed) }
  /// Drafted tokens that went through the model, and those of them that count as sampled (Drafts).
  package var drafts: (computed: Int, accepted: Int) {
    (draftCount.load(ordering: .relaxed), acceptedDraftCount.load(ordering: .relaxed))
  }

  fileprivate func add(samples: Int, tokens: Int) {
    sampleCount.add(samples, ordering: .relaxed)
    tokenCount.add(tokens, ordering: .relaxed)
  }

  fileprivate func add(drafts: (computed: Int, accepted: Int)) {
    draftCount.add(drafts.computed, ordering: .relaxed)
    acceptedDraftCount.add(drafts.accepted, ordering: .relaxed)
  }
}

/// Samples every request with `threads` threads.
///
/// - Parameters:
///   - keyValueBytesMax: the most bytes of keys and values, of all threads together. Samples wait for them; results do
///     not depend on it.
///   - progress: counts while the samples are drawn.
/// - Returns: trajectories in slot order.
/// - Throws: `ModelError`, of the first request that cannot be run.
package func sampleAll(
  _ requests: [GenerationRequest], model: PreparedModel, policy: PolicyVersion, seed: UInt64, sampling: Sampling,
  threads: Int, tokenTexts: TokenTexts = .none, keyValueBytesMax: Int = .max, progress: SamplingProgress? = nil
) throws -> [Trajectory] {
  let total = requests.reduce(0) { $0 + $1.samples.count }
  let isTeamWork = requests.count < threads
  let hosts =
    isTeamWork ? [] : Crew.hosts(of: threads, rows: total, weightBytes: MemoryPlan.weightBytes(model.plan))
  // At most two batches: the last samples of a portion run in a batch that is almost empty.
  let portions =
    isTeamWork
    ? requests.map { [$0] }
    : portions(of: requests, samplesMax: min(2 * Generator.batchRowsMax, (total + hosts.count - 1) / hosts.count))
  let teamSize = threads / max(1, requests.count)
  let share = keyValueBytesMax / max(1, min(threads, portions.count))
  let crew = Crew(threads, busy: hosts)
  let next = Atomic<Int>(0)
  let finished = Mutex<[Trajectory]>([])
  try inParallel(isTeamWork ? requests.count : threads, threads: threads) { member, _ in
    let team = isTeamWork ? Team(teamSize) : crew.team(of: member)
    if isTeamWork || hosts.contains(member) {
      defer {
        // After an error, no new portion is begun.
        next.store(portions.count, ordering: .relaxed)
        crew.set(member, isBusy: false)
      }
      while true {
        let index = next.add(1, ordering: .relaxed).oldValue
        guard index < portions.count else { break }
        let rows = portions[index].reduce(0) { $0 + $1.samples.count }
        let generator = Generator(
          model: model, policy: policy, seed: seed, sampling: sampling,
          batchRows: min(Generator.batchRowsMax, max(1, rows)), tokenTexts: tokenTexts, keyValueBytesMax: share,
          team: team)
        for request in portions[index] { try generator.add(request) }
        let mine = try finish(generator, progress)
        progress?.add(drafts: generator.draftCounts)
        finished.withLock { $0 += mine }
      }
    }
    while crew.help(from: member, while: { true }) {}
  }
  return finished.withLock { $0.sorted { $0.slot < $1.slot } }
}

/// All samples of a generator.
private func finish(_ generator: Generator, _ progress: SamplingProgress?) throws -> [Trajectory] {
  var found: [Trajectory] = []
  while generator.hasWork {
    let before = (samples: found.count, tokens: generator.tokenCount)
    found += try generator.advance()
    progress?.add(samples: found.count - before.samples, tokens: generator.tokenCount - before.tokens)
  }
  return found
}

/// Cuts requests into portions of at most `samplesMax` samples, in order. A request that does not fit is divided.
private func portions(of requests: [GenerationRequest], samplesMax: Int) -> [[GenerationRequest]] {
  var portions: [[GenerationRequest]] = []
  var current: [GenerationRequest] = []
  var room = samplesMax
  for request in requests {
    var rest = request.samples[...]
    while !rest.isEmpty {
      var part = request
      part.samples = Array(rest.prefix(room))
      rest = rest.dropFirst(room)
      current.append(part)
      room -= part.samples.count
      if room == 0 {
        portions.append(current)
        current = []
        room = samplesMax
      }
    }
  }
  if !current.isEmpty { portions.append(current) }
  return portions
}
