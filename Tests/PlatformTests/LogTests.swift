// The form of a log line, the text of the wall clock, and the facts about the machine.

import Platform
import Testing

@Suite struct LogTests {
  @Test func `a line is one event with keys and values in the given order`() {
    let line = Log.line(at: "T", .info, role: "worker", "lease.granted", ["prompt": 17, "samples": 8])
    #expect(line == "time=T level=info role=worker event=lease.granted prompt=17 samples=8\n")
  }

  @Test(arguments: [
    ("", "\"\""), ("a b", "\"a b\""), ("a=b", "\"a=b\""), ("say \"no\"\n", "\"say \\\"no\\\"\\n\""),
    ("\u{1B}[2J", "\"\\u{1b}[2J\""), ("é", "é"),
  ])
  func `a value cannot break its line or forge another key`(value: String, written: String) {
    let line = Log.line(at: "T", .error, role: "", "e", ["k": value])
    #expect(line == "time=T level=error event=e k=\(written)\n")
  }

  @Test(arguments: [(0, "1970-01-01T00:00:00.000Z"), (1_709_210_096.789, "2024-02-29T12:34:56.789Z")])
  func `wall clock text is ISO 8601 in UTC`(seconds: Double, text: String) {
    #expect(WallClock.text(of: seconds) == text)
  }

  @Test func `the machine's facts are plausible`() {
    #expect((1...4096).contains(Machine.coreCount))
    #expect(Machine.memoryBytes > 64 << 20)
    #expect(!Machine.hostName.isEmpty)
    #expect(["sse2", "avx2", "avx512", "avx512_bf16", "amx_bf16", "other"].contains(Machine.instructionSet))
  }
}
