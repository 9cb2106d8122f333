// SyntheticLearner: a learner that takes every batch and publishes a version at once, without training.
//
// With it, a coordinator under load has rounds, batches and versions as in a run. The state machine (Fleet.Learner) and
// the messages are real. The weights are made up.

import Base
import Fleet
import Platform
import Records
import Transport

final class SyntheticLearner {
  private let loop: EventLoop
  private let uplink: Uplink
  private var machine: Learner
  private let policyBytes: Int
  private var version = PolicyVersion(0)
  private var isOver = false
  private(set) var steps = 0

  init(
    policyBytes: Int, to coordinator: HostPort, _ context: TLSContext?, loop: EventLoop
  ) {
    self.loop = loop
    self.policyBytes = policyBytes
    uplink = Uplink(to: coordinator, context: context, loop: loop)
    let hello = Hello(
      role: .learner, name: "learner", arithmetic: CoordinatorLoad.arithmetic, processID: 1, threads: 1)
    machine = Learner(hello: hello, held: version, publication: nil)
  }

  func connect() {
    uplink.onConnect = { self.handle(.connected) }
    uplink.onMessage = { self.handle(.received($0)) }
    uplink.onDisconnect = { _ in self.handle(.disconnected) }
    uplink.connect(after: .zero)
  }

  func tick() { handle(.tick) }

  func leave() {
    isOver = true
    uplink.finish()
  }

  private func handle(_ event: LearnerEvent) {
    guard !isOver else { return }
    for effect in machine.receive(event, now: MonotonicClock.now()) { perform(effect) }
  }

  private func perform(_ effect: LearnerEffect) {
    switch effect {
    case .connect(let next): uplink.connect(after: next.pause)
    case .send(let message): uplink.send(message)
    case .disconnect: uplink.disconnect("the coordinator broke the protocol")
    case .sendPolicy(let version, let offset):
      uplink.send(.piece(of: published(version), version, at: offset))
    case .train(let step, _):
      version = PolicyVersion(step + 1)
      steps += 1
      let bytes = published(version)
      let manifest = PolicyManifest(
        version: version, byteCount: UInt64(bytes.count), digest: SHA256.digest(of: bytes))
      let report = Self.report(ofStep: step)
      loop.soon { self.handle(.trained(manifest, report: report)) }
    case .exit: isOver = true
    }
  }

  /// A step whose figures are all 0.
  private static func report(ofStep step: UInt32) -> StepReport {
    var report = StepReport(step: step)
    for name in FigureName.allCases { report.figures[name] = 0 }
    return report
  }

  /// The bytes differ from version to version.
  private func published(_ version: PolicyVersion) -> [UInt8] {
    (0..<policyBytes).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ Int(version.number)) }
  }
}
