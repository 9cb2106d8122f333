// ParallelSampling: samples many requests on several threads, for commands that have no fleet.
//
// Requests are cut into portions that keep every thread busy and its batch full. If there are fewer requests than
// threads, a team of threads samples each request: then a prompt is computed once, and weights are read once for all
// its samples. No result depends on which thread samples what (Generator).
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
  // At most two batches: the last samples of a portion run in a batch that is almost empty.
  let portions =
    isTeamWork
    ? requests.map { [$0] }
    : portions(of: requests, samplesMax: min(2 * Generator.batchRowsMax, max(1, (total + threads - 1) / threads)))
  let teamSize = isTeamWork ? threads / max(1, requests.count) : 1
  let share = keyValueBytesMax / max(1, min(threads, portions.count))
  let finished = Mutex<[Trajectory]>([])
  try inParallel(portions.count, threads: threads) { index, _ in
    let rows = portions[index].reduce(0) { $0 + $1.samples.count }
    let generator = Generator(
      model: model, policy: policy, seed: seed, sampling: sampling,
      batchRows: min(Generator.batchRowsMax, max(1, rows)), tokenTexts: tokenTexts, keyValueBytesMax: share,
      team: Team(teamSize))
    for request in portions[index] { try generator.add(request) }
    var mine: [Trajectory] = []
    while generator.hasWork {
      let before = (samples: mine.count, tokens: generator.tokenCount)
      mine += try generator.advance()
      progress?.add(samples: mine.count - before.samples, tokens: generator.tokenCount - before.tokens)
    }
    progress?.add(drafts: generator.draftCounts)
    finished.withLock { $0 += mine }
  }
  return finished.withLock { $0.sorted { $0.slot < $1.slot } }
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
