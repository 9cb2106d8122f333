// RoundBook and LeaseBook: who owns which fact about a slot.

import Base
import Fleet
import Records
import Testing

@Suite struct RoundBookTests {
  private let spec = RoundSpec(id: .train(step: 0), prompts: [3, 5], samples: 3, sampling: Small.sampling)

  private func slot(_ prompt: UInt32, _ sample: UInt32) -> Slot {
    Slot(round: spec.id, prompt: prompt, sample: sample)
  }

  /// What the book gives out, as slots.
  private func taken(from book: inout RoundBook, limit: Int) -> [Slot] {
    book.take(limit: limit).map { prompt, samples in samples.map { slot(prompt, $0) } } ?? []
  }

  @Test func `slots are taken in order, of one prompt at a time`() {
    var book = RoundBook(spec)
    #expect(taken(from: &book, limit: 2) == [slot(3, 0), slot(3, 1)])
    #expect(taken(from: &book, limit: 2) == [slot(3, 2)])
    #expect(taken(from: &book, limit: 9) == [slot(5, 0), slot(5, 1), slot(5, 2)])
    #expect(taken(from: &book, limit: 1).isEmpty && book.pendingCount == 0)
  }

  @Test func `a released slot is taken again before later ones`() {
    var book = RoundBook(spec)
    _ = taken(from: &book, limit: 9)
    _ = taken(from: &book, limit: 1)
    book.release(slot(3, 1))
    #expect(taken(from: &book, limit: 9) == [slot(3, 1)])
  }

  @Test func `settling is final: it happens once and no release undoes it`() {
    var book = RoundBook(spec)
    #expect(book.settle(slot(3, 0)) == true)
    #expect(book.settle(slot(3, 0)) == false)
    book.release(slot(3, 0))
    #expect(book.state(of: slot(3, 0)) == .settled)
  }

  @Test func `slots outside the round do not exist`() {
    var book = RoundBook(spec)
    for stranger in [slot(4, 0), slot(3, 3), Slot(round: .train(step: 1), prompt: 3, sample: 0)] {
      #expect(book.settle(stranger) == nil && book.state(of: stranger) == nil)
    }
  }

  /// Against a plain dictionary of states, over random histories.
  @Test(arguments: 0..<50)
  func `the book's counts are those of its slots, whatever happens`(_ seed: UInt64) {
    var dice = RandomSequence(seed: seed, purpose: .questions)
    var book = RoundBook(spec)
    var settled: Set<Slot> = []
    var leased: Set<Slot> = []
    for _ in 0..<60 {
      let any = slot([3, 5][dice.index(below: 2)], UInt32(dice.index(below: 3)))
      switch dice.index(below: 3) {
      case 0:
        for slot in taken(from: &book, limit: 1 + dice.index(below: 3)) {
          #expect(leased.insert(slot).inserted, "seed \(seed)")
        }
      case 1:
        book.release(any)
        leased.remove(any)
      default:
        #expect(book.settle(any) == settled.insert(any).inserted, "seed \(seed)")
        leased.remove(any)
      }
      #expect(book.settledCount == settled.count, "seed \(seed)")
      #expect(book.pendingCount == 6 - settled.count - leased.count, "seed \(seed)")
      #expect(book.isComplete == (settled.count == 6), "seed \(seed)")
    }
  }
}

@Suite struct EarlyStopBookTests {
  private let spec = RoundSpec(
    id: .train(step: 0), prompts: [3, 5], samples: 4, sampling: Small.sampling, required: [[1, 3], [0]])

  private func slot(_ prompt: UInt32, _ sample: UInt32) -> Slot {
    Slot(round: spec.id, prompt: prompt, sample: sample)
  }

  private func taken(from book: inout RoundBook, _ need: RoundBook.Need, limit: Int = 9) -> [Slot] {
    book.take(need, limit: limit).map { prompt, samples in samples.map { slot(prompt, $0) } } ?? []
  }

  @Test func `required slots are taken in order, spare ones of the prompt that has the most`() {
    var book = RoundBook(spec)
    #expect(book.requiredCount == 3 && book.spareCount == 5)
    #expect(taken(from: &book, .required, limit: 1) == [slot(3, 1)])
    #expect(taken(from: &book, .required) == [slot(3, 3)] && taken(from: &book, .required) == [slot(5, 0)])
    #expect(taken(from: &book, .required).isEmpty)
    #expect(taken(from: &book, .spare, limit: 2) == [slot(5, 1), slot(5, 2)])
    #expect(taken(from: &book, .spare) == [slot(3, 0), slot(3, 2)] && taken(from: &book, .spare) == [slot(5, 3)])
    #expect(book.pendingCount == 0 && taken(from: &book, .spare).isEmpty)
  }

  @Test func `a round is complete when every prompt is decided and every slot settled or not needed`() {
    var book = RoundBook(spec)
    for sample in UInt32(0)..<4 { #expect(book.settle(slot(3, sample)) == true) }
    _ = taken(from: &book, .required)
    #expect(book.settle(slot(5, 0)) == true)
    #expect(book.decide(5, unneeded: [1, 2, 3]) == true)
    // All slots are accounted for; what prompt 3's vote needed of its own is not known yet.
    #expect(book.pendingCount == 0 && !book.isComplete)
    #expect(book.decide(3, unneeded: [2]) == true)
    #expect(book.isComplete)
    #expect(book.state(of: slot(3, 2)) == .settled && book.settledCount == 5)
  }

  @Test func `what is not needed is neither taken, nor settled, nor pending again, and a decision is final`() {
    var book = RoundBook(spec)
    _ = taken(from: &book, .required)
    let leased = taken(from: &book, .spare, limit: 1)
    #expect(leased == [slot(5, 1)])
    #expect(book.decide(5, unneeded: [1, 2]) == true)
    book.release(leased[0])
    #expect(book.settle(leased[0]) == false && book.state(of: leased[0]) == .unneeded)
    #expect(book.decide(5, unneeded: [3]) == false)
    #expect(book.state(of: slot(5, 3)) == .pending)
    #expect(book.decide(4, unneeded: []) == false)
    #expect(book.decide(3, unneeded: [7]) == true)
  }

  /// Against counts made anew from the slots' states, over random histories.
  @Test(arguments: 0..<50)
  func `the book's counts are those of its slots, whatever happens`(_ seed: UInt64) {
    var dice = RandomSequence(seed: seed, purpose: .questions)
    var book = RoundBook(spec)
    let all = spec.prompts.flatMap { prompt in (UInt32(0)..<4).map { slot(prompt, $0) } }
    let required = [slot(3, 1), slot(3, 3), slot(5, 0)]
    for _ in 0..<40 {
      let any = all[dice.index(below: all.count)]
      switch dice.index(below: 8) {
      case 0: _ = taken(from: &book, .required, limit: 1 + dice.index(below: 3))
      case 1: _ = taken(from: &book, .spare, limit: 1 + dice.index(below: 3))
      case 2, 3: book.release(any)
      case 4: _ = book.decide(any.prompt, unneeded: any.prompt == 3 ? [0] : [2, 3])
      default: _ = book.settle(any)
      }
      let pending = all.filter { book.state(of: $0) == .pending }
      #expect(book.pendingCount == pending.count, "seed \(seed)")
      #expect(book.spareCount == pending.count { !required.contains($0) }, "seed \(seed)")
      #expect(book.settledCount == all.count { book.state(of: $0) == .settled }, "seed \(seed)")
    }
  }
}

@Suite struct LeaseBookTests {
  private let slots = (0..<3).map { Slot(round: .train(step: 0), prompt: 0, sample: $0) }

  @Test func `a lease ends when its last slot is settled`() {
    var book = LeaseBook()
    let id = book.grant(slots, to: PeerID(1), now: .zero)
    for slot in slots {
      #expect(book.open.contains(id))
      book.settle(slot, under: id, now: .zero)
    }
    #expect(book.open.isEmpty && book.slotCount(heldBy: PeerID(1)) == 0)
  }

  @Test func `a lease expires after a while without progress, and settling a slot is progress`() {
    var book = LeaseBook()
    let id = book.grant(slots, to: PeerID(1), now: .zero)
    book.settle(slots[0], under: id, now: .zero + .seconds(100))
    #expect(book.expire(now: .zero + .seconds(200), after: .seconds(100)).isEmpty)
    let expired = book.expire(now: .zero + .seconds(201), after: .seconds(100))
    #expect(expired.map(\.id) == [id])
    #expect(expired.first?.lease.outstanding == [slots[1], slots[2]])
  }

  @Test func `a worker that is gone gives back what it held, and only that`() {
    var book = LeaseBook()
    _ = book.grant([slots[0]], to: PeerID(1), now: .zero)
    _ = book.grant([slots[1]], to: PeerID(2), now: .zero)
    #expect(book.revokeAll(heldBy: PeerID(1)) == [slots[0]])
    #expect(book.slotCount(heldBy: PeerID(2)) == 1)
  }

  @Test func `no two leases have one name`() {
    var book = LeaseBook()
    let names = (0..<10).map { _ in
      let id = book.grant([slots[0]], to: PeerID(1), now: .zero)
      _ = book.revokeAll(heldBy: PeerID(1))
      return id
    }
    #expect(Set(names).count == 10)
  }
}
