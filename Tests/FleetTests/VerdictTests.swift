// Verdicts of a reward command in the coordinator's machine: when it asks, what it records, and what a restarted one
// asks again.

import Fleet
import Records
import Testing

@Suite struct VerdictTests {
  private static func plan() -> [RoundSpec] {
    Small.plan().map { spec in
      var spec = spec
      spec.isJudged = spec.id.purpose == .train
      return spec
    }
  }

  private static func slot(_ prompt: UInt32, _ sample: UInt32) -> Slot {
    Slot(round: .train(step: 0), prompt: prompt, sample: sample)
  }

  private static let all = (0..<2).flatMap { prompt in (0..<4).map { slot(prompt, $0) } }

  private func asked(in effects: [CoordinatorEffect]) -> [[Slot]] {
    effects.compactMap { if case .judge(let slots) = $0 { slots } else { nil } }
  }

  private func stored(in effects: [CoordinatorEffect]) -> [[SlotVerdict]] {
    effects.compactMap { if case .storeVerdicts(let verdicts) = $0 { verdicts } else { nil } }
  }

  @Test func `a prompt's responses are judged when all of them are durable, each once`() throws {
    var bench = CoordinatorBench(plan: Self.plan())
    let leases = bench.lease(to: 1)
    let first = try #require(leases.first)
    var effects: [CoordinatorEffect] = []
    for slot in first.slots.dropLast() {
      effects += bench.say(.trajectories(first.id, [CoordinatorBench.trajectory(slot)]), from: 1)
    }
    #expect(asked(in: effects).isEmpty)
    let last = try #require(first.slots.last)
    effects = bench.say(.trajectories(first.id, [CoordinatorBench.trajectory(last)]), from: 1)
    #expect(asked(in: effects) == [first.slots])
    // Stored before it is asked about.
    let store = effects.firstIndex { if case .store = $0 { true } else { false } }
    let judge = effects.firstIndex { if case .judge = $0 { true } else { false } }
    #expect(try #require(store) < #require(judge))
    #expect(asked(in: bench.on(.tick)).isEmpty)
  }

  @Test func `a round closes when every response has a verdict, and the first verdict of a slot counts`() {
    var bench = CoordinatorBench(plan: Self.plan())
    for lease in bench.lease(to: 1) { _ = bench.deliver(lease, from: 1) }
    _ = bench.join(2, .learner)
    #expect(!bench.say(.ready(PolicyVersion(0)), from: 2).contains(.closeRound(.train(step: 0))))
    let said = Self.all.map { SlotVerdict($0, Verdict(reward: 1)) }
    var effects = bench.on(.judged(Array(said.dropLast())))
    #expect(stored(in: effects) == [Array(said.dropLast())] && !effects.contains(.closeRound(.train(step: 0))))
    let other = Self.all.map { SlotVerdict($0, Verdict(reward: 2)) }
    effects = bench.on(.judged(other))
    #expect(stored(in: effects) == [[other[7]]])
    let (store, close) = (
      effects.firstIndex { if case .storeVerdicts = $0 { true } else { false } },
      effects.firstIndex(of: .closeRound(.train(step: 0)))
    )
    #expect(store ?? .max < close ?? .min)
    #expect(effects.contains(.sendBatch(.train(step: 0), to: PeerID(2))))
    #expect(stored(in: bench.on(.judged(other))).isEmpty)
  }

  @Test func `a restarted coordinator asks about what is durable and has no verdict`() {
    let judged = [Self.slot(0, 1), Self.slot(1, 0)]
    // Prompt 1 lacks a response.
    var memory = CoordinatorMemory(settled: Array(Self.all.dropLast()), policies: [Small.manifest(0)])
    memory.judged = judged
    var bench = CoordinatorBench(plan: Self.plan(), memory: memory)
    #expect(asked(in: bench.on(.tick)) == [[Self.slot(0, 0), Self.slot(0, 2), Self.slot(0, 3)]])
    memory.settled = Self.all
    memory.judged = Self.all
    bench = CoordinatorBench(plan: Self.plan(), memory: memory)
    let effects = bench.on(.tick)
    #expect(asked(in: effects).isEmpty && effects.contains(.closeRound(.train(step: 0))))
  }

  @Test func `a worker cannot bring a verdict`() throws {
    var bench = CoordinatorBench(plan: Self.plan())
    let lease = try #require(bench.lease(to: 1).first)
    var forged = CoordinatorBench.trajectory(lease.slots[0])
    forged.verdict = Verdict(reward: 1000)
    #expect(refusals(in: bench.say(.trajectories(lease.id, [forged]), from: 1)) == [.malformed])
  }

  @Test func `rounds without a reward command are not judged`() {
    var bench = CoordinatorBench()
    var effects: [CoordinatorEffect] = []
    for lease in bench.lease(to: 1) { effects += bench.deliver(lease, from: 1) }
    #expect(asked(in: effects).isEmpty && effects.contains(.closeRound(.train(step: 0))))
    #expect(stored(in: bench.on(.judged([SlotVerdict(Self.slot(0, 0), Verdict())]))).isEmpty)
  }

  @Test func `what waits for the reward command says so`() {
    var bench = CoordinatorBench(plan: Self.plan())
    for lease in bench.lease(to: 1) { _ = bench.deliver(lease, from: 1) }
    _ = bench.on(.judged([SlotVerdict(Self.slot(0, 0), Verdict())]))
    var watch = FleetWatch()
    watch.look(at: bench.coordinator, now: bench.now, limit: 100)
    #expect(watch.waits.map(\.cause).contains(.verdicts(of: .train(step: 0), count: 7)))
  }
}
