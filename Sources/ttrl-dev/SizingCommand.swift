// SizingCommand: `ttrl-dev sizing`: the table in docs/operating.md of what runs of known models need of machines.
//
// Arithmetic only (Runs.StepTime, LanguageModel.MemoryPlan), so it prints the same on every machine. The assumptions
// are options, and are printed above the table.

import Base
import Commands
import LanguageModel
import Platform
import Records
import Runs
import Settings

struct SizingCommand: DeveloperTool {
  static let usage = "sizing [--threads N] [--gflops N] [--tokens N] [--mini-batch N] [--page FILE]"

  /// Of a machine.
  private var threads = 16
  /// Multiply-adds of one thread: 8 float32 lanes, 2 operations, 2 units, 2.8 GHz.
  private var gflops = 90
  /// Mean length of a response.
  private var tokens = 600
  private var miniBatch = 32
  /// The page to write the table into; empty prints it.
  private var page = ""

  init?(_ arguments: inout ToolArguments) {
    arguments.read("--threads", &threads, in: 1 ... .max)
    arguments.read("--gflops", &gflops, in: 1 ... .max)
    arguments.read("--tokens", &tokens, in: 1 ... .max)
    arguments.read("--mini-batch", &miniBatch, in: 1 ... .max)
    arguments.read("--page", &page)
  }

  func run() throws -> Int32 {
    if page.isEmpty { print(table) } else { try replace(table) }
    return ExitStatus.done
  }

  // MARK: The tables

  /// Per thread: about 60 responses of 600 tokens of the smallest model at a time.
  private static let keyValueBytes = 1 << 30

  private var table: String {
    var settings = RunSettings()
    (settings.dtype, settings.method.promptsPerStep, settings.method.votes) = (.bfloat16, 32, 64)
    (settings.method.trainSamples, settings.method.miniBatch) = (32, miniBatch)
    settings.maxNewTokens = Int32(4 * tokens)
    var lines = [
      "Written by `ttrl-dev sizing`. Assumed: machines of \(threads) threads at \(gflops) GFLOP/s of "
        + "float32 multiply-adds each, one worker and one learner rank on every machine; 32 prompts × 64 votes, 32 "
        + "trained, responses of \(tokens) tokens on average and \(4 * tokens) at most, "
        + "`--kv-memory \(Self.keyValueBytes >> 20)` (MiB per thread), `--mini-batch \(miniBatch)` "
        + "(so \(32 * 32 / miniBatch) updates a step), bfloat16.",
      "",
      "| model | machines | memory each, exact; fast | sampling | training | sums at 1 Gbit/s, exact; fast "
        + "| at 10 Gbit/s | a step at 10 Gbit/s, exact |",
      "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for (name, model) in Self.models {
      for machines in [2, 8, 64] {
        func time(_ reduction: Reduction, gigabits: Double) -> StepTime {
          settings.reduction = reduction
          return StepTime(
            settings, model: model, responseTokens: tokens,
            StepTime.Means(
              samplingThreads: machines * threads, trainingThreads: machines * threads,
              ranks: machines, flops: Double(gflops) * 1e9, linkRate: gigabits * 1.25e8))
        }
        func memory(_ reduction: Reduction) -> String {
          settings.reduction = reduction
          let bytes = bytes(settings, model, machines: machines)
          return "\(Int((Double(bytes) / 1e9).rounded()))"
        }
        let (slow, fast) = (time(.exact, gigabits: 1), time(.exact, gigabits: 10))
        func sums(_ gigabits: Double) -> String {
          StepTime.text(time(.exact, gigabits: gigabits).sums) + "; "
            + StepTime.text(time(.fast, gigabits: gigabits).sums)
        }
        lines.append(
          "| \(name) | \(machines) | \(memory(.exact)); \(memory(.fast)) GB | \(StepTime.text(slow.sampling)) "
            + "| \(StepTime.text(slow.training)) | \(sums(1)) | \(sums(10)) | \(StepTime.text(fast.total)) |")
      }
    }
    return lines.joined(separator: "\n")
  }

  /// The memory of a worker and of learner rank 0, whose activations are computed twice.
  private func bytes(_ settings: RunSettings, _ model: ModelConfiguration, machines: Int) -> Int {
    let shape = TransformerPlan(model, type: settings.dtype)
    let positions = 2 * Int(settings.maxNewTokens)
    let running = settings.method.promptsPerStep * settings.method.votes / (machines * threads)
    let sampling = MemoryPlan.sampling(
      shape, versions: 2, threads: threads, batchRows: min(Generator.batchRowsMax, max(1, running)),
      positions: positions, keyValueBytesMax: Self.keyValueBytes)
    let inTransfer = 3 * shape.layout.count * shape.type.bytes
    let training = MemoryPlan.training(
      shape, rank: 0, of: machines, microBatchTokens: settings.microBatchTokens, sequenceTokens: positions,
      isExact: settings.reduction == .exact, recomputes: true)
    return sampling.bytes + inTransfer + training.bytes
  }

  /// As in their config.json.
  private static let models: [(String, ModelConfiguration)] = [
    ("Qwen2.5-0.5B", qwen(151_936, hidden: 896, feedForward: 4864, layers: 24, heads: (14, 2), isTied: true)),
    ("Qwen2.5-1.5B", qwen(151_936, hidden: 1536, feedForward: 8960, layers: 28, heads: (12, 2), isTied: true)),
    ("Qwen2.5-7B", qwen(152_064, hidden: 3584, feedForward: 18944, layers: 28, heads: (28, 4), isTied: false)),
  ]

  private static func qwen(
    _ vocabulary: Int, hidden: Int, feedForward: Int, layers: Int, heads: (query: Int, keyValue: Int), isTied: Bool
  ) -> ModelConfiguration {
    ModelConfiguration(
      family: .qwen2, vocabularySize: vocabulary, hiddenSize: hidden, feedForwardSize: feedForward, layerCount: layers,
      headCount: heads.query, keyValueHeadCount: heads.keyValue, headDimension: hidden / heads.query,
      ropeTheta: 1_000_000, maxPositions: 32768, hasTiedEmbeddings: isTied, hasAttentionBias: true)
  }

  // MARK: The page

  private static let (begin, end) = ("<!-- sizing: begin -->\n", "<!-- sizing: end -->")

  private func replace(_ table: String) throws {
    let text = try Files.readText(page)
    guard let start = text.firstRange(of: Self.begin), let stop = text.firstRange(of: Self.end),
      start.upperBound <= stop.lowerBound
    else {
      throw UserError("\(page) has no place for the table: \(Self.begin.dropLast()) and \(Self.end), in this order")
    }
    try Files.write(text[..<start.upperBound] + table + "\n" + text[stop.lowerBound...], to: page)
  }
}
