// The processes of a run.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct ProcessTests {
    private let scratch = Scratch()

    @Test func `a run is a coordinator, two workers, two MPI ranks and a page`() throws {
      let run = try SmallRun.start(in: scratch.file("run"))
      SmallRun.awaitMiddle(of: run, in: scratch.file("run"))
      let family = ProcessTable.descendants(of: run.id)
      #expect(family.compactMap(\.role).sorted() == ["coordinator", "learner", "learner", "page", "worker", "worker"])
      #expect(family.count(where: \.isLauncher) == 1)
      let ranks = family.filter { $0.role == "learner" }.flatMap(\.environment).filter { $0.contains("WORLD_RANK=") }
      #expect(Set(ranks).count == 2, "ranks of one MPI job: \(ranks)")
      run.signal(SIGINT)
      #expect(run.wait().status == 130)
    }

    private static let loopback = ["0100007F", String(repeating: "0", count: 24) + "01000000"]

    /// `train`, and `launch` with all ranks on this machine.
    @Test(arguments: ["train", "launch"]) func `on one machine every process listens at a loopback address only`(
      command: String
    ) throws {
      let directory = scratch.file("run")
      let hosts = ["--hosts", scratch.write("here here workers=2 learners=2 threads=1\n", to: "hosts")]
      let run = try Running(
        [command, "--run", directory] + (command == "launch" ? hosts : []) + SmallRun.settings(steps: 1000))
      SmallRun.awaitMiddle(of: run, in: directory)
      let found = ProcessTable.listeners(of: ProcessTable.descendants(of: run.id))
      #expect(Set(found.map(\.name)).isSuperset(of: ["coordinator", "worker", "mpirun", "page"]), "\(found)")
      #expect(found.filter { !Self.loopback.contains($0.address) }.map { "\($0)" } == [])
      // Its own commands see the same.
      let status = try Program.run(["status", "--run", directory, "--json"])
      let json = try JSONSerialization.jsonObject(with: Data(status.output.utf8)) as? [String: Any]
      let listeners = try #require(json?["listeners"] as? [[String: Any]])
      #expect(listeners.count == found.count && listeners.allSatisfy { $0["loopback"] as? Bool == true })
      #expect(!listeners.contains { $0["purpose"] as? String == "not known to ttrl" }, "\(listeners)")
      let text = try Program.run(["status", "--run", directory]).output
      #expect(text.contains("listens   coordinator (") && !text.contains("other machines can connect"), "\(text)")
      run.signal(SIGINT)
      #expect(run.wait().status == 130)
    }

    /// Open MPI 5's mpirun ends with status 0 after it has lost a machine.
    @Test func `a learner that ends with status 0 before the run is finished is started again`() throws {
      let directory = scratch.file("run")
      let tools = Scratch()
      let mpirun = tools.write("#!/bin/sh\nPATH=${PATH#*:}\nmpirun \"$@\"\nexit 0\n", to: "mpirun")
      chmod(mpirun, 0o755)
      let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
      let run = try Running(
        ["train", "--run", directory] + SmallRun.settings, environment: ["PATH": "\(tools.path):\(path)"])
      SmallRun.awaitMiddle(of: run, in: directory)
      let rank = try #require(ProcessTable.descendants(of: run.id).first { $0.role == "learner" })
      #expect(kill(rank.id, SIGKILL) == 0)
      let outcome = run.wait()
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(
        outcome.errors.contains("learner ended with status 0 before the run was finished; starting it again"),
        "\(outcome.errors)")
      #expect(try SmallRun.fingerprint(of: directory) == SmallRun.undisturbed)
    }

    @Test func `a second train on the same run is refused and does not disturb the run`() throws {
      let directory = scratch.file("run")
      let run = try Running(["train", "--run", directory] + SmallRun.settings(steps: 1000))
      SmallRun.awaitMiddle(of: run, in: directory)
      let coordinator = ProcessTable.descendants(of: run.id).first { $0.role == "coordinator" }
      let second = try Program.run(["train", "--run", directory])
      #expect(second.status == 1)
      #expect(second.errors.contains("another coordinator (pid \(coordinator?.id ?? 0)) has this run directory open"))
      let steps = SmallRun.stepsDone(in: directory)
      #expect(eventually { SmallRun.stepsDone(in: directory) > steps + 1 })
      #expect(!run.errors.contains("again"))
      run.signal(SIGINT)
      #expect(run.wait().status == 130)
    }

    @Test func `train on a finished run shows its result and starts nothing`() throws {
      let undisturbed = try #require(SmallRun.undisturbed)
      let again = try SmallRun.start(in: SmallRun.undisturbedDirectory).wait()
      #expect(again.status == 0 && again.errors.contains("is finished") && again.errors.contains("report.html"))
      #expect(again.seconds < 30)
      #expect(try SmallRun.fingerprint(of: SmallRun.undisturbedDirectory) == undisturbed)
    }

    @Test func `a port in use is reported at once, and the run continues when the port is free`() throws {
      let port = try BusyPort()
      let directory = scratch.file("run")
      let refused = try SmallRun.start(["--listen", "127.0.0.1:\(port.number)"], in: directory).wait(within: 10)
      #expect(refused.status == 1 && refused.seconds < 30, "\(refused.seconds) s\n\(refused.errors)")
      #expect(refused.errors.contains("cannot listen on 127.0.0.1:\(port.number): another process listens there"))
      #expect(!refused.errors.contains("again (log"))
      #expect(try SmallRun.finish(["--listen", "127.0.0.1:0"], in: directory) == SmallRun.undisturbed)
    }

    @Test func `without mpirun no process starts`() throws {
      let directory = scratch.file("run")
      let outcome = try Running(
        ["train", "--run", directory] + SmallRun.settings, environment: ["PATH": scratch.path]
      ).wait(within: 10)
      #expect(outcome.status == 1 && outcome.errors.contains("mpirun"))
      #expect(!FileManager.default.fileExists(atPath: directory))
    }
  }
}

/// A port of this machine on which the test listens.
private final class BusyPort {
  private let descriptor: Int32
  let number: UInt16

  init() throws {
    let opened = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    descriptor = opened
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
        bind(opened, generic, length) == 0 && listen(opened, 1) == 0 && getsockname(opened, generic, &length) == 0
      }
    }
    number = UInt16(bigEndian: address.sin_port)
    try #require(bound)
  }

  deinit { close(descriptor) }
}
