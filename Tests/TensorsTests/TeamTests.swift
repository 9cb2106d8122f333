// Teams and crews: every part is computed once, by whatever threads are there, and guests come and go.

import Synchronization
import Tensors
import Testing

@Suite("Teams") struct TeamTests {
  /// How often each part of many operations ran.
  private func count(_ operations: Int, by team: Team) -> [Int] {
    let counts = (0..<7).map { _ in Count() }
    for operation in 0..<operations {
      team.run(1 + operation % counts.count) { counts[$0].value.add(1, ordering: .relaxed) }
    }
    return counts.map { $0.value.load(ordering: .relaxed) }
  }

  private final class Count: Sendable {
    let value = Atomic<Int>(0)
  }

  private let operations = 7000
  /// Operation k has 1 + k % 7 parts.
  private var expected: [Int] { (0..<7).map { operations / 7 * (7 - $0) } }

  @Test("every part runs once", arguments: [1, 2, 3, 8])
  func everyPartRunsOnce(threads: Int) {
    #expect(count(operations, by: Team(threads)) == expected)
  }

  @Test("every part runs once while guests come and go")
  func guestsComeAndGo() throws {
    let team = Team.ofGuests(2)
    let isOver = Atomic<Bool>(false)
    let visits = Atomic<Int>(0)
    let found = Mutex<[Int]>([])
    try inParallel(3, threads: 3) { index, _ in
      if index == 0 {
        while visits.load(ordering: .relaxed) == 0 {}
        found.withLock { $0 = count(operations, by: team) }
        isOver.store(true, ordering: .releasing)
        team.wakeGuests()
      } else {
        while !isOver.load(ordering: .acquiring) {
          visits.add(1, ordering: .relaxed)
          var stays = 1 + index
          team.join {
            stays -= 1
            return stays > 0 && !isOver.load(ordering: .acquiring)
          }
        }
      }
    }
    #expect(found.withLock { $0 } == expected)
  }

  @Test("a range is divided without gaps, into at most as many parts as there are threads")
  func rangesAreDivided() {
    for threads in [1, 2, 5] {
      let team = Team(threads)
      for (count, unit) in [(0, 1), (1, 1), (17, 1), (17, 4), (160, 16), (3, 8)] {
        let ranges = Mutex<[(Int, Range<Int>)]>([])
        team.share(count, unit: unit) { range, part in ranges.withLock { $0.append((part, range)) } }
        let sorted = ranges.withLock { $0 }.sorted { $0.0 < $1.0 }
        #expect(sorted.flatMap { Array($0.1) } == Array(0..<count))
        #expect(sorted.count <= threads && sorted.allSatisfy { $0.1.lowerBound % unit == 0 })
      }
    }
  }

  @Test("a thread without work helps a busy one, and leaves when it is recalled or the other one is done")
  func threadsHelp() throws {
    let crew = Crew(2, busy: [0])
    let isRecalled = Atomic<Bool>(false)
    let helped = Atomic<Int>(0)
    let answers = Mutex<[Bool]>([])
    try inParallel(2, threads: 2) { member, _ in
      if member == 1 {
        let first = crew.help(from: 1) {
          helped.store(1, ordering: .releasing)
          return !isRecalled.load(ordering: .acquiring)
        }
        let second = crew.help(from: 1) {
          helped.store(2, ordering: .releasing)
          return true
        }
        answers.withLock { $0 = [first, second, crew.help(from: 1) { true }] }
      } else {
        while helped.load(ordering: .acquiring) < 1 {}
        isRecalled.store(true, ordering: .releasing)
        crew.recall(1)
        while helped.load(ordering: .acquiring) < 2 {}
        #expect(count(operations, by: crew.team(of: 0)) == expected)
        crew.set(0, isBusy: false)
      }
    }
    #expect(answers.withLock { $0 } == [true, true, false])
  }

  @Test("few rows of a large model are one team's work, many rows are divided")
  func hostsDependOnRows() {
    let large = 1 << 30
    #expect(Crew.hosts(of: 2, rows: 31, weightBytes: large) == [0])
    #expect(Crew.hosts(of: 2, rows: 32, weightBytes: large) == [0, 1])
    #expect(Crew.hosts(of: 6, rows: 1, weightBytes: large) == [0, 4])
    #expect(Crew.hosts(of: 2, rows: 1, weightBytes: 1 << 20) == [0, 1])
  }
}
