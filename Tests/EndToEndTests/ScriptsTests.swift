// The scripts that users start: setup, questions, dashboard, what-fits. No test needs the network: where a script would
// download something or send something, the other side is a file or a module that the test makes.

import Foundation
import Testing

/// The Python that runs the scripts.
enum Python {
  static let path = ProcessInfo.processInfo.environment["TTRL_PYTHON"] ?? "/usr/bin/python3"

  static func has(_ modules: String...) -> Bool {
    guard FileManager.default.isExecutableFile(atPath: path) else { return false }
    let names = modules.map { "'\($0)'" }.joined(separator: ",")
    let script = "import importlib.util as u, sys; sys.exit(not all(u.find_spec(name) for name in [\(names)]))"
    return (try? Program.run(["-c", script], program: path).status) == 0
  }
}

/// The path of a script of the project.
private func script(_ name: String) -> String {
  Program.packageRoot.appendingPathComponent("scripts/" + name).path
}

extension EndToEnd {
  @Suite struct SetupTests {
    private let scratch = Scratch()

    private static let systems = [
      ("bookworm", "libstdc++-12-dev", "debian12"), ("trixie", "binutils-gold", "debian12"),
      ("jammy", "libstdc++-11-dev", "ubuntu22.04"), ("noble", "libstdc++-13-dev", "ubuntu24.04"),
      ("fedora", "libstdc++-static", "fedora39"), ("el9", "gcc-c++", "ubi9"),
    ]

    @Test(arguments: systems)
    func `setup names a system's packages and its build of Swift`(
      _ codename: String, _ package: String, _ build: String
    ) throws {
      let outcome = try Program.run(["--commands", codename], program: script("setup"))
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(outcome.output.contains(" \(package) ") || outcome.output.contains(" \(package)\n"), "\(outcome.output)")
      #expect(outcome.output.contains("-RELEASE-\(build).tar.gz"), "\(outcome.output)")
    }

    @Test(arguments: ["resolute", "unheard-of"])
    func `setup says for which system there is no build`(_ codename: String) throws {
      let outcome = try Program.run(["--commands", codename], program: script("setup"))
      #expect(outcome.output.contains("swift.org has no Swift"), "\(outcome.output)")
      #expect(!outcome.output.contains("-RELEASE-"), "\(outcome.output)")
    }

    private static let hasTools =
      (try? Program.run(["-c", "command -v gpg && command -v gpgconf && command -v curl"], program: "/bin/sh"))?.status
      == 0

    /// What is downloaded: as signed; changed after it was signed; signed with a key that is not Swift's.
    enum Download: String, CaseIterable { case sound, changed, foreign }

    @Test(.enabled(if: hasTools, "needs gpg and curl"), arguments: Download.allCases)
    func `a toolchain is unpacked only if its signature is right`(_ download: Download) throws {
      let commands = try Program.run(
        ["--commands", "bookworm"], program: script("setup"), environment: ["HOME": scratch.path])
      let first = try #require(commands.output.range(of: "  cd \"$(mktemp -d)\""))
      scratch.write(String(commands.output[first.lowerBound...]), to: "commands")
      let outcome = try Program.run(
        [
          "-c",
          """
          set -eu; cd '\(scratch.path)'; mkdir -m 700 keys user; export GNUPGHOME=$PWD/keys
          make() { gpg --batch --quiet --passphrase '' --quick-gen-key $1@example.org ed25519 sign; }
          key() { gpg --list-keys --with-colons $1@example.org | awk -F: '/^fpr/ { print $10; exit }'; }
          make swift; make other
          gpg --armor --export > all-keys.asc
          name=$(grep -o 'swift-[0-9.]*-RELEASE-debian12.tar.gz' commands | head -1)
          mkdir -p tree/usr/bin web; touch tree/usr/bin/swift
          tar -czf web/$name tree
          case \(download.rawValue) in foreign) signer=other ;; *) signer=swift ;; esac
          gpg --batch --quiet --local-user $signer@example.org --detach-sign web/$name
          [ \(download.rawValue) != changed ] || echo >> web/$name
          sed "s|https://download[^ ]*/swift-|file://$PWD/web/swift-|; s|https://www.swift.org/keys|file://$PWD|
            s|VALIDSIG [0-9A-F]*|VALIDSIG $(key swift)|" commands > run
          export GNUPGHOME=$PWD/user HOME=$PWD TMPDIR=$PWD
          bash run || status=$?
          gpgconf --homedir $PWD/keys --kill all; gpgconf --homedir $PWD/user --kill all
          exit ${status:-0}
          """,
        ], program: "/bin/bash")
      let isThere = FileManager.default.fileExists(atPath: scratch.file(".local/share/ttrl-swift/usr/bin/swift"))
      #expect((outcome.status == 0) == (download == .sound), "\(outcome.errors)")
      #expect(isThere == (download == .sound), "\(outcome.errors)")
    }
  }

  @Suite(.enabled(if: Python.has("json"), "no python3; name one with TTRL_PYTHON"))
  struct QuestionsScriptTests {
    private let scratch = Scratch()

    @Test func `a table becomes questions that ttrl reads, and what was dropped is counted`() throws {
      let table = scratch.write(
        """
        question,solution
        "What is 1+1?","Add them. #### 2"
        "What is 1+1?","#### 2"
        ,"#### 3"
        "What is ""two"" times 3?",nothing

        """, to: "table.csv")
      let made = try Program.run(
        [script("questions"), table, "--prompt", "question", "--answer", "solution", "--answer-after", "####"],
        program: Python.path)
      #expect(made.status == 0, "\(made.errors)")
      #expect(
        made.errors.contains(
          "4 rows read, 2 questions kept, 2 dropped (1 without a prompt, 1 the same as an earlier prompt); 1 have"),
        "\(made.errors)")
      let read = try Program.run(["convert", "--data", scratch.write(made.output, to: "my.jsonl")])
      #expect(
        read.output == """
          {"id":"1","prompt":"What is 1+1?","answer":"2","kind":"math"}
          {"id":"2","prompt":"What is \\"two\\" times 3?","kind":"math"}

          """, "\(read.errors)")
    }

    @Test(arguments: ["1", "\"blue\"", "\"B\"", "\"1\""])
    func `a choice is named by its number, its text or its letter`(_ answer: String) throws {
      let table = scratch.write(#"{"q": "Which?", "o": ["red", "blue"], "a": \#(answer)}"# + "\n", to: "table.jsonl")
      let made = try Program.run(
        [script("questions"), table, "--prompt", "q", "--choices", "o", "--answer", "a"], program: Python.path)
      #expect(
        made.output == #"{"kind": "choice", "prompt": "Which?\nA) red\nB) blue", "answer": "B"}"# + "\n",
        "\(made.errors)")
    }

    @Test func `a column that does not exist is named, with those that do`() throws {
      let table = scratch.write("question\nWhat?\n", to: "table.csv")
      let made = try Program.run([script("questions"), table], program: Python.path)
      #expect(made.status == 1 && made.output.isEmpty)
      #expect(made.errors.contains("there is no column 'prompt'; the columns are: question"), "\(made.errors)")
    }
  }

  @Suite(.enabled(if: Python.has("json"), "no python3; name one with TTRL_PYTHON"))
  struct DashboardScriptTests {
    private let scratch = Scratch()

    private static let fixture = Program.packageRoot.appendingPathComponent("Tests/Fixtures/earlier-run").path
    private static let lines = textOfFile(fixture + "/metrics.jsonl").split(separator: "\n").map { $0 + "\n" }
    private static let evaluation =
      #"{"kind":"evaluation","policy":2,"set":"held_out","pass@1":0.5,"maj@16":null,"sets":{"amc":{"pass@1":0.25}}}"#
      + "\n"

    /// A run directory whose metrics.jsonl a test writes.
    private func beginRun() throws -> String {
      try FileManager.default.createDirectory(atPath: scratch.file("run"), withIntermediateDirectories: true)
      try FileManager.default.copyItem(
        atPath: Self.fixture + "/settings.json", toPath: scratch.file("run/settings.json"))
      return scratch.file("run")
    }

    private func write(_ text: some StringProtocol) throws {
      let file = scratch.file("run/metrics.jsonl")
      if !FileManager.default.fileExists(atPath: file) { scratch.write("", to: "run/metrics.jsonl") }
      let handle = try #require(FileHandle(forWritingAtPath: file))
      try handle.seekToEnd()
      try handle.write(contentsOf: Data(text.utf8))
    }

    /// A module `wandb` that writes what it gets into the file `sent`. It is killed in the middle of row `KILL`.
    private static let module = """
      import json, os, signal, types

      def write(**value):
          with open(os.environ["SENT"], "a") as file:
              file.write(json.dumps(value) + "\\n")

      class Run:
          summary = types.SimpleNamespace(update=lambda values: write(summary=values))

          def define_metric(self, *names, **values):
              pass

          def log(self, values, step):
              write(row=step, values=values)
              if str(step) == os.environ.get("KILL"):
                  os.kill(os.getpid(), signal.SIGKILL)

          def finish(self):
              pass

      def init(**values):
          write(id=values["id"], config=values["config"])
          return Run()
      """

    private func dashboard(_ more: [String] = [], killedAt row: Int? = nil) throws -> Running {
      scratch.write(Self.module, to: "wandb.py")
      var environment = ["PYTHONPATH": scratch.path, "SENT": scratch.file("sent"), "PYTHONDONTWRITEBYTECODE": "1"]
      environment["KILL"] = row.map { "\($0)" } ?? ""
      return try Running(
        [script("dashboard"), scratch.file("run"), "--to", "wandb"] + more, program: Python.path,
        environment: environment)
    }

    private func sent() throws -> [[String: Any]] {
      try scratch.read("sent").split(separator: "\n").map {
        try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
      }
    }

    @Test func `no row is sent twice, and none is missing, over a kill, a restart and a row that is written again`()
      throws
    {
      _ = try beginRun()
      // A step, then half of a step, while the script follows.
      try write(Self.lines[0])
      let first = try dashboard(killedAt: 1)
      #expect(eventually { (try? self.sent().contains { $0["row"] as? Int == 0 }) == true }, "\(first.errors)")
      try write(Self.lines[1].prefix(700))
      try write(Self.lines[1].dropFirst(700) + Self.evaluation)
      #expect(first.wait().status == 128 + SIGKILL, "\(first.errors)")
      // The run was continued: a step is there again, with another time.
      try write(
        Self.lines[1].replacing("\"train_seconds\":", with: "\"train_seconds\":1") + Self.lines[2] + Self.lines[3])
      let second = try dashboard().wait()
      #expect(second.status == 0, "\(second.errors)")

      let rows = try sent()
      let indices = rows.compactMap { $0["row"] as? Int }
      #expect(indices == [0, 1, 2, 3, 4])
      let values = rows.compactMap { $0["values"] as? [String: Any] }
      #expect(values.map { $0["step"] as? Int } == [0, 1, nil, 2, nil])
      #expect(values[2]["eval/held_out/pass@1"] as? Double == 0.5)
      #expect(values[2]["eval/held_out/amc/pass@1"] as? Double == 0.25)
      #expect(values[2]["policy"] as? Int == 2 && values[2]["eval/held_out/maj@16"] == nil)
      #expect(values[0]["train/label_accuracy"] as? Double == 0.75)
      // Former names become today's.
      #expect(values[0]["train/unneeded_samples"] is Int && values[0]["train/samples_saved"] == nil)
      // Both processes continue the same run of the dashboard, with the settings as its config.
      #expect(Set(rows.compactMap { $0["id"] as? String }).count == 1)
      let config = try #require(rows[0]["config"] as? [String: Any])
      #expect(config["votes"] is Int && config["estimator"] as? String == "vote", "\(config)")
      #expect(rows.contains { ($0["summary"] as? [String: Any])?["delivered/rule"] != nil })
    }

    @Test func `a run that is finished is sent once, and again only if asked for, as another run`() throws {
      _ = try beginRun()
      try write(Self.lines.joined())
      for more in [[], [], ["--again"]] { #expect(try dashboard(more).wait().status == 0) }
      let rows = try sent()
      #expect(rows.count { $0["row"] != nil } == 2 * Self.lines.count)
      #expect(
        rows.compactMap { $0["id"] as? String } == ["68ff2175eb7a8d1d", "68ff2175eb7a8d1d", "68ff2175eb7a8d1d-2"])
    }

    @Test func `two processes do not send the same run`() throws {
      _ = try beginRun()
      try write(Self.lines[0])
      let first = try dashboard()
      #expect(eventually { (try? self.sent().contains { $0["row"] != nil }) == true }, "\(first.errors)")
      let second = try dashboard().wait()
      #expect(second.status == 1 && second.errors.contains("another process sends this run"), "\(second.errors)")
      first.signal(SIGTERM)
      #expect(first.wait().status == 0, "\(first.errors)")
      #expect(try sent().count { $0["row"] != nil } == 1)
    }

    @Test func `without the package, the script says how to install it`() throws {
      _ = try beginRun()
      let outcome = try Program.run(
        ["-S", script("dashboard"), scratch.file("run"), "--to", "trackio"], program: Python.path)
      #expect(outcome.status == 1 && outcome.errors.contains("pip install trackio"), "\(outcome.errors)")
    }
  }

  @Suite(.enabled(if: Python.has("resource"), "no python3; name one with TTRL_PYTHON"))
  struct WhatFitsTests {
    /// The first column and the heading of a table.
    private func models(in text: String) -> [Substring] {
      text.split(separator: "\n").filter { $0.hasPrefix("| ") }.enumerated().map { number, line in
        number == 0 ? line : line.split(separator: "|")[0]
      }
    }

    @Test func `the table of README is that of the script`() throws {
      let page = Pages.text(of: "README.md")
      let begin = try #require(page.range(of: "<!-- what-fits: begin -->"))
      let end = try #require(page.range(of: "<!-- what-fits: end -->"))
      let outcome = try Program.run([script("what-fits")], program: Python.path, environment: ["TTRL": Program.path()])
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(models(in: outcome.output).count == 13, "\(outcome.output)")
      // The figures depend on the kind of processor.
      #expect(models(in: outcome.output) == models(in: String(page[begin.upperBound..<end.lowerBound])))
    }
  }
}
