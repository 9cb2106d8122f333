// ParallelSampling: samples many requests on several threads, for commands that have no fleet.
//
// Requests are cut into portions that keep every thread busy and its batch full. If there are fewer requests than
// threads, a team of threads samples each request: then a prompt is computed once, and weights are read once for all
// its samples. No result depends on which thread samples what (Generator).
// Not here: leases (WorkerRole's SamplerPool distributes those as they arrive).

package import Records
import Synchronization
import Tensors

/// Samples every request with `threads` threads.
///
/// - Returns: trajectories in slot order.
/// - Throws: `ModelError`, of the first request that cannot be run.
package func sampleAll(
  _ requests: [GenerationRequest], model: PreparedModel, policy: PolicyVersion, seed: UInt64, sampling: Sampling,
  threads: Int, tokenTexts: TokenTexts = .none
) throws -> [Trajectory] {
  let total = requests.reduce(0) { $0 + $1.samples.count }
  let isTeamWork = requests.count < threads
  // At most two batches: the last samples of a portion run in a batch that is almost empty.
  let portions =
    isTeamWork
    ? requests.map { [$0] }
    : portions(of: requests, samplesMax: min(2 * Generator.batchRowsMax, max(1, (total + threads - 1) / threads)))
  let teamSize = isTeamWork ? threads / max(1, requests.count) : 1
  let finished = Mutex<[Trajectory]>([])
  try inParallel(portions.count, threads: threads) { index, _ in
    let rows = portions[index].reduce(0) { $0 + $1.samples.count }
    let generator = Generator(
      model: model, policy: policy, seed: seed, sampling: sampling,
      batchRows: min(Generator.batchRowsMax, max(1, rows)), tokenTexts: tokenTexts, team: Team(teamSize))
    for request in portions[index] { try generator.add(request) }
    var mine: [Trajectory] = []
    while generator.hasWork { mine += try generator.advance() }
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
