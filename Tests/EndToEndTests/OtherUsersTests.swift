// Among other users of the machine: what another user plants is neither followed nor believed, and what this user may
// not read or write is reported as that.
//
// The attacker is a real process of the user nobody. The tests become that user, so they need root.

import Foundation
import Testing

extension EndToEnd {
  @Suite(.enabled(if: OtherUser.isAvailable, "not root, or no setpriv: these tests act as another user"))
  struct OtherUsersTests {
    private let scratch = Scratch()
    /// All users can make files here, as in /tmp.
    private let shared: String
    /// A file of root, with its text as its name, that must stay as it is.
    private let precious: String

    init() throws {
      shared = scratch.file("shared")
      try FileManager.default.createDirectory(atPath: shared, withIntermediateDirectories: false)
      chmod(shared, 0o1777)
      precious = scratch.write("precious", to: "precious")
    }

    // MARK: Planted directories and links

    @Test(.enabled(if: OtherUser.hasPerl, "no perl"))
    func `an evaluation over workers follows no link that another user has planted`() throws {
      // The name that earlier releases used, for every process that can start soon. One process plants them all, so
      // that the numbers do not pass meanwhile.
      try OtherUser.run(
        """
        cd '\(shared)' && perl -e 'for ($$ .. $$ + 2000) {
          mkdir("ttrl-eval-$_") && chmod(0777, "ttrl-eval-$_") && symlink("\(precious)", "ttrl-eval-$_/lock") || die }'
        """)
      func entries() throws -> Set<String> { Set(try FileManager.default.subpathsOfDirectory(atPath: shared)) }
      let planted = try entries()
      let outcome = try Program.run(
        [
          "eval", "--model", "builtin", "--data", "builtin:held-out", "--samples", "1", "--counts", "1", "--workers",
          "1",
        ], environment: ["TMPDIR": shared])
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(textOfFile(precious) == "precious")
      // Its own directory is gone, and the others have only what was planted.
      #expect(try entries() == planted)
    }

    @Test(arguments: ["lock", "lock.supervisor", "cluster.key"])
    func `a run in another user's directory is refused, and nothing is written there`(_ name: String) throws {
      let run = shared + "/run"
      try OtherUser.run("mkdir -m 755 '\(run)' && ln -s '\(precious)' '\(run)/\(name)'")
      for command in [["train"], ["train", "--dry-run"], ["coordinator", "--listen", "127.0.0.1:0"]] {
        let outcome = try Program.run(command + ["--run", run] + SmallRun.settings, within: 20)
        #expect(outcome.status == 2, "\(command): \(outcome.errors)")
        for word in [run, "it belongs to nobody (mode 0755)", "runs as root", "Run ttrl as nobody"] {
          #expect(outcome.errors.contains(word), "\(word) is missing in \(outcome.errors)")
        }
      }
      #expect(textOfFile(precious) == "precious")
      #expect(try FileManager.default.contentsOfDirectory(atPath: run) == [name])
    }

    @Test func `a run that others could have changed is not continued`() throws {
      let run = shared + "/run"
      try copyUnfinished(to: run)
      chmod(run, 0o775)
      let refused = try Program.run(["train", "--run", run, "--dry-run"])
      #expect(refused.status == 2 && refused.errors.contains("chmod go-w \(run)"), "\(refused.errors)")
      chmod(run, 0o755)
      let mended = try Program.run(["train", "--run", run, "--dry-run"])
      #expect(mended.status == 0 && mended.errors.contains("continuing the run"), "\(mended.errors)")
    }

    @Test func `a run below a link of one's own begins, and a finished run of another user is only shown`() throws {
      try FileManager.default.createDirectory(atPath: scratch.file("disk"), withIntermediateDirectories: false)
      #expect(symlink(scratch.file("disk"), scratch.file("runs")) == 0)
      let begun = try Program.run(["train", "--dry-run", "--run", scratch.file("runs/x")] + SmallRun.settings)
      #expect(begun.status == 0, "\(begun.errors)")
      let finished = scratch.file("finished")
      try #require(SmallRun.undisturbed != nil)
      try FileManager.default.copyItem(atPath: SmallRun.undisturbedDirectory, toPath: finished)
      #expect(chown(finished, OtherUser.id, OtherUser.id) == 0)
      let shown = try Program.run(["train", "--run", finished])
      #expect(shown.status == 0 && shown.errors.contains("is finished; its results"), "\(shown.errors)")
      let report = try Program.run(["report", finished])
      #expect(report.status == 1 && report.errors.contains("it belongs to nobody"), "\(report.errors)")
    }

    @Test(.enabled(if: OtherUser.hasFlock, "no flock"))
    func `stop ends no process that another user names`() throws {
      let run = shared + "/run"
      let victim = try Running(["60"], program: "/usr/bin/sleep")
      try OtherUser.run("mkdir '\(run)' && echo '{}' > '\(run)/settings.json' && echo \(victim.id) > '\(run)/lock'")
      let holder = try OtherUser.start("exec /usr/bin/flock '\(run)/lock' sleep 60")
      let isHeld = eventually {
        (try? Program.run(["-n", run + "/lock", "true"], program: "/usr/bin/flock").status) == 1
      }
      #expect(isHeld)
      let outcome = try Program.run(["stop", "--run", run], within: 30)
      #expect(outcome.status == 1 && outcome.errors.contains("it belongs to nobody"), "\(outcome.errors)")
      #expect(victim.isRunning)
      for process in [victim, holder] { process.signal(SIGKILL) }
    }

    // MARK: The cache

    @Test func `a planted cache is refused, and a changed file in one's own is replaced`() throws {
      let cache = scratch.file("cache")
      func questions() throws -> Program.Outcome {
        try Program.run(["convert", "--data", "builtin:questions"], environment: ["XDG_CACHE_HOME": cache])
      }
      func tokens() throws -> Program.Outcome {
        try Program.run(
          ["tokenize", "--model", "builtin"], input: Data("{\"text\": \"1 + 2 =\"}\n".utf8),
          environment: ["XDG_CACHE_HOME": cache])
      }
      let (genuine, genuineTokens) = (try questions(), try tokens())
      #expect(genuine.status == 0 && genuineTokens.status == 0, "\(genuineTokens.errors)")
      let model = try #require(try FileManager.default.contentsOfDirectory(atPath: cache + "/ttrl").first)
      let directory = "\(cache)/ttrl/\(model)"
      try "{\"prompt\": \"planted\"}\n".write(
        toFile: directory + "/questions.jsonl", atomically: true, encoding: .utf8)
      let tokenizer = textOfFile(directory + "/tokenizer.json")
      try "{}".write(toFile: directory + "/tokenizer.json", atomically: true, encoding: .utf8)
      #expect(try questions().output == genuine.output)
      #expect(try tokens().output == genuineTokens.output && textOfFile(directory + "/tokenizer.json") == tokenizer)
      // The same, with right content, but another user can still change it.
      #expect(chown(cache + "/ttrl", OtherUser.id, OtherUser.id) == 0)
      let refused = try tokens()
      #expect(refused.status == 1 && refused.output.isEmpty, "\(refused.output)")
      #expect(refused.errors.contains("it belongs to nobody") && refused.errors.contains("XDG_CACHE_HOME"))
    }

    @Test(.enabled(if: OtherUser.canRunTtrl, "nobody cannot run ttrl here: its libraries are not readable"))
    func `without a home nothing is unpacked where other users can write`() throws {
      let outcome = try OtherUser.ttrl("env -u HOME -u XDG_CACHE_HOME TMPDIR='\(shared)'", "tokenize --model builtin")
      #expect(outcome.status == 1 && outcome.output.isEmpty, "\(outcome.output)")
      #expect(outcome.errors.contains("there is no directory for unpacked models"), "\(outcome.errors)")
      #expect(outcome.errors.contains("Set XDG_CACHE_HOME to a directory of your own"), "\(outcome.errors)")
      #expect(try FileManager.default.contentsOfDirectory(atPath: shared).isEmpty)
      let own = "XDG_CACHE_HOME='\(shared)/own'"
      let unpacked = try OtherUser.ttrl("env \(own)", "convert --data builtin:held-out")
      #expect(unpacked.status == 0 && unpacked.output.contains("prompt"), "\(unpacked.errors)")
    }

    // MARK: What this user may not do

    @Test(.enabled(if: OtherUser.canRunTtrl, "nobody cannot run ttrl here: its libraries are not readable"))
    func `an unwritable run directory is reported with the other settings, before anything starts`() throws {
      let place = scratch.file("of-root")
      try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: false)
      chmod(place, 0o755)
      let outcome = try OtherUser.ttrl(
        "env XDG_CACHE_HOME='\(shared)'", "train --dry-run --run '\(place)/run' --votes 1 --train-samples 1")
      #expect(outcome.status == 2 && outcome.errors.contains("2 problems with the settings"), "\(outcome.errors)")
      for word in ["a majority needs at least 2", "nobody may not write to \(place) (owner root, mode 0755)"] {
        #expect(outcome.errors.contains(word), "\(outcome.errors)")
      }
      let train = try OtherUser.ttrl(
        "env XDG_CACHE_HOME='\(shared)'", "train --run '\(place)' " + SmallRun.settings.joined(separator: " "))
      #expect(train.status == 2 && train.errors.contains("it belongs to root (mode 0755)"), "\(train.errors)")
    }

    @Test(.enabled(if: OtherUser.canRunTtrl, "nobody cannot run ttrl here: its libraries are not readable"))
    func `what may not be read is not reported as missing`() throws {
      try #require(SmallRun.undisturbed != nil)
      let run = scratch.file("run")
      try FileManager.default.copyItem(atPath: SmallRun.undisturbedDirectory, toPath: run)
      let data = scratch.write("{\"prompt\": \"1?\"}\n", to: "data.jsonl")
      let model = scratch.file("model")
      try FileManager.default.createDirectory(atPath: model, withIntermediateDirectories: false)
      for path in [run, model] { chmod(path, 0o700) }
      chmod(data, 0o600)
      for (words, expected) in [
        ("status --run '\(run)'", "nobody may not enter \(run) (owner root, mode 0700)"),
        ("page --run '\(run)'", "nobody may not enter \(run)"),
        ("stop --run '\(run)'", "nobody may not enter \(run)"),
        ("explain '\(run)' --prompt 0", "nobody may not enter \(run)"),
        ("train --dry-run --run '\(run)'", "nobody may not enter \(run)"),
        ("convert --data '\(data)'", "nobody may not read \(data) (owner root, mode 0600)"),
        ("tokenize --model '\(model)'", "nobody may not enter \(model)"),
      ] {
        let outcome = try OtherUser.ttrl("env XDG_CACHE_HOME='\(shared)'", words)
        #expect(outcome.status != 0 && outcome.errors.contains(expected), "\(words): \(outcome.errors)")
        for wrong in ["is not a run", "there is no", "may write", "not a model"] {
          #expect(!outcome.errors.contains(wrong), "\(words): \(outcome.errors)")
        }
      }
      // The directory may be entered, the ledger may not be read.
      chmod(run, 0o755)
      chmod(run + "/ledger.sqlite", 0o600)
      for words in ["status --watch --run '\(run)'", "explain '\(run)' --prompt 0"] {
        let outcome = try OtherUser.ttrl("env XDG_CACHE_HOME='\(shared)'", words)
        #expect(outcome.status == 1 && outcome.errors.contains("ledger.sqlite: permission denied"), "\(outcome.errors)")
      }
    }

    // MARK: Material

    /// A run as it is before its end.
    private func copyUnfinished(to path: String) throws {
      try #require(SmallRun.undisturbed != nil)
      try FileManager.default.copyItem(atPath: SmallRun.undisturbedDirectory, toPath: path)
      try FileManager.default.removeItem(atPath: path + "/summary.json")
    }
  }
}

/// The user nobody, as whom the tests run shell commands.
private enum OtherUser {
  static let id: uid_t = 65534
  private static let setpriv = "/usr/bin/setpriv"
  static let isAvailable =
    geteuid() == 0 && (try? Program.run(words("test $(id -un) = nobody"), program: setpriv))?.status == 0
  static let hasPerl = FileManager.default.isExecutableFile(atPath: "/usr/bin/perl")
  static let hasFlock = FileManager.default.isExecutableFile(atPath: "/usr/bin/flock")

  private static func words(_ command: String) -> [String] {
    ["--reuid=\(id)", "--regid=\(id)", "--clear-groups", "/bin/sh", "-c", command]
  }

  /// Runs a command, which must succeed.
  static func run(_ command: String) throws {
    let outcome = try Program.run(words(command), program: setpriv)
    try #require(outcome.status == 0, "\(outcome.errors)")
  }

  static func start(_ command: String) throws -> Running { try Running(words(command), program: setpriv) }

  /// A copy of the program that every user can run: the build directory can be in a home directory.
  private static let program: String = {
    let copy = Scratch.shared.file("ttrl-for-all")
    try? FileManager.default.copyItem(atPath: Program.path(), toPath: copy)
    chmod(copy, 0o755)
    chmod(Scratch.shared.path, 0o755)
    return copy
  }()

  /// - Parameters:
  ///   - prefix: an `env` command.
  ///   - arguments: as a shell reads them.
  static func ttrl(_ prefix: String, _ arguments: String) throws -> Program.Outcome {
    try Program.run(
      words("\(prefix) '\(program)' \(arguments)"), program: setpriv, input: Data("{\"text\": \"1\"}\n".utf8),
      within: 30)
  }

  static let canRunTtrl = isAvailable && (try? ttrl("env", "--version"))?.status == 0
}
