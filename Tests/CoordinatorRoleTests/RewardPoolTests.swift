// The processes of a reward command, with real Python programs that do what programs do: answer, die, hang, flood,
// babble, dawdle and fork.

import Base
import CoordinatorRole
import Foundation
import Platform
import Records
import Testing

@Suite(
  .timeLimit(.minutes(2)),
  .enabled(if: Judge.isPossible, "needs /usr/bin/python3, and ttrl next to the test bundle"))
struct RewardPoolTests {
  /// What came of some requests.
  private struct Outcome {
    var verdicts: [Slot: Verdict] = [:]
    /// How often each slot was judged.
    var counts: [Slot: Int] = [:]
    var failures: [VerdictFault] = []
    var notStarted: String?
    var seconds = 0.0

    subscript(sample: Int) -> Verdict? { verdicts[Judge.slot(sample)] }
  }

  /// Asks about `count` responses, whose texts are their numbers, and waits for all verdicts; with `awaitsFailure` also
  /// for a failure, which can come after them.
  private func ask(
    _ count: Int, _ program: String, processes: Int = 1, patience: Instant.Span = .seconds(20), memoryBytes: Int = 0,
    awaitsFailure: Bool = false
  ) throws -> Outcome {
    let place = try OwnedDirectory.temporary(prefix: "ttrl-rewards")
    defer { try? Files.removeTree(place) }
    try Files.write(Judge.opening + program, to: "\(place)/judge.py")
    let loop = try EventLoop()
    var outcome = Outcome()
    let command = RewardCommand(
      words: [Judge.python, "\(place)/judge.py", place], processes: processes, patience: patience,
      memoryBytes: memoryBytes, directory: "\(place)/pool", launcher: try ThisProcess.sibling("ttrl"))
    let pool = try RewardPool(command, loop: loop) { event in
      switch event {
      case .judged(let verdicts):
        for said in verdicts {
          outcome.verdicts[said.slot] = said.verdict
          outcome.counts[said.slot, default: 0] += 1
        }
      case .failed(let fault, _, _): outcome.failures.append(fault)
      case .notStarted(let what): outcome.notStarted = what
      }
      let isDone = outcome.verdicts.count == count && (!awaitsFailure || !outcome.failures.isEmpty)
      if isDone || outcome.notStarted != nil { loop.stop() }
    }
    let begun = MonotonicClock.now()
    pool.ask((0..<count).map(Judge.request))
    loop.run(until: begun + .seconds(60))
    outcome.seconds = MonotonicClock.now().since(begun).seconds
    #expect(pool.waitingCount == 0 || outcome.notStarted != nil)
    pool.stop()
    loop.run(until: MonotonicClock.now() + .milliseconds(500))
    #expect(outcome.counts.values.allSatisfy { $0 == 1 }, "a response was judged twice")
    return outcome
  }

  /// The rewards of samples that have one.
  private func rewards(_ outcome: Outcome, _ count: Int) -> [Float?] { (0..<count).map { outcome[$0]?.reward } }

  @Test(arguments: [1, 3]) func `every response gets the verdict of its own request`(_ processes: Int) throws {
    let outcome = try ask(500, "for n, say in requests(): say(reward=n)", processes: processes)
    #expect(rewards(outcome, 500) == (0..<500).map { Float($0) } && outcome.failures.isEmpty)
  }

  @Test func `a request has what a judge needs, and a process a directory of its own`() throws {
    let outcome = try ask(
      2,
      """
      import os
      for n, say in requests():
          fine = request["prompt"] == "q" and request["id"] == "0/0/%d" % n and request["label"] is None
          here = os.getcwd()
          open("note", "a").write("x")
          say(reward=1 if fine and here.startswith(sys.argv[1] + "/pool/") and os.environ["TMPDIR"] == here else 0)
      """)
    #expect(rewards(outcome, 2) == [1, 1])
  }

  @Test func `a process that is killed costs the response that it worked on, and no other`() throws {
    let outcome = try ask(
      100,
      """
      import os, signal
      for n, say in requests():
          if n in (7, 50): os.kill(os.getpid(), signal.SIGKILL)
          say(reward=n)
      """)
    for sample in 0..<100 {
      #expect(outcome[sample] == ([7, 50].contains(sample) ? Verdict(.ended) : Verdict(reward: Float(sample))))
    }
    #expect(outcome.failures == [.ended, .ended])
  }

  @Test func `a program that leaves early costs what it did not answer`() throws {
    let outcome = try ask(
      3,
      """
      for n, say in requests():
          if n == 1: sys.exit(0)
          say(reward=n)
      """)
    #expect((0..<3).map { outcome[$0] } == [Verdict(reward: 0), Verdict(.ended), Verdict(reward: 2)])
  }

  @Test func `a program that hangs is late, and the other responses are judged`() throws {
    let outcome = try ask(
      20,
      """
      import time
      for n, say in requests():
          if n == 3: time.sleep(1000)
          say(reward=n)
      """, processes: 2, patience: .seconds(2))
    for sample in 0..<20 {
      #expect(outcome[sample] == (sample == 3 ? Verdict(.late) : Verdict(reward: Float(sample))))
    }
    #expect(outcome.seconds < 15)
  }

  @Test func `a slow program is not late as long as each answer is in time`() throws {
    let outcome = try ask(
      8,
      """
      import time
      for n, say in requests():
          time.sleep(0.5)
          say(reward=n)
      """, patience: .seconds(2))
    #expect(rewards(outcome, 8) == (0..<8).map { Float($0) } && outcome.failures.isEmpty && outcome.seconds >= 4)
  }

  @Test(arguments: [
    // An answer without an end; answers without an end; standard error without an end.
    "while True: sys.stdout.write('x' * 65536)", "while True: say(reward=n)",
    "while True: sys.stderr.write('x' * 65536)",
  ])
  func `a program that floods is ended`(_ flood: String) throws {
    let outcome = try ask(
      4,
      """
      def flood(n, say):
          \(flood)
      for n, say in requests():
          if n == 1: flood(n, say)
          say(reward=n)
      """, awaitsFailure: true)
    #expect(outcome[0] == Verdict(reward: 0) && outcome.failures.contains(.flooded))
    #expect(outcome.verdicts.count == 4 && outcome.seconds < 20)
    // Answers that nothing asked for can be taken for those of the next requests: they have no id.
    #expect(outcome.verdicts.values.allSatisfy { $0.reward != nil || $0.fault == .flooded })
  }

  @Test func `an answer that repeats its id cannot be taken for another's`() throws {
    let outcome = try ask(
      40,
      """
      for n, say in requests():
          for _ in range(2 if n == 20 else 1): say(reward=n, id=request["id"])
      """)
    for sample in 0..<40 {
      let reward = outcome[sample]?.reward
      #expect(reward == nil || reward == Float(sample))
    }
    #expect(outcome.verdicts.values.count { $0.reward == nil } <= 1)
  }

  @Test(arguments: ["hello", "{}", "[1]", #"{"reward": "high"}"#, #"{"reward": 1, "id": "another"}"#, "", "\u{1}\\xff"])
  func `an answer that is none is a fault, and the process is not trusted with more`(_ words: String) throws {
    let outcome = try ask(
      30,
      """
      for n, say in requests():
          if n == 5: print('''\(words)''', flush=True)
          else: say(reward=n)
      """)
    for sample in 0..<30 {
      #expect(outcome[sample] == (sample == 5 ? Verdict(.garbled) : Verdict(reward: Float(sample))))
    }
  }

  /// 512 processes, not more: the test must not harm the machine if it fails.
  @Test func `a program that starts too many processes is ended, with all of them`() throws {
    let outcome = try ask(
      3,
      """
      import os, time
      for n, say in requests():
          for _ in range(9 if n == 1 else 0): os.fork()
          if n == 1: time.sleep(30)
          say(reward=n)
      """)
    #expect((0..<3).map { outcome[$0] } == [Verdict(reward: 0), Verdict(.crowded), Verdict(reward: 2)])
    #expect(outcome.seconds < 20)
  }

  @Test func `a program that takes too much memory fails by itself`() throws {
    let outcome = try ask(
      3,
      """
      for n, say in requests():
          if n == 1: bytearray(1 << 30)
          say(reward=n)
      """, memoryBytes: 512 << 20)
    #expect((0..<3).map { outcome[$0] } == [Verdict(reward: 0), Verdict(.ended), Verdict(reward: 2)])
  }

  @Test func `requests that are larger than a pipe arrive whole`() throws {
    let outcome = try ask(
      40,
      """
      import time
      time.sleep(0.3)
      for n, say in requests(): say(reward=len(request["padding"]))
      """)
    #expect(rewards(outcome, 40) == (0..<40).map { Float(Judge.padding($0).count) })
  }

  @Test func `a program that cannot be started is said, once`() throws {
    let place = try OwnedDirectory.temporary(prefix: "ttrl-rewards")
    defer { try? Files.removeTree(place) }
    let loop = try EventLoop()
    var said: [String] = []
    let command = RewardCommand(
      words: ["/no/such/program"], processes: 2, patience: .seconds(5), memoryBytes: 0, directory: "\(place)/pool",
      launcher: try ThisProcess.sibling("ttrl"))
    let pool = try RewardPool(command, loop: loop) { event in
      if case .notStarted(let what) = event { said.append(what) }
      loop.stop()
    }
    pool.ask([Judge.request(0)])
    loop.run(until: MonotonicClock.now() + .seconds(20))
    pool.stop()
    #expect(said.count == 1 && said.first?.contains("/no/such/program") == true)
  }

  @Test func `what is not asked yet can be left out`() throws {
    let place = try OwnedDirectory.temporary(prefix: "ttrl-rewards")
    defer { try? Files.removeTree(place) }
    let loop = try EventLoop()
    let command = RewardCommand(
      words: ["/bin/cat"], processes: 1, patience: .seconds(20), memoryBytes: 0, directory: "\(place)/pool",
      launcher: try ThisProcess.sibling("ttrl"))
    let pool = try RewardPool(command, loop: loop) { _ in }
    pool.ask((0..<10).map(Judge.request))
    // A process that has not answered yet has one request.
    pool.drop(.train(step: 0))
    #expect(pool.waitingCount == 1)
    pool.stop()
    loop.run(until: MonotonicClock.now() + .milliseconds(300))
  }
}

/// The judges of these tests.
private enum Judge {
  static let python = "/usr/bin/python3"

  static var isPossible: Bool {
    let files = FileManager.default
    return files.isExecutableFile(atPath: python)
      && (try? ThisProcess.sibling("ttrl")).map { files.isExecutableFile(atPath: $0) } ?? false
  }

  /// Every program begins with this: `requests` gives the number of each response, and a function that answers.
  static let opening = """
    import json, sys
    request = None
    def requests():
        global request
        for line in sys.stdin:
            request = json.loads(line)
            yield int(request["response"]), lambda **verdict: print(json.dumps(verdict), flush=True)

    """

  static func slot(_ sample: Int) -> Slot { Slot(round: .train(step: 0), prompt: 0, sample: UInt32(sample)) }

  /// Some requests are much longer than a pipe.
  static func padding(_ sample: Int) -> String { String(repeating: "é", count: sample % 10 == 9 ? 200_000 : sample) }

  static func request(_ sample: Int) -> RewardRequest {
    let id = "0/0/\(sample)"
    let json: JSON = [
      "id": .string(id), "prompt": "q", "response": .string("\(sample)"), "label": .null,
      "padding": .string(padding(sample)),
    ]
    return RewardRequest(slot: slot(sample), id: id, line: json.bytes() + [10])
  }
}
