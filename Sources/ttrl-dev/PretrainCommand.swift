// PretrainCommand: `ttrl-dev pretrain`, which makes the built-in base model again.

import Base
import Commands
import Foundation
import Platform
import Pretraining
import Settings

extension Command {
  @Sendable static func pretrain(_ settings: PretrainingSettings, _ call: CallSettings) throws -> Int32 {
    var pretraining = try Pretraining(
      seed: settings.seed,
      threads: settings.threads > 0 ? settings.threads : Machine.coreCount)
    let begun = MonotonicClock.now()
    var last = 0.0
    try pretraining.run { step in
      last = step.loss
      guard step.step % 25 == 0 || step.step == step.stepCount else { return }
      let seconds = MonotonicClock.now().since(begun).seconds
      let left = seconds / Double(step.step) * Double(step.stepCount - step.step)
      complain(
        "step \(step.step)/\(step.stepCount)  \(step.stage)  loss \(String(format: "%.4f", step.loss))  "
          + "certain \(Int((step.exactShare * 100).rounded()))%  \(Int(seconds)) s, \(Int(left)) s left")
    }
    try BaseModelDirectory.write(pretraining.parameters, to: settings.run)
    let digest = try SHA256.hex(ofFile: settings.run + "/model.safetensors")
    let result: JSON = [
      "directory": .string(settings.run), "weights_sha256": .string(digest), "loss": .double(last),
      "seconds": .double(MonotonicClock.now().since(begun).seconds),
    ]
    print(call.isJSON ? result.text() : "\(settings.run): model.safetensors \(digest)")
    return ExitStatus.done
  }
}
