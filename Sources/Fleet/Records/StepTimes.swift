// StepTimes: where a step's wall time went.
//
// At every moment of a step the run is in one part of it: workers sample, the learner computes gradients, a version is
// published. So the parts add up to the step's time. The coordinator finds the parts up to the batch, and the end
// (Fleet's StepWatch). The learner's rank 0 measures the parts in between. In addition, each process has its own times;
// what is missing there to the step's time, the process waited.
// Times are observations. They are recorded and shown, and nothing else may depend on them.

package import Base

extension FigureName {
  /// The parts of a step, in their order. docs/metrics.md says where each begins and ends.
  package static let parts: [FigureName] = [
    .evaluationSeconds, .workersSeconds, .packageSeconds, .fetchSeconds, .installSeconds, .samplingSeconds,
    .lastSampleSeconds, .batchSeconds, .voteSeconds, .forwardSeconds, .backwardSeconds, .sumsSeconds, .optimizerSeconds,
    .packingSeconds, .checkpointSeconds, .publishSeconds,
  ]

  /// The parts that a learner rank measures.
  package static let rankParts: [FigureName] = [
    .voteSeconds, .forwardSeconds, .backwardSeconds, .sumsSeconds, .optimizerSeconds, .packingSeconds,
    .checkpointSeconds, .publishSeconds,
  ]

  private static let timeSuffix = "_seconds"

  /// Whether it is a time. Equal runs have different times.
  package var isTime: Bool { rawValue.hasSuffix(Self.timeSuffix) }

  /// A part's name for people: "last sample".
  package var partName: String {
    String(rawValue.dropLast(isTime ? Self.timeSuffix.count : 0).map { $0 == "_" ? " " : $0 })
  }
}

extension FigureValues {
  /// The largest part; nil if none is known to have any time.
  package var largestPart: (part: FigureName, seconds: Double)? {
    let known = FigureName.parts.compactMap { part in self[part].map { (part: part, seconds: $0) } }
    // The first of equal parts.
    guard let largest = known.max(by: { $0.seconds < $1.seconds }), largest.seconds > 0 else { return nil }
    return largest
  }
}

/// What one process did during a step.
package struct ProcessTimes: Sendable, Equatable {
  /// "rank 0", or a worker's name.
  package var process: String
  /// Only parts.
  package var seconds: FigureValues

  package init(process: String, seconds: FigureValues) {
    self.process = process
    self.seconds = seconds
  }
}

/// A process's clock: it is in one part at a time, and adds up the time of each.
package struct PartClock: Sendable {
  private var part: FigureName
  private var since: Instant
  private var spans: [FigureName: Instant.Span] = [:]

  package init(in part: FigureName, at now: Instant) {
    self.part = part
    since = now
  }

  /// The current part ends, and another one begins.
  package mutating func begin(_ next: FigureName, at now: Instant) {
    spans[part] = self[part] + now.since(since)
    (part, since) = (next, now)
  }

  /// The time of a part, without the one that has not ended.
  package subscript(part: FigureName) -> Instant.Span { spans[part] ?? .zero }
}
