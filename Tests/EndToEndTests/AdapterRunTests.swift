// Runs that train a LoRA adapter: the same bits however they are run, and files that other programs open.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct AdapterRunTests {
    private let scratch = Scratch()
    private var directory: String { scratch.file("run") }
    private static let settings = ["--adapter", "lora", "--adapter-rank", "4", "--lr", "1e-3"]
    /// Two workers, two ranks.
    private static let undisturbed: Fingerprint? = {
      do {
        return try SmallRun.finish(settings, in: undisturbedDirectory)
      } catch {
        Issue.record("the undisturbed run failed: \(error)")
        return nil
      }
    }()
    private static let undisturbedDirectory = Scratch.shared.file("undisturbed-adapter")
    private static var last: String { "\(undisturbedDirectory)/checkpoints/step-00000\(SmallRun.steps)" }

    @Test(arguments: [(workers: 1, ranks: 1), (1, 3), (3, 4)])
    func `any number of workers and ranks gives the same bits`(_ count: (workers: Int, ranks: Int)) throws {
      let counts = ["--workers", "\(count.workers)", "--learners", "\(count.ranks)"]
      #expect(try SmallRun.finish(Self.settings + counts, in: directory) == Self.undisturbed)
    }

    @Test(arguments: [1, 2]) func `streamed gradients give the same bits on any number of ranks`(_ ranks: Int) throws {
      let streamed = ["--gradient", "streamed", "--learners", "\(ranks)"]
      #expect(try SmallRun.finish(Self.settings + streamed, in: directory) == Self.undisturbed)
    }

    @Test func `a run that is killed in the middle ends with the same bits`() throws {
      let run = try SmallRun.start(Self.settings, in: directory)
      SmallRun.awaitMiddle(of: run, in: directory)
      run.signal(SIGKILL)
      _ = run.wait()
      #expect(try SmallRun.finish(Self.settings, in: directory) == Self.undisturbed)
    }

    @Test func `a checkpoint is the adapter, and its hash that of the adapter's file`() throws {
      let undisturbed = try #require(Self.undisturbed)
      let files = try FileManager.default.contentsOfDirectory(atPath: Self.last)
      #expect(files.contains("adapter_config.json") && files.contains("adapter_model.safetensors"))
      #expect(!files.contains("config.json") && !files.contains("model.safetensors"))
      let data = try #require(FileManager.default.contents(atPath: Self.last + "/manifest.json"))
      let manifest = try #require(try JSONSerialization.jsonObject(with: data) as? [String: [String: String]])
      #expect(manifest["sha256"]?["adapter_model.safetensors"] == undisturbed.weights)
    }

    /// The workers reach the coordinator at an address that is not theirs, and have caches of their own. So they get
    /// the base and every version as bundles.
    @Test func `a worker of another machine fetches the base, and the run has the same bits`() throws {
      let coordinator = try Running(
        ["coordinator", "--run", directory, "--listen", "127.0.0.2:0"] + SmallRun.settings + Self.settings)
      var address = ""
      #expect(
        eventually {
          address = textOfFile(directory + "/coordinator.address").trimmingCharacters(in: .whitespacesAndNewlines)
          return !address.isEmpty
        }, "\(coordinator.errors)")
      let join = ["--coordinator", address, "--key", directory + "/cluster.key", "--threads", "1"]
      let workers = try ["a", "b"].map { name in
        try Running(
          ["worker", "--name", name] + join, environment: ["XDG_CACHE_HOME": scratch.file("cache-\(name)")])
      }
      let learner = try Running(["learner", "--run", directory] + join)
      for process in workers + [learner, coordinator] { #expect(process.wait().status == 0, "\(process.errors)") }
      #expect(workers[0].errors.contains("worker.installed policy=base base=none"), "\(workers[0].errors)")
      #expect(try SmallRun.fingerprint(of: directory) == Self.undisturbed)
    }

    @Test func `a run goes on from an adapter, with a KL penalty towards it`() throws {
      _ = try #require(Self.undisturbed)
      let settings = ["--adapter", Self.last, "--kl-coefficient", "0.01", "--lr", "1e-3"]
      let one = try SmallRun.finish(settings + ["--learners", "1"], in: scratch.file("one"))
      #expect(try SmallRun.finish(settings, in: directory) == one)
      #expect(one != Self.undisturbed)
    }

    @Test func `a run keeps its adapter's settings`() throws {
      _ = try #require(Self.undisturbed)
      for other in [["--adapter", "none"], ["--adapter", Self.last], ["--adapter-rank", "8"]] {
        let outcome = try SmallRun.start(other, in: Self.undisturbedDirectory).wait()
        #expect(outcome.status != 0 && outcome.errors.contains("cannot be continued with other settings"), "\(outcome)")
      }
    }
  }
}
