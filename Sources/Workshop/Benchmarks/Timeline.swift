// Timeline: what a learner rank does at each moment, and which buckets are being sent, in the format of Chrome's trace
// events. Perfetto and the tracing pages of browsers show it.

import Base
import Ceilings
import Collectives
import LanguageModel
import Platform
import Tensors

/// Spans of one rank. Not `Sendable`.
final class Timeline {
  /// The lines of the picture.
  enum Track: Int {
    case work, buckets
  }

  private let start = MonotonicClock.now()
  private var events: [JSON] = []

  private func microseconds(_ instant: Instant) -> JSON { .double(instant.since(start).seconds * 1e6) }

  func add(_ name: String, _ track: Track, from begun: Instant, to end: Instant) {
    events.append([
      "name": .string(name), "ph": "X", "ts": microseconds(begun), "dur": .double(end.since(begun).seconds * 1e6),
      "pid": 0, "tid": .int(track.rawValue),
    ])
  }

  /// Buckets overlap, so each has a line of its own.
  func add(bucket number: Int, _ content: String, from begun: Instant, to end: Instant) {
    for (phase, instant) in [("b", begun), ("e", end)] {
      events.append([
        "name": .string("bucket \(number) of \(content)"), "cat": "bucket", "ph": .string(phase), "id": .int(number),
        "ts": microseconds(instant), "pid": 0, "tid": .int(Track.buckets.rawValue),
      ])
    }
  }

  var text: String { JSON.object([JSON.Member("traceEvents", .array(events))]).text() }
}

/// How the time of an update was spent, in seconds.
struct UpdateTimes {
  /// Waiting for sums when there was nothing else to do.
  var waiting = 0.0
  /// Waiting for all weights, and small sums.
  var gathering = 0.0
  /// How many buckets had arrived before the end of the backward pass.
  var bucketsHidden = 0
  var buckets = 0
}

/// The ranks' exchange on a clock.
final class TimedExchange: Collectives {
  private let ranks: MPICollectives
  private var timeline: Timeline?
  private var last = MonotonicClock.now()
  private var departures: [Int: Instant] = [:]
  private var isWaiting = false
  private var isGathering = false
  private(set) var times = UpdateTimes()

  init(_ ranks: MPICollectives) { self.ranks = ranks }

  /// An update begins. Its spans are added to the timeline, if there is one.
  func begin(_ timeline: Timeline?) {
    self.timeline = timeline
    times = UpdateTimes()
    last = MonotonicClock.now()
    ranks.observeBuckets { [unowned self] in observe($0, hasArrived: $1) }
  }

  /// The update is over.
  func end() {
    mark("weights packed")
    ranks.observeBuckets(nil)
    timeline = nil
  }

  private func observe(_ number: Int, hasArrived: Bool) {
    let now = MonotonicClock.now()
    guard hasArrived else { return departures[number] = now }
    if !isGathering { times.buckets += 1 }
    if !isWaiting, !isGathering { times.bucketsHidden += 1 }
    timeline?.add(
      bucket: number, isGathering ? "weights" : "sums", from: departures.removeValue(forKey: number) ?? now, to: now)
  }

  /// Adds a span with this name, from the last mark to now.
  private func mark(_ name: String) {
    let now = MonotonicClock.now()
    timeline?.add(name, .work, from: last, to: now)
    last = now
  }

  private func timed(_ name: String, _ sum: WritableKeyPath<UpdateTimes, Double>, _ work: () throws -> Void) rethrows {
    mark("optimizer")
    times[keyPath: sum] += try elapsed(work)
    mark(name)
  }

  var rank: Int { ranks.rank }
  var size: Int { ranks.size }

  func sum(_ values: UnsafeMutableBufferPointer<Int64>) throws {
    try timed("small sums", \.gathering) { try ranks.sum(values) }
  }

  func max(_ values: [Double]) throws -> [Double] {
    var found = values
    try timed("small sums", \.gathering) { found = try ranks.max(values) }
    return found
  }

  func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Int64>, slices: [Range<Int>]) throws {
    try ranks.beginReduceScatter(values, slices: slices)
  }

  func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Float>, slices: [Range<Int>]) throws {
    try ranks.beginReduceScatter(values, slices: slices)
  }

  func beginExchange(
    _ values: UnsafeMutableBufferPointer<Float>, outgoing: [Range<Int>], incoming: [Int],
    land: @escaping ([UnsafeBufferPointer<Float>]) -> Void
  ) throws { try ranks.beginExchange(values, outgoing: outgoing, incoming: incoming, land: land) }

  func advanceBuckets(until isDone: () -> Bool) throws {
    mark("forward, or backward")
    isWaiting = true
    try timed("waiting for sums", \.waiting) { try ranks.advanceBuckets(until: isDone) }
    isWaiting = false
  }

  func advanceBuckets() throws {
    mark("backward")
    try ranks.advanceBuckets()
    mark("buckets moved")
  }

  func beginAllGather(_ bytes: UnsafeMutableRawBufferPointer, slices: [Range<Int>]) throws {
    isGathering = true
    try ranks.beginAllGather(bytes, slices: slices)
  }

  func finishBuckets() throws {
    mark(isGathering ? "optimizer" : "forward, or backward")
    isWaiting = true
    let (name, sum) = isGathering ? ("weights gathered", \UpdateTimes.gathering) : ("waiting for sums", \.waiting)
    try timed(name, sum) { try ranks.finishBuckets() }
    (isWaiting, isGathering) = (false, false)
  }
  func sendToAll(_ bytes: [UInt8]) throws { try ranks.sendToAll(bytes) }
  func receiveFromRoot() throws -> [UInt8] { try ranks.receiveFromRoot() }
  func copyFromRoot(_ bytes: UnsafeMutableRawBufferPointer) throws { try ranks.copyFromRoot(bytes) }

  func gatherToRoot(_ bytes: UnsafeMutableRawBufferPointer, slices: [Range<Int>]) throws {
    try ranks.gatherToRoot(bytes, slices: slices)
  }
}
