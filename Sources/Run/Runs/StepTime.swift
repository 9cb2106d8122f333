// StepTime: an estimate of how long a training step takes, before anything has run.
//
// Most of the time is multiply-adds, whose number follows from the model's shape and the settings, and bytes between
// learner ranks. Which share of a processor's multiply-adds the engine reaches was measured (docs/speed.md). The rest
// is work on every parameter: the optimizer, and making, storing and loading a version. The estimate helps to choose
// machines and settings: it is right within a factor of two, and too high if responses end early. Not here: how many
// multiply-adds the processor can do (Ceilings), a whole run (RunTime), and the wait for the slowest worker.

import Base
package import LanguageModel
import Records
package import Settings
import Tensors

package struct StepTime: Sendable, Equatable {
  /// The machines that a run has.
  package struct Means: Sendable, Equatable {
    /// Threads of all workers, and of all learner ranks. At a staleness of 0 they take turns, so a core can count in
    /// both.
    package var samplingThreads: Int
    package var trainingThreads: Int
    package var ranks: Int
    /// Multiply-adds of one thread in float32, in floating-point operations per second.
    package var flops: Double
    /// Bytes per second of a machine's link, in each direction; nil if everything is on one machine.
    package var linkRate: Double?

    package init(samplingThreads: Int, trainingThreads: Int, ranks: Int, flops: Double, linkRate: Double?) {
      self.samplingThreads = samplingThreads
      self.trainingThreads = trainingThreads
      self.ranks = ranks
      self.flops = flops
      self.linkRate = linkRate
    }
  }

  /// The engine's share of the processor's multiply-adds, in float32 and bfloat16 alike (docs/speed.md, at contexts of
  /// some hundred tokens): 0.49 to 0.62 when it samples, 0.48 to 0.63 when it trains.
  package static let samplingShare = 0.5
  package static let trainingShare = 0.6

  /// The assumed speed of an unknown link: 1 Gbit/s, as bytes per second.
  package static let usualLink = 1.25e8

  /// An anchor's size as a share of the weights' bytes (docs/speed.md#weights-on-the-wire); a delta is smaller.
  private static let packedShare = 0.7

  /// Seconds per parameter: of one optimizer update, with the conversion of its gradient; and of one version, which is
  /// packed, digested, compressed, stored with the optimizer's state, and unpacked by a worker. Measured with
  /// SmolLM2-135M on two cores of an EPYC (Zen 4).
  private static let updateSeconds = 3e-9
  private static let versionSeconds = 20e-9

  /// Attention's operations count twice, because its short products and exponentials run at half the speed.
  private static let attentionWeight = 2.0

  /// Seconds: sampling; training without waiting for other ranks; what each update and the new version cost, however
  /// few tokens there are; sums over ranks and gathered weights; the transfer of a new version to the workers.
  package let sampling: Double
  package let training: Double
  package let upkeep: Double
  package let sums: Double
  package let weights: Double
  /// Optimizer updates in a step. Each has its own sums over ranks.
  package let updates: Int

  package var total: Double { sampling + training + upkeep + sums + weights }

  /// - Parameters:
  ///   - settings: method, data type, and how gradients are summed.
  ///   - adapter: what is trained; nil for all weights.
  ///   - promptTokens: mean length of a prompt. It is computed once for all responses to it.
  ///   - responseTokens: mean length of a response.
  package init(
    _ settings: RunSettings, model: ModelConfiguration, adapter: AdapterLayout? = nil, promptTokens: Int = 0,
    responseTokens: Int, _ means: Means
  ) {
    let shape = TransformerPlan(model, type: settings.dtype, adapter: adapter)
    let method = settings.method
    /// Operations of `count` tokens that attend to `context` tokens on average.
    func operations(_ count: Int, context: Double) -> Double {
      let attention = 4 * model.keysSeen(after: context) * Double(model.headCount * model.headDimension)
      return Double(count) * (2 * Double(shape.productParameters) + Self.attentionWeight * attention)
    }
    func operations(responses: Int) -> Double {
      operations(method.promptsPerStep * promptTokens, context: Double(promptTokens) / 2)
        + operations(responses * responseTokens, context: Double(promptTokens) + Double(responseTokens) / 2)
    }
    let trainedSequences = method.promptsPerStep * min(method.trainSamples, settings.responsesPerPrompt)
    let sampled = method.votes > 0 ? operations(responses: method.promptsPerStep * method.votes) : 0
    let trained = operations(responses: trainedSequences)
    updates = (trainedSequences + method.miniBatch - 1) / max(1, method.miniBatch)
    sampling = sampled / (Double(max(1, means.samplingThreads)) * means.flops * Self.samplingShare)
    // One forward pass, and a backward pass that costs two: the gradients of the inputs and of the weights. An
    // adapter's own products are few, and weights that are not trained have no gradient.
    // A critic is a second model of that size, which is also run forward once before the updates.
    let critic = method.objective.critic(of: shape).map { Double($0.trained.count) } ?? 0
    let passes: Double = adapter == nil ? 3 : 2
    training =
      (method.objective.hasCritic ? 2 * passes + 1 : passes) * trained
      / (Double(max(1, means.trainingThreads)) * means.flops * Self.trainingShare)
    let count = Double(shape.trained.count)
    upkeep =
      count * (Double(updates) * Self.updateSeconds + Self.versionSeconds)
      + critic * Double(updates) * Self.updateSeconds
    guard let linkRate = means.linkRate else {
      (sums, weights) = (0, 0)
      return
    }
    // Sums of the gradient, all-gather of the new weights: each rank sends and receives all but its shard.
    let others = Double(means.ranks - 1) / Double(max(1, means.ranks))
    let gradient = Self.gradientBytes(
      settings, settings.operation.gradient, parameters: shape.trained.count + Int(critic), ranks: means.ranks,
      tokens: min(method.miniBatch, trainedSequences) * (promptTokens + responseTokens))
    sums = Double(updates) * (gradient + Double(shape.type.bytes) * (count + critic) * others) / linkRate
    weights = Self.packedShare * Double(shape.type.bytes) * count / linkRate
  }

  /// Bytes of gradients that a rank sends per update.
  ///
  /// - Parameter tokens: of an update.
  static func gradientBytes(
    _ settings: RunSettings, _ form: GradientForm, parameters: Int, ranks: Int, tokens: Int
  ) -> Double {
    let all = Double(parameters) * Double(ranks - 1) / Double(max(1, ranks))
    guard settings.reduction == .exact else { return 4 * all }
    guard form == .streamed else { return 8 * all }
    let microBatches = max(1, (tokens + settings.microBatchTokens - 1) / settings.microBatchTokens)
    return 4 * all * Double((microBatches + ranks - 1) / max(1, ranks))
  }

  /// "42 s", "3.5 min", "11 h", "4.2 days".
  package static func text(_ seconds: Double) -> String {
    for (unit, length, most) in [("s", 1.0, 90.0), ("min", 60, 90), ("h", 3600, 36)] where seconds < most * length {
      return number(seconds / length) + " " + unit
    }
    return number(seconds / 86400) + " days"
  }

  /// Two digits, or all digits of a larger integer part.
  private static func number(_ value: Double) -> String {
    value < 9.95 ? "\((value * 10).rounded() / 10)" : "\(Int(value.rounded()))"
  }
}

extension TransformerPlan {
  /// Parameters that every token is multiplied by: the matrices of the layers and of the head. An embedding that is not
  /// also the head is only looked up.
  fileprivate var productParameters: Int {
    layout.tensors.indices.filter { index in
      layout.tensors[index].shape.count == 2 && (index != layout.embedding || layout.embedding == layout.head)
    }.reduce(0) { $0 + layout.tensors[$1].count }
  }
}
