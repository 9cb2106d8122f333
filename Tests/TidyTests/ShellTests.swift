// Shells: what is simulated is what ships. The product's shell and the simulator's are held to one list: every event of
// a machine is sent by both, and every effect is performed by both.
//
// The list is the enum's own cases. The compiler sees to it that no shell sends or performs anything else; what it
// cannot see is a case that one of the shells never sends, or ignores. Small worlds, synthetic workers and benchmarks
// leave parts out and say so; they are not held to the list.

import Foundation
import Testing

@Suite struct ShellTests {
  /// The shells of one machine, in the product and in the simulator.
  struct Shells: Sendable, CustomTestStringConvertible {
    let machine: String
    let product: String
    let simulator: String
    let events: [String]
    let effects: [String]

    var testDescription: String { machine }

    var both: [Shell] {
      [Shell(name: "the product's \(machine)", product), Shell(name: "the simulated \(machine)", simulator)]
    }
  }

  static let machines = [
    Shells(
      machine: "coordinator", product: "Sources/Run/CoordinatorRole",
      simulator: "Sources/Workshop/Simulation/SimulatedCoordinator.swift",
      events: ["CoordinatorEvent"], effects: ["CoordinatorEffect", "BundleEffect"]),
    Shells(
      machine: "worker", product: "Sources/Run/WorkerRole",
      simulator: "Sources/Workshop/Simulation/SimulatedWorker.swift",
      events: ["WorkerEvent", "FetcherEvent"], effects: ["WorkerEffect", "FetcherEffect"]),
    Shells(
      machine: "learner", product: "Sources/Run/LearnerRole",
      simulator: "Sources/Workshop/Simulation/SimulatedLearner.swift",
      events: ["LearnerEvent"], effects: ["LearnerEffect"]),
    Shells(
      machine: "standby", product: "Sources/Run/StandbyRole",
      simulator: "Sources/Workshop/Simulation/SimulatedStandby.swift",
      events: ["StandbyEvent"], effects: ["StandbyEffect"]),
  ]

  @Test(arguments: machines)
  func `every event of a machine is sent by the product's shell and by the simulator's`(_ shells: Shells) {
    for type in shells.events {
      let cases = Self.cases(of: type)
      #expect(!cases.isEmpty, "\(type) was not found in Sources/Fleet/Fleet")
      for name in cases {
        for shell in shells.both where !shell.sends(name) {
          Issue.record("\(shell.name) never sends \(type).\(name); remove the event, or send it")
        }
      }
    }
  }

  @Test(arguments: machines)
  func `every effect of a machine is performed by the product's shell and by the simulator's`(_ shells: Shells) {
    for type in shells.effects {
      let cases = Self.cases(of: type)
      #expect(!cases.isEmpty, "\(type) was not found in Sources/Fleet/Fleet")
      for name in cases {
        for shell in shells.both where !shell.performs(name, of: type) {
          Issue.record("\(shell.name) does not perform \(type).\(name); remove the effect, or perform it")
        }
      }
    }
  }

  @Test func `every message is sent by a machine or by a shell of the product`() {
    let cases = Self.cases(of: "Message", in: "Sources/Fleet/Records")
    #expect(cases.count > 20)
    let senders = Shell(name: "the product", "Sources/Fleet/Fleet", "Sources/Fleet/Records", "Sources/Run")
    for name in cases where !senders.makes(message: name) {
      Issue.record("nothing sends the message \(name); remove it, or send it")
    }
  }

  @Test func `an event that is not sent, and an effect that is ignored, are noticed`() {
    let shell = Shell(
      name: "made up",
      text: """
        private func perform(_ effect: WorkerEffect) {
          switch effect {
          case .sample(let lease): sample(lease)
          case .cancel, .dropPolicy: break
          }
        }
          private func on() { handle(.drain) }
        """)
    #expect(shell.sends("drain") && !shell.sends("exhausted") && !shell.sends("drai"))
    #expect(shell.performs("sample", of: "WorkerEffect") && !shell.performs("exit", of: "WorkerEffect"))
    #expect(!shell.performs("cancel", of: "WorkerEffect") && !shell.performs("dropPolicy", of: "WorkerEffect"))
    #expect(!shell.performs("sample", of: "LearnerEffect"))
  }

  /// The names of an enum's cases, from its declaration.
  private static func cases(of type: String, in folder: String = "Sources/Fleet/Fleet") -> [String] {
    for file in SourceTree.files(in: folder, endingIn: [".swift"]) {
      guard let start = file.text.range(of: "enum \(type):"),
        let end = file.text.range(of: "\n}", range: start.upperBound..<file.text.endIndex)
      else { continue }
      let declaration = file.text[start.upperBound..<end.lowerBound]
      return declaration.matches(of: /\n  case (\w+)/).map { String($0.1) }
    }
    return []
  }
}

/// The source of a shell, without comments.
struct Shell {
  let name: String
  private let code: String

  /// - Parameter paths: of files, or of folders.
  init(name: String, _ paths: String...) {
    let files = paths.flatMap { path in
      [SourceTree.read(path)].compactMap { $0 } + SourceTree.files(in: path, endingIn: [".swift"])
    }
    self.init(name: name, text: files.map(\.text).joined(separator: "\n"))
  }

  init(name: String, text: String) {
    self.name = name
    code = SourceFile(path: "", text: text).lines.map(\.code).joined(separator: "\n")
  }

  /// It hands the event to its machine: `handle` and `onEvent` in the product, `feed` in the simulator.
  func sends(_ event: String) -> Bool {
    contains("(handle|onEvent|feed)\\(\\s*(\\.transfer\\()?\\.\(event)\\b")
  }

  /// The function that performs effects of this type has a case for it that does something.
  func performs(_ effect: String, of type: String) -> Bool {
    guard let start = code.range(of: "func perform(_ effect: \(type)"),
      let end = code.range(of: "\n *\\}\n *\\}\n", options: .regularExpression, range: start.upperBound..<code.endIndex)
    else { return false }
    let body = String(code[start.upperBound..<end.upperBound])
    guard let arm = body.range(of: "case [^:]*\\.\(effect)\\b", options: .regularExpression) else { return false }
    let rest = body[arm.upperBound...]
    return rest.range(of: "^[^\n]*:\\s*break\\b", options: .regularExpression) == nil
  }

  /// It makes the message to send it; a pattern that reads one is not enough.
  func makes(message: String) -> Bool {
    contains("(send\\(\\s*|tell\\(\\w+, |return |Message)\\.\(message)\\b")
  }

  private func contains(_ pattern: String) -> Bool { code.range(of: pattern, options: .regularExpression) != nil }
}
