// Runs that fail or are stopped, and pages that cannot be served: what is said, where, and what to do next.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct EndingTests {
    private let scratch = Scratch()

    /// A port of loopback on which this process listens, for as long as the object exists.
    private final class BusyPort {
      private let fd: Int32
      let address: String

      init() throws {
        let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let code = withUnsafeMutablePointer(to: &address) { pointer in
          pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
            bind(fd, raw, size) == 0 && listen(fd, 1) == 0 ? getsockname(fd, raw, &size) : -1
          }
        }
        try #require(code == 0)
        self.fd = fd
        self.address = "127.0.0.1:\(UInt16(bigEndian: address.sin_port))"
      }

      deinit { close(fd) }
    }

    private func json(_ text: String) throws -> [String: Any] {
      try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any], "\(text)")
    }

    @Test func `a failed run says what failed, why and what to do, in terminal, status, page and report`() throws {
      let run = scratch.file("run")
      let busy = try BusyPort()
      let arguments = ["train", "--run", run, "--page", "none"] + SmallRun.settings(steps: 1)
      let failed = try Program.run(arguments + ["--listen", busy.address])
      let reason = "cannot listen on \(busy.address)"
      let next = "ttrl train --run \(run)"
      #expect(failed.status == 1)
      let status = try Program.run(["status", "--run", run])
      let watched = try Program.run(["status", "--run", run, "--watch"])
      #expect(status.status == 0 && watched.status == 1)
      for text in [failed.errors, status.output, watched.errors] {
        for words in ["FAILED    The run failed", "coordinator cannot continue", "reason    \(reason)", next] {
          #expect(text.contains(words), "\(words) is missing in\n\(text)")
        }
        #expect(!text.contains(" s left") && !text.contains(" min left") && !text.contains("waits for"), "\(text)")
      }
      let state = try json(try Program.run(["status", "--run", run, "--json"]).output)
      #expect(state["state"] as? String == "failed" && state["waits_for"] as? String == "nothing: the run failed")
      // The page, served by itself.
      let page = try Served(run)
      defer { page.stop() }
      let shown = try json(try page.get("/api/run"))
      let banner = try #require(shown["banner"] as? [String: String])
      #expect(banner["kind"] == "failed" && banner["reason"]?.contains(reason) == true)
      #expect(banner["next"]?.contains(next) == true && shown["seconds_left"] is NSNull)
      // The report opens with the same.
      let report = try Program.run(["report", run])
      let html = textOfFile(run + "/report.html")
      #expect(report.status == 0)
      let place = try #require(html.range(of: "class=\"banner\""), "no banner")
      let title = try #require(html.range(of: "<h1>"))
      #expect(place.lowerBound < title.lowerBound && html.contains(reason))
      // The run goes on as the text says, and then nothing of it is left.
      let finished = try Program.run(["train", "--run", run, "--listen", "127.0.0.1:0", "--page", "none"], within: 120)
      #expect(finished.status == 0, "\(finished.errors)")
      let after = try json(try Program.run(["status", "--run", run, "--json"]).output)
      #expect(after["state"] as? String == "finished" && after["banner"] is NSNull)
      #expect(!textOfFile(run + "/report.html").contains("class=\"banner\""))
    }

    @Test func `a stopped run says that it was stopped and how to continue, and has no time left`() throws {
      let run = scratch.file("run")
      let running = try SmallRun.start(["--page", "none"], in: run)
      SmallRun.awaitMiddle(of: running, in: run)
      running.signal(SIGTERM)
      let stopped = running.wait()
      #expect(stopped.status == 130)
      let status = try Program.run(["status", "--run", run]).output
      for text in [stopped.errors, status] {
        for words in ["STOPPED   The run was stopped", "of 4 steps done", "Continue with: ttrl train --run \(run)"] {
          #expect(text.contains(words), "\(words) is missing in\n\(text)")
        }
      }
      let page = try Served(run)
      defer { page.stop() }
      let shown = try json(try page.get("/api/run"))
      #expect(shown["state"] as? String == "stopped" && shown["seconds_left"] is NSNull)
      #expect(shown["waits_for"] as? String == "nothing: the run was stopped")
    }

    @Test func `a run whose processes were killed says that no process runs it`() throws {
      let run = scratch.file("run")
      let running = try Running(["train", "--run", run, "--workers", "0", "--page", "none"] + SmallRun.settings)
      #expect(eventually { FileManager.default.fileExists(atPath: run + "/fleet.json") }, "\(running.errors)")
      running.signal(SIGKILL)
      _ = running.wait()
      // The coordinator's last note is believed for ten seconds.
      #expect(
        eventually {
          usleep(200_000)
          return (try? Program.run(["status", "--run", run]).output.contains("NOT RUNNING")) == true
        })
      #expect(try Program.run(["status", "--run", run]).output.contains("Continue with: ttrl train --run \(run)"))
    }

    @Test func `a page that cannot be served says why in the terminal, and the run goes on`() throws {
      let busy = try BusyPort()
      let token = scratch.write("0123456789abcdef0123\n", to: "token")
      try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: token)
      for (extra, words) in [
        (["--page", busy.address], ["another process listens there", "--page"]),
        (["--page-token", token], ["chmod 600"]),
      ] {
        let run = scratch.file("run\(words.count)")
        let running = try Running(["train", "--run", run, "--workers", "0"] + SmallRun.settings + extra)
        #expect(eventually { running.errors.contains("NO PAGE") || !running.isRunning }, "\(running.errors)")
        let text = running.errors
        for word in words + ["ttrl page --run \(run)"] {
          #expect(text.contains(word), "\(word) is missing in\n\(text)")
        }
        #expect(running.isRunning)
        running.signal(SIGTERM)
        #expect(running.wait().errors.components(separatedBy: "NO PAGE").count == 2, "said once")
      }
    }
  }
}
