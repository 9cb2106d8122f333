// A standby takes over from a coordinator that is gone for good, or paused, and the run ends with the bits of the
// undisturbed run.
//
// The roles are started by hand, each with a directory of its own, as on machines of their own. The learner has its
// checkpoints beside the standby's copy.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct StandbyTests {
    private let fleet = HandFleet()

    /// A moment of a run: after the learner, or the coordinator, has logged this for the second time.
    struct Moment: CustomTestStringConvertible, Sendable {
      let testDescription: String
      let event: String
      let isOfLearner: Bool
      let milliseconds: UInt32
    }

    static let moments = [
      Moment(
        testDescription: "in sampling", event: "coordinator.published", isOfLearner: false, milliseconds: 150),
      Moment(testDescription: "while publishing", event: "learner.step", isOfLearner: true, milliseconds: 0),
    ]

    @Test(arguments: moments) func `a coordinator's machine is gone for good`(_ moment: Moment) throws {
      try fleet.start()
      #expect(
        eventually { (moment.isOfLearner ? fleet.learner : fleet.coordinator).count(of: moment.event) >= 2 },
        "\(fleet.logs)")
      usleep(moment.milliseconds * 1000)
      fleet.loseCoordinator()
      try fleet.expectTakeover()
      try fleet.expectEnd()
    }

    @Test func `what is acknowledged is on the standby's disk, and waits while there is none`() throws {
      try fleet.start(["--durability", "replicated", "--log-level", "debug"], workerLevel: "debug")
      #expect(eventually { fleet.coordinator.count(of: "coordinator.published") >= 1 }, "\(fleet.logs)")
      fleet.standby.signal(SIGKILL)
      _ = fleet.standby.wait()
      usleep(300_000)
      let acknowledged = fleet.settled.count
      sleep(1)
      #expect(fleet.settled.count == acknowledged)
      #expect(
        eventually {
          let status = try? Program.run(["status", "--run", fleet.place("coordinator")])
          return status?.output.contains("coordinator waits for a standby") == true
        })
      try fleet.startStandby()
      #expect(eventually { fleet.settled.count > acknowledged }, "\(fleet.logs)")
      // The rest of the run takes a third of a second on an idle machine.
      usleep(.random(in: 0...80_000))
      fleet.loseCoordinator()
      let before = fleet.settled
      try fleet.expectTakeover()
      #expect(before.subtracting(try fleet.ledgerSlots()).isEmpty)
      try fleet.expectEnd()
    }

    @Test func `a coordinator that was paused follows the one that has taken over`() throws {
      try fleet.start()
      #expect(eventually { fleet.coordinator.count(of: "coordinator.published") >= 1 }, "\(fleet.logs)")
      fleet.coordinator.signal(SIGSTOP)
      try fleet.expectTakeover()
      fleet.coordinator.signal(SIGCONT)
      #expect(eventually { fleet.coordinator.errors.contains("event=standby.copied") }, "\(fleet.logs)")
      try fleet.expectEnd()
      let former = fleet.coordinator.wait(within: 20)
      #expect(former.status == 0, "\(former.errors)")
      #expect(try SmallRun.fingerprint(of: fleet.place("coordinator")) == SmallRun.undisturbed)
    }
  }
}

/// A coordinator, a standby, two workers and a learner of one rank, started by hand.
private final class HandFleet {
  private let scratch = Scratch()
  private var running: [String: Running] = [:]
  private static let patience = 2

  var coordinator: Running { process("coordinator") }
  var standby: Running { process("standby") }
  var learner: Running { process("learner") }

  private func process(_ name: String) -> Running {
    guard let found = running[name] else { preconditionFailure("\(name) was not started") }
    return found
  }

  func place(_ name: String) -> String { scratch.file(name) }

  private var key: String { scratch.file("key") }

  var logs: String {
    running.keys.sorted().map { "\($0):\n\(process($0).errors.suffix(3000))" }.joined(separator: "\n")
  }

  /// Starts all of them. The learner begins when the standby has a copy of the run.
  func start(_ settings: [String] = [], workerLevel: String = "info") throws {
    #expect(try Program.run(["key", "--key", key]).status == 0)
    running["coordinator"] = try Running(
      ["coordinator", "--run", place("coordinator"), "--listen", "127.0.0.1:0", "--key", key, "--takeover-after"]
        + ["\(Self.patience)"] + SmallRun.settings + settings)
    #expect(eventually { !address.isEmpty }, "\(logs)")
    try startStandby()
    #expect(eventually { standby.errors.contains("event=standby.copied") }, "\(logs)")
    for name in ["ada", "bob"] {
      running[name] = try Running(
        [
          "worker", "--coordinator", address, "--name", name, "--threads", "1", "--key", key, "--log-level",
          workerLevel,
        ])
    }
    // One rank needs no mpirun.
    running["learner"] = try Running(
      [
        "learner", "--run", place("standby"), "--coordinator", "\(address),\(standbyAddress)", "--threads", "1",
        "--key",
      ]
        + [key])
  }

  func startStandby() throws {
    let listen = standbyAddress.isEmpty ? "127.0.0.1:0" : standbyAddress
    running["standby"] = try Running([
      "standby", "--follow", address, "--run", place("standby"), "--listen", listen, "--key", key, "--takeover-after",
      "\(Self.patience)",
    ])
    #expect(eventually { standby.errors.contains("event=standby.listen") }, "\(logs)")
    standbyAddress = standby.errors.value(of: "address", in: "standby.listen")
  }

  private lazy var address: String = {
    let path = place("coordinator") + "/coordinator.address"
    _ = eventually { !textOfFile(path).isEmpty }
    return textOfFile(path).trimmingCharacters(in: .whitespacesAndNewlines)
  }()
  private var standbyAddress = ""

  /// The coordinator is killed, and its directory is removed.
  func loseCoordinator() {
    coordinator.signal(SIGKILL)
    _ = coordinator.wait()
    try? FileManager.default.removeItem(atPath: place("coordinator"))
  }

  /// The standby takes over after the silence, and a worker gets a lease from it soon.
  func expectTakeover() throws {
    let begun = Date()
    #expect(eventually { standby.errors.contains("event=standby.takes_over") }, "\(logs)")
    let silence = Date().timeIntervalSince(begun)
    #expect(eventually(within: 10) { standby.count(of: "coordinator.joined") > 0 }, "\(logs)")
    let all = Date().timeIntervalSince(begun)
    print("takeover: \(silence) s until the standby leads, \(all - silence) s more until a process has joined it")
  }

  /// The run ends at the standby, with the bits of the undisturbed run.
  func expectEnd() throws {
    let outcome = standby.wait()
    #expect(outcome.status == 0, "\(logs)")
    #expect(try SmallRun.fingerprint(of: place("standby")) == SmallRun.undisturbed, "\(logs)")
    for name in ["ada", "bob", "learner"] { #expect(process(name).wait().status == 0, "\(logs)") }
  }

  /// The slots that were acknowledged to workers, as they log them.
  var settled: Set<String> {
    let lines = ["ada", "bob"].flatMap { process($0).errors.split(separator: "\n") }
    return Set(
      lines.filter { $0.contains("event=worker.settled") }.flatMap { line in
        String(line).value(of: "slots", in: "worker.settled").split(separator: ",").map(String.init)
      })
  }

  /// The slots that the standby's ledger has, in the same form.
  func ledgerSlots() throws -> Set<String> {
    let query = "SELECT round || ':' || prompt || ':' || sample FROM trajectories"
    let script =
      "import sqlite3, sys\nfor row in sqlite3.connect('file:' + sys.argv[1] + '?mode=ro', uri=True)"
      + ".execute(\"\(query)\"): print(row[0])"
    let outcome = try Program.run(
      ["-c", script, place("standby") + "/ledger.sqlite"], program: "/usr/bin/python3")
    #expect(outcome.status == 0, "\(outcome.errors)")
    return Set(outcome.output.split(separator: "\n").map(String.init))
  }
}

extension Running {
  fileprivate func count(of event: String) -> Int {
    errors.split(separator: "\n").count { $0.contains("event=\(event) ") }
  }
}

extension String {
  /// The value of a key in the last log line of an event.
  fileprivate func value(of key: String, in event: String) -> String {
    let line = split(separator: "\n").last { $0.contains("event=\(event) ") } ?? ""
    let part = line.split(separator: " ").first { $0.hasPrefix("\(key)=") } ?? ""
    return part.dropFirst(key.count + 1).trimmingCharacters(in: CharacterSet(charactersIn: "\""))
  }
}
