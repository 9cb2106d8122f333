// The live page as its users see it: served beside a run, without any influence on the run.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct PageTests {
    /// A page of a directory, on a port of its own.
    static func serve(_ directory: String, _ extra: [String] = []) throws -> (page: Running, url: String) {
      let page = try Running(["page", "--run", directory] + extra)
      #expect(eventually { page.errors.contains("page: http://") || !page.isRunning }, "\(page.errors)")
      let line = try #require(page.errors.split(separator: "\n").first { $0.hasPrefix("page: ") })
      return (page, String(line.dropFirst("page: ".count)))
    }

    struct Answer {
      let status: Int
      let body: String
      let headers: [String: String]
    }

    /// Over a socket of our own, so that nothing is added to what is sent.
    static func get(
      _ url: String, _ path: String, headers: [String] = [], host: String? = nil, post: String? = nil
    ) throws -> Answer {
      let address = url.dropFirst("http://".count).dropLast()
      let port = try #require(UInt16(address.split(separator: ":").last ?? ""))
      let request =
        "\(post == nil ? "GET" : "POST") \(path) HTTP/1.1\r\nHost: \(host ?? String(address))\r\nConnection: close\r\n"
        + headers.map { $0 + "\r\n" }.joined() + (post.map { "Content-Length: \($0.utf8.count)\r\n" } ?? "") + "\r\n"
        + (post ?? "")
      let text = try exchange(port, request)
      let parts = text.split(separator: "\r\n\r\n", maxSplits: 1, omittingEmptySubsequences: false)
      let head = parts.first.map { $0.split(separator: "\r\n") } ?? []
      let status = head.first.flatMap { $0.split(separator: " ").dropFirst().first.flatMap { Int($0) } } ?? 0
      let fields = head.dropFirst().compactMap { line -> (String, String)? in
        guard let colon = line.firstIndex(of: ":") else { return nil }
        return (line[..<colon].lowercased(), line[line.index(colon, offsetBy: 2)...] + "")
      }
      return Answer(
        status: status, body: parts.count > 1 ? String(parts[1]) : "",
        headers: Dictionary(fields, uniquingKeysWith: { $0 + "\n" + $1 }))
    }

    private static func exchange(_ port: UInt16, _ request: String) throws -> String {
      let fd = try Loopback.connect(port)
      defer { close(fd) }
      try #require(write(fd, request, request.utf8.count) == request.utf8.count)
      var bytes: [UInt8] = []
      var chunk = [UInt8](repeating: 0, count: 1 << 16)
      while true {
        let count = read(fd, &chunk, chunk.count)
        guard count > 0 else { break }
        bytes += chunk[..<count]
      }
      return String(decoding: bytes, as: UTF8.self)
    }

    static func json(_ answer: Answer) throws -> [String: Any] {
      try #require(answer.status == 200, "\(answer.body)")
      return try #require(try JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [String: Any])
    }

    // MARK: What it shows

    @Test func `the page is one document whose policy allows no other script`() throws {
      try #require(SmallRun.undisturbed != nil)
      let (page, url) = try Self.serve(SmallRun.undisturbedDirectory)
      defer { page.signal(SIGTERM) }
      let document = try Self.get(url, "/")
      #expect(document.status == 200 && document.body.hasPrefix("<!doctype html>"))
      #expect(document.body.hasSuffix("</html>\n"))
      let policy = try #require(document.headers["content-security-policy"])
      #expect(policy.contains("default-src 'none'") && policy.contains("script-src 'sha256-"))
      #expect(document.headers["x-frame-options"] == "DENY" && document.headers["cache-control"] == "no-store")
    }

    @Test func `a finished run's page has its progress, curves, charts, steps and metrics`() throws {
      try #require(SmallRun.undisturbed != nil)
      let (page, url) = try Self.serve(SmallRun.undisturbedDirectory)
      defer { page.signal(SIGTERM) }
      let run = try Self.json(try Self.get(url, "/api/run"))
      #expect(run["finished"] as? Bool == true && run["steps_done"] as? Int == SmallRun.steps)
      let steps = Array(0..<SmallRun.steps)
      let curves = try Self.json(try Self.get(url, "/api/curves"))
      #expect(curves["steps"] as? [Int] == steps)
      let entropy = try #require((curves["figures"] as? [String: [Double]])?["entropy"])
      let charts = try Self.json(try Self.get(url, "/api/charts"))
      let drawn = try #require((charts["charts"] as? [[String: Any]])?.first { $0["title"] as? String == "Entropy" })
      let series = try #require((drawn["series"] as? [[String: Any]])?.first)
      #expect(charts["steps"] as? [Int] == steps && series["values"] as? [Double] == entropy)
      let rows = try #require(try Self.json(try Self.get(url, "/api/steps"))["steps"] as? [[String: Any]])
      #expect(rows.compactMap { $0["step"] as? Int } == steps.reversed())
      #expect(rows.compactMap { $0["entropy"] as? Double }.count == SmallRun.steps)
      #expect(try Self.get(url, "/metrics").body.contains("\nttrl_steps_total \(SmallRun.steps)\n"))
    }

    @Test func `a prompt's page has its votes and its responses, token by token, with where they came from`() throws {
      try #require(SmallRun.undisturbed != nil)
      let (page, url) = try Self.serve(SmallRun.undisturbedDirectory)
      defer { page.signal(SIGTERM) }
      let step = try Self.json(try Self.get(url, "/api/step?step=0"))
      let first = try #require((step["prompts"] as? [[String: Any]])?.first?["prompt"] as? Int)
      let prompts = try Self.json(try Self.get(url, "/api/prompts?limit=200"))
      let listed = try #require((prompts["prompts"] as? [[String: Any]])?.first { $0["prompt"] as? Int == first })
      let prompt = try Self.json(try Self.get(url, "/api/prompt?id=\(first)"))
      let votes = try #require(prompt["votes"] as? [[String: Any]])
      #expect(prompt["question"] as? String == listed["question"] as? String && listed["visits"] as? Int == votes.count)
      #expect(votes.first?["samples"] as? Int == 32 && votes.first?["step"] as? Int == 0)
      let responses = try Self.json(try Self.get(url, "/api/responses?prompt=\(first)&step=0"))
      let response = try #require((responses["responses"] as? [[String: Any]])?.first)
      let texts = try #require(response["texts"] as? [String])
      #expect(texts.joined().contains("\\boxed{") || response["answer"] is NSNull)
      #expect((response["logprobs"] as? [Double])?.count == texts.count)
      #expect((response["worker"] as? String)?.hasPrefix("worker-") == true)
    }

    @Test func `each response has its answer, verdict, reward and training, as the step counted them`() throws {
      try #require(SmallRun.undisturbed != nil)
      let (page, url) = try Self.serve(SmallRun.undisturbedDirectory)
      defer { page.signal(SIGTERM) }
      let step = try Self.json(try Self.get(url, "/api/step?step=1"))
      for record in try #require(step["prompts"] as? [[String: Any]]) {
        let prompt = try #require(record["prompt"] as? Int)
        var all: [[String: Any]] = []
        while all.count < 32 {
          let path = "/api/responses?prompt=\(prompt)&step=1&offset=\(all.count)"
          let some = try #require(try Self.json(try Self.get(url, path))["responses"] as? [[String: Any]])
          try #require(!some.isEmpty)
          all += some
        }
        #expect(all.count { $0["reward"] as? Double == 1 } == record["label_votes"] as? Int)
        #expect(all.count { $0["right"] as? Bool == true } == record["right"] as? Int)
        #expect(all.count { $0["answer"] is NSNull } == record["no_answer"] as? Int)
        let hasSignal = record["zero_advantage"] as? Bool == false
        #expect(all.count { $0["training"] as? String == "trained on" } == (hasSignal ? 8 : 0))
        #expect(all.count { $0["training"] as? String == "not drawn for training" } == 24)
      }
    }

    @Test func `prompts are found by text or id, chosen by their votes, and sorted`() throws {
      try #require(SmallRun.undisturbed != nil)
      let (page, url) = try Self.serve(SmallRun.undisturbedDirectory)
      defer { page.signal(SIGTERM) }
      func prompts(_ query: String) throws -> [[String: Any]] {
        try #require(try Self.json(try Self.get(url, "/api/prompts?limit=200&" + query))["prompts"] as? [[String: Any]])
      }
      let all = try prompts("")
      let seventh = try #require(all[7]["id"] as? String)
      #expect(try prompts("find=" + seventh.uppercased()).contains { $0["id"] as? String == seventh })
      let question = try #require(all[7]["question"] as? String)
      #expect(try prompts("find=" + question.replacingOccurrences(of: "+", with: "%2B")).count == 1)
      #expect(try prompts("find=%25';--").isEmpty)
      let unvisited = try prompts("show=unvisited")
      #expect(unvisited.allSatisfy { $0["visits"] as? Int == 0 } && !unvisited.isEmpty && unvisited.count < all.count)
      let shares = try prompts("order=agreement").compactMap { ($0["last"] as? [String: Any])?["share"] as? Double }
      #expect(shares == shares.sorted() && shares.count + unvisited.count == all.count)
    }

    @Test func `the lists have every worker with what it sampled, every event and every setting`() throws {
      try #require(SmallRun.undisturbed != nil)
      let (page, url) = try Self.serve(SmallRun.undisturbedDirectory)
      defer { page.signal(SIGTERM) }
      let run = try Self.json(try Self.get(url, "/api/run"))
      let fleet = try Self.json(try Self.get(url, "/api/fleet"))
      let workers = try #require(fleet["workers"] as? [[String: Any]])
      #expect(!workers.isEmpty && workers.allSatisfy { ($0["name"] as? String)?.hasPrefix("worker-") == true })
      for figure in ["trajectories", "tokens"] {
        let total = try #require(run[figure] as? Int)
        #expect(total > 0 && workers.reduce(0) { $0 + ($1[figure] as? Int ?? 0) } == total, "\(figure)")
      }
      let events = try #require(try Self.json(try Self.get(url, "/api/events?limit=200"))["events"] as? [[String: Any]])
      let numbers = events.compactMap { $0["number"] as? Int }
      #expect(numbers == numbers.sorted(by: >) && numbers.count == events.count)
      #expect(events.contains { $0["kind"] as? String == "worker.joined" })
      let settings = try #require(try Self.json(try Self.get(url, "/api/settings"))["settings"] as? [String: String])
      #expect(settings["steps"] == "\(SmallRun.steps)" && settings["votes"] == "32")
      let chosen = try #require(try Self.json(try Self.get(url, "/api/settings"))["chosen"] as? [String])
      let expected = ["steps", "prompts-per-step", "votes", "train-samples", "mini-batch", "eval", "eval-every"]
      #expect(chosen == expected, "\(chosen)")
    }

    @Test func `what is not there, or makes no sense, is refused with a sentence`() throws {
      try #require(SmallRun.undisturbed != nil)
      let (page, url) = try Self.serve(SmallRun.undisturbedDirectory)
      defer { page.signal(SIGTERM) }
      for path in ["/nothing", "/api/nothing", "/api/step?step=99", "/api/prompt?id=-1", "/api/responses", "/../etc"] {
        let answer = try Self.get(url, path)
        #expect(answer.status == 404 && answer.body.contains("there is"), "\(path): \(answer.status) \(answer.body)")
      }
      #expect(try Self.get(url, "/api/prompt?id=999").body.contains("there is no prompt \"999\"; the run has "))
      #expect(try Self.get(url, "/api/step?step=4").body.contains("steps 0 to 3 are done"))
      #expect(try Self.get(url, "/api/prompts?offset=99999999999999999999&limit=-5").status == 200)
      #expect(try Self.get(url, "/", post: "x=y").status == 405)
      #expect(try Self.get(url, "/enter", post: String(repeating: "x", count: 5000)).status == 413)
    }

    // MARK: Access

    @Test func `a site that points its own name at this machine sees nothing`() throws {
      try #require(SmallRun.undisturbed != nil)
      let (page, url) = try Self.serve(SmallRun.undisturbedDirectory)
      defer { page.signal(SIGTERM) }
      let answer = try Self.get(url, "/api/run", host: "evil.example")
      #expect(answer.status == 421 && answer.body.contains("--page-token"))
    }

    @Test func `beyond loopback a page is refused without a token, before anything starts`() throws {
      let outcome = try Program.run(["train", "--run", Scratch().file("run"), "--page", "0.0.0.0:0"])
      #expect(outcome.status == 2 && outcome.errors.contains("--page-token"))
      let direct = try Program.run(["page", "--run", SmallRun.undisturbedDirectory, "--page", "0.0.0.0:0"])
      #expect(direct.status == 2 && direct.errors.contains("--page-token"))
    }

    @Test func `a token opens the page, by header or by cookie, and nothing else does`() throws {
      try #require(SmallRun.undisturbed != nil)
      let scratch = Scratch()
      let file = scratch.file("token")
      let (page, url) = try Self.serve(
        SmallRun.undisturbedDirectory, ["--page", "0.0.0.0:0", "--page-token", file])
      defer { page.signal(SIGTERM) }
      let token = textOfFile(file).trimmingCharacters(in: .whitespacesAndNewlines)
      let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
      #expect(token.count == 48 && mode == 0o600)
      for path in ["/", "/api/run", "/metrics"] {
        let answer = try Self.get(url, path)
        #expect(answer.status == 401 && answer.body.contains("token"), "\(path)")
      }
      #expect(try Self.get(url, "/api/run", headers: ["Authorization: Bearer \(token)x"]).status == 401)
      #expect(try Self.get(url, "/api/run", headers: ["Cookie: ttrl_page=\(token)"]).status == 401)
      #expect(try Self.get(url, "/metrics", headers: ["Authorization: Bearer \(token)"]).status == 200)
      #expect(try Self.get(url, "/enter", post: "token=wrong").status == 401)
      let entered = try Self.get(url, "/enter", post: "token=\(token)")
      let cookie = try #require(entered.headers["set-cookie"]?.split(separator: ";").first)
      #expect(entered.status == 303 && !cookie.contains(token))
      #expect(try Self.get(url, "/api/run", headers: ["Cookie: \(cookie)"]).status == 200)
    }

    @Test func `a browser can have the pages of two runs of one host open`() throws {
      try #require(SmallRun.undisturbed != nil)
      let scratch = Scratch()
      let other = scratch.file("other")
      try FileManager.default.copyItem(atPath: SmallRun.undisturbedDirectory, toPath: other)
      let settings = textOfFile(other + "/settings.json")
      try settings.replacing(/"run": "\w+"/, with: "\"run\": \"a;b, c\"")
        .write(toFile: other + "/settings.json", atomically: true, encoding: .utf8)
      var cookies: [String: String] = [:]
      var pages: [(page: Running, url: String)] = []
      defer { for (page, _) in pages { page.signal(SIGTERM) } }
      for (number, directory) in [SmallRun.undisturbedDirectory, other].enumerated() {
        let token = scratch.file("token-\(number)")
        let (page, url) = try Self.serve(directory, ["--page-token", token])
        pages.append((page, url))
        let text = textOfFile(token).trimmingCharacters(in: .whitespacesAndNewlines)
        let entered = try Self.get(url, "/enter", post: "token=\(text)")
        let pair = try #require(entered.headers["set-cookie"]?.split(separator: ";").first).split(separator: "=")
        // As a browser keeps them: by host and name, whatever the port is.
        cookies[String(pair[0])] = String(pair[1])
      }
      let header = "Cookie: " + cookies.map { "\($0)=\($1)" }.sorted().joined(separator: "; ")
      for (_, url) in pages { #expect(try Self.get(url, "/api/run", headers: [header]).status == 200, "\(header)") }
    }

    @Test func `a token that other users can read, or that can be guessed, is refused`() throws {
      let scratch = Scratch()
      let readable = scratch.write("0123456789abcdef0123\n", to: "readable")
      try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: readable)
      let short = scratch.write("secret\n", to: "short")
      try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: short)
      try #require(SmallRun.undisturbed != nil)
      for (file, word) in [(readable, "chmod 600"), (short, "characters")] {
        let outcome = try Program.run(["page", "--run", SmallRun.undisturbedDirectory, "--page-token", file])
        #expect(outcome.status == 1 && outcome.errors.contains(word), "\(outcome.errors)")
      }
    }

    // MARK: In a browser

    private static let canBrowse =
      ["chromium", "chromium-browser", "google-chrome"].contains { name in
        FileManager.default.isExecutableFile(atPath: "/usr/bin/\(name)")
      } && FileManager.default.isExecutableFile(atPath: "/usr/bin/python3")

    /// The script says what it saw, claim by claim; it takes the pictures of docs/ with the same steps.
    @Test(.enabled(if: canBrowse, "no Chromium, or no python3; apt-get install chromium"))
    func `a browser sees a live run grow, its prompts and responses, without errors or requests elsewhere`() throws {
      let script = Program.packageRoot.appendingPathComponent("scripts/screenshots").path
      let training = (SmallRun.settings(steps: 1000)).joined(separator: " ")
      let outcome = try Program.run(
        [script, "--ttrl", Program.path(), "--until", "2", "--train", training], program: "/usr/bin/python3",
        within: 240)
      #expect(outcome.status == 0, "\(outcome.output)\n\(outcome.errors)")
      #expect(!outcome.output.contains("WRONG") && outcome.output.contains("the curves grow while the run goes on"))
    }

    // MARK: Looking with other tools

    @Test func `two runs of the same settings are the same, and a prompt of one can be explained`() throws {
      let first = SmallRun.undisturbedDirectory
      let second = Scratch.shared.file("second")
      try #require(SmallRun.undisturbed != nil)
      #expect(try SmallRun.finish(["--workers", "1", "--page", "none"], in: second) == SmallRun.undisturbed)
      let same = try Program.run(["diff", first, second])
      #expect(same.status == 0 && same.output.contains("no difference") && same.output.contains("5 policy versions"))
      let other = Scratch.shared.file("other")
      _ = try SmallRun.finish(["--seed", "1"], in: other)
      let different = try Program.run(["diff", first, other])
      #expect(different.status == 1, "\(different.output)")
      for word in [
        "setting seed: 0 here, 1 there", "first response that differs: step 0, prompt #",
        "policy version 1 on",
      ] {
        #expect(different.output.contains(word), "\(word) is missing in\n\(different.output)")
      }
      let step = textOfFile(first + "/metrics.jsonl").split(separator: "\n").first { $0.contains("\"step\":0") } ?? ""
      let prompt = try #require(step.split(separator: "\"prompt\":").dropFirst().first?.prefix { $0.isNumber })
      let explained = try Program.run(["explain", first, "--prompt", String(prompt)])
      #expect(explained.status == 0 && explained.output.contains("responses of step"))
      #expect(explained.output.contains("by worker-"))
      #expect(
        try Program.run(["explain", first, "--prompt", "no-such"]).errors.contains("there is no training prompt"))
      let page = Scratch.shared.file("side-by-side.html")
      let report = try Program.run(["report", first, other, "--out", page])
      #expect(report.status == 0 && textOfFile(page).contains("2 runs side by side"))
    }

    @Test func `status watches a finished run to its end, in plain lines when piped`() throws {
      try #require(SmallRun.undisturbed != nil)
      let outcome = try Program.run(["status", "--run", SmallRun.undisturbedDirectory, "--watch"])
      #expect(outcome.status == 0 && outcome.errors.contains("step 3  4 of 4 done"))
      #expect(!outcome.errors.contains("\u{1B}"), "escape sequences went into a pipe")
    }

    @Test func `a page that is killed at any time leaves event files that the next one goes on with`() throws {
      try #require(SmallRun.undisturbed != nil)
      let directory = Scratch.shared.file("torn")
      try FileManager.default.copyItem(atPath: SmallRun.undisturbedDirectory, toPath: directory)
      let file = directory + "/tensorboard/steps/events.out.tfevents.0000000000.ttrl"
      let whole = try #require(FileManager.default.contents(atPath: file))
      #expect(whole.count > 1000)
      // Cut in the middle of the last record, as a kill would.
      try whole.dropLast(7).write(to: URL(fileURLWithPath: file))
      let (page, _) = try Self.serve(directory)
      #expect(
        eventually { FileManager.default.contents(atPath: file) == whole }, "it was not completed to the same bytes")
      page.signal(SIGTERM)
      #expect(page.wait().status == 0)
    }

    // MARK: What it costs

    @Test func `a run ends at the same bits with its page killed, and with visitors that never read`() throws {
      let scratch = Scratch()
      let directory = scratch.file("run")
      let run = try SmallRun.start([], in: directory)
      #expect(eventually { !textOfFile(directory + "/page.address").isEmpty || !run.isRunning }, "\(run.errors)")
      let url = textOfFile(directory + "/page.address").trimmingCharacters(in: .whitespacesAndNewlines)
      let port = try #require(UInt16(url.dropLast().split(separator: ":").last ?? ""))
      // Visitors that ask for much and never read any of it.
      let visitors = try (0..<32).map { _ in try Loopback.connect(port) }
      defer { for visitor in visitors { close(visitor) } }
      let request = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
      for visitor in visitors { _ = write(visitor, request + request + request, request.utf8.count * 3) }
      SmallRun.awaitMiddle(of: run, in: directory)
      let pages = ProcessTable.descendants(of: run.id).filter { $0.role == "page" }
      #expect(pages.count == 1)
      for page in pages { kill(page.id, SIGKILL) }
      let outcome = run.wait()
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(try SmallRun.fingerprint(of: directory) == SmallRun.undisturbed)
      #expect(!FileManager.default.fileExists(atPath: directory + "/page.address"))
    }

    @Test func `a run without a page ends at the same bits and leaves no address`() throws {
      let directory = Scratch.shared.file("pageless")
      let run = try SmallRun.start(["--page", "none"], in: directory)
      let outcome = run.wait()
      #expect(outcome.status == 0 && !outcome.errors.contains("page: "))
      #expect(try SmallRun.fingerprint(of: directory) == SmallRun.undisturbed)
    }

    @Test func `ten thousand steps and a thousand workers are shown in little memory, however often asked`() throws {
      let directory = Scratch.shared.file("crowd")
      let made = try Program.run(
        ["crowd", directory, "--responses", "2"], program: Program.dev, within: 120)
      try #require(made.status == 0, "\(made.errors)")
      let (page, url) = try Self.serve(directory)
      defer { page.signal(SIGTERM) }
      #expect(
        eventually(within: 60) {
          let run = try? Self.json(try Self.get(url, "/api/run"))
          return run?["steps_done"] as? Int == 10_000 && run?["counted"] as? Bool == true
        })
      let paths = [
        "/", "/metrics", "/api/run", "/api/charts", "/api/curves?points=2000", "/api/fleet?limit=200",
        "/api/prompts?limit=200",
        "/api/prompt?id=7", "/api/steps?limit=200", "/api/step?step=9999", "/api/events?limit=200",
        "/api/responses?prompt=7&step=125",
      ]
      func askAll(_ times: Int) throws {
        for _ in 0..<times {
          for path in paths {
            let answer = try Self.get(url, path)
            #expect(answer.status == 200 && answer.body.utf8.count < 400_000, "\(path): \(answer.body.utf8.count)")
          }
        }
      }
      try askAll(5)
      let before = ProcessTable.residentBytes(of: page.id)
      try askAll(40)
      let after = ProcessTable.residentBytes(of: page.id)
      #expect(before < 200 << 20, "\(before >> 20) MiB after the first visits")
      #expect(after < before + (8 << 20), "from \(before >> 20) to \(after >> 20) MiB in \(40 * paths.count) requests")
    }
  }
}
