// Enumeration: everything that can happen to a small world, one after another.
//
// Depth first through all choices, and at every effect of every choice the variant in which the process dies there.
// Worlds are remembered by a hash, so that two orders which lead to the same world are followed once; how
// many orders there were is counted all the same. A cycle would be a run that may go on for ever, and is a finding.

package struct Enumeration: Sendable {
  /// Different worlds, and steps between them.
  package private(set) var worlds = 0
  package private(set) var steps = 0
  /// Ways from the beginning to an end. They are many: a floating-point number.
  package private(set) var schedules = 0.0
  /// The longest of them.
  package private(set) var longest = 0
  /// What was found wrong first, and the choices that lead to it.
  package private(set) var violation: String?
  package private(set) var path: [String] = []
  /// All of it was walked; otherwise as many worlds as were allowed.
  package private(set) var isComplete = true

  private let worldsMax: Int
  /// Events of one run. Those that end have some hundred.
  private static let longestPossible = 2000
  /// Schedules from a world that was walked to its end, and their longest; nil while it is being walked.
  private var known: [UInt64: (schedules: Double, longest: Int)?] = [:]
  private var way: [Step] = []

  /// A choice, and after how many of its effects the process that acts dies.
  private struct Step: Sendable {
    var choice: Choice
    var diesAfter: Int?

    var text: String { diesAfter.map { "\(choice), and dies after \($0) effects" } ?? "\(choice)" }
  }

  /// Walks.
  ///
  /// - Parameters:
  ///   - size: of the world.
  ///   - bug: a mistake to make on purpose.
  ///   - worldsMax: after so many it gives up.
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
    // A process may still die after the end.
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
