// RunEstimate: what a dry run says of time: how long a step and the whole run take, and what to run instead if that is
// more than an hour.
//
// The speed of this machine's multiply-adds is measured; everything else is arithmetic (StepTime, RunTime,
// RunProposal).

import Base
import Ceilings
import LanguageModel
import Platform
import Records
import Runs
import Settings

struct RunEstimate {
  let time: RunTime
  /// With responses of a quarter of the length.
  private let ofShortResponses: RunTime
  private let means: StepTime.Means
  private let responseTokens: Int
  /// nil if the run takes at most an hour, if it exists already, or if it runs on several machines.
  let proposal: ShorterRun?

  /// - Parameters:
  ///   - threads: of all machines. They are taken to be as fast as those of this machine.
  ///   - machines: if there are several, their links are taken to carry `StepTime.usualLink`.
  ///   - call: to propose a shorter run; nil for none.
  /// - Returns: nil if nothing is trained, or if the machine's speed cannot be measured.
  init?(
    _ beginning: RunBeginning.Outcome, on threads: (sampling: Int, training: Int), ranks: Int, machines: Int = 1,
    call: (settings: RunSettings, call: CallSettings)? = nil
  ) throws {
    var settings = beginning.settings
    settings.operation.gradient = beginning.memory.gradient
    guard settings.method.steps > 0,
      let gigaflops = try Ceilings.multiplyAdds(.float32, threads: Machine.coreCount)
    else { return nil }
    let model = try ModelDirectory(settings.model).configuration.model
    let means = StepTime.Means(
      samplingThreads: threads.sampling, trainingThreads: threads.training, ranks: ranks,
      flops: gigaflops / Double(Machine.coreCount) * 1e9, linkRate: machines > 1 ? StepTime.usualLink : nil)
    func time(_ settings: RunSettings, responseTokens: Int) -> RunTime {
      RunTime(
        settings, model: model, adapter: beginning.adapter, questions: beginning.counts,
        responseTokens: responseTokens, means)
    }
    func longest(_ settings: RunSettings) -> RunTime { time(settings, responseTokens: Int(settings.maxNewTokens)) }
    self.means = means
    responseTokens = Int(settings.maxNewTokens)
    self.time = longest(settings)
    ofShortResponses = time(settings, responseTokens: max(1, responseTokens / 4))
    proposal =
      beginning.continues
      ? nil
      : call.flatMap { call in
        RunProposal(insteadOf: settings) { longest($0).total }.map { ShorterRun($0, call.settings, call.call) }
      }
  }

  var text: String {
    let step = time.step
    let network =
      means.linkRate != nil
      ? ", sums between ranks \(StepTime.text(step.sums)) and weights to workers \(StepTime.text(step.weights)) over "
        + "links of 1 Gbit/s" : ""
    let whole =
      "the run takes at most about \(StepTime.text(time.total)): steps \(StepTime.text(time.steps)), evaluations "
      + "\(StepTime.text(time.evaluations)). If responses have a quarter of that length, it takes about "
      + "\(StepTime.text(ofShortResponses.total))"
    return "a step takes about \(StepTime.text(step.total)), if responses are all "
      + "\(counted(responseTokens, "token")) long: sampling \(StepTime.text(step.sampling)) on "
      + "\(counted(means.samplingThreads, "thread")), training \(StepTime.text(step.training)) on "
      + "\(means.trainingThreads), optimizer, weights and checkpoint \(StepTime.text(step.upkeep))\(network). This is "
      + "an estimate for threads of \(Int((means.flops / 1e9).rounded())) GFLOP/s, as here\n" + whole
      + (time.total <= RunProposal.limit ? ". So it fits an hour" : "")
      + (proposal.map { "\n" + $0.text } ?? "")
  }

  var stepJSON: JSON {
    [
      "sampling": .double(time.step.sampling), "training": .double(time.step.training),
      "upkeep": .double(time.step.upkeep), "sums": .double(time.step.sums), "weights": .double(time.step.weights),
      "total": .double(time.step.total),
    ]
  }

  var runJSON: JSON {
    [
      "steps": .double(time.steps), "evaluations": .double(time.evaluations), "total": .double(time.total),
      "total_of_short_responses": .double(ofShortResponses.total),
    ]
  }
}

/// A run that fits an hour, as a command.
struct ShorterRun {
  private let proposal: RunProposal
  private let command: String

  /// - Parameters:
  ///   - settings: as given.
  ///   - call: what was given.
  init(_ proposal: RunProposal, _ settings: RunSettings, _ call: CallSettings) {
    self.proposal = proposal
    let changed = proposal.changed
    let kept = call.given.filter { name in
      !changed.contains(name) && SettingTable.named(name).map { $0.effect != .command } == true
    }
    func words(_ names: [String], of settings: RunSettings) -> [String] {
      names.compactMap(SettingTable.named).flatMap { setting in
        let value = setting.value(in: settings)
        guard setting.placeholder == nil else { return ["--\(setting.name)", value] }
        return value == "true" ? ["--\(setting.name)"] : []
      }
    }
    let like = call.like.isEmpty ? [] : ["--like", call.like]
    let all = like + words(kept, of: settings) + words(changed, of: proposal.settings)
    command = (["ttrl", "train"] + all.map(Reach.word)).joined(separator: " ")
  }

  var text: String {
    let time = StepTime.text(proposal.seconds)
    return
      (proposal.isShort
      ? "A run that takes at most about \(time) on this machine:"
      : "No run of this model takes an hour or less on this machine. A very small one takes about \(time):")
      + "\n  \(command)"
  }

  var json: JSON {
    let values = proposal.changed.compactMap(SettingTable.named).map { setting in
      JSON.Member(setting.name, .string(setting.value(in: proposal.settings)))
    }
    return ["seconds": .double(proposal.seconds), "settings": .object(values), "command": .string(command)]
  }
}
