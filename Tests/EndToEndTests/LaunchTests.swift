// Several machines: a run on the four hosts of the test bed ends with the bits of a run on one machine, also when a
// host dies, and no process is left on any host.
//
// Each host is a namespace with an sshd (cluster/testbed). This needs rights that some machines do not give. These are
// the short checks; `cluster/check` runs all checks, with recovery times.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct LaunchTests {
    private static let testbed = Program.packageRoot.appendingPathComponent("cluster/testbed").path

    /// Why the test bed is not possible on this machine, or nil.
    private static let obstacle: String? = {
      guard let outcome = try? Program.run(["able"], program: testbed) else { return "cluster/testbed cannot run" }
      return outcome.status == 0 ? nil : outcome.errors
    }()

    @Test(.enabled(if: obstacle == nil, "no test bed here: cluster/testbed able says why"))
    func `runs on four hosts end with the bits of one machine, also when a host fails`() throws {
      let outcome = try Program.run(
        ["check", "same", "gang", "stop"], program: Self.testbed,
        environment: ["TESTBED_PROGRAM": Program.path(), "CHECK_STEPS": "16"], within: 400)
      #expect(outcome.status == 0, "\(outcome.errors)\n\(outcome.output)")
      for name in ["same", "gang", "stop"] {
        #expect(outcome.output.contains("\(name) ") && !outcome.output.contains("FAILED"), "\(outcome.output)")
      }
      #expect(!ProcessTable.all.contains { $0.arguments.contains { $0.hasSuffix("cluster/testbed-init") } })
    }

    @Test func `a hosts file is checked completely before a process starts`() throws {
      let scratch = Scratch()
      let hosts = scratch.write("node1 workers=x\nnode1 slots=2\n@ here here\n", to: "hosts")
      let outcome = try Program.run(["launch", "--run", scratch.file("run"), "--hosts", hosts])
      #expect(outcome.status == 2)
      let expected = [
        "line 1: workers is \"x\"", "line 2: node1 is listed twice", "line 2: there is no \"slots\"", "line 3",
      ]
      for words in expected {
        #expect(outcome.errors.contains(words), "\(words)\n\(outcome.errors)")
      }
      #expect(!FileManager.default.fileExists(atPath: scratch.file("run")))
    }

    @Test func `a dry run prints the commands and the memory of every machine, and starts nothing`() throws {
      let scratch = Scratch()
      let hosts = scratch.write("a here learners=1\nb ssh=me@b.example workers=2 learners=1 numa=1\n", to: "hosts")
      let outcome = try Program.run(
        [
          "launch", "--run", scratch.file("run"), "--hosts", hosts, "--listen", "10.0.0.1:7171", "--dry-run",
        ] + SmallRun.settings)
      #expect(outcome.status == 0, "\(outcome.errors)")
      for words in ["b-worker-2:", "learner:", "--host localhost:1,b:1 -n 2", "numactl", "--coordinator 10.0.0.1:7171"]
      {
        #expect(outcome.output.contains(words), "\(words)\n\(outcome.output)")
      }
      #expect(outcome.errors.contains("b: about") && outcome.errors.contains("a: about"))
      #expect(!FileManager.default.fileExists(atPath: scratch.file("run")))
    }

    @Test func `a coordinator that other machines cannot reach is refused before a process starts`() throws {
      let scratch = Scratch()
      let hosts = scratch.write("a here learners=1\nb workers=2\n", to: "hosts")
      let outcome = try Program.run(["launch", "--run", scratch.file("run"), "--hosts", hosts] + SmallRun.settings)
      #expect(outcome.status == 2 && outcome.errors.contains("--listen"), "\(outcome.errors)")
    }

    @Test func `doctor starts two ranks, connects to a port, and says what to do`() throws {
      let well = try Program.run(["doctor", "--json"])
      for words in ["MPI v", "supported here", "two ranks met", "they listen only at loopback addresses"] {
        #expect(well.status == 0 && well.output.contains(words), "\(words)\n\(well.output)\n\(well.errors)")
      }
      let data = Data(well.output.utf8)
      let json = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
      #expect(json["problems"] as? Int == 0 && (json["hosts"] as? [Any])?.count == 1)
      let ill = try Program.run(["doctor", "--coordinator", "127.0.0.1:1"])
      #expect(ill.status == 1 && ill.output.contains("! coordinator: cannot connect to 127.0.0.1:1"), "\(ill.output)")
      #expect(ill.output.contains("→ ") && ill.output.contains("1 of these prevent a run"))
    }

    @Test func `doctor says what an existing run needs of this machine`() throws {
      _ = try #require(AdapterRun.made)
      let doctor = ["doctor", "--run", AdapterRun.directory, "--learners", "2"]
      let said = try Program.run(doctor).output
      for words in ["trains an adapter of", "2 learner ranks need about", "gradient whole", "disk: checkpoints"] {
        #expect(said.contains(words), "\(words)\n\(said)")
      }
      #expect(try Program.run(doctor + ["--gradient", "streamed"]).output.contains("gradient streamed"))
    }

    @Test func `stop ends a run on this machine, and reports if nothing runs`() throws {
      let scratch = Scratch()
      let run = try SmallRun.start(in: scratch.file("run"))
      SmallRun.awaitMiddle(of: run, in: scratch.file("run"))
      let family = ProcessTable.descendants(of: run.id)
      let outcome = try Program.run(["stop", "--run", scratch.file("run")])
      #expect(outcome.status == 0 && outcome.errors.contains("stopped"), "\(outcome.errors)")
      #expect(run.wait(within: 10).status == 130)
      #expect(family.filter { ProcessTable.isAlive($0.id) }.map(\.arguments) == [])
      let again = try Program.run(["stop", "--run", scratch.file("run")])
      #expect(again.status == 0 && again.errors.contains("no process on this machine runs the run"), "\(again.errors)")
    }

    @Test func `a learner without a checkpoint trains all steps again from the ledger`() throws {
      let scratch = Scratch()
      let run = try SmallRun.start(in: scratch.file("run"))
      #expect(eventually { SmallRun.stepsDone(in: scratch.file("run")) >= 2 || !run.isRunning })
      run.signal(SIGINT)
      #expect(run.wait(within: 10).status == 130)
      try FileManager.default.removeItem(atPath: scratch.file("run/checkpoints"))
      #expect(try SmallRun.finish(in: scratch.file("run")) == SmallRun.undisturbed)
    }
  }
}
