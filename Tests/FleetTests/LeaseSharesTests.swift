// How much of a round each worker gets: as much as its threads and its pace are worth.

import Base
import Fleet
import Records
import Testing

/// A coordinator with a learner and with workers that always want more slots than a round has. The first worker samples
/// the first round alone, because the others come after it.
private struct SharedRounds {
  private var bench: CoordinatorBench
  private let threads: [UInt16]
  private var held: [[Lease]] = []
  private var version: UInt32 = 0

  init(prompts: UInt32, samples: UInt32, threads: [UInt16]) {
    let plan = (0..<4).map {
      RoundSpec(
        id: .train(step: $0), policy: PolicyVersion($0), prompts: Array(0..<prompts), samples: samples,
        sampling: Small.sampling)
    }
    bench = CoordinatorBench()
    bench.coordinator = Coordinator(
      plan: plan, prompts: PromptTokens(training: (0..<prompts).map { [Int32($0)] }), welcome: Small.welcome(),
      memory: CoordinatorMemory(policies: [Small.manifest(0)]))
    self.threads = threads
    _ = bench.join(99, .learner)
    _ = bench.say(.ready(PolicyVersion(0)), from: 99)
    var first: [CoordinatorEffect] = []
    for (id, threads) in zip(UInt64(1)..., threads) {
      _ = bench.on(.connected(PeerID(id)))
      var hello = Small.hello(.worker, "worker \(id)")
      hello.threads = threads
      _ = bench.say(.hello(hello), from: id)
      first += bench.say(.want(slots: 100_000), from: id)
    }
    take(first)
    finish(after: threads.map { _ in 1000 })
  }

  /// The slots of each worker's leases.
  var shares: [Int] { held.map { $0.reduce(0) { $0 + $1.slotCount } } }

  /// The slots of each lease.
  var sizes: [Int] { held.flatMap { $0.map(\.slotCount) } }

  private mutating func take(_ effects: [CoordinatorEffect]) {
    held = threads.indices.map { index in
      effects.compactMap { effect in
        if case .send(.lease(let lease), PeerID(UInt64(index + 1))) = effect { lease } else { nil }
      }
    }
  }

  /// The workers deliver all they hold, each after so many milliseconds, and the next round opens.
  mutating func finish(after milliseconds: [UInt64]) {
    let start = bench.now
    for (index, span) in zip(threads.indices, milliseconds).sorted(by: { $0.1 < $1.1 }) {
      bench.now = start + .milliseconds(span)
      for lease in held[index] { _ = bench.deliver(lease, from: UInt64(index + 1)) }
    }
    version += 1
    _ = bench.say(.publish(Small.manifest(version), report: Small.report(version)), from: 99)
    _ = bench.say(.policyBytes(PolicyVersion(version), offset: 0, bytes: [0, 0, 0, 0]), from: 99)
    take(bench.on(.sealed(Small.manifest(version), isIntact: true, from: PeerID(99), course: RunCourse())))
  }
}

@Suite struct `Shares of a round` {
  @Test func `are equal for equal workers`() {
    #expect(SharedRounds(prompts: 8, samples: 32, threads: [1, 1]).shares == [128, 128])
    #expect(SharedRounds(prompts: 8, samples: 32, threads: [2, 2, 2, 2]).shares == [64, 64, 64, 64])
  }

  @Test func `are in proportion to threads, before paces are known`() {
    #expect(SharedRounds(prompts: 9, samples: 32, threads: [2, 1]).shares == [192, 96])
    let shares = SharedRounds(prompts: 64, samples: 64, threads: [12, 3, 1]).shares
    #expect(shares == [3072, 768, 256])
  }

  @Test func `are in proportion to paces, and follow them`() {
    var rounds = SharedRounds(prompts: 12, samples: 32, threads: [1, 1])
    #expect(rounds.shares == [192, 192])
    // The second worker is five times as slow.
    rounds.finish(after: [1000, 5000])
    #expect(rounds.shares[0] > 4 * rounds.shares[1] && rounds.shares[1] > 0, "\(rounds.shares)")
    #expect(rounds.shares.reduce(0, +) == 384)
    // It is as fast as the other from now on.
    rounds.finish(after: [1000, 1000 * UInt64(rounds.shares[1]) / UInt64(rounds.shares[0])])
    #expect(rounds.shares[0] < 4 * rounds.shares[1], "\(rounds.shares)")
  }

  @Test func `are cut into leases for all threads`() {
    #expect(SharedRounds(prompts: 8, samples: 64, threads: [8]).sizes == Array(repeating: 64, count: 8))
    #expect(SharedRounds(prompts: 8, samples: 64, threads: [16]).sizes == Array(repeating: 32, count: 16))
    #expect(SharedRounds(prompts: 1, samples: 64, threads: [2]).sizes == [32, 32])
    #expect(SharedRounds(prompts: 1, samples: 64, threads: [1, 3]).shares == [16, 48])
    #expect(SharedRounds(prompts: 3, samples: 200, threads: [1]).sizes.allSatisfy { $0 <= Limits.slotsPerLease })
    // 24 leases, two for each thread; 8 leases would leave four threads idle.
    #expect(SharedRounds(prompts: 8, samples: 64, threads: [12]).sizes.count == 24)
    // A lease of a few slots would mostly compute its prompt.
    #expect(SharedRounds(prompts: 1, samples: 64, threads: [64]).sizes == Array(repeating: 8, count: 8))
    #expect(SharedRounds(prompts: 1, samples: 6, threads: [64]).sizes == [6])
  }
}
