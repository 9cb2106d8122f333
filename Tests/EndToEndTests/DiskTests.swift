// A full disk stops a run with a clear text, and the run continues when there is room again.
//
// The disk is a small tmpfs in the test's own mount namespace. This needs rights that some machines do not give.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct DiskTests {
    private static let mayMount: Bool = {
      let scratch = Scratch()
      let trial = "mount -t tmpfs -o size=1m tmpfs '\(scratch.path)'"
      let outcome = try? Program.run(["-m", "sh", "-c", trial], program: "/usr/bin/unshare")
      return outcome?.status == 0
    }()

    /// Kilobytes that are left once the run has begun: enough for the beginning, for the first file of a checkpoint,
    /// and for one and a half steps.
    @Test(
      .enabled(if: mayMount, "no rights to mount a tmpfs in a namespace of its own"), arguments: [1_000, 2_000, 12_000])
    func `a run stops when the disk is full and continues when it is not`(_ kilobytes: Int) throws {
      let scratch = Scratch()
      let disk = scratch.file("disk")
      try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: true)
      let train = "'\(Program.path())' train --run '\(disk)/run' \(SmallRun.settings.joined(separator: " "))"
      let script = """
        mount -t tmpfs -o size=200m tmpfs '\(disk)' || exit 99
        \(train) & first=$!
        until [ -e '\(disk)/run/settings.json' ]; do sleep 0.01; done
        fallocate -l $(($(df -k --output=avail '\(disk)' | tail -1) - \(kilobytes)))k '\(disk)/filler'
        wait $first; echo "first $?"
        rm '\(disk)/filler'
        \(train); echo "second $?"
        cp '\(disk)/run/summary.json' '\(scratch.path)'
        """
      let outcome = try Program.run(["-m", "sh", "-c", script], program: "/usr/bin/unshare")
      #expect(outcome.output.contains("first 1") && outcome.output.contains("second 0"), "\(outcome.errors)")
      #expect(outcome.errors.contains("No space left on device") || outcome.errors.contains("the disk is full"))
      #expect(!outcome.errors.contains("starting it again"))
      #expect(try SmallRun.fingerprint(of: scratch.path) == SmallRun.undisturbed)
    }

    @Test(arguments: [[], ["--objective", "ppo"], ["--adapter", "lora"]])
    func `a checkpoint has the size that is planned`(_ more: [String]) throws {
      let scratch = Scratch()
      let arguments = ["train", "--run", scratch.file("run")] + SmallRun.settings(steps: 1) + more
      let plan = try Program.run(arguments + ["--dry-run", "--json"]).output
      let json = try #require(try JSONSerialization.jsonObject(with: Data(plan.utf8)) as? [String: Any])
      let planned = try #require((json["disk"] as? [String: Int])?["checkpoint_bytes"])
      let outcome = try Program.run(arguments, within: 120)
      try #require(outcome.status == 0, "\(outcome.errors)")
      let checkpoint = scratch.file("run/checkpoints/step-000001")
      let sizes = try FileManager.default.contentsOfDirectory(atPath: checkpoint).map { name in
        try FileManager.default.attributesOfItem(atPath: "\(checkpoint)/\(name)")[.size] as? Int ?? 0
      }
      // The plan is of the arrays alone: tokenizer, configuration and headers are small.
      let files = sizes.reduce(0, +)
      #expect(files >= planned && files < planned + 256 << 10, "\(files) bytes, \(planned) planned")
    }

    @Test(.enabled(if: mayMount, "no rights to mount a tmpfs in a namespace of its own"))
    func `a run that would not fit on the disk is refused before it begins`() throws {
      let scratch = Scratch()
      let train = "'\(Program.path())' train --run '\(scratch.path)/run' \(SmallRun.settings.joined(separator: " "))"
      let script = "mount -t tmpfs -o size=12m tmpfs '\(scratch.path)' || exit 99; \(train); ls '\(scratch.path)'"
      let outcome = try Program.run(["-m", "sh", "-c", script], program: "/usr/bin/unshare")
      #expect(outcome.errors.contains("of disk"), "\(outcome.errors)")
      #expect(outcome.errors.contains("--keep-checkpoints 1") && outcome.output.isEmpty, "\(outcome.output)")
    }
  }
}
