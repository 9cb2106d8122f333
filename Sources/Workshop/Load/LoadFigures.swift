// LoadFigures: what a coordinator did under load, for programs and for people.

package import Base

package struct LoadFigures: Sendable {
  let load: CoordinatorLoad
  var joinSeconds = 0.0
  var seconds = 0.0
  /// Trajectories that were acknowledged, and steps that became complete.
  var settled = 0
  var steps = 0
  /// Processor time per second, of the coordinator and of this process (the load).
  var coordinatorCores = 0.0
  var loadCores = 0.0
  /// The coordinator's memory at the end of every second, and its peak.
  var residentBytes: [Int] = []
  var peakBytes = 0
  /// Seconds from the request for work to a lease, within a round; ascending.
  var waits: [Double] = []
  /// Trajectories per second that the ledger alone makes durable.
  var ledgerOnly = 0.0

  init(_ load: CoordinatorLoad) { self.load = load }

  private var rate: Double { Double(settled) / max(seconds, 1e-9) }

  /// The most that is possible: the workers' sampling if it takes time, otherwise the ledger alone.
  private var ceiling: Double {
    guard load.tokensPerSecond > 0 else { return ledgerOnly }
    return Double(load.workers * load.tokensPerSecond) / Double(load.responseTokens)
  }

  private func wait(at share: Double) -> Double? {
    waits.isEmpty ? nil : 1000 * waits[min(waits.count - 1, Int(share * Double(waits.count)))]
  }

  package var json: JSON {
    let resident = residentBytes
    func held(_ index: Int) -> JSON { resident.indices.contains(index) ? .int(resident[index]) : .null }
    let measured: [JSON.Member] = [
      .init("name", "coordinator"), .init("value", .double(rate)), .init("unit", "trajectories/s"),
      .init("ceiling", .double(ceiling)), .init("share", .double(ceiling > 0 ? rate / ceiling : 0)),
      .init("peak_bytes", .int(peakBytes)),
    ]
    let details: [JSON.Member] = [
      .init("workers", .int(load.workers)), .init("prompts", .int(load.prompts)),
      .init("samples", .int(load.samples)), .init("response_tokens", .int(load.responseTokens)),
      .init("worker_tokens_per_second", .int(load.tokensPerSecond)), .init("tls", .bool(load.key != nil)),
      .init("elsewhere", .bool(load.listen != nil)),
      .init("seconds", .double(seconds)), .init("join_seconds", .double(joinSeconds)), .init("steps", .int(steps)),
      .init("settled", .int(settled)), .init("coordinator_cores", .double(coordinatorCores)),
      .init("load_cores", .double(loadCores)),
      .init("lease_wait_ms_median", wait(at: 0.5).map { .double($0) } ?? .null),
      .init("lease_wait_ms_p99", wait(at: 0.99).map { .double($0) } ?? .null),
      .init("resident_bytes_first_quarter", held(resident.count / 4)),
      .init("resident_bytes_half", held(resident.count / 2)), .init("resident_bytes_end", held(resident.count - 1)),
      .init("ledger_only", .double(ledgerOnly)),
    ]
    return .object(measured + details)
  }

  /// The figures as a few lines of text.
  package var text: String {
    let of = load.tokensPerSecond > 0 ? "what the workers can sample" : "the ledger alone"
    let share = ceiling > 0 ? Int((100 * rate / ceiling).rounded()) : 0
    let waiting =
      if let median = wait(at: 0.5), let late = wait(at: 0.99) {
        "a lease comes \(hundredths(median)) ms after it was asked for (99 of 100: within \(hundredths(late)) ms)"
      } else {
        load.listen == nil ? "no worker asked for a lease twice in a step" : "workers elsewhere do not tell their waits"
      }
    let memory =
      residentBytes.isEmpty ? "" : residentBytes.map { $0 >> 20 }.quarters.map(String.init).joined(separator: ", ")
    let workers = "\(counted(load.workers, "worker")), \(load.key == nil ? "plain TCP" : "TLS")"
    return """
      coordinator: \(Int(rate)) trajectories/s, \(share) % of \(of) (\(Int(ceiling)))
      \(workers), \(counted(steps, "step")) in \(Int(seconds)) s, all joined after \(hundredths(joinSeconds)) s
      it took \(hundredths(coordinatorCores)) of a core, the load \(hundredths(loadCores))
      \(waiting)
      memory, by quarters of the time: \(memory) MiB; at most \(peakBytes >> 20)
      """
  }
}

extension [Int] {
  /// The values at a quarter, a half, three quarters and the end.
  fileprivate var quarters: [Int] { [count / 4, count / 2, 3 * count / 4, count - 1].map { self[$0] } }
}

private func hundredths(_ value: Double) -> Double { (100 * value).rounded() / 100 }
