// RunDigest: what a watcher remembers of a run's steps, in little memory.
//
// A run of ten thousand steps has a hundred megabytes of records. A watcher keeps columns of numbers instead: a figure
// of a step takes four bytes, a prompt's visit sixteen. So memory grows by about 250 bytes a step and 16 a visit. Every
// answer is made from these columns, thinned out to what a screen can show. The records stay in the ledger, where a
// single step's record is looked up when it is asked for.
// Not here: how records are read (RunReading), how the digest is shown (PageAnswers, LiveView, Prometheus).

package import Base
package import Records

package struct RunDigest: Sendable {
  /// [steps] numbers of the recorded steps, ascending.
  package private(set) var steps: [Int32] = []
  /// [figures][steps], in the order of `StepFigures.all`; not a number where a step does not have it.
  package private(set) var columns = [[Float]](repeating: [], count: StepFigures.all.count)
  /// The votes on each prompt, by prompt.
  package private(set) var prompts = SortedMap<Int, PromptTrack>()
  /// One per policy and set. Only the first and the last of a set keep their single prompts.
  package private(set) var evaluations: [EvaluationRecord] = []
  /// The newest step, without its prompts.
  package private(set) var latest: StepRecord?
  /// The newest alarms, each once, with the first step that has it.
  package private(set) var alarms: [AlarmOnset] = []
  package private(set) var delivered: DeliveredRecord?
  /// Sums over all steps, for counters.
  package private(set) var sampledTokens = 0.0
  package private(set) var trainedTokens = 0.0

  /// Alarms and evaluations that are remembered; the ledger has all.
  static let alarmsMax = 200
  static let evaluationsMax = 2000

  package init() {}

  package var lastStep: Int { steps.last.map(Int.init) ?? -1 }

  /// Adds a record of the ledger. Steps must come in order; a step that is known already is ignored.
  package mutating func add(_ row: JSON) {
    switch row["kind"]?.string {
    case "step": addStep(row)
    case "evaluation": EvaluationRecord(row).map { add($0) }
    case "delivered": delivered = DeliveredRecord(row) ?? delivered
    default: break
    }
  }

  private mutating func addStep(_ row: JSON) {
    guard let record = StepRecord(row), record.step > lastStep else { return }
    steps.append(Int32(clamping: record.step))
    for (place, figure) in StepFigures.all.enumerated() {
      columns[place].append(record[figure.figure].map { Float($0) } ?? .nan)
    }
    for prompt in row["prompts"]?.elements ?? [] { addVisit(prompt, step: record.step) }
    let wereOn = latest?.alarms.map(\.name) ?? []
    alarms += record.alarms.filter { !wereOn.contains($0.name) }.map { AlarmOnset(step: record.step, alarm: $0) }
    alarms.removeFirst(max(0, alarms.count - Self.alarmsMax))
    sampledTokens += Double(record.sampledTokens ?? 0)
    trainedTokens += Double(record.trainedTokens ?? 0)
    latest = record
    latest?.prompts = []
  }

  private mutating func addVisit(_ object: JSON, step: Int) {
    guard let record = PromptRecord(object) else { return }
    if prompts[record.prompt] == nil { prompts[record.prompt] = PromptTrack() }
    _ = prompts.update(record.prompt) { $0.add(record, object, step: step) }
  }

  private mutating func add(_ evaluation: EvaluationRecord) {
    evaluations.removeAll { $0.place == evaluation.place }
    let place = evaluations.firstIndex { evaluation.place < $0.place } ?? evaluations.count
    evaluations.insert(evaluation, at: place)
    // Single prompts are compared between the first and the last evaluation only.
    for index in evaluations.indices where evaluations[index].policy > 0 {
      let isNewest = !evaluations[(index + 1)...].contains { $0.set == evaluations[index].set }
      guard !isNewest else { continue }
      evaluations[index].labels = []
      evaluations[index].passByPrompt = []
    }
    if evaluations.count > Self.evaluationsMax { evaluations.remove(at: evaluations.count / 2) }
  }

  // MARK: Reading

  /// A figure's column.
  package func column(_ figure: FigureName) -> [Float] { StepFigures.places[figure].map { columns[$0] } ?? [] }

  /// The newest value of a figure that is known.
  package func last(_ figure: FigureName) -> Double? {
    column(figure).last.flatMap { $0.isFinite ? Double($0) : nil }
  }

  package func evaluations(on set: QuestionSet) -> [EvaluationRecord] { evaluations.filter { $0.set == set } }

  /// The two ends of the run on one set.
  package func ends(on set: QuestionSet) -> Comparison {
    Comparison(evaluations(on: set), delivered: delivered?.policy)
  }

  /// Seconds that the steps after the last recorded one will take, at the mean pace of the last 8; nil before the
  /// first.
  package func secondsLeft(ofSteps stepCount: Int) -> Double? {
    let (all, rollout, train) = (column(.stepSeconds), column(.rolloutSeconds), column(.trainSeconds))
    var recent: [Double] = []
    for index in steps.indices.suffix(8) {
      // Earlier versions of the program measured only sampling and training.
      let parts = all[index].isFinite ? [all[index]] : [rollout[index], train[index]]
      let seconds = parts.reduce(0) { $0 + ($1.isFinite ? Double($1) : 0) }
      if seconds > 0 { recent.append(seconds) }
    }
    guard !recent.isEmpty else { return nil }
    return recent.reduce(0, +) / Double(recent.count) * Double(max(0, stepCount - lastStep - 1))
  }

  /// Tokens trained on per second of training, in the newest step.
  package var trainingRate: Double? {
    guard let tokens = last(.trainedTokens), let seconds = last(.trainSeconds), seconds > 0 else { return nil }
    return tokens / seconds
  }
}

/// One prompt's votes over the run.
package struct PromptTrack: Sendable {
  /// A visit in sixteen bytes.
  package struct Visit: Sendable {
    package let step: Int32
    /// In the track's labels; −1 for none.
    package let label: Int16
    package let votes: UInt16
    package let samples: UInt16
    let rightOrUnknown: UInt16
    let flags: Flags

    /// nil where there is no answer to compare with.
    package var right: Int? { rightOrUnknown == .max ? nil : Int(rightOrUnknown) }
    package var isLabelRight: Bool? { flags.contains(.isJudged) ? flags.contains(.isRight) : nil }
    package var isFlip: Bool { flags.contains(.isFlip) }
    package var isTie: Bool { flags.contains(.isTie) }
    package var hasZeroAdvantage: Bool { flags.contains(.hasZeroAdvantage) }
    package var share: Double { samples > 0 ? Double(votes) / Double(samples) : 0 }
  }

  struct Flags: OptionSet, Sendable {
    let rawValue: UInt8
    static let isJudged = Flags(rawValue: 1)
    static let isRight = Flags(rawValue: 2)
    static let isFlip = Flags(rawValue: 4)
    static let isTie = Flags(rawValue: 8)
    static let hasZeroAdvantage = Flags(rawValue: 16)
  }

  package private(set) var visits: [Visit] = []
  /// Each label of the prompt, once, in the order of its first visit, cut to `labelMax`.
  package private(set) var labels: [String] = []
  package private(set) var flipCount = 0

  /// Characters of a label that are kept, and distinct labels of one prompt. Labels beyond that are shown as none.
  static let labelMax = 120
  static let labelsMax = 1000

  mutating func add(_ record: PromptRecord, _ object: JSON, step: Int) {
    var flags: Flags = []
    var label: Int16 = -1
    if let text = record.label { label = place(of: text) }
    if let isRight = record.isLabelRight { flags.formUnion(isRight ? [.isJudged, .isRight] : [.isJudged]) }
    // Found by comparing labels, so that runs of versions that did not record flips have them too.
    if label >= 0, let before = visits.last(where: { $0.label >= 0 }), before.label != label {
      flags.insert(.isFlip)
      flipCount += 1
    }
    if record.isTie { flags.insert(.isTie) }
    if object["zero_advantage"]?.bool == true { flags.insert(.hasZeroAdvantage) }
    visits.append(
      Visit(
        step: Int32(clamping: step), label: label, votes: UInt16(clamping: record.votes),
        samples: UInt16(clamping: record.samples),
        rightOrUnknown: record.right.map { UInt16(clamping: min($0, 65_534)) } ?? .max, flags: flags))
  }

  private mutating func place(of label: String) -> Int16 {
    let text = label.count <= Self.labelMax ? label : label.prefix(Self.labelMax) + "…"
    if let known = labels.firstIndex(where: { $0.isSameBytes(as: text) }) { return Int16(known) }
    guard labels.count < Self.labelsMax else { return -1 }
    labels.append(text)
    return Int16(labels.count - 1)
  }

  package func label(of visit: Visit) -> String? { visit.label >= 0 ? labels[Int(visit.label)] : nil }
}
