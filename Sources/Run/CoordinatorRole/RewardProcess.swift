// RewardProcess: one process of a reward command: its requests, its answers, and what goes wrong with it.
//
// It gets one JSON object per line and answers with one per line, in the same order. Several requests are on their way
// at a time, so that it does not wait for this process; how many depends on how fast it answers. The first request
// without an answer is the one that it works on: that one is blamed if the process ends, is late, or answers with
// anything else. The others are asked again, of a new process. After a fault the process is ended, because it is not
// known any more which request its next line answers.
//
// Not here: which process gets which request (RewardPool), what bounds a process (Platform's Confinement).

import Base
import Platform
package import Records

/// One response that the program is asked about.
package struct RewardRequest: Sendable {
  package var slot: Slot
  /// In the request; an answer may repeat it.
  package var id: String
  /// A JSON object, with the end of the line.
  package var line: [UInt8]

  package init(slot: Slot, id: String, line: [UInt8]) {
    self.slot = slot
    self.id = id
    self.line = line
  }
}

final class RewardProcess {
  /// What a process tells its pool, each on a turn of the loop.
  enum Event {
    case answered([SlotVerdict])
    /// It is not usable until `ended`. These requests are not answered.
    case failed(VerdictFault, first: RewardRequest?, others: [RewardRequest], what: String)
    /// It could not be started at all.
    case notStarted(String)
    case ended
  }

  private let command: RewardCommand
  /// The directory of its newest start, and the beginning of its name. Each start has its own: what a program leaves
  /// behind can be impossible to remove.
  private var directory = ""
  private let place: String
  private var starts = 0
  private let loop: EventLoop
  private let report: (Event) -> Void
  private var child: ChildProcess?
  /// Requests without an answer, in order, from `next` on.
  private var asked: [RewardRequest] = []
  private var next = 0
  private var bytesAsked = 0
  /// What it has written of its next answer, and to standard error: the end of it, and how much since its last answer.
  private var line: [UInt8] = []
  private var errors: [UInt8] = []
  private var errorBytes = 0
  /// Since when it works on the first request.
  private var since = Instant.zero
  /// Its mean time per answer; nil before the first.
  private var pace: Instant.Span?
  private var watch: EventLoop.TimerID?
  /// Whether it was told to end, or is not to be used any more.
  private var isEnding = false
  private var hasAnswered = false

  init(
    _ command: RewardCommand, place: String, loop: EventLoop, report: @escaping (Event) -> Void
  ) {
    self.command = command
    self.place = place
    self.loop = loop
    self.report = report
  }

  // MARK: Requests

  var askedCount: Int { asked.count - next }

  /// How long it has worked on its first request.
  func busy(at now: Instant) -> Instant.Span { askedCount > 0 ? now.since(since) : .zero }

  /// How many more requests it should have. It is asked again when half of them are answered, so that one write carries
  /// many.
  var room: Int {
    guard !isEnding, bytesAsked < RewardLimits.bytesAhead else { return 0 }
    let depth = depth
    return askedCount <= depth / 2 ? depth - askedCount : 0
  }

  private var depth: Int {
    guard let pace else { return 1 }
    return min(max(1, Int(RewardLimits.ahead.nanoseconds / max(pace.nanoseconds, 1))), RewardLimits.requestsAhead)
  }

  /// - Throws: if no process can be started.
  func ask(_ requests: ArraySlice<RewardRequest>) throws(PlatformError) {
    guard !requests.isEmpty else { return }
    if child == nil { child = try start() }
    if askedCount == 0 { beginFirst() }
    asked += requests
    bytesAsked += requests.reduce(0) { $0 + $1.line.count }
    child?.send(Array(requests.map(\.line).joined()))
  }

  private func start() throws(PlatformError) -> ChildProcess {
    starts += 1
    directory = "\(place)-\(starts)"
    try Files.createDirectory(directory)
    var command = Confinement.command(
      self.command.words, self.command.bounds, in: directory, launcher: self.command.launcher)
    command.hasInput = true
    command.output = .pipe { [unowned self] in self.read($0) }
    command.errors = .pipe { [unowned self] in self.readErrors($0) }
    command.ownGroup = true
    (line, errors, errorBytes, pace, isEnding, hasAnswered) = ([], [], 0, nil, false, false)
    return try ChildProcess(command, loop: loop) { [unowned self] in self.end($0) }
  }

  /// Ends the process, if there is one.
  func stop() {
    isEnding = true
    cancelWatch()
    guard let child else { return }
    child.closeInput()
    child.signal(Signal.terminate)
    // Its guard ends everything of the program; only a guard that is stuck does not.
    loop.schedule(at: MonotonicClock.now() + RewardLimits.farewell) { child.signal(Signal.kill) }
  }

  // MARK: Answers

  private func read(_ bytes: [UInt8]) {
    guard !isEnding else { return }
    var verdicts: [SlotVerdict] = []
    defer { if !verdicts.isEmpty { answer(verdicts) } }
    var rest = bytes[...]
    while let end = rest.firstIndex(of: 10) {
      line += rest[..<end]
      rest = rest[(end + 1)...]
      defer { line.removeAll(keepingCapacity: true) }
      guard askedCount > verdicts.count else {
        return fail(.flooded, after: verdicts.count, "it wrote a line without being asked: \(excerpt(line))")
      }
      let request = asked[next + verdicts.count]
      guard line.count <= RewardLimits.answerBytes, let verdict = Verdict(line: line, id: request.id) else {
        return fail(.garbled, after: verdicts.count, "it answered \(excerpt(line))")
      }
      verdicts.append(SlotVerdict(request.slot, verdict))
    }
    line += rest
    if line.count > RewardLimits.answerBytes {
      fail(.flooded, after: verdicts.count, "its answer has more than \(RewardLimits.answerBytes) bytes")
    }
  }

  private func answer(_ verdicts: [SlotVerdict]) {
    take(verdicts.count)
    report(.answered(verdicts))
  }

  /// The first `count` requests are answered.
  private func take(_ count: Int) {
    guard count > 0 else { return }
    let now = MonotonicClock.now()
    let span = Instant.Span(nanoseconds: now.since(since).nanoseconds / UInt64(count))
    pace = pace.map { Instant.Span(nanoseconds: ($0.nanoseconds * 3 + span.nanoseconds) / 4) } ?? span
    (hasAnswered, errorBytes) = (true, 0)
    for request in asked[next..<next + count] { bytesAsked -= request.line.count }
    next += count
    if next > asked.count / 2 {
      asked.removeFirst(next)
      next = 0
    }
    if askedCount > 0 { beginFirst() } else { cancelWatch() }
  }

  private func readErrors(_ bytes: [UInt8]) {
    guard !isEnding else { return }
    errors = Array((errors + bytes).suffix(RewardLimits.errorBytesKept))
    errorBytes += bytes.count
    if errorBytes > RewardLimits.errorBytes {
      fail(.flooded, after: 0, "it wrote more than \(RewardLimits.errorBytes) bytes to standard error")
    }
  }

  private func excerpt(_ bytes: [UInt8]) -> String { "\"\(String(decoding: bytes, as: UTF8.self).excerpt)\"" }

  // MARK: Time

  /// It works on the first request from now on.
  private func beginFirst() {
    since = MonotonicClock.now()
    guard watch == nil else { return }
    watch = loop.schedule(at: since + command.patience) { [unowned self] in self.look() }
  }

  private func cancelWatch() {
    if let watch { loop.cancel(watch) }
    watch = nil
  }

  /// The time for some request is over, perhaps of one that is answered meanwhile.
  private func look() {
    watch = nil
    guard askedCount > 0, !isEnding else { return }
    let due = since + command.patience
    guard MonotonicClock.now() >= due else {
      watch = loop.schedule(at: due) { [unowned self] in self.look() }
      return
    }
    // This process can have been paused: an answer that has arrived is read first.
    let waiting = since
    loop.soon { [unowned self] in
      guard self.since == waiting, self.askedCount > 0, !self.isEnding else { return self.rewatch() }
      self.fail(.late, after: 0, "it has not answered for \(self.command.patience.seconds) s")
    }
  }

  private func rewatch() {
    guard watch == nil, askedCount > 0, !isEnding else { return }
    watch = loop.schedule(at: since + command.patience) { [unowned self] in self.look() }
  }

  // MARK: Faults

  /// Ends the process. The request after the first `count`, which are answered, is the one that it worked on.
  private func fail(_ fault: VerdictFault, after count: Int, _ what: String) {
    let left = Array(asked[min(next + count, asked.count)...])
    asked.removeLast(left.count)
    stop()
    blame(fault, left, what)
  }

  private func blame(_ fault: VerdictFault, _ left: [RewardRequest], _ what: String) {
    bytesAsked = 0
    let said = errors.isEmpty ? "" : "; its standard error ends with \(excerpt(errors))"
    report(.failed(fault, first: left.first, others: Array(left.dropFirst()), what: what + said))
  }

  private func end(_ status: ChildProcess.ExitStatus) {
    child = nil
    if !isEnding {
      isEnding = true
      cancelWatch()
      let left = Array(asked[next...])
      (asked, next) = ([], 0)
      if status == Confinement.notStarted, !hasAnswered {
        report(.notStarted(String(decoding: errors, as: UTF8.self).visible))
      } else if !left.isEmpty || status == Confinement.crowded {
        blame(
          status == Confinement.crowded ? .crowded : .ended, left,
          status == Confinement.crowded
            ? "it had more than \(command.bounds.processes) processes" : "it \(status)")
      }
    }
    try? Files.removeTree(directory)
    (asked, next, bytesAsked, line) = ([], 0, 0, [])
    isEnding = false
    report(.ended)
  }
}
