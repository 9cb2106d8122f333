// SizingCommand: `ttrl-dev sizing`, the tables of docs/operating.md: what runs of known models need of machines.
//
// Arithmetic only (Runs.StepTime, LanguageModel.MemoryPlan), so that it prints the same on every machine. What is
// assumed is in the options, and printed above the table.

import Base
import Glibc
import LanguageModel
import Platform
import Records
import Runs
import Settings

enum SizingCommand {
  static let usage = "sizing [--threads N] [--gflops N] [--tokens N] [--mini-batch N] [--page FILE]"

  private struct Options {
    /// Of a machine, and what one of them multiplies and adds: 8 float32 lanes, twice, 2 units, 2.8 GHz.
    var threads = 16
    var gflops = 90
    var tokens = 600
    var miniBatch = 32
    var page = ""
  }

  /// - Returns: the exit status: 0, 1 the page cannot be written, 2 usage.
  static func run(_ arguments: [String]) -> Int32 {
    guard let options = parse(arguments) else {
      SimulateCommand.print("usage: ttrl-dev \(usage)\n", to: STDERR_FILENO)
      return 2
    }
    let text = table(options)
    guard !options.page.isEmpty else {
      print(text)
      return 0
    }
    do {
      try replace(text, in: options.page)
      return 0
    } catch {
      SimulateCommand.print("ttrl-dev sizing: \(error)\n", to: STDERR_FILENO)
      return 1
    }
  }

  private static func parse(_ arguments: [String]) -> Options? {
    var options = Options()
    var rest = arguments[...]
    while let name = rest.popFirst() {
      guard let text = rest.popFirst() else { return nil }
      let value = Int(text).flatMap { $0 > 0 ? $0 : nil }
      switch (name, value) {
      case ("--threads", let value?): options.threads = value
      case ("--gflops", let value?): options.gflops = value
      case ("--tokens", let value?): options.tokens = value
      case ("--mini-batch", let value?): options.miniBatch = value
      case ("--page", _): options.page = text
      default: return nil
      }
    }
    return options
  }

  // MARK: The tables

  /// Per thread: some 60 responses of 600 tokens of the smallest model at a time.
  private static let keyValueBytes = 1 << 30

  private static func table(_ options: Options) -> String {
    var settings = Settings()
    (settings.dtype, settings.method.promptsPerStep, settings.method.votes) = (.bfloat16, 32, 64)
    (settings.method.trainSamples, settings.method.miniBatch) = (32, options.miniBatch)
    settings.maxNewTokens = Int32(4 * options.tokens)
    var lines = [
      "Written by `ttrl-dev sizing`. Assumed: machines of \(options.threads) threads at \(options.gflops) GFLOP/s of "
        + "float32 multiply-adds each, one worker and one learner rank on every machine; 32 prompts × 64 votes, 32 "
        + "trained, responses of \(options.tokens) tokens on average and \(4 * options.tokens) at most, "
        + "`--kv-memory \(keyValueBytes >> 20)` (MiB per thread), `--mini-batch \(options.miniBatch)` "
        + "(so \(32 * 32 / options.miniBatch) updates a step), bfloat16.",
      "",
      "| model | machines | memory each, exact; fast | sampling | training | sums at 1 Gbit/s, exact; fast "
        + "| at 10 Gbit/s | a step at 10 Gbit/s, exact |",
      "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for (name, model) in models {
      for machines in [2, 8, 64] {
        func time(_ reduction: Reduction, gigabits: Double) -> StepTime {
          settings.reduction = reduction
          return StepTime(
            settings, model: model, responseTokens: options.tokens,
            StepTime.Means(
              samplingThreads: machines * options.threads, trainingThreads: machines * options.threads,
              ranks: machines, flops: Double(options.gflops) * 1e9, linkRate: gigabits * 1.25e8))
        }
        func memory(_ reduction: Reduction) -> String {
          settings.reduction = reduction
          let bytes = bytes(settings, model, machines: machines, threads: options.threads)
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

  /// A worker and learner rank 0, with activations that are computed twice.
  private static func bytes(_ settings: Settings, _ model: ModelConfiguration, machines: Int, threads: Int) -> Int {
    let shape = TransformerPlan(model, type: settings.dtype)
    let positions = 2 * Int(settings.maxNewTokens)
    let running = settings.method.promptsPerStep * settings.method.votes / (machines * threads)
    let sampling = MemoryPlan.sampling(
      shape, versions: 2, threads: threads, batchRows: min(Generator.batchRowsMax, max(1, running)),
      positions: positions, keyValueBytesMax: keyValueBytes)
    let onTheirWay = 3 * shape.layout.count * shape.type.bytes
    let training = MemoryPlan.training(
      shape, rank: 0, of: machines, microBatchTokens: settings.microBatchTokens, sequenceTokens: positions,
      isExact: settings.reduction == .exact, recomputes: true)
    return sampling.bytes + onTheirWay + training.bytes
  }

  /// By their config.json.
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
      ropeTheta: 1_000_000, maxPositions: 32768, hasTiedEmbeddings: isTied, hasAttentionBias: true,
      hasQueryKeyNorm: false)
  }

  // MARK: The page

  private static let (begin, end) = ("<!-- sizing: begin -->\n", "<!-- sizing: end -->")

  private static func replace(_ text: String, in path: String) throws {
    let page = try Files.readText(path)
    guard let start = page.firstRange(of: begin), let stop = page.firstRange(of: end),
      start.upperBound <= stop.lowerBound
    else {
      throw PageError(text: "\(path) has no place for the table: \(begin.dropLast()) and \(end) in this order")
    }
    try Files.write(
      String(page[..<start.upperBound]) + text + "\n" + String(page[stop.lowerBound...]), to: path)
  }

  private struct PageError: Error, CustomStringConvertible {
    let text: String
    var description: String { text }
  }
}
