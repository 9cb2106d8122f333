// Kill anything, lose nothing: whatever dies in the middle of a run, the run ends with the bits of the undisturbed one.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct DisturbanceTests {
    private let scratch = Scratch()
    private var directory: String { scratch.file("run") }

    /// Who is killed, how to find it, and the name that the supervisor gives it.
    struct Victim: CustomTestStringConvertible, Sendable {
      let testDescription: String
      let name: String
      let isIt: @Sendable (ProcessEntry) -> Bool
    }

    static let victims = [
      Victim(testDescription: "a worker", name: "worker-1") {
        $0.role == "worker" && $0.value(of: "--name") == "worker-1"
      },
      Victim(testDescription: "the coordinator", name: "coordinator") { $0.role == "coordinator" },
      Victim(testDescription: "learner rank 0", name: "learner") {
        $0.role == "learner" && $0.environment.contains("OMPI_COMM_WORLD_RANK=0")
      },
      Victim(testDescription: "learner rank 1", name: "learner") {
        $0.role == "learner" && $0.environment.contains("OMPI_COMM_WORLD_RANK=1")
      },
      Victim(testDescription: "mpirun", name: "learner") { $0.isLauncher },
    ]

    @Test(arguments: victims) func `a run in which one was killed ends with the same bits`(_ victim: Victim) throws {
      let run = try SmallRun.start(in: directory)
      SmallRun.awaitMiddle(of: run, in: directory)
      let found = try #require(ProcessTable.descendants(of: run.id).first(where: victim.isIt))
      #expect(kill(found.id, SIGKILL) == 0)
      let outcome = run.wait()
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(outcome.errors.contains("\(victim.name) ") && outcome.errors.contains("starting it again"))
      #expect(try SmallRun.fingerprint(of: directory) == SmallRun.undisturbed)
    }

    /// The undisturbed run samples all votes; this one stops early, and is disturbed besides.
    @Test func `a run that stops votes early, and loses a worker and the coordinator, ends with the same bits`() throws
    {
      let run = try SmallRun.start(["--early-stop", "on"], in: directory)
      SmallRun.awaitMiddle(of: run, in: directory)
      for victim in Self.victims.prefix(2) {
        if let found = ProcessTable.descendants(of: run.id).first(where: victim.isIt) { kill(found.id, SIGKILL) }
      }
      let outcome = run.wait()
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(outcome.errors.contains("training samples were not needed"))
      #expect(try SmallRun.fingerprint(of: directory) == SmallRun.undisturbed)
    }

    @Test func `a run in which a worker is killed again and again ends with the same bits`() throws {
      let run = try SmallRun.start(["--workers", "1"], in: directory)
      for _ in 0..<3 {
        var victim: ProcessEntry?
        _ = eventually {
          victim = ProcessTable.descendants(of: run.id).first { $0.role == "worker" }
          return victim != nil
        }
        usleep(300_000)
        if let victim { kill(victim.id, SIGKILL) }
      }
      let outcome = run.wait()
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(try SmallRun.fingerprint(of: directory) == SmallRun.undisturbed)
    }

    @Test(arguments: [SIGINT, SIGTERM, SIGHUP])
    func `a run that was stopped leaves nothing behind and continues`(_ signal: Int32) throws {
      let run = try SmallRun.start(in: directory)
      SmallRun.awaitMiddle(of: run, in: directory)
      let family = ProcessTable.descendants(of: run.id)
      #expect(family.count >= 6)
      run.signal(signal)
      let outcome = run.wait(within: 10)
      #expect(outcome.status == 130, "\(outcome.errors)")
      #expect(outcome.errors.contains("the same command continues the run"))
      #expect(family.filter { ProcessTable.isAlive($0.id) }.map(\.arguments) == [])
      #expect(SmallRun.stepsDone(in: directory) < SmallRun.steps)
      #expect(try SmallRun.finish(in: directory) == SmallRun.undisturbed)
    }

    @Test func `a train that was killed takes everything with it and continues`() throws {
      let run = try SmallRun.start(in: directory)
      SmallRun.awaitMiddle(of: run, in: directory)
      let family = ProcessTable.descendants(of: run.id)
      #expect(family.count >= 6)
      run.signal(SIGKILL)
      #expect(run.wait().status == 128 + SIGKILL)
      #expect(eventually(within: 5) { !family.contains { ProcessTable.isAlive($0.id) } })
      #expect(try SmallRun.finish(in: directory) == SmallRun.undisturbed)
    }

    @Test func `a run that continues with other numbers of workers, ranks and threads ends with the same bits`() throws
    {
      let run = try SmallRun.start(["--learners", "1", "--workers", "1"], in: directory)
      SmallRun.awaitMiddle(of: run, in: directory)
      run.signal(SIGINT)
      #expect(run.wait().status == 130)
      let wider = ["--learners", "3", "--workers", "3", "--threads", "2"]
      #expect(try SmallRun.finish(wider, in: directory) == SmallRun.undisturbed)
    }

    @Test(arguments: ["float32", "bfloat16"])
    func `a run that changes its number of ranks twice ends with the bits of one rank`(_ type: String) throws {
      let settings = ["--dtype", type]
      let alone = try SmallRun.finish(settings + ["--learners", "1"], in: scratch.file("alone"))
      for (ranks, steps) in [(4, 1), (2, 2)] {
        let run = try SmallRun.start(settings + ["--learners", "\(ranks)"], in: directory)
        #expect(eventually { SmallRun.stepsDone(in: directory) >= steps || !run.isRunning })
        run.signal(SIGINT)
        #expect(run.wait().status == 130, "\(ranks) ranks: \(run.errors)")
      }
      #expect(try SmallRun.finish(["--learners", "3"], in: directory) == alone)
    }
  }
}
