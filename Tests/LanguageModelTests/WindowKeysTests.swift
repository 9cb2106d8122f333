// WindowKeysTests: which layers of a configuration have windows and positions, and how far longrope reaches.

import Base
import LanguageModel
import Tensors
import Testing

extension HuggingFaceConfigurationTests {
  private static func windows(_ architecture: String, _ changes: [(String, JSON?)]) throws -> [Int?] {
    let family: [(String, JSON?)] = [
      ("architectures", [.string("\(architecture)ForCausalLM")]), ("num_hidden_layers", 2),
    ]
    return try read(family + changes).layerKinds.map { kind in
      if case .attention(let reach) = kind { reach.window } else { nil }
    }
  }

  @Test func `a window is that of the layers for which transformers uses it`() throws {
    #expect(try Self.windows("Qwen2", [("use_sliding_window", false), ("sliding_window", 1024)]) == [nil, nil])
    let on: [(String, JSON?)] = [("use_sliding_window", true), ("sliding_window", 1024)]
    #expect(try Self.windows("Qwen2", on) == [nil, nil], "max_window_layers is 28 if it is missing")
    #expect(try Self.windows("Qwen2", on + [("max_window_layers", 1)]) == [nil, 1024])
    let types: JSON = ["sliding_attention", "full_attention"]
    #expect(try Self.windows("Qwen3", on + [("layer_types", types)]) == [1024, nil])
    let usual: [(String, JSON?)] = [("max_window_layers", 28), ("layer_types", types)]
    #expect(try Self.windows("Qwen3", on + usual) == [1024, nil], "transformers writes its default beside the list")
    #expect(try Self.windows("Mistral", []) == [4096, 4096])
    #expect(try Self.windows("Mistral", [("sliding_window", .null)]) == [nil, nil])
    #expect(try Self.windows("Phi3", []) == [nil, nil])
    #expect(try Self.windows("Phi3", [("sliding_window", 2047)]) == [2047, 2047])
    #expect(try Self.windows("Ministral", [("sliding_window", 100)]) == [100, 100])
    #expect(try Self.windows("Ministral", [("sliding_window", 100), ("layer_types", types)]) == [100, nil])
    #expect(try Self.windows("SmolLM3", on + [("no_rope_layers", [0, 1])]) == [1024, nil])
  }

  @Test func `a SmolLM3 has no positions in every fourth layer, or in those of a list`() throws {
    func rotated(_ changes: [(String, JSON?)]) throws -> [Bool] {
      let family: [(String, JSON?)] = [("architectures", ["SmolLM3ForCausalLM"]), ("num_hidden_layers", 2)]
      return try Self.read(family + changes).layerKinds.map { kind in
        if case .attention(let reach) = kind { reach.isRotated } else { false }
      }
    }
    #expect(try rotated([("num_hidden_layers", 5)]) == [true, true, true, false, true])
    #expect(try rotated([("no_rope_layer_interval", 2)]) == [true, false])
    #expect(try rotated([("no_rope_layers", [0, 1])]) == [false, true])
    #expect(try rotated([("no_rope_layers", [0, 1]), ("no_rope_layer_interval", 4)]) == [false, true])
    let model = try Self.read([("architectures", ["SmolLM3ForCausalLM"]), ("tie_word_embeddings", nil)])
    #expect(model.hasTiedEmbeddings && model.ropeTheta == 2_000_000)
  }

  @Test func `a Phi-3 with longrope has positions for texts with the first list of factors`() throws {
    let lists: [JSON.Member] = [
      .init("short_factor", [1, 1, 2, 2, 3, 3]), .init("long_factor", [4, 4, 5, 5, 6, 6]),
    ]
    func read(_ type: String, _ more: [(String, JSON?)] = []) throws -> ModelConfiguration {
      try Self.read(
        [
          ("architectures", ["Phi3ForCausalLM"]), ("partial_rotary_factor", .double(0.75)),
          ("max_position_embeddings", 131072), ("original_max_position_embeddings", 8192),
          ("rope_scaling", .object(lists + [.init("type", .string(type))])),
        ] + more)
    }
    let model = try read("longrope")
    #expect(try read("su") == model)
    #expect(model.maxPositions == 8192 && model.rotatedDimension == 12)
    let error = "\(ModelError.tooLong(source: "sequence 0", tokens: 9000, model))"
    #expect(error.contains("9000 tokens; the model has positions for 8192 tokens, not for 131072: "))
    #expect(error.contains("longrope") && error.hasSuffix("Use shorter prompts or fewer new tokens"))
    guard case .longRoPE(let scaling) = model.ropeScaling else {
      Issue.record("no longrope")
      return
    }
    // √(1 + ln 16 / ln 8192)
    #expect(abs(scaling.attentionFactor - 1.1436) < 1e-4)
    let config = CheckpointConfiguration(model: model, bosToken: nil, eosTokens: [], weightType: nil)
    #expect(try CheckpointConfiguration(config: config.configFile()) == config)
  }
}
