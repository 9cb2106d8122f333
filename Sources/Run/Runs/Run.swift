// Run: everything that the roles of one run have in common, read from its directory.
//
// A run directory is made once (`RunBeginning`). Every role opens it: settings, model configuration, tokenizer,
// prompts. Truth is separate from prompts: figures read it, and rewards do so only if labels are `truth`.

package import Answers
package import Base
package import LanguageModel
package import Ledger
package import Platform
package import Records
package import Settings
package import TTRL
package import Tensors

extension PolicyObjective {
  /// The shape of the second model that is trained: PPO's has a value head, PRIME's is a policy; nil for the others.
  func critic(of policy: TransformerPlan) -> TransformerPlan? {
    switch self {
    case .clip, .gspo, .nft, .sft, .awr: nil
    case .ppo: TransformerPlan(criticOf: policy)
    case .prime: policy
    }
  }
}

extension RunSettings {
  /// The order of bfloat16 products; for `auto`, the fastest one on this machine.
  package var productOrder: ProductOrder { products.order ?? Arithmetic.fastestOrder }

  /// Makes the order of bfloat16 products a part of a new run. In float32 it means nothing.
  mutating func resolveProducts() {
    guard dtype == .bfloat16 else { return products = .auto }
    products =
      switch productOrder {
      case .tile: .tile
      case .pair: .pair
      }
  }
}

package struct Run: Sendable {
  package let directory: RunDirectory
  package let settings: RunSettings
  /// settings.json as it is.
  package let manifest: JSON
  package let id: String
  package let model: ModelDirectory
  /// What does not depend on the weights.
  package let transformer: TransformerPlan
  /// The same of the critic; nil if the objective has none.
  package let critic: TransformerPlan?
  package let tokenizer: Tokenizer
  package let reader: ResponseText
  package let training: PromptSet
  package let heldOut: PromptSet
  package let transfer: PromptSet
  /// The first training question as the model sees it.
  package let example: ExamplePrompt?

  /// The questions of one set, as text and as tokens, and the keys of their answers.
  package struct PromptSet: Sendable {
    package var questions: [Question] = []
    package var prompts: [Prompt] = []
    /// [prompts] nil where there is no answer.
    package var truth: [AnswerKey?] = []
  }

  /// Opens a run.
  ///
  /// - Throws: what is missing or wrong; its description is for the user.
  package init(opening directory: RunDirectory) throws { try self.init(opening: directory, modelAt: nil) }

  /// - Parameter copy: where the model's small files are, if another rank has checked the model (RunParcel).
  init(opening directory: RunDirectory, modelAt copy: String?) throws {
    self.directory = directory
    let manifest = try RunManifest(reading: directory)
    self.manifest = manifest.json
    id = manifest.id
    settings = manifest.settings
    model = try ModelDirectory(copy ?? settings.model)
    if copy == nil { try manifest.check(model) }
    let adapter = try settings.hasAdapter ? AdapterDirectory(directory.adapter, of: model.layout).layout : nil
    transformer = TransformerPlan(
      model.configuration.model, type: settings.dtype, products: settings.productOrder, adapter: adapter)
    critic = settings.method.objective.critic(of: transformer)
    tokenizer = try model.tokenizer()
    reader = ResponseText(tokenizer, rule: settings.method.answers)
    let renderer = try PromptRenderer(settings: settings, model: model, tokenizer: tokenizer)
    training = try Self.promptSet(.training, directory, renderer)
    heldOut = try Self.promptSet(.heldOut, directory, renderer)
    transfer = try Self.promptSet(.transfer, directory, renderer)
    example = try training.questions.first.map(renderer.example)
  }

  private static func promptSet(
    _ set: QuestionSet, _ directory: RunDirectory, _ renderer: PromptRenderer
  ) throws -> PromptSet {
    let path = directory.questions(set)
    guard try Files.exists(path) else { return PromptSet() }
    return try renderer.promptSet(try Question.read(try Files.read(path)))
  }

  package func set(_ set: QuestionSet) -> PromptSet {
    switch set {
    case .training: training
    case .heldOut: heldOut
    case .transfer: transfer
    }
  }

  /// Checks that the prompts are those that the run asked when it began.
  ///
  /// - Throws: `RunError.otherPrompts`, or `LedgerError`.
  package func checkPrompts(of ledger: Ledger) throws {
    for name in QuestionSet.allCases {
      guard try ledger.prompts(of: name).map(\.tokens) == set(name).prompts.map(\.tokens) else {
        throw RunError.otherPrompts(path: directory.path)
      }
    }
  }

  /// The optimizer's state that the run begins with; nil for a new optimizer.
  package var carried: CarriedState? { CarriedState(settings, manifest, directory) }

  // MARK: What follows from the settings

  package var method: Method {
    var method = settings.method
    method.isJudged = settings.hasRewardCommand
    method.sampling = settings.trainingSampling(stopTokens: model.configuration.eosTokens)
    return method
  }

  /// A guard that has not seen a step yet.
  package var freshGuard: Guard {
    Guard(window: settings.guardWindow, promptCount: training.prompts.count, method: method)
  }

  /// A plateau that has not seen a step yet. Its window is the guard's.
  package var freshPlateau: Plateau { Plateau(window: freshGuard.window) }

  /// The responses that the steps learn; nil if they sample them.
  ///
  /// - Throws: if the file is missing or damaged.
  package func responses() throws -> ResponseFile? {
    guard settings.method.objective.takesResponses, settings.method.steps > 0 else { return nil }
    return try ResponseFile(directory.responses, promptCount: training.prompts.count)
  }

  /// All rounds of the run, in the order in which they can open: evaluations before, during and after the training, and
  /// one training round per step.
  ///
  /// - Parameter responses: as `responses()` gives them.
  package func plan(_ responses: ResponseFile? = nil) -> [RoundSpec] {
    let method = method
    if let round = settings.evaluatedAs {
      return [
        RoundSpec(
          id: round, policy: PolicyVersion(0), prompts: set(round.set).prompts.map(\.index),
          samples: settings.evaluationSamples,
          sampling: settings.evaluationSampling(stopTokens: model.configuration.eosTokens))
      ]
    }
    let steps = (0..<method.steps).map { step in
      let round = trainingRound(ofStep: step, promptCount: training.prompts.count, method: method)
      return responses?.given(round, method: method) ?? round
    }
    let sets = QuestionSet.allCases.filter { !evaluatedPrompts(of: $0).isEmpty }
    let evaluations = settings.evaluations(of: sets).map { evaluation in
      RoundSpec(
        id: .evaluate(evaluation.set, at: PolicyVersion(evaluation.step)),
        prompts: evaluatedPrompts(of: evaluation.set), samples: evaluation.samples,
        sampling: settings.evaluationSampling(stopTokens: model.configuration.eosTokens))
    }
    return (steps + evaluations).sorted { ($0.policy, $0.id) < ($1.policy, $1.id) }
  }

  /// The prompts that the run's own evaluations sample: all but those that a model has written, and of the forms of a
  /// question the first.
  package func evaluatedPrompts(of name: QuestionSet) -> [UInt32] {
    let set = set(name)
    guard settings.evaluatedAs == nil else { return set.prompts.map(\.index) }
    let forms = name == .training ? UInt32(settings.method.forms) : 1
    return zip(set.questions, set.prompts)
      .filter { $0.0.source != QuestionWriting.source && $0.1.index % forms == 0 }.map(\.1.index)
  }

  package var promptTokens: (training: [[Int32]], heldOut: [[Int32]], transfer: [[Int32]]) {
    (training.prompts.map(\.tokens), heldOut.prompts.map(\.tokens), transfer.prompts.map(\.tokens))
  }

  /// Prompts as the ledger keeps them.
  package var storedPrompts: [StoredPrompt] {
    QuestionSet.allCases.flatMap { name in
      zip(set(name).questions, set(name).prompts).map { question, prompt in
        StoredPrompt(
          set: name, index: prompt.index, id: question.id, text: question.prompt, tokens: prompt.tokens,
          answer: question.fileAnswer)
      }
    }
  }

  /// What is trained, and what a policy version consists of.
  package var trained: TensorLayout { transformer.trained }

  /// The file of a version's weights, in a directory that other programs can open.
  package var weightsFile: String {
    transformer.adapter == nil ? ModelDirectory.weightsName : AdapterFile.weightsName
  }

  /// How weights are stored and published.
  package var weightType: WeightType { settings.dtype == .bfloat16 ? .bfloat16 : .float32 }

  /// The trained parameters of policy 0.
  ///
  /// - Throws: if the weights cannot be read.
  package func initialParameters() throws -> ParameterSource {
    guard let adapter = transformer.adapter else { return try model.parameters() }
    guard settings.adapter != RunSettings.newAdapter else {
      return ParameterSource(initialAdapter(adapter, seed: settings.method.seed))
    }
    return ParameterSource(try AdapterDirectory(directory.adapter, of: model.layout).loadParameters())
  }

  /// Copies some of the parameters with which a critic begins: those of policy 0, and, if it has a value head, one of
  /// zeroes, so that all its values are 0.
  ///
  /// - Parameters:
  ///   - range: among the critic's trained parameters.
  ///   - policy: the trained parameters of policy 0.
  ///   - target: as long as the range.
  package func copyInitialCritic(_ range: Range<Int>, of policy: ParameterSource, to target: Floats) {
    target.fill(0)
    let shared = range.clamped(to: 0..<(critic?.sharedWithPolicy ?? 0))
    if !shared.isEmpty { target[0..<shared.count].copy(from: policy.values(shared)) }
  }

  /// Calls `body` with the published bytes of policy 0, a few megabytes at a time: its parameters in the run's data
  /// type.
  ///
  /// - Throws: if the weights cannot be read, or what `body` throws.
  package func forEachPieceOfInitialPolicy(_ body: ([UInt8]) throws -> Void) throws {
    try forEachPublishedPiece(of: try initialParameters(), layout: trained, type: weightType, body)
  }

  /// Writes a directory that other programs can open, from the bytes of a policy version: a model, or an adapter.
  ///
  /// - Parameters:
  ///   - published: the bytes.
  ///   - target: an existing directory.
  /// - Returns: SHA-256 of the file of the weights, in hexadecimal.
  /// - Throws: `PlatformError`, for example on a full disk.
  package func write(published: HeldBytes, to target: String) throws -> String {
    guard let adapter = transformer.adapter else {
      return try model.write(published: published, as: weightType, to: target)
    }
    return try AdapterDirectory.write(
      published: published, as: weightType, adapter, base: ThisProcess.absolute(settings.model), to: target)
  }

  /// What identifies the frozen model, if an adapter is trained.
  package var base: PolicyManifest? {
    guard transformer.adapter != nil, let digest = manifest["base_sha256"]?.string else { return nil }
    return PolicyManifest(
      version: .base, byteCount: UInt64(model.layout.count * weightType.byteCount), digest: Hexadecimal.bytes(digest))
  }

  /// Writes the base's bytes as a version's, for processes on other machines; nothing if the file is there.
  ///
  /// - Throws: if the model cannot be read, or on a full disk.
  package func writeBase() throws {
    let path = directory.policy(.base)
    guard try !Files.exists(path) else { return }
    let file = try AtomicFile(path)
    try forEachPublishedPiece(of: try model.parameters(), layout: model.layout.flat, type: weightType) {
      try file.write($0)
    }
    try file.commit()
  }

  private var adaptedBase: AdaptedBase? {
    guard let adapter = transformer.adapter, let base else { return nil }
    return AdaptedBase(
      adapter: String(decoding: AdapterFile(adapter.configuration, base: nil).bytes, as: UTF8.self), manifest: base,
      directory: ThisProcess.absolute(settings.model))
  }

  /// What a process that knows only the coordinator's address is told.
  ///
  /// - Parameter term: the coordinator's.
  package func welcome(under term: Term) -> Welcome {
    Welcome(
      runID: id, seed: settings.method.seed, dtype: settings.dtype.text(settings.productOrder),
      modelConfiguration: String(decoding: model.configuration.configFile(), as: UTF8.self),
      latestPolicy: PolicyVersion(0), heartbeat: Limits.heartbeat,
      tokenTexts: settings.stopStrings.isEmpty ? .none : tokenizer.tokenTexts,
      policies: ThisProcess.absolute(directory.policies), base: adaptedBase, term: term)
  }
}
