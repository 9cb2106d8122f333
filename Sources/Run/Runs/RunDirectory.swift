// RunDirectory: the paths of a run's files. docs/operating.md describes them for users.
//
//   settings.json     the run's settings, and the hash of its model
//   questions.jsonl   the training questions that are used; held-out.jsonl and transfer.jsonl likewise
//   prompt-filter.jsonl   with --prompt-filter: of every question whether it is used, and why
//   responses.jsonl   the responses that the run learns, if it was given them (ResponseFile)
//   ledger.sqlite     everything that happened (Ledger)
//   adapter/          if an adapter is trained: its adapter_config.json, and the weights that it goes on from
//   start/            if the run begins from another run: that run's model, and its optimizer if it is carried
//   model/            in a standby's copy: the run's model; following says where it looks for the coordinator
//   policies/         published weights that are still needed
//   checkpoints/      step-000030/: a Hugging Face model directory, or a PEFT adapter, and the learner's state
//   metrics.jsonl     one line per step and evaluation
//   summary.json, report.html   at the end
//   delivered/        the run's result, if it is not the last checkpoint, likewise
//   ending.json       why the run's processes ended before its end (RunEnding)
//   reward-command/   directories of the processes of a reward command, while they run
//   logs/             one file per process
//   tensorboard/      event files; page.address and fleet.json are also for programs that watch
//   cluster.key       the run's own key, if no other was given (ClusterKey)

import Base
import Platform
package import Records

package struct RunDirectory: Sendable, Equatable {
  package let path: String

  package init(_ path: String) { self.path = path }

  package var settings: String { path + "/settings.json" }
  package var responses: String { path + "/responses.jsonl" }
  package var ledger: String { path + "/ledger.sqlite" }
  package var policies: String { path + "/policies" }
  package var checkpoints: String { path + "/checkpoints" }
  package var metrics: String { path + "/metrics.jsonl" }
  package var summary: String { path + "/summary.json" }
  package var report: String { path + "/report.html" }
  /// The adapter that the run begins with.
  package var adapter: String { path + "/adapter" }
  package static let startName = "start"
  package static let modelName = "model"
  /// A standby's copy of the run's model.
  package var model: String { "\(path)/\(Self.modelName)" }
  /// What the run took from the run that it begins from (RunSource).
  package var start: String { "\(path)/\(Self.startName)" }
  /// There while the directory is being made. Without settings.json, what is beside it is left from a beginning that
  /// was interrupted.
  package static let beginningName = "beginning"
  package var beginning: String { "\(path)/\(Self.beginningName)" }
  package var delivered: String { path + "/delivered" }
  package var ending: String { path + "/ending.json" }
  package var key: String { path + "/cluster.key" }
  /// The lock of the process that started the run's processes; the coordinator's is "lock".
  package static let supervisorLock = "lock.supervisor"
  /// Directories of the reward command's processes, while they run.
  package var rewards: String { path + "/reward-command" }
  package static let logsName = "logs"
  package var logs: String { "\(path)/\(Self.logsName)" }
  /// HOST:PORT of the running coordinator, for processes that start on the same machine.
  package var address: String { path + "/coordinator.address" }

  /// In a standby's copy: where it looks for the coordinator. A coordinator that is started there follows too, because
  /// only the standby knows whether the copy is complete.
  package var following: String { path + "/following" }

  /// URL of the page, while it is served.
  package var pageAddress: String { path + "/page.address" }
  /// The token of the run's own page, if it has one.
  package var pageToken: String { path + "/page.token" }
  package var tensorboard: String { path + "/tensorboard" }
  /// The coordinator's latest note about workers and their leases; for people only.
  package var fleet: String { path + "/fleet.json" }

  package func questions(_ set: QuestionSet) -> String {
    switch set {
    case .training: path + "/questions.jsonl"
    case .heldOut: path + "/held-out.jsonl"
    case .transfer: path + "/transfer.jsonl"
    }
  }

  package var promptFilter: String { path + "/prompt-filter.jsonl" }

  package func policy(_ version: PolicyVersion) -> String { "\(policies)/\(version.fileName)" }
  /// The version that a learner on the coordinator's machine has made, until the coordinator takes it over.
  package var handedOver: String { policies + "/from-learner.bin" }
  /// A version that is not needed any more. The next one is written over it (AtomicFile).
  package var sparePolicy: String { policies + "/spare.bin" }
  package func checkpoint(_ version: PolicyVersion) -> String { "\(checkpoints)/step-\(version.padded)" }

  /// The version of a checkpoint directory's name, or nil for any other name.
  package static func version(ofCheckpoint name: String) -> PolicyVersion? {
    guard name.hasPrefix("step-"), let number = UInt32(name.dropFirst(5)) else { return nil }
    return PolicyVersion(number)
  }
}
