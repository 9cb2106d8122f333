// PEFTTests: adapters that PEFT made, opened, computed with, and written again.
//
// Tests/Fixtures/adapters/make.py wrote models, adapters, sequences, log-probabilities and gradients with transformers
// and PEFT, in float64.

import Base
import LanguageModel
import Tensors
import Testing

/// The fixture's folder of one model.
private struct AdapterFixture {
  let configuration: ModelConfiguration
  let base: Floats
  let file: AdapterFile
  let layout: AdapterLayout
  let weights: [UInt8]
  let parameters: Floats
  let gradients: [Float]
  let cases: GradientCases

  init(_ name: String) throws {
    func bytes(_ file: String) throws -> [UInt8] { try TestFiles.fixture("adapters/\(name)/\(file)") }
    configuration = try CheckpointConfiguration(config: bytes("base/config.json")).model
    let model = ParameterLayout(configuration)
    let stored = try bytes("base/model.safetensors")
    let header = try SafeTensorsHeader(stored, fileBytes: stored.count)
    base = Floats(try LoadPlan(model, shards: [("model.safetensors", header)]).load([stored]))
    file = try AdapterFile(bytes(AdapterFile.configurationName), of: model)
    let layout = try AdapterLayout(file.adapter, of: model)
    self.layout = layout
    func adapter(_ name: String) throws -> [Float] { try load(layout, of: model, bytes(name)) }
    weights = try bytes(AdapterFile.weightsName)
    parameters = Floats(try adapter(AdapterFile.weightsName))
    gradients = try adapter("gradients.safetensors")
    cases = try GradientCases(bytes("cases.json"))
  }
}

/// The parameters of an adapter's file.
private func load(_ layout: AdapterLayout, of model: ParameterLayout, _ file: [UInt8]) throws -> [Float] {
  let header = try SafeTensorsHeader(file, fileBytes: file.count)
  return try LoadPlan(layout, of: model, file: (AdapterFile.weightsName, header)).load([file])
}

/// Each tensor's type, shape and bytes, sorted by name.
private func tensors(_ file: [UInt8]) throws -> [String] {
  try SafeTensorsHeader(file, fileBytes: file.count).entries
    .map { "\($0.name) \($0.type) \($0.shape) \(Array(file[$0.bytes]))" }.sorted()
}

@Suite struct `An adapter of PEFT` {
  private static let names = ["qwen2", "llama", "qwen3", "phi3", "qwen3_5_text"]

  @Test(arguments: names)
  func `gives the same log-probabilities and gradients, within 1e-4`(_ name: String) throws {
    let fixture = try AdapterFixture(name)
    let plan = TransformerPlan(fixture.configuration, type: .float32, adapter: fixture.layout)
    let base = PreparedModel(plan: plan, parameters: fixture.base)
    let model = PreparedModel(adapting: base, parameters: ParameterSource(fixture.parameters))
    let gradient = Floats(count: plan.trained.count)
    let scored = try Backpropagation(plan).run(
      fixture.cases.sequences, model: model, distribution: .plain, gradient: gradient
    ) { index, place, _ in fixture.cases.coefficients[index][place] }
    let without = try Backpropagation(plan).score(fixture.cases.sequences, model: base, distribution: .plain)
    var (worstLogprob, change) = (0.0, 0.0)
    for (own, other) in zip(zip(scored, without), fixture.cases.logprobs) {
      #expect(own.0.logprobs.count == other.count)
      for (one, two) in zip(zip(own.0.logprobs, own.1.logprobs), other) {
        worstLogprob = max(worstLogprob, abs(Double(one.0) - two))
        change = max(change, abs(Double(one.1) - two))
      }
    }
    #expect(worstLogprob < 1e-4 && change > 0.1, "the adapter changes nothing by more than \(change)")
    var worst = (error: 0.0, tensor: "")
    for tensor in plan.trained.stored {
      let largest = Double(fixture.gradients[tensor.range].map(abs).max() ?? 0)
      #expect(largest > 1e-3, "\(tensor.name) has no gradient to compare with")
      let error = tensor.range.map { Double(abs(gradient[$0] - fixture.gradients[$0])) }.max() ?? 0
      #expect(error <= 1e-4 * largest, "\(tensor.name): \(error) of \(largest)")
      if error / largest > worst.error { worst = (error / largest, tensor.name) }
    }
    print("\(name): log-probabilities differ by \(worstLogprob), gradients by \(worst.error) in \(worst.tensor)")
  }

  @Test(arguments: names)
  func `has the same tensors after it was read and written`(_ name: String) throws {
    let fixture = try AdapterFixture(name)
    let written = SafeTensorsWriter(fixture.layout.tensors, type: .float32).file(fixture.parameters.array)
    let (own, other) = (try tensors(written), try tensors(fixture.weights))
    #expect(own == other && !own.isEmpty)
    let again = try AdapterFile(fixture.file.bytes, of: ParameterLayout(fixture.configuration))
    #expect(again == fixture.file && again.base == "base")
  }

  @Test func `of another kind is refused by the key that says so`() throws {
    let fixture = try AdapterFixture("qwen2")
    let model = ParameterLayout(fixture.configuration)
    func refusal(_ key: String, _ value: JSON) throws -> String? {
      let json = try JSON.parse(try TestFiles.fixture("adapters/qwen2/adapter_config.json"))
      let members = try #require(json.members).filter { $0.key != key } + [JSON.Member(key, value)]
      do {
        _ = try AdapterFile(JSON.object(members).bytes(), of: model)
        return nil
      } catch { return "\(error)" }
    }
    for (key, value): (String, JSON) in [
      ("peft_type", "LOHA"), ("peft_type", .null), ("use_dora", true), ("bias", "all"), ("fan_in_fan_out", true),
      ("modules_to_save", ["lm_head"]), ("rank_pattern", ["q_proj": 8]), ("alpha_pattern", ["q_proj": 8]),
      ("layers_to_transform", [0]), ("layers_to_transform", 0), ("init_lora_weights", "pissa"),
      ("init_lora_weights", "olora"), ("lora_bias", true), ("layer_replication", [[0, 1]]), ("r", 0),
      ("r", .double(2.5)),
      ("r", .int(1 << 40)), ("lora_alpha", 0), ("lora_alpha", "x"), ("lora_alpha", .null),
      ("target_modules", ".*_proj"),
      ("target_modules", []), ("target_modules", [1]), ("use_rslora", 1), ("exclude_modules", ["k_proj"]),
      ("trainable_token_indices", [1]), ("target_parameters", ["x"]), ("a_new_variant", true), ("use_bdlora", [:]),
    ] {
      let text = try refusal(key, value)
      #expect(text?.hasPrefix("adapter_config.json: \(key) is ") == true, "\(key): \(text ?? "accepted")")
    }
    for (key, value): (String, JSON) in [
      ("target_modules", "all-linear"), ("lora_dropout", .double(0.05)), ("init_lora_weights", "gaussian"),
      ("peft_version", "0.7"), ("revision", "main"), ("auto_mapping", ["base_model_class": "x"]), ("bias", .null),
      ("rank_pattern", [:]), ("layers_to_transform", .null), ("modules_to_save", []),
    ] {
      #expect(try refusal(key, value) == nil, "\(key)")
    }
    #expect(throws: AdapterFileError.self) { try AdapterFile(Array("{".utf8), of: model) }
  }

  @Test func `of a model that sees pictures is one of the language model inside it`() throws {
    let model = ParameterLayout(TinyModel.qwen35.configuration)
    let json: JSON = [
      "peft_type": "LORA", "r": 2, "lora_alpha": 4,
      "target_modules": ["model.language_model.layers.1.mlp.up_proj", "model.visual.blocks.0.attn.qkv"],
    ]
    let file = try AdapterFile(json.bytes(), of: model)
    #expect(file.adapter.targets == ["model.layers.1.mlp.up_proj"])
    let layout = try AdapterLayout(file.adapter, of: model)
    let prefix = "base_model.model.model."
    #expect(layout.tensors.stored.map(\.name) == ["A", "B"].map { "\(prefix)layers.1.mlp.up_proj.lora_\($0).weight" })
    var unused = layout.tensors.stored[0]
    unused.name = "\(prefix)visual.blocks.0.attn.qkv.lora_A.weight"
    unused.shape = [2, 2]
    unused.offset = layout.tensors.count
    let tensors =
      layout.tensors.stored.map { tensor in
        var tensor = tensor
        tensor.name = prefix + "language_model." + tensor.name.dropFirst(prefix.count)
        return tensor
      } + [unused]
    let values = (0..<layout.tensors.count + 4).map { Float($0) }
    let bytes = SafeTensorsWriter(TensorLayout(stored: tensors, count: values.count), type: .float32).file(values)
    #expect(try load(layout, of: model, bytes) == Array(values.dropLast(4)))
  }

  @Test func `whose tensors are damaged is refused, with the tensor's name`() throws {
    let fixture = try AdapterFixture("qwen2")
    let model = ParameterLayout(fixture.configuration)
    let stored = fixture.layout.tensors.stored
    func problem(_ tensors: [ParameterTensor], _ values: [Float], _ layout: AdapterLayout? = nil) -> String? {
      let file = SafeTensorsWriter(TensorLayout(stored: tensors, count: values.count), type: .float32).file(values)
      do {
        _ = try load(layout ?? fixture.layout, of: model, file)
        return nil
      } catch { return "\(error)" }
    }
    let values = fixture.parameters.array
    #expect(problem(stored, values) == nil)
    let last = try #require(stored.last)
    #expect(
      problem(stored.dropLast(), values) == """
        tensor "\(last.name)" \(last.shape) is missing. Do adapter_config.json and adapter_model.safetensors belong \
        together?
        """)
    var renamed = stored
    renamed[0].name += "x"
    #expect(problem(renamed, values)?.contains("\"\(renamed[0].name)\" in adapter_model.safetensors is not") == true)
    var damaged = values
    damaged[3] = .nan
    #expect(problem(stored, damaged)?.contains("\"\(stored[0].name)\" has nan at element 3") == true)
    var other = fixture.file.adapter
    other.rank = 8
    let text = problem(stored, values, try AdapterLayout(other, of: model))
    #expect(text?.contains("\"\(stored[0].name)\" is [4, 16] F32, expected [8, 16]. Do adapter_config.json") == true)
    // An adapter of a smaller base.
    #expect(problem(Array(stored.prefix(stored.count / 2)), values)?.contains("layers.1.self_attn") == true)
  }

  @Test func `with a target that the model lacks is refused by its name`() throws {
    let model = ParameterLayout(TinyModel.qwen2.configuration)
    func problem(_ targets: [String], rank: Int = 4, alpha: Double = 8) -> AdapterError? {
      do throws(AdapterError) {
        _ = try AdapterLayout(AdapterConfiguration(rank: rank, alpha: alpha, targets: targets), of: model)
        return nil
      } catch { return error }
    }
    let known = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    #expect(AdapterTargets.all.names(in: model) == known)
    #expect(AdapterTargets.attention.names(in: model) == Array(known.prefix(4)))
    #expect(AdapterTargets.mlp.names(in: model) == Array(known.suffix(3)))
    #expect(problem(known) == nil && problem(["self_attn.q_proj"]) == nil)
    #expect(problem(["model.layers.1.mlp.up_proj"]) == nil)
    #expect(problem(["q_proj", "c_attn"]) == .noSuchTarget("c_attn", known: known))
    #expect(problem(["proj"]) == .noSuchTarget("proj", known: known))
    #expect(problem(["model.layers.2.mlp.up_proj"]) == .noSuchTarget("model.layers.2.mlp.up_proj", known: known))
    #expect(problem(["lm_head"]) == .notALayer(target: "lm_head"))
    #expect(problem(["embed_tokens"]) == .notALayer(target: "embed_tokens"))
    #expect(problem([]) == .noTargets && problem(known, rank: 0) == .badRank(0))
    #expect(problem(known, alpha: 0) == .badAlpha(0) && problem(known, alpha: .infinity) == .badAlpha(.infinity))
  }
}
