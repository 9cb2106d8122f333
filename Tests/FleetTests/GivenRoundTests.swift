// Rounds of given responses in the coordinator's machine: they are complete when they open, and no worker samples for
// them.

import Fleet
import Records
import Testing

@Suite struct GivenRoundTests {
  private static func plan(steps: UInt32 = 2) -> [RoundSpec] {
    Small.plan(steps: steps).map { spec in
      var spec = spec
      if spec.id.purpose == .train { spec.given = [1, 3] }
      return spec
    }
  }

  @Test func `a given round closes when it opens, and its batch goes to the learner that asks, without any worker`() {
    var bench = CoordinatorBench(plan: Self.plan())
    #expect(bench.on(.tick).contains(.closeRound(.train(step: 0))))
    _ = bench.join(2, .learner)
    #expect(bench.say(.ready(PolicyVersion(0)), from: 2).contains(.sendBatch(.train(step: 0), to: PeerID(2))))
    // Step 1 opens with version 1, not before.
    #expect(!bench.on(.tick).contains(.closeRound(.train(step: 1))))
    let manifest = Small.manifest(1)
    _ = bench.say(.publish(manifest, report: Small.report(1), isAtHand: false), from: 2)
    var effects = bench.transfer(manifest, from: 2)
    effects += bench.say(.ready(PolicyVersion(1)), from: 2)
    let close = effects.firstIndex(of: .closeRound(.train(step: 1)))
    let send = effects.firstIndex(of: .sendBatch(.train(step: 1), to: PeerID(2)))
    #expect(close != nil && close ?? .max < send ?? .min)
  }

  @Test func `workers get leases of evaluations only, and nothing else settles a given slot`() throws {
    var bench = CoordinatorBench(plan: Self.plan(steps: 1))
    #expect(bench.lease(to: 1).isEmpty)
    let slot = Slot(round: .train(step: 0), prompt: 0, sample: 0)
    let effects = bench.say(.trajectories(LeaseID(7), [CoordinatorBench.trajectory(slot)]), from: 1)
    #expect(refusals(in: effects) == [.roundNotOpen])
    #expect(!effects.contains { if case .store = $0 { true } else { false } })
  }

  @Test func `a restarted coordinator closes the round again if that was not durable, and only then`() {
    for closed in [[], [RoundID.train(step: 0)]] {
      let memory = CoordinatorMemory(closedRounds: closed, settled: [], policies: [Small.manifest(0)])
      var bench = CoordinatorBench(plan: Self.plan(), memory: memory)
      #expect(bench.on(.tick).contains(.closeRound(.train(step: 0))) == closed.isEmpty)
    }
  }

  @Test func `the book of a given round has no slot to take or to settle`() {
    var book = RoundBook(Self.plan()[0])
    #expect(book.isComplete && book.pendingCount == 0 && book.spec.slotCount == 4)
    #expect(book.take(limit: 8) == nil && book.settle(Slot(round: .train(step: 0), prompt: 1, sample: 2)) == nil)
    book.release(Slot(round: .train(step: 0), prompt: 1, sample: 2))
    #expect(book.pendingCount == 0 && book.isComplete)
  }
}
