// `ttrl attend`, the remote side of a launch, used directly: it runs a command only as long as it gets beats.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct ReachTests {
    /// Runs `ttrl attend`; a shell script writes its standard input.
    private func attend(_ command: String, input: String, within seconds: Double = 30) throws -> Program.Outcome {
      let attend = "'\(Program.path())' attend '\(command.replacing("'", with: #"'\''"#))'"
      return try Program.run(["-c", "( \(input) ) | \(attend)"], program: "/bin/sh", within: seconds)
    }

    @Test func `a command's output and status are passed on`() throws {
      let outcome = try attend("echo out; echo err >&2; exit 7", input: #"printf "ttrl-attend 1 0\n"; sleep 2"#)
      #expect(outcome.status == 7 && outcome.output == "out\n" && outcome.errors.contains("err\n"), "\(outcome)")
      #expect(outcome.errors.contains("ttrl attend: started on "))
    }

    @Test func `the key is in a private file while the command runs, and gone afterwards`() throws {
      let outcome = try attend(
        #"stat -c %a "$TTRL_FILES/cluster.key" "$TTRL_FILES"; cat "$TTRL_FILES/cluster.key"; echo " $TTRL_FILES""#,
        input: #"printf "ttrl-attend 1 6\nsec"; sleep 0.3; printf ret; sleep 2"#)
      #expect(outcome.status == 0 && outcome.output.hasPrefix("600\n700\nsecret /"), "\(outcome)")
      let directory = try #require(outcome.output.split(whereSeparator: \.isWhitespace).last)
      #expect(!FileManager.default.fileExists(atPath: String(directory)))
    }

    @Test func `a key that is sent later takes the place of the first one, also in pieces and between beats`() throws {
      let outcome = try attend(
        #"sleep 1.5; stat -c %a "$TTRL_FILES/cluster.key"; cat "$TTRL_FILES/cluster.key"; ls "$TTRL_FILES""#,
        input: #"""
          printf "ttrl-attend 1 6\nsecret..."; sleep 0.3; printf ".K7\nchan"; sleep 0.3; printf "ged.."; sleep 3
          """#)
      #expect(outcome.status == 0 && outcome.output == "600\nchangedcluster.key\n", "\(outcome)")
    }

    @Test func `a command ends with the connection, also if it ignores SIGTERM`() throws {
      let scratch = Scratch()
      let stubborn = "trap \"\" TERM; echo $$ > \(scratch.file("pid")); while :; do sleep 0.1; done"
      let outcome = try attend(stubborn, input: #"printf "ttrl-attend 1 0\n"; sleep 1"#)
      // The command runs for one second, and the grace is three seconds.
      #expect(outcome.status == 128 + SIGKILL && outcome.seconds > 3 && outcome.seconds < 20, "\(outcome)")
      let id = try #require(Int32(scratch.read("pid").trimmingCharacters(in: .whitespacesAndNewlines)))
      #expect(!ProcessTable.isAlive(id))
    }

    @Test func `a command ends when the beats stop while the connection stays open`() throws {
      let outcome = try attend("exec sleep 100", input: #"printf "ttrl-attend 1 0\n"; sleep 25"#, within: 60)
      // The shell waits for the process that writes to the pipe. The command must end after 15 s without a beat.
      #expect(outcome.status == 128 + SIGTERM, "\(outcome)")
    }

    @Test func `the greeting of another version is refused with a text that says so`() throws {
      let outcome = try attend("echo no", input: #"printf "ttrl-attend 9 0\n"; sleep 1"#)
      #expect(outcome.status == 2 && outcome.output.isEmpty && outcome.errors.contains("another version"), "\(outcome)")
    }
  }
}
