// A run's memory is fitted to a machine without changing its result; a run that does not fit is told what would.

import LanguageModel
import Records
import Runs
import Settings
import Testing

/// The shapes of Qwen2.5 models, from their config.json.
private enum Shape: String, CaseIterable {
  case half = "0.5B"
  case oneAndHalf = "1.5B"
  case three = "3B"

  func model() throws -> ModelConfiguration {
    let (hidden, feedForward, layers, heads, groups) =
      switch self {
      case .half: (896, 4864, 24, 14, 2)
      case .oneAndHalf: (1536, 8960, 28, 12, 2)
      case .three: (2048, 11008, 36, 16, 2)
      }
    let text = """
      {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 151936, "hidden_size": \(hidden),
      "intermediate_size": \(feedForward), "num_hidden_layers": \(layers), "num_attention_heads": \(heads),
      "num_key_value_heads": \(groups), "max_position_embeddings": 32768, "rope_theta": 1000000.0,
      "rms_norm_eps": 1e-06, "tie_word_embeddings": true, "eos_token_id": 151645, "torch_dtype": "bfloat16"}
      """
    return try CheckpointConfiguration(config: Array(text.utf8)).model
  }
}

private let gibibyte = 1 << 30
private let questions = QuestionSizes(count: 500, longest: 300)

/// A run's memory on a machine. Without settings, the run is that of `ttrl train --model … --data …`.
private func memory(
  _ shape: Shape, _ settings: RunSettings = RunSettings(), gibibytes: Int
) throws -> RunMemory {
  var settings = settings
  // Not the number of this machine's cores.
  if settings.operation.threads == 0 { settings.operation.threads = 8 }
  return RunMemory(
    settings, model: try shape.model(), questions: questions,
    share: MachineShare(settings, settings.operation), limit: gibibytes * gibibyte)
}

@Suite struct `A run's memory` {
  @Test func `has the base of an adapter once, however many processes use it`() throws {
    let model = try Shape.oneAndHalf.model()
    let layout = ParameterLayout(model)
    let adapter = try AdapterLayout(
      AdapterConfiguration(rank: 16, alpha: 32, targets: AdapterTargets.all.names(in: layout)), of: layout)
    func bytes(workers: Int, learners: Int, _ adapter: AdapterLayout?) -> Int {
      var settings = RunSettings()
      settings.adapter = adapter == nil ? RunSettings.noAdapter : RunSettings.newAdapter
      (settings.operation.workers, settings.operation.learners, settings.operation.threads) = (workers, learners, 1)
      settings.operation.keyValueMemory = 64
      return RunMemory(
        settings, model: model, adapter: adapter, questions: questions,
        share: MachineShare(settings, settings.operation), limit: 64 * gibibyte
      ).least.bytes
    }
    let base = layout.count * 2
    let one = bytes(workers: 1, learners: 1, adapter)
    #expect(one > base && one < bytes(workers: 1, learners: 1, nil) / 4)
    #expect(bytes(workers: 2, learners: 1, adapter) - one < base / 3)
    #expect(bytes(workers: 1, learners: 2, adapter) - one < base)
  }

  @Test func `fits with the usual settings, because samples wait for keys and values`() throws {
    let whole = try memory(.half, gibibytes: 4096).fit()
    #expect(whole.keyValueMemory == 0 && whole.note == nil)
    // 256 samples of 3,372 tokens in each of 8 threads, keys and values in bfloat16.
    #expect(whole.plan.bytes > 100 * gibibyte)
    let fitted = try memory(.half, gibibytes: 24).fit()
    #expect(fitted.plan.bytes <= 24 * gibibyte && fitted.keyValueMemory > 0)
    #expect(fitted.note?.contains("kv-memory: \(fitted.keyValueMemory) MiB per sampling thread") == true)
  }

  @Test(arguments: Shape.allCases, [8, 16, 24, 32, 48, 64, 96, 128, 256, 1024])
  fileprivate func `is never more than there is, and a refusal names what would fit`(_ shape: Shape, _ gibibytes: Int)
    throws
  {
    var settings = RunSettings()
    (settings.operation.workers, settings.operation.learners) = (4, 2)
    do {
      let fitted = try memory(shape, settings, gibibytes: gibibytes).fit()
      #expect(fitted.plan.bytes <= gibibytes * gibibyte)
    } catch {
      let text = "\(error)"
      #expect(text.contains(" MiB more than the \(gibibytes * 1024) MiB that are available"), "\(text)")
      guard let flags = flags(in: text) else {
        return #expect(text.contains("No setting makes it fit") && text.contains("more memory"), "\(text)")
      }
      // The flags of the last line are taken at their word.
      var parser = SettingsParser(allowed: SettingTable.all.map(\.name), defaults: settings)
      let pairs = parser.pairs(of: flags)
      parser.apply(pairs, from: "command line")
      let fitted = try memory(shape, try parser.finish(), gibibytes: gibibytes).fit()
      #expect(fitted.plan.bytes <= gibibytes * gibibyte, "\(text)")
    }
  }

  /// The flags that a refusal proposes; nil if there are none that would be enough.
  private func flags(in text: String) -> [String]? {
    guard let line = text.split(separator: "\n").last, !line.contains("No setting makes it fit") else { return nil }
    let words = line.split(whereSeparator: { " ,:".contains($0) }).map(String.init)
    var flags: [String] = []
    for (word, next) in zip(words, words.dropFirst()) where word.hasPrefix("--") { flags += [word, next] }
    return flags
  }

  @Test func `one flag is enough where one process too many is the reason`() throws {
    var settings = RunSettings()
    settings.operation.learners = 12
    #expect(throws: MemoryError.self) { try memory(.half, settings, gibibytes: 24).fit() }
    do { _ = try memory(.half, settings, gibibytes: 24).fit() } catch {
      #expect("\(error)".contains("\nWith --learners "), "\(error)")
    }
  }

  @Test func `a gradient is streamed where a whole one does not fit, and says what that costs`() throws {
    var settings = RunSettings()
    settings.operation.keyValueMemory = 100
    #expect(try memory(.half, settings, gibibytes: 64).fit().gradient == .whole)
    settings.operation.learners = 2
    let fitted = try memory(.half, settings, gibibytes: 24).fit()
    #expect(fitted.gradient == .streamed && fitted.plan.bytes <= 24 * gibibyte)
    let note = try #require(fitted.note)
    #expect(note.contains("gradient: streamed") && note.contains("of gradients per update instead of"), "\(note)")
    settings.operation.gradient = .whole
    do {
      _ = try memory(.half, settings, gibibytes: 24).fit(isContinued: true)
      Issue.record("it fits")
    } catch {
      #expect("\(error)".contains("\nWith --gradient streamed it fits: about "), "\(error)")
    }
    settings.reduction = .fast
    settings.operation.gradient = .auto
    #expect(try memory(.half, settings, gibibytes: 64).fit().gradient == .whole)
  }

  @Test func `a limit that is given is kept, and refused with one that fits`() throws {
    var settings = RunSettings()
    settings.operation.keyValueMemory = 100
    #expect(try memory(.half, settings, gibibytes: 24).fit().keyValueMemory == 100)
    settings.operation.keyValueMemory = 100_000
    do {
      _ = try memory(.half, settings, gibibytes: 24).fit()
      Issue.record("it fits")
    } catch {
      let fitted = try memory(.half, gibibytes: 24).fit().keyValueMemory
      #expect("\(error)".contains("\nWith --kv-memory \(fitted) it fits"), "\(error)")
    }
  }

  @Test func `a run that exists is offered only settings that cannot change its result`() throws {
    var settings = RunSettings()
    settings.reduction = .fast
    settings.operation.learners = 4
    do {
      _ = try memory(.three, settings, gibibytes: 64).fit(isContinued: true)
      Issue.record("it fits")
    } catch {
      for name in ["reduction", "learners", "micro-batch-tokens", "max-new-tokens", "dtype"] {
        #expect(!"\(error)".contains("--\(name)"), "\(error)")
      }
    }
  }

  @Test func `a run without steps has no learner, and a coordinator alone has no workers`() throws {
    var settings = RunSettings()
    settings.method.steps = 0
    let plan = try memory(.three, settings, gibibytes: 64).fit().plan
    #expect(!plan.items.contains { $0.name.contains("learner") } && plan.items.contains { $0.name.contains("worker") })
    let alone = RunMemory(
      RunSettings(), model: try Shape.three.model(), questions: questions,
      share: MachineShare(workers: 0, ranks: 0..<0, of: 1), limit: 8 * gibibyte)
    #expect(try alone.fit().plan.items.map(\.name) == ["coordinator"])
  }

  @Test func `every machine of a launch has its own ranks, and only one the coordinator`() throws {
    let list = try HostList("a here workers=1 learners=2\nb workers=3 learners=1\n", path: "hosts")
    let shares = list.hosts.map { MachineShare($0, of: list, RunSettings()) }
    #expect(shares.map(\.ranks) == [0..<2, 2..<3] && shares.allSatisfy { $0.allRanks == 3 })
    #expect(shares.map(\.hasCoordinator) == [true, false] && shares.map(\.workers) == [1, 3])
  }
}
