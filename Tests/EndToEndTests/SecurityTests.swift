// Only processes with the key take part in a run, and attacks without it do not disturb the run.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct SecurityTests {
    private let scratch = Scratch()
    private var directory: String { scratch.file("run") }
    private static let hasAssault = FileManager.default.isExecutableFile(atPath: Program.path("ttrl-dev"))
    private static let openssl = ["/usr/bin/openssl", "/usr/local/bin/openssl"].first {
      FileManager.default.isExecutableFile(atPath: $0)
    }

    @Test(.enabled(if: hasAssault, "no ttrl-dev next to the test bundle; run: swift build -c release"))
    func `a run under attack admits no attacker and ends with the same bits`() throws {
      let run = try SmallRun.start(in: directory)
      let address = try coordinator(of: run)
      let assault = try Program.run(
        [
          "assault", address, "--seconds", "6", "--idle", "300", "--rate", "100", "--key", directory + "/cluster.key",
        ], program: Program.dev)
      // The run can end before the attack, so that the coordinator no longer answers.
      let count = try #require(
        try JSONSerialization.jsonObject(with: Data(assault.output.utf8)) as? [String: Any], "\(assault.output)")
      #expect(count["got_in"] as? Int == 0)
      #expect((count["turned_away"] as? Int ?? 0) > 100, "\(assault.output)")
      let outcome = run.wait()
      #expect(outcome.status == 0 && !outcome.errors.contains("again"), "\(outcome.errors)")
      #expect(try SmallRun.fingerprint(of: directory) == SmallRun.undisturbed)
    }

    @Test(.enabled(if: hasAssault, "no ttrl-dev next to the test bundle; run: swift build -c release"))
    func `a page under attack answers within two seconds, holds little memory, and is free again afterwards`() throws {
      try #require(SmallRun.undisturbed != nil)
      let page = try Running(["page", "--run", SmallRun.undisturbedDirectory])
      defer { page.signal(SIGTERM) }
      try #require(eventually { page.errors.contains("page: http://") || !page.isRunning }, "\(page.errors)")
      let address = try #require(page.errors.firstMatch(of: /page: http:\/\/([0-9.:]+)\//), "\(page.errors)").1
      let assault = try Program.run(
        ["assault", String(address), "--page", "--seconds", "5", "--idle", "300", "--process", "\(page.id)"],
        program: Program.dev)
      #expect(assault.status == 0, "\(assault.output)\(assault.errors)")
      let count = try #require(
        try JSONSerialization.jsonObject(with: Data(assault.output.utf8)) as? [String: Any], "\(assault.output)")
      expectAnswers(count)
      #expect(count["answer_seconds_worst"] as? Double ?? 9 < 2, "\(assault.output)")
      #expect(count["memory_bytes_growth"] as? Int ?? .max < 64 << 20, "\(assault.output)")
    }

    @Test(.enabled(if: hasAssault, "no ttrl-dev next to the test bundle; run: swift build -c release"))
    func `a coordinator under attack admits a process with the key within seconds, and at once afterwards`() throws {
      let run = try Running(["train", "--run", directory] + SmallRun.settings(steps: 1000))
      let address = try coordinator(of: run)
      let assault = try Program.run(
        ["assault", address, "--seconds", "4", "--idle", "300", "--key", directory + "/cluster.key"],
        program: Program.dev)
      #expect(assault.status == 0, "\(assault.output)\(assault.errors)")
      expectAnswers(
        try #require(
          try JSONSerialization.jsonObject(with: Data(assault.output.utf8)) as? [String: Any], "\(assault.output)"))
      run.signal(SIGINT)
      #expect(run.wait().status == 130)
    }

    /// An honest client was answered all the time, and soon afterwards.
    private func expectAnswers(_ count: [String: Any]) {
      #expect(count["answers"] as? Int ?? 0 > 5 && count["unanswered"] as? Int == 0, "\(count)")
      #expect(count["answer_seconds_worst"] as? Double ?? 9 < 5, "\(count)")
      #expect(count["answer_seconds_after"] as? Double ?? 9 < 1, "\(count)")
    }

    @Test func `a run with plain TCP gives the same bits`() throws {
      #expect(try SmallRun.finish(["--key", "none"], in: directory) == SmallRun.undisturbed)
      #expect(!FileManager.default.fileExists(atPath: directory + "/cluster.key"))
    }

    @Test
    func `a worker with another key, without a key, or with a false key gets a remedy and gives up`()
      throws
    {
      let run = try Running(["train", "--run", directory] + SmallRun.settings(steps: 1000))
      let address = try coordinator(of: run)
      let other = scratch.file("other.key")
      #expect(try Program.run(["key", "--key", other]).status == 0)
      let stranger = try Program.run(["worker", "--coordinator", address, "--key", other], within: 10)
      #expect(stranger.status == 2 && stranger.errors.contains("refused our key"), "\(stranger.errors)")
      let plain = try Program.run(["worker", "--coordinator", address, "--key", "none"], within: 10)
      #expect(plain.status == 2 && plain.errors.contains("speaks TLS; give the cluster's key"), "\(plain.errors)")
      let log = textOfFile(directory + "/logs/coordinator.log")
      #expect(
        log.contains("it offered another key (\(id(of: other))) than ours (\(id(of: directory + "/cluster.key")))"))
      if let openssl = Self.openssl {
        let own = ["s_client", "-connect", address, "-tls1_3", "-psk_identity"]
        let name = "ttrl-key-" + id(of: directory + "/cluster.key")
        let forged = try Program.run(own + [name, "-psk", secret(of: other)], program: openssl, within: 10)
        #expect(forged.errors.contains("alert illegal parameter"), "\(forged.errors)")
        let genuine = try Program.run(
          own + [name, "-psk", secret(of: directory + "/cluster.key")], program: openssl, within: 10)
        #expect(genuine.output.contains("Reused, TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256"), "\(genuine.output)")
      }
      run.signal(SIGINT)
      #expect(run.wait().status == 130)
    }

    @Test(.enabled(if: openssl != nil, "no openssl program"))
    func `a coordinator with a certificate in place of the key is refused`()
      throws
    {
      let openssl = try #require(Self.openssl)
      let (certificate, key) = (scratch.file("certificate"), scratch.file("cluster.key"))
      let made = try Program.run(
        [
          "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=coordinator", "-keyout", certificate + ".key",
          "-out", certificate,
        ], program: openssl)
      try #require(made.status == 0, "\(made.errors)")
      #expect(try Program.run(["key", "--key", key]).status == 0)
      let impostor = try Running(
        ["s_server", "-accept", "127.0.0.1:0", "-cert", certificate, "-key", certificate + ".key", "-tls1_3", "-www"],
        program: openssl)
      var port = ""
      try #require(
        eventually {
          port =
            impostor.output.split(separator: "\n").first { $0.hasPrefix("ACCEPT") }?.split(separator: ":").last
            .map(String.init) ?? ""
          return !port.isEmpty
        }, "\(impostor.output)\(impostor.errors)")
      let worker = try Program.run(["worker", "--coordinator", "127.0.0.1:\(port)", "--key", key], within: 10)
      #expect(worker.status == 2 && worker.errors.contains("did not prove that it has the key"), "\(worker.errors)")
      impostor.signal(SIGKILL)
    }

    @Test func `only their owner can read a run and its key, also in a directory that was open to all users`() throws {
      try FileManager.default.createDirectory(
        atPath: directory, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o755])
      let run = try SmallRun.start(in: directory)
      _ = try coordinator(of: run)
      #expect(try mode(of: directory) == 0o700)
      #expect(try mode(of: directory + "/cluster.key") == 0o600)
      run.signal(SIGINT)
      #expect(run.wait().status == 130)
    }

    @Test func `an address beyond this machine needs a key, and the error says how to get one`() throws {
      let key = scratch.file("cluster.key")
      #expect(try Program.run(["key", "--key", key]).status == 0)
      for (arguments, words) in [
        (["train", "--run", directory, "--listen", "0.0.0.0:0"], "give the cluster's key with --key FILE"),
        (["train", "--run", directory, "--listen", ":0", "--key", "none"], "with --key none every machine"),
        (["worker", "--coordinator", "10.0.0.1:7171", "--key", "none"], "with --key none every machine"),
        (["worker", "--coordinator", "127.0.0.1:7171"], "--key FILE is missing"),
        (["worker", "--coordinator", "10.0.0.1:7171", "--key", key + "s"], "cannot read the key"),
      ] {
        let outcome = try Program.run(arguments, within: 10)
        #expect(outcome.status == 2 && outcome.errors.contains(words), "\(arguments): \(outcome.errors)")
      }
      #expect(!FileManager.default.fileExists(atPath: directory))
      chmod(key, 0o644)
      let open = try Program.run(["worker", "--coordinator", "127.0.0.1:7171", "--key", key], within: 10)
      #expect(open.status == 2 && open.errors.contains("chmod 600"), "\(open.errors)")
    }

    @Test func `a key file is made once and never replaced`() throws {
      let key = scratch.file("cluster.key")
      let made = try Program.run(["key", "--key", key, "--json"])
      #expect(made.status == 0 && made.output.contains("\"id\":\"\(id(of: key))\""), "\(made.output)")
      #expect(!(made.output + made.errors).contains(secret(of: key)))
      #expect(try mode(of: key) == 0o600)
      let before = textOfFile(key)
      let again = try Program.run(["key", "--key", key])
      #expect(again.status == 1 && again.errors.contains("a key is never replaced"), "\(again.errors)")
      #expect(textOfFile(key) == before)
    }

    // MARK: Reading keys and addresses

    /// The address of a run's coordinator, once it listens.
    private func coordinator(of run: Running) throws -> String {
      var address = ""
      try #require(
        eventually {
          address = textOfFile(directory + "/coordinator.address").trimmingCharacters(in: .whitespacesAndNewlines)
          return !address.isEmpty || !run.isRunning
        } && !address.isEmpty, "\(run.errors)")
      return address
    }

    private func line(_ name: String, of key: String) -> String {
      textOfFile(key).split(separator: "\n").first { $0.hasPrefix(name + " ") }.map {
        String($0.dropFirst(name.count + 1))
      }
        ?? ""
    }

    private func id(of key: String) -> String { line("id", of: key) }
    private func secret(of key: String) -> String { line("secret", of: key) }

    private func mode(of path: String) throws -> Int {
      try #require(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
    }
  }
}
