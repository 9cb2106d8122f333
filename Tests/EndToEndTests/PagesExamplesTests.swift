// Runs shell blocks of docs/ unchanged, in a separate network and in a directory where RUN is a small run.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct PagesExamplesTests {
    private let scratch = Scratch()

    /// Whether this process can make a network. In a new network the addresses of the pages are free.
    private static let hasNetworks = {
      let trial = "ip link add eth0 type veth peer name eth1 && command -v curl"
      return (try? Program.run(enclosure + ["sh", "-c", trial], program: "/usr/bin/unshare"))?.status == 0
    }()
    /// All processes of a script end with it.
    private static let enclosure = ["--net", "--pid", "--fork", "--kill-child", "--mount-proc"]

    private let path =
      "export PATH='\(URL(fileURLWithPath: Program.path()).deletingLastPathComponent().path)':$PATH\n"

    /// Runs a script in `scratch`, in a network that has loopback and 192.0.2.1.
    private func type(_ script: String) throws -> Program.Outcome {
      // Open MPI needs an interface other than loopback.
      let place = """
        set -eu; cd '\(scratch.path)'
        ip link add eth0 type veth peer name eth1; ip address add 192.0.2.1/24 dev eth0
        for name in lo eth0 eth1; do ip link set $name up; done

        """
      return try Program.run(
        Self.enclosure + ["bash", "-c", place + path + script], program: "/usr/bin/unshare",
        environment: ["OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"])
    }

    /// Begins RUN with the settings of `SmallRun`; the page's commands continue it.
    private func beginRun(steps: Int = SmallRun.steps) throws {
      let settings = SmallRun.settings(steps: steps)
      let coordinator = try Running(
        ["coordinator", "--run", scratch.file("RUN"), "--listen", "127.0.0.1:0"] + settings)
      #expect(eventually { FileManager.default.fileExists(atPath: scratch.file("RUN/coordinator.address")) })
      coordinator.signal(SIGTERM)
      #expect(coordinator.wait().status != 1, "\(coordinator.errors)")
    }

    private func block(_ words: String, of page: String) throws -> String {
      let blocks = Pages.blocks(of: page).filter { $0.contains(words) }
      try #require(blocks.count == 1, "\(page) has \(blocks.count) blocks with \(words)")
      return blocks[0]
    }

    @Test(.enabled(if: hasNetworks, "needs root, unshare, ip, veth and curl"))
    func `the three roles, started by hand, are a run`() throws {
      let parts = try block("# 1: begins the run", of: "docs/operating.md").split(separator: "\n\n")
      try #require(parts.count == 3)
      try beginRun()
      let outcome = try type(
        """
        rm -f RUN/coordinator.address
        (\(parts[0])
        ) & coordinator=$!
        until [ -e RUN/coordinator.address ]; do sleep 0.05; done
        (\(parts[1])
        ) & worker=$!
        (\(parts[2])
        ) & learner=$!
        wait $learner; wait $worker; wait $coordinator
        """)
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(try SmallRun.fingerprint(of: scratch.file("RUN")) == SmallRun.undisturbed)
    }

    @Test(.enabled(if: hasNetworks, "needs root, unshare, ip, veth and curl"))
    func `a page on another address than loopback is read with its token`() throws {
      let lines = try block("--page-token RUN.token", of: "docs/operating.md").split(separator: "\n")
      try #require(lines.count == 2)
      try beginRun(steps: 1000)
      let outcome = try type(
        """
        (exec \(lines[0])
        ) >&2 & run=$!
        until [ -s RUN/page.address ]; do sleep 0.05; done
        \(lines[1].replacing("HOST", with: "192.0.2.1"))
        kill -INT $run; wait $run || [ $? -eq 130 ]
        """)
      #expect(outcome.status == 0, "\(outcome.errors)")
      let state = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any]
      #expect(state?["steps"] != nil, "\(outcome.output)")
    }

    @Test(.enabled(if: hasNetworks, "needs root, unshare, ip, veth and curl"))
    func `the course of the page is trained, and its result is evaluated`() throws {
      let file = try #require(Pages.text(of: "docs/stages.md").firstMatch(of: /(?s)\n```json5\n(.*?\n)```\n/))
      scratch.write(String(file.1), to: "course.json5")
      let outcome = try type(try block("--stages course.json5", of: "docs/stages.md"))
      #expect(outcome.status == 0, "\(outcome.errors)")
      for words in ["stage 2 of 3, medium: step 0", "the course in", "02-medium  finished"] {
        #expect(outcome.errors.contains(words), "\(outcome.errors)")
      }
      #expect(outcome.output.contains("03-long    finished"), "\(outcome.output)")
    }

    @Test func `the example of supervised training is a run`() throws {
      let example = try block("--run solved-run", of: "docs/supervised.md")
      let outcome = try Program.run(["-c", "cd '\(scratch.path)'\n" + path + example], program: "/bin/bash")
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(SmallRun.stepsDone(in: scratch.file("solved-run")) == 4)
    }

    @Test func `examples print what the page shows`() throws {
      let examples = try block("$ echo", of: "docs/cli.md").split(separator: "\n$ ").map {
        $0.trimmingPrefix("$ ").split(separator: "\n", maxSplits: 1)
      }
      #expect(examples.count == 3 && examples.allSatisfy { $0.count == 2 })
      for example in examples {
        let outcome = try Program.run(["-c", path + example[0]], program: "/bin/bash")
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.split(separator: "\n") == example[1].split(separator: "\n"))
      }
    }
  }
}
