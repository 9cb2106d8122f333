// RunMemory: how much memory a run's processes need on this machine, compared with how much there is.
//
// The limit is the machine's memory, or less if the process's control group or its limits allow less. The keys and
// values of waiting samples are the only part that is fitted to it: how many samples run at a time changes no result
// (E1). Everything else has been asked for, or can change the result, so a plan that still does not fit is refused
// before a process starts (MemoryRemedy names the setting that makes it fit).

import Base
package import LanguageModel
import Platform
import Records
package import Settings

extension OperationSettings {
  package var keyValueBytesMax: Int { keyValueMemory == 0 ? .max : keyValueMemory << 20 }
}

/// A run's questions, as far as memory depends on them.
package struct QuestionSizes: Sendable, Equatable {
  package var count: Int
  /// Tokens of the longest prompt.
  package var longest: Int

  package init(count: Int, longest: Int) {
    self.count = count
    self.longest = longest
  }

  package init(of run: Run) {
    let prompts = QuestionSet.allCases.flatMap { run.set($0).prompts }
    self.init(count: prompts.count, longest: prompts.map(\.tokens.count).max() ?? 0)
  }
}

/// The processes of a run that share one machine's memory.
package struct MachineShare: Sendable, Equatable {
  package var workers: Int
  /// Learner ranks: those of this machine, among all.
  package var ranks: Range<Int>
  package var allRanks: Int
  package var hasCoordinator = true

  package init(workers: Int, ranks: Range<Int>, of allRanks: Int, hasCoordinator: Bool = true) {
    self.workers = workers
    self.ranks = ranks
    self.allRanks = allRanks
    self.hasCoordinator = hasCoordinator
  }

  /// All processes on this machine. A run without steps has no learner.
  package init(_ settings: RunSettings, _ operation: OperationSettings) {
    let ranks = settings.method.steps > 0 ? operation.learners : 0
    self.init(workers: operation.workers, ranks: 0..<ranks, of: max(1, ranks))
  }

  /// The processes of one machine of a launch.
  package init(_ host: ListedHost, of list: HostList, _ settings: RunSettings) {
    var first = 0
    for other in list.hosts {
      if other.name == host.name { break }
      first += other.learners
    }
    let ranks = settings.method.steps > 0 ? host.learners : 0
    self.init(
      workers: host.workers, ranks: first..<first + ranks, of: max(1, list.learners), hasCoordinator: host.isHere)
  }
}

package struct RunMemory: Sendable {
  /// With the operation settings of this start.
  var settings: RunSettings {
    didSet { if settings.dtype != oldValue.dtype { shape = Self.shape(settings, model, adapter) } }
  }
  var share: MachineShare
  let questions: QuestionSizes
  /// Bytes that there are.
  let limit: Int
  private let model: ModelConfiguration
  private let adapter: AdapterLayout?
  /// Made once, because it has tables for every position.
  private var shape: TransformerPlan

  /// A plan for this machine.
  package struct Fitted: Sendable, Equatable {
    package var plan: MemoryPlan
    /// MiB for each sampling thread; 0 means no limit.
    package var keyValueMemory: Int
    /// Never `auto`.
    package var gradient: GradientForm
    /// What was chosen and why, for the user; nil if nothing had to be.
    package var note: String?
  }

  /// - Parameters:
  ///   - settings: of the run, with the operation settings of this start.
  ///   - adapter: what is trained; nil for all weights.
  ///   - limit: bytes of memory; nil for this machine's.
  package init(
    _ settings: RunSettings, model: ModelConfiguration, adapter: AdapterLayout? = nil, questions: QuestionSizes,
    share: MachineShare, limit: Int? = nil
  ) {
    self.settings = settings
    self.model = model
    self.questions = questions
    self.share = share
    self.adapter = adapter
    self.limit = limit ?? Machine.memoryLimit
    shape = Self.shape(settings, model, adapter)
  }

  private static func shape(
    _ settings: RunSettings, _ model: ModelConfiguration, _ adapter: AdapterLayout?
  ) -> TransformerPlan { TransformerPlan(model, type: settings.dtype, adapter: adapter) }

  // MARK: Fitting

  /// The share of the memory that keys and values can fill up. The rest is for the system, its file cache, and what the
  /// plan does not count.
  private static let fitted = (part: 9, of: 10)

  /// The plan of a run that fits.
  ///
  /// - Parameter isContinued: the run exists, so only settings that cannot change its result can be proposed.
  /// - Throws: `MemoryError` if it does not fit.
  package func fit(isContinued: Bool = false) throws(MemoryError) -> Fitted {
    if let found = fitting { return found }
    throw MemoryError(
      what: "the run", plan: least, available: limit, remedy: MemoryRemedy(of: self, isContinued: isContinued).text)
  }

  /// The plan with what has to be fitted; nil if it does not fit. A whole gradient stays only if everything fits with
  /// it, without a new limit on keys and values.
  var fitting: Fitted? {
    guard settings.operation.gradient == .auto, settings.reduction == .exact else { return fitting(form) }
    let given = settings.operation.keyValueMemory
    let whole = fitting(.whole)
    if let whole, whole.keyValueMemory == given { return whole }
    guard var streamed = fitting(.streamed), share.ranks.count > 0 else { return whole }
    streamed.note = [streamed.note, streamNote].compactMap { $0 }.joined(separator: "\n")
    return streamed
  }

  /// What is kept of a gradient. If nothing fits, what needs the least.
  package var gradient: GradientForm {
    fitting?.gradient ?? (settings.reduction == .exact && settings.operation.gradient != .whole ? .streamed : .whole)
  }

  /// What is kept of a gradient if nothing has to be fitted.
  private var form: GradientForm {
    settings.reduction == .exact && settings.operation.gradient == .streamed ? .streamed : .whole
  }

  private var streamNote: String {
    func bytes(_ form: GradientForm) -> Int {
      var changed = self
      changed.settings.operation.gradient = form
      return changed.share.ranks.map { changed.learner(rank: $0).bytes }.max() ?? 0
    }
    func sent(_ form: GradientForm) -> String {
      MemoryPlan.mebibytes(
        Int(
          StepTime.gradientBytes(
            settings, form, parameters: shape.trained.count, ranks: share.allRanks,
            tokens: settings.method.miniBatch * positions)))
    }
    let price =
      share.allRanks > 1
      ? "; for this, each sends up to \(sent(.streamed)) of gradients per update instead of \(sent(.whole))" : ""
    return "gradient: streamed, fitted to the memory: a learner rank needs \(MemoryPlan.mebibytes(bytes(.streamed))) "
      + "instead of \(MemoryPlan.mebibytes(bytes(.whole)))\(price). The result does not depend on it"
  }

  /// The plan with fitted keys and values, unless their limit is given; nil if it does not fit.
  private func fitting(_ form: GradientForm) -> Fitted? {
    var memory = self
    memory.settings.operation.gradient = form
    return memory.fittingKeysAndValues
  }

  private var fittingKeysAndValues: Fitted? {
    let form = settings.operation.gradient
    let given = settings.operation.keyValueMemory
    let whole = plan(keyValueMemory: given)
    let (share, threads) = (limit / Self.fitted.of * Self.fitted.part, self.threads * self.share.workers)
    if whole.bytes <= share { return Fitted(plan: whole, keyValueMemory: given, gradient: form) }
    guard given == 0, threads > 0 else {
      return whole.bytes <= limit ? Fitted(plan: whole, keyValueMemory: given, gradient: form) : nil
    }
    let others = least.bytes - threads * leastKeyValueMemory << 20
    let mebibytes = max(leastKeyValueMemory, ((share - others) / threads) >> 20)
    let found = plan(keyValueMemory: mebibytes)
    guard found.bytes <= limit else { return nil }
    let samples = mebibytes << 20 / MemoryPlan.keyValueBytes(shape, positions: positions)
    return Fitted(
      plan: found, keyValueMemory: mebibytes, gradient: form,
      note: "kv-memory: \(mebibytes) MiB per sampling thread, fitted to the memory: each runs "
        + "\(counted(samples, "sample")) of full length at a time instead of \(batchRows), the others wait. The result "
        + "does not depend on it")
  }

  /// MiB for the keys and values of one sample of full length.
  var leastKeyValueMemory: Int {
    (MemoryPlan.keyValueBytes(shape, positions: positions) + 1 << 20 - 1) >> 20
  }

  /// The smallest plan with these settings: a limit on keys and values that is not given is one sample's, and a
  /// gradient is streamed unless it has to be whole.
  package var least: MemoryPlan {
    let given = settings.operation.keyValueMemory
    return plan(keyValueMemory: given > 0 ? given : leastKeyValueMemory)
  }

  /// Bytes for keys and values in a process that holds a model and nothing else.
  ///
  /// - Parameter model: what the model needs.
  package static func keyValueBytesMax(besides model: MemoryPlan, of limit: Int = Machine.memoryLimit) -> Int {
    max(0, limit / fitted.of * fitted.part - model.bytes)
  }

  // MARK: The plan

  /// The memory of the processes of this machine.
  ///
  /// - Parameter keyValueMemory: MiB for each sampling thread; 0 means no limit.
  func plan(keyValueMemory: Int) -> MemoryPlan {
    var items: [MemoryPlan.Item] = []
    if share.hasCoordinator {
      // The packed anchor and the deltas of the versions that are being sampled from.
      items.append(.init(name: "coordinator", bytes: MemoryPlan.slack + publishedBytes))
    }
    let limit = keyValueMemory > 0 ? keyValueMemory << 20 : .max
    if baseBytes > 0 { items.append(.init(name: "base, shared by all processes", bytes: baseBytes)) }
    if share.workers > 0 {
      items += withoutBase(worker(keyValueBytesMax: limit)).map {
        .init(name: "\(counted(share.workers, "worker")), \($0.name)", bytes: $0.bytes * share.workers)
      }
    }
    let learners = share.ranks.map { withoutBase(learner(rank: $0)) }
    for (index, item) in (learners.first ?? []).enumerated() {
      let bytes = learners.reduce(0) { $0 + $1[index].bytes }
      guard bytes > 0 else { continue }
      items.append(.init(name: "\(counted(learners.count, "learner rank")), \(item.name)", bytes: bytes))
    }
    return MemoryPlan(items: items)
  }

  /// What the processes of a machine share; 0 if all weights are trained.
  private var baseBytes: Int { adapter == nil ? 0 : MemoryPlan.weightBytes(shape) }

  /// The parts of a process's plan, without what is counted once for the machine.
  private func withoutBase(_ plan: MemoryPlan) -> [MemoryPlan.Item] {
    plan.items.map { item in
      item.name == MemoryPlan.weightsName ? .init(name: item.name, bytes: item.bytes - baseBytes) : item
    }
  }

  /// Compute threads of each worker.
  private var threads: Int { settings.operation.threads(sharedBy: share.workers, cores: Machine.coreCount) }

  /// Samples that a thread runs at a time if nothing makes them wait.
  private var batchRows: Int {
    let method = settings.method
    let step = Int(method.promptsPerStep) * Int(method.votes) * (1 + Int(method.staleness))
    let training = method.steps > 0 && !method.objective.takesResponses ? step : 0
    let evaluation =
      settings.evaluation == .full || settings.evaluateEvery > 0
      ? questions.count * Int(settings.evaluationSamples) : 0
    let threads = max(1, threads * share.workers)
    return min(Generator.batchRowsMax, max(1, (max(training, evaluation) + threads - 1) / threads))
  }

  private func worker(keyValueBytesMax: Int) -> MemoryPlan {
    let sampling = MemoryPlan.sampling(
      shape, versions: 2, threads: threads, batchRows: batchRows, positions: positions,
      keyValueBytesMax: keyValueBytesMax)
    // At the coordinator a worker packs from the version's file. Elsewhere it holds the version that the next delta
    // refers to, the new version while it is unpacked, and bundles for other workers.
    let transfer = share.hasCoordinator ? 0 : 3 * publishedBytes
    return MemoryPlan(items: sampling.items + [.init(name: "weights in transfer", bytes: transfer)])
  }

  private var publishedBytes: Int { shape.trained.count * shape.type.bytes }

  /// The memory of one learner rank.
  package func learner(rank: Int) -> MemoryPlan {
    let training = training(shape, rank: rank)
    let plan = settings.method.objective.critic(of: shape)
    let items = training.items + (plan.map { critic($0, rank: rank) } ?? [])
    guard settings.method.needsReference else { return MemoryPlan(items: items) }
    return MemoryPlan(items: items + [.init(name: "policy 0", bytes: referenceBytes)])
  }

  /// A critic is a model of its own, with masters, moments, a gradient and activations. It is not published.
  private func critic(_ plan: TransformerPlan, rank: Int) -> [MemoryPlan.Item] {
    training(plan, rank: rank).items.filter { !["program", "published weights"].contains($0.name) }.map { item in
      let own = adapter.map { $0.packedBytes(shape.type) }
      return .init(
        name: "critic, \(item.name)", bytes: item.name == MemoryPlan.weightsName ? own ?? item.bytes : item.bytes)
    }
  }

  /// A model in training.
  private func training(_ plan: TransformerPlan, rank: Int) -> MemoryPlan {
    let kept = settings.microBatchTokens * Backpropagation.bytesPerRow(plan)
    return MemoryPlan.training(
      plan, rank: rank, of: share.allRanks, microBatchTokens: settings.microBatchTokens,
      sequenceTokens: positions, isExact: settings.reduction == .exact,
      isStreamed: settings.operation.gradient != .whole,
      isSingle: settings.method.miniBatch * positions <= settings.microBatchTokens,
      recomputes: kept > Self.activationBytesMax(ranks: share.allRanks, of: limit),
      threads: settings.operation.threads(sharedBy: max(1, share.ranks.count), cores: Machine.coreCount))
  }

  /// Without an adapter to go on from, policy 0 is the base.
  private var referenceBytes: Int {
    guard let adapter else { return MemoryPlan.weightBytes(shape) }
    return settings.adapter == RunSettings.newAdapter ? 0 : adapter.packedBytes(shape.type)
  }

  /// Tokens of the longest sequence.
  private var positions: Int {
    min(shape.configuration.maxPositions, questions.longest + Int(settings.maxNewTokens))
  }

  /// The most memory for a rank's activations; above it they are computed twice instead. All ranks together use at
  /// most an eighth of the memory.
  package static func activationBytesMax(ranks: Int, of limit: Int = Machine.memoryLimit) -> Int {
    limit / 8 / max(1, ranks)
  }
}

/// A plan that does not fit.
package struct MemoryError: LastingError, CustomStringConvertible {
  let what: String
  let plan: MemoryPlan
  let available: Int
  let remedy: String

  package var description: String {
    "\(what) needs at least \(MemoryPlan.mebibytes(plan.bytes)) of memory, "
      + "\(MemoryPlan.mebibytes(plan.bytes - available)) more than the \(MemoryPlan.mebibytes(available)) that are "
      + "available here:\n" + plan.text + "\n\(remedy)"
  }

  /// - Throws: `MemoryError` if `plan` needs more than there is.
  package static func require(
    _ plan: MemoryPlan, for what: String, remedy: String, limit: Int = Machine.memoryLimit
  ) throws(MemoryError) {
    guard plan.bytes > limit else { return }
    throw MemoryError(what: what, plan: plan, available: limit, remedy: remedy)
  }
}
