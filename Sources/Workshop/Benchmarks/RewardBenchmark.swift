// RewardBenchmark: how fast a reward command judges, compared with the same program at the end of a plain pipe.
//
// The program is a few lines of Python: it reads a request, computes a number, and answers. `cat FILE | PROGRAM` is the
// limit: nothing waits for an answer there, and nothing reads it. Both times include the start of Python.

import Base
import Ceilings
import CoordinatorRole
import Platform
import Records

package enum RewardBenchmarkError: Error, CustomStringConvertible {
  case failed(String)

  package var description: String {
    switch self {
    case .failed(let what): "the benchmark of reward commands did not end: \(what)"
    }
  }
}

/// Judges responses with one process, and feeds the same requests to the program through a pipe.
///
/// - Parameters:
///   - responses: how many.
///   - runs: timed runs of each, in turns.
/// - Returns: the median rates; the ceiling is the pipe's.
/// - Throws: if Python or `ttrl` is not there, or a verdict is missing.
package func benchmarkRewards(responses: Int, runs: Int) throws -> BenchmarkResult {
  let place = try OwnedDirectory.temporary(prefix: "ttrl-rewards")
  defer { try? Files.removeTree(place) }
  let program = "\(place)/judge.py"
  try Files.write(judge, to: program)
  let requests = (0..<responses).map(request)
  try Files.write(requests.flatMap(\.line), to: "\(place)/requests")
  let words = [try ChildProcess.locate("python3"), program]
  var (pooled, piped): ([Double], [Double]) = ([], [])
  for _ in 0..<runs {
    pooled.append(try elapsed { try judge(requests, words, in: place) })
    piped.append(try elapsed { try pipe(words, "\(place)/requests") })
  }
  return BenchmarkResult(
    name: "rewards", value: Double(responses) / median(pooled), unit: "responses/s",
    ceiling: Double(responses) / median(piped), peakBytes: Machine.peakResidentBytes,
    conditions: [.init("responses", .int(responses)), .init("runs", .int(runs))],
    parts: [], times: pooled, limits: [("pipe_seconds", median(piped))], hash: "")
}

private let judge = """
  from json import dumps, loads
  from sys import stdin
  for line in stdin:
      request = loads(line)
      print(dumps({"reward": len(request["response"]) % 7}), flush=True)

  """

private func request(_ number: Int) -> RewardRequest {
  let slot = Slot(round: .train(step: 0), prompt: UInt32(number / 64), sample: UInt32(number % 64))
  let response = String(repeating: "The number is even, so half of it is a whole number. ", count: 8 + number % 8)
  let json: JSON = [
    "id": .string("\(number)"), "step": 0, "prompt_id": .string("\(number / 64)"), "sample": .int(number % 64),
    "prompt": "What is 6 times 7?", "response": .string(response), "answer": "q:42", "label": "q:42",
  ]
  return RewardRequest(slot: slot, id: "\(number)", line: json.bytes() + [10])
}

private func judge(_ requests: [RewardRequest], _ words: [String], in place: String) throws {
  let loop = try EventLoop()
  var (count, failure): (Int, String?) = (0, nil)
  let command = RewardCommand(
    words: words, processes: 1, patience: .seconds(60), memoryBytes: 0, directory: "\(place)/work",
    launcher: try ThisProcess.sibling("ttrl"))
  let pool = try RewardPool(command, loop: loop) { event in
    switch event {
    case .judged(let verdicts): count += verdicts.count
    case .failed(_, _, let what): failure = what
    case .notStarted(let what): failure = what
    }
    if count == requests.count || failure != nil { loop.stop() }
  }
  pool.ask(requests)
  loop.run(until: MonotonicClock.now() + .seconds(600))
  pool.stop()
  loop.run(until: MonotonicClock.now() + .milliseconds(1))
  if let failure { throw RewardBenchmarkError.failed(failure) }
  guard count == requests.count else { throw RewardBenchmarkError.failed("\(count) of \(requests.count) verdicts") }
}

private func pipe(_ words: [String], _ requests: String) throws {
  let loop = try EventLoop()
  var command = ChildProcess.Command(
    "sh", ["-c", #"f=$1; shift; cat "$f" | "$@" | cat > /dev/null"#, "sh", requests] + words)
  command.output = .discarded
  var status: ChildProcess.ExitStatus?
  let child = try ChildProcess(command, loop: loop) {
    status = $0
    loop.stop()
  }
  loop.run(until: MonotonicClock.now() + .seconds(600))
  guard status == .exited(0) else {
    child.signal(Signal.kill)
    throw RewardBenchmarkError.failed("the pipe \(status.map { "\($0)" } ?? "takes more than 600 s")")
  }
}
