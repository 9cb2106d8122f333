// Enumeration: walks through everything that can happen to a small world.
//
// It goes depth first through all choices. At every effect of every choice it also takes the variant in which the
// process dies there. Worlds are remembered by a hash: if two orders of events lead to the same world, that world is
// followed only once. All orders are counted. A cycle would be a run that can continue forever, so it is reported as a
// violation.

package struct Enumeration: Sendable {
  /// The number of different worlds, and of steps between them.
  package private(set) var worlds = 0
  package private(set) var steps = 0
  /// The number of paths from the beginning to an end. It is a floating-point number because there are many.
  package private(set) var schedules = 0.0
  /// The number of events on the longest path.
  package private(set) var longest = 0
  /// The first violation that was found, and the choices that lead to it.
  package private(set) var violation: String?
  package private(set) var path: [String] = []
  /// All worlds were visited; false if the limit on worlds was reached.
  package private(set) var isComplete = true

  private let worldsMax: Int
  /// The most events of one run. Runs that end have a few hundred.
  private static let longestPossible = 2000
  /// The number of schedules from a world that was explored completely, and the longest of them; nil while it is being
  /// explored.
  private var known: [UInt64: (schedules: Double, longest: Int)?] = [:]
  private var way: [Step] = []

  /// A choice, and after how many of its effects the acting process dies.
  private struct Step: Sendable {
    var choice: Choice
    var diesAfter: Int?

    var text: String { diesAfter.map { "\(choice), and dies after \($0) effects" } ?? "\(choice)" }
  }

  /// Explores all worlds.
  ///
  /// - Parameters:
  ///   - size: of the world.
  ///   - bug: a mistake to make on purpose.
  ///   - worldsMax: the exploration stops after this many worlds.
  package init(_ size: SmallWorldSize, bug: PlantedBug? = nil, worldsMax: Int = .max) {
    self.worldsMax = worldsMax
    let result = walk(SmallWorld(size, bug: bug))
    schedules = result.schedules
    longest = result.longest
  }

  private mutating func walk(_ world: SmallWorld) -> (schedules: Double, longest: Int) {
    guard violation == nil else { return (0, 0) }
    if let wrong = world.violation {
      found(wrong)
      return (0, 0)
    }
    let name = world.name
    if let entry = known[name] {
      if let entry { return entry }
      found("this has been before: a run that goes on for ever")
      return (0, 0)
    }
    guard way.count < Self.longestPossible else {
      found("a run of more than \(Self.longestPossible) events: it goes on for ever")
      return (0, 0)
    }
    guard worlds < worldsMax else {
      isComplete = false
      return (0, 0)
    }
    worlds += 1
    known[name] = .some(nil)
    let isEnd = !world.choices.contains { if case .die = $0 { false } else { true } }
    if isEnd {
      var last = world
      last.examine()
      if let wrong = last.violation { found(wrong) }
    }
    // A process can still die after the end.
    var sum = isEnd ? 1.0 : 0
    var longest = 0
    for (step, next) in successors(of: world) {
      steps += 1
      way.append(step)
      let rest = walk(next)
      way.removeLast()
      sum += rest.schedules
      longest = max(longest, rest.longest + 1)
    }
    known[name] = (sum, longest)
    return (sum, longest)
  }

  private func successors(of world: SmallWorld) -> [(Step, SmallWorld)] {
    var successors: [(Step, SmallWorld)] = []
    for choice in world.choices {
      let next = world.after(choice)
      successors.append((Step(choice: choice), next))
      guard world.crashesLeft > 0 else { continue }
      if case .die = choice { continue }
      for count in 0..<next.effectCount {
        successors.append((Step(choice: choice, diesAfter: count), world.after(choice, diesAfter: count)))
      }
    }
    return successors
  }

  private mutating func found(_ wrong: String) {
    guard violation == nil else { return }
    violation = wrong
    path = way.map(\.text)
  }
}
