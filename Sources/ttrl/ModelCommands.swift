// ModelCommands: commands that use a model without a run: generate, logprobs, prompt, tokenize. (EvaluationCommand has
// eval.)

import Base
import Commands
import LanguageModel
import Platform
import Records
import Runs
import Settings
import Tensors

/// A model ready to sample and score on this machine's threads, with an adapter or without.
struct LoadedModel: Sendable {
  let directory: ModelDirectory
  let model: PreparedModel
  let threads: Int
  /// Bytes that keys and values of all threads can take.
  private let keyValueBytesMax: Int

  init(_ settings: RunSettings) throws {
    let directory = try ModelDirectory(try BuiltIn.resolve(model: settings.model))
    self.directory = directory
    let shape = directory.configuration.model
    let adapter = try settings.adapterDirectory.map { try AdapterDirectory($0, of: directory.layout) }
    let plan = TransformerPlan(
      shape, type: settings.dtype, products: settings.productOrder, adapter: adapter?.layout)
    let loaded = MemoryPlan(items: [
      .init(name: "weights", bytes: MemoryPlan.weightBytes(plan, versions: 1)),
      .init(name: "program", bytes: MemoryPlan.programBytes(plan)),
    ])
    let smaller = MemoryPlan.weightBytes(
      TransformerPlan(shape, type: .bfloat16, adapter: adapter?.layout), versions: 1)
    let isEnough =
      settings.dtype == .float32
      && loaded.bytes - MemoryPlan.weightBytes(plan, versions: 1) + smaller <= Machine.memoryLimit
    try MemoryError.require(
      loaded, for: "the model",
      remedy: isEnough ? "With --dtype bfloat16 it fits." : "Use a machine with more memory, or a smaller model.")
    keyValueBytesMax = RunMemory.keyValueBytesMax(besides: loaded)
    // The adapter first: it is small, and what is wrong with it is known at once.
    let added = try adapter?.loadParameters()
    let base = PreparedModel(plan: plan, parameters: try directory.parameters())
    model = added.map { PreparedModel(adapting: base, parameters: ParameterSource($0)) } ?? base
    for note in Command.notes(unused: try directory.unusedParts(), context: shape.contextNote) {
      Command.complain(note)
    }
    if let note = adapter?.note(onBase: directory.path) { Command.complain(note) }
    threads = settings.operation.threads(sharedBy: 1, cores: Machine.coreCount)
  }

  /// - Returns: trajectories in slot order.
  func sample(
    _ requests: [GenerationRequest], sampling: Sampling, seed: UInt64, tokenizer: Tokenizer?
  ) throws -> [Trajectory] {
    let texts = sampling.stopStrings.isEmpty ? nil : try (tokenizer ?? directory.tokenizer()).tokenTexts
    let progress = SamplingProgress()
    let view = try LineView(of: progress, samples: requests.reduce(0) { $0 + $1.samples.count })
    defer { view.end() }
    return try sampleAll(
      requests, model: model, policy: PolicyVersion(0), seed: seed, sampling: sampling, threads: threads,
      tokenTexts: texts ?? .none, keyValueBytesMax: keyValueBytesMax, progress: progress)
  }
}

extension Command {
  /// What is not used of a model: parts of its files, and a part of its context.
  static func notes(unused parts: [UnusedPart], context: String?) -> [String] {
    let unused = parts.isEmpty ? nil : "not used of the model: " + parts.map(\.description).joined(separator: ", ")
    return [unused, context].compactMap { $0 }
  }

  // MARK: generate

  @Sendable static func generate(_ settings: GenerationSettings, _ call: CallSettings) throws -> Int32 {
    let loaded = try LoadedModel(settings.sampling)
    let vocabulary = loaded.directory.configuration.model.vocabularySize
    let lines = try settings.prompt.isEmpty ? JSONLines.read() : [(1, ["prompt": .string(settings.prompt)])]
    // A tokenizer is needed only for lines with text.
    let needsText = lines.contains { $0.value["ids"] == nil }
    let tokenizer = needsText ? try loaded.directory.tokenizer() : nil
    let renderer = try tokenizer.map {
      try PromptRenderer(settings: settings.sampling, model: loaded.directory, tokenizer: $0)
    }
    if let renderer { complain("prompts: \(renderer)") }
    var requests: [GenerationRequest] = []
    for (index, (line, value)) in lines.enumerated() {
      do {
        let ids =
          try value["ids"] != nil
          ? value.ids("ids", below: vocabulary)
          : renderer?.rendered(Question(id: "\(line)", prompt: value.text("prompt"))).tokens ?? []
        guard ids.count < loaded.directory.configuration.model.maxPositions else {
          throw ModelError.tooLong(
            source: "the prompt", tokens: ids.count, loaded.directory.configuration.model)
        }
        requests.append(
          GenerationRequest(
            prompt: ids, round: .evaluate(.training, at: PolicyVersion(0)), promptIndex: UInt32(index),
            samples: Array(0..<settings.samples)))
      } catch {
        throw UserError("line \(line) of the input: \(error)")
      }
    }
    let sampling = settings.sampling.trainingSampling(stopTokens: loaded.directory.configuration.eosTokens)
    let trajectories = try loaded.sample(
      requests, sampling: sampling, seed: settings.sampling.method.seed, tokenizer: tokenizer)
    for trajectory in trajectories {
      let hasIDs = lines[Int(trajectory.slot.prompt)].value["ids"] != nil
      let text = hasIDs ? nil : tokenizer?.decode(trajectory.tokens, skipSpecial: true)
      let row: JSON = [
        "prompt_index": .int(Int(trajectory.slot.prompt)), "sample_index": .int(Int(trajectory.slot.sample)),
        "ids": .array(trajectory.tokens.map { .int(Int($0)) }), "text": .optional(text),
        "logprobs": .array(trajectory.logprobs.map { .float($0) }), "finish_reason": .string(trajectory.finish.name),
      ]
      showJSON(row.text())
    }
    return ExitStatus.done
  }

  // MARK: logprobs

  @Sendable static func logprobs(_ settings: RunSettings, _ call: CallSettings) throws -> Int32 {
    let loaded = try LoadedModel(settings)
    let engine = Backpropagation(loaded.model.plan)
    let vocabulary = loaded.directory.configuration.model.vocabularySize
    return try JSONLines.transform { line in
      let ids = try line.ids("ids", below: vocabulary)
      guard ids.count > 1 else { return [["logprobs": []]] }
      let scored = try engine.score([TrainingSequence(ids: ids, group: 0)], model: loaded.model, distribution: .plain)
      return [["logprobs": .array(scored[0].logprobs.map { .float($0) })]]
    }
  }

  // MARK: prompt

  /// Reads no weights.
  @Sendable static func prompt(_ settings: PromptSettings, _ call: CallSettings) throws -> Int32 {
    let model = try ModelDirectory(try BuiltIn.resolve(model: settings.rendering.model))
    let renderer = try PromptRenderer(settings: settings.rendering, model: model, tokenizer: try model.tokenizer())
    complain("prompts: \(renderer)")
    for question in try BuiltIn.questions(settings.rendering.data) {
      let prompt = try renderer.rendered(question)
      var members = [
        JSON.Member("id", .string(question.id)), JSON.Member("text", .string(prompt.text)),
        JSON.Member("tokens", .int(prompt.tokens.count)),
      ]
      if settings.isShowingIDs { members.append(JSON.Member("ids", .array(prompt.tokens.map { .int(Int($0)) }))) }
      showJSON(JSON.object(members).text())
    }
    return ExitStatus.done
  }

  // MARK: tokenize

  @Sendable static func tokenize(_ settings: TokenizeSettings, _ call: CallSettings) throws -> Int32 {
    let tokenizer = try ModelDirectory.tokenizer(at: try BuiltIn.resolve(model: settings.model))
    return try JSONLines.transform { line in
      guard settings.isDecoding else {
        return [["ids": .array(tokenizer.encode(try line.text("text")).map { .int(Int($0)) })]]
      }
      return [["text": .string(tokenizer.decode(try line.ids("ids", below: tokenizer.idBound), skipSpecial: false))]]
    }
  }
}
