// Disks: what survives a process: the coordinator's run directory and the learner's checkpoints.
//
// A write is durable at once, and crash points are before and after each write. The ledger's commits are atomic (SQLite
// guarantees it, and PowerLossTests tests it), and they can find the disk full. Files of policies and checkpoints can
// be left half written by a process that dies. The run directory also has the strictest checker: nothing is stored
// twice, and only what the reference run would have sampled is stored.

import Base
import Records
import TTRL

/// The durable state of a coordinator, or of a standby.
struct RunDirectory {
  /// One change of the ledger.
  enum Change {
    case store(Trajectory)
    case judge(SlotVerdict)
    case doWithout([Slot])
    case close(RoundID)
    case abandon([RoundID])
    case add(PolicyManifest)
    case remove(PolicyVersion)
  }

  /// The ledger's term and the number of its last commit.
  var term = Term.first
  private(set) var number: UInt64 = 0
  /// In a standby's copy: where it looks for the coordinator.
  var following: [String]?
  private(set) var trajectories = SortedMap<Slot, Trajectory>()
  /// Slots in the order in which they were stored.
  private(set) var arrivals: [Slot] = []
  /// Slots that a vote did not need.
  private(set) var unneeded = SortedMap<Slot, Bool>()
  /// What the reward command said.
  private(set) var verdicts = SortedMap<Slot, Verdict>()
  private(set) var closed = SortedMap<RoundID, Bool>()
  private(set) var abandoned = SortedMap<RoundID, Bool>()
  /// All versions ever published, and the bytes of those that are still kept.
  private(set) var manifests = SortedMap<PolicyVersion, PolicyManifest>()
  private(set) var policies = SortedMap<PolicyVersion, [UInt8]>()
  private var dropped: Set<PolicyVersion> = []
  /// The file of the version that the learner has made, until the coordinator takes it over.
  var handedOver: [UInt8]?
  /// A version that has its name and is being verified.
  var unverified: (version: PolicyVersion, bytes: [UInt8])?

  /// What adapters adapt; nil if versions are whole models.
  let base: [UInt8]?

  /// An empty disk.
  init(base: [UInt8]?) { self.base = base }

  init(initial bytes: [UInt8], base: [UInt8]? = nil) {
    self.base = base
    seal(manifest(of: bytes, version: PolicyVersion(0)), bytes)
  }

  // MARK: Commits

  var position: LedgerPosition { LedgerPosition(term: term, number: number) }

  /// Versions that the ledger says are needed.
  var kept: [PolicyManifest] { manifests.values.filter { !dropped.contains($0.version) } }

  /// Makes changes in one commit.
  ///
  /// - Returns: what is wrong with them; nil if they are right.
  mutating func commit(_ changes: [Change]) -> String? {
    number += 1
    for change in changes {
      switch change {
      case .store(let trajectory): if let problem = store(trajectory) { return problem }
      case .judge(let said): if let problem = store(said) { return problem }
      case .doWithout(let slots): storeUnneeded(slots)
      case .close(let round): close(round)
      case .abandon(let rounds): abandon(rounds)
      case .add(let manifest): manifests[manifest.version] = manifest
      case .remove(let version): dropped.insert(version)
      }
    }
    return nil
  }

  /// Takes over another ledger. The versions' bytes stay, where the ledger needs them.
  mutating func replace(with copy: RunDirectory) {
    let (old, former) = (policies, following)
    self = copy
    policies = SortedMap()
    for manifest in copy.kept { policies[manifest.version] = old[manifest.version] }
    (handedOver, unverified, following) = (nil, nil, former)
  }

  mutating func keep(_ version: PolicyVersion, _ bytes: [UInt8]) { policies[version] = bytes }

  // MARK: Single changes

  /// - Returns: what is wrong with the trajectory; nil if it is right.
  mutating func store(_ trajectory: Trajectory) -> String? {
    if trajectories.contains(trajectory.slot) { return "\(trajectory.slot) was stored twice" }
    trajectories[trajectory.slot] = trajectory
    arrivals.append(trajectory.slot)
    return nil
  }

  /// - Returns: what is wrong with the verdict; nil if it is right.
  mutating func store(_ said: SlotVerdict) -> String? {
    guard trajectories.contains(said.slot) else { return "\(said.slot) was judged before its trajectory was durable" }
    if verdicts.contains(said.slot) { return "\(said.slot) was judged twice" }
    verdicts[said.slot] = said.verdict
    return nil
  }

  mutating func storeUnneeded(_ slots: [Slot]) {
    for slot in slots { unneeded[slot] = true }
  }

  mutating func close(_ round: RoundID) { closed[round] = true }

  mutating func abandon(_ rounds: [RoundID]) {
    for round in rounds where !closed.contains(round) { abandoned[round] = true }
  }

  mutating func seal(_ manifest: PolicyManifest, _ bytes: [UInt8]) {
    manifests[manifest.version] = manifest
    policies[manifest.version] = bytes
  }

  /// Half of the file is under the version's name, and the ledger does not have the version.
  mutating func tear(_ version: PolicyVersion, _ bytes: [UInt8]) {
    policies[version] = Array(bytes.prefix(bytes.count / 2))
  }

  mutating func drop(_ version: PolicyVersion) { policies[version] = nil }

  /// The file with a version's name. It can be one that is being verified.
  func file(of version: PolicyVersion) -> [UInt8]? {
    if version == .base { return base }
    return policies[version] ?? unverified.flatMap { $0.version == version ? $0.bytes : nil }
  }

  /// The trajectories of a round that count, in slot order.
  func trajectories(of round: RoundID) -> [Trajectory] {
    trajectories.values.filter { $0.slot.round == round && !unneeded.contains($0.slot) }.map { trajectory in
      var trajectory = trajectory
      trajectory.verdict = verdicts[trajectory.slot]
      return trajectory
    }
  }

  func unneededSlots(of round: RoundID) -> [Slot] { unneeded.keys.filter { $0.round == round } }

  func stored(_ slot: Slot) -> Trajectory? { trajectories[slot] }
}

/// The state from which a learner can continue.
struct Checkpoint {
  var version: PolicyVersion
  var state: [UInt8]
  /// The results of the steps before, per prompt.
  var history = History()
  /// What to publish for this checkpoint; nil for the model with which the run began.
  var publication: Publication?
  /// Whether all of it was written.
  var isWhole = true

  struct Publication {
    var manifest: PolicyManifest
    var bytes: [UInt8]
    var report: StepReport
  }
}

/// The learner's checkpoints: the initial model, and the two newest.
///
/// The newest checkpoint is the one of the highest version, which is not always the one that was written last. A
/// learner that was paused and already has a successor continues, and writes an old version before it learns that it
/// was replaced (seed 1025).
struct CheckpointFolder {
  private let initial: Checkpoint
  private var kept = SortedMap<PolicyVersion, Checkpoint>()

  init(initial: Checkpoint) { self.initial = initial }

  /// The newest checkpoint that is complete according to its checksum.
  var newest: Checkpoint { kept.values.last { $0.isWhole } ?? initial }

  /// The newest checkpoint, without a check of its checksum.
  var newestUnverified: Checkpoint { kept.values.last ?? initial }

  /// Only half of the checkpoint is written. A whole one of the same version stays, because only another whole one
  /// takes its place (seed 1872).
  mutating func tear(_ checkpoint: Checkpoint) {
    guard kept[checkpoint.version]?.isWhole != true else { return }
    var torn = checkpoint
    torn.isWhole = false
    torn.state.replaceSubrange((torn.state.count / 2)..., with: repeatElement(0, count: (torn.state.count + 1) / 2))
    write(torn)
  }

  mutating func write(_ checkpoint: Checkpoint) {
    kept[checkpoint.version] = checkpoint
    if kept.count > 2, let oldest = kept.keys.first { kept[oldest] = nil }
  }

  /// Checkpoints of versions that are newer than this one are of no use.
  mutating func setBack(to version: PolicyVersion) {
    for newer in kept.keys where newer > version { kept[newer] = nil }
  }

  /// The newest checkpoint is found to be damaged: it is set aside, and the one before it is used.
  mutating func loseNewest() {
    if let newest = kept.keys.last { kept[newest] = nil }
  }
}
