// .gguf files as models: configuration, weights and tokenizer of the fixtures, and everything that is refused.

import Base
import Foundation
import GGUF
import LanguageModel
import Tensors
import Testing

private func model(_ bytes: [UInt8], change: (inout [UInt8]) -> Void = { _ in }) throws -> GGUFModel {
  var bytes = bytes
  change(&bytes)
  return try bytes.withUnsafeBytes { try GGUFModel(try GGUFFile($0), data: $0) }
}

private func fixture(_ name: String) throws -> GGUFModel { try model(try GGUFFixtures.bytes(name + ".gguf")) }

@Suite struct GGUFModelTests {
  // MARK: Configuration

  @Test func `metadata becomes the configuration of the same model`() throws {
    let llama = try fixture("llama").configuration
    #expect(
      llama.model
        == ModelConfiguration(
          family: .llama, vocabularySize: 269, hiddenSize: 64, feedForwardSize: 96, layerCount: 1, headCount: 4,
          keyValueHeadCount: 2, headDimension: 16, normEpsilon: 1e-5, ropeTheta: 5000,
          ropeScaling: .llama3(
            Llama3Scaling(factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPositions: 512)),
          maxPositions: 512, hasTiedEmbeddings: true, hasAttentionBias: false))
    #expect(llama.bosToken == 266 && llama.eosTokens == [264, 265])
    let qwen2 = try fixture("qwen2").configuration.model
    #expect(!qwen2.hasTiedEmbeddings && qwen2.hasAttentionBias)
    #expect(qwen2.ropeScaling == .yarn(YaRNScaling(factor: 4, originalMaxPositions: 128)))
    let qwen3 = try fixture("qwen3").configuration.model
    #expect(qwen3.headDimension == 64 && qwen3.queryKeyNorm == .head && qwen3.ropeScaling == nil)
  }

  // MARK: Weights

  @Test(arguments: GGUFFixtures.models)
  func `every number has the bits that the gguf package gives, under its name in a model directory`(_ name: String)
    throws
  {
    let bytes = try GGUFFixtures.bytes(name + ".gguf")
    let expected = try #require(try JSON.parse(GGUFFixtures.bytes("expected.json"))[name]?.members)
    let model = try model(bytes)
    var values: [Float] = []
    bytes.withUnsafeBytes { data in model.forEachPiece(in: data) { values += $0 } }
    #expect(values.count == model.layout.count && model.layout.tensors.count == expected.count)
    for tensor in model.layout.tensors {
      var hash: UInt64 = 0xCBF2_9CE4_8422_2325
      for value in values[tensor.range] { hash = (hash ^ UInt64(value.bitPattern)) &* 0x100_0000_01B3 }
      let digits = String(hash, radix: 16)
      let text = String(repeating: "0", count: 16 - digits.count) + digits
      #expect(expected.first { $0.key == tensor.name }?.value == .string(text), "\(tensor.name)")
    }
  }

  @Test func `weights are stored as the smallest type that has every value`() throws {
    // Its matrices are bfloat16, and its norms float32.
    var bytes = try GGUFFixtures.bytes("qwen3.gguf")
    func exactType() throws -> WeightType { try bytes.withUnsafeBytes { try model(bytes).exactType(in: $0) } }
    #expect(try exactType() == .float32)
    let norms = try parse(bytes).tensors.filter { $0.type == .float32 }
    for place in norms.flatMap({ stride(from: $0.bytes.lowerBound, to: $0.bytes.upperBound, by: 4) }) {
      (bytes[place], bytes[place + 1]) = (0, 0)
    }
    #expect(try exactType() == .bfloat16)
    // 1 + 2⁻¹⁰ is a float16, and no bfloat16. All else must be 0: most bfloat16 of the file are too small for float16.
    let tensors = try parse(bytes).tensors
    for tensor in tensors { for place in tensor.bytes { bytes[place] = 0 } }
    #expect(try exactType() == .bfloat16)
    bytes.replaceSubrange(
      norms[0].bytes.lowerBound..<norms[0].bytes.lowerBound + 4,
      with: GGUFBytes.integer((1 + 1 / Float(1024)).bitPattern))
    #expect(try exactType() == .float16)
  }

  @Test func `a weight that is not finite is refused by the tensor's name`() throws {
    var bytes = try GGUFFixtures.bytes("qwen3.gguf")
    let norm = try #require(try parse(bytes).tensors.first { $0.name == "output_norm.weight" })
    for (offset, byte) in [UInt8(0), 0, 0x80, 0x7F].enumerated() { bytes[norm.bytes.lowerBound + 8 + offset] = byte }
    let problem = GGUFModelError.Problem.notFinite(tensor: "output_norm.weight", index: 2, value: .infinity)
    let model = try model(bytes)
    #expect(throws: GGUFModelError(problems: [problem])) {
      try bytes.withUnsafeBytes { try model.exactType(in: $0) }
    }
  }

  // MARK: Tokenizer

  @Test func `a byte-level vocabulary is the tokenizer that its word names`() throws {
    let qwen = try fixture("qwen2")
    let tokenizer = try Tokenizer(file: qwen.tokenizer.bytes())
    // Ġt he, Ġa nd; 1 and 2 are words of their own; e and its accent are composed.
    #expect(tokenizer.decode(tokenizer.encode(" the and 12 e\u{301}"), skipSpecial: false) == " the and 12 \u{E9}")
    #expect(tokenizer.encode(" the") == [258] && tokenizer.encode("12").count == 2)
    #expect(tokenizer.encode("<|end|><｜bos｜><think>") == [264, 266, 267])
    #expect(tokenizer.decode([264, 256, 266], skipSpecial: true) == " t")
    // An unused row of the embedding is not a token.
    #expect(tokenizer.id(of: "[PAD268]") == nil && tokenizer.encode("[PAD268]").count == 8)

    let llama = try fixture("llama")
    #expect(try Tokenizer(file: llama.tokenizer.bytes()).encode("12") == [259])
    #expect(llama.tokenizer["model"]?["ignore_merges"] == true && qwen.tokenizer["model"]?["ignore_merges"] == false)
    #expect(llama.tokenizerConfig["add_bos_token"] == true && qwen.tokenizerConfig["add_bos_token"] == false)
    #expect(llama.tokenizerConfig["bos_token"] == "<｜bos｜>" && llama.tokenizerConfig["eos_token"] == "<|end|>")
    #expect(llama.tokenizer["post_processor"]?["special_tokens"]?["<｜bos｜>"]?["ids"] == [266])
    #expect(qwen.tokenizer["post_processor"] == .null)
    #expect(llama.chatTemplate == "{% for m in messages %}{{ m['content'] }}<|turn|>{% endfor %}")
  }

  /// The order that transformers' generate_merges gives (5.24): by score, then by length. "he" and "an" are equal.
  @Test func `a sentencepiece vocabulary becomes merges in the order of its scores`() throws {
    let file = try fixture("sentencepiece").tokenizer
    let merges = (file["model"]?["merges"]?.elements ?? []).map { $0.elements?.compactMap(\.string) ?? [] }
    #expect(
      merges == [
        ["▁", "▁"], ["▁", "and"], ["an", "d"], ["▁t", "he"], ["h", "e"], ["a", "n"], ["▁", "t"],
      ])
    #expect(file["model"]?["byte_fallback"] == true && file["model"]?["unk_token"] == "<unk>")
    #expect(file["pre_tokenizer"]?["type"] == "Metaspace" && file["pre_tokenizer"]?["prepend_scheme"] == "first")
    #expect(file["added_tokens"]?.elements?.compactMap { $0["id"]?.int } == [0, 1, 2, 275])
  }

  // MARK: Refusals

  /// A text in the file, another of the same length in its place, and the words of the refusal.
  static let changes: [(file: String, old: String, new: String, words: String)] = [
    ("llama", "llama", "gemma", "general.architecture is \"gemma\", which ttrl does not support; supported: llama"),
    ("llama", "llama-bpe", "llama-xyz", "tokenizer.ggml.pre is \"llama-xyz\", which ttrl does not support"),
    ("qwen3", "gpt2", "bert", "tokenizer.ggml.model is \"bert\""),
    ("qwen3", "qwen3.block_count", "qwen3.block_cxxxx", "the metadata has no qwen3.block_count"),
    ("qwen3", "qwen3.block_count", "qwen3.block_cxxxx", "qwen3.block_cxxxx is 1, which ttrl does not support"),
    ("qwen3", "tokenizer.ggml.merges", "tokenizer.ggml.mergez", "the metadata has no tokenizer.ggml.merges"),
    ("qwen3", "tokenizer.ggml.merges", "tokenizer.ggml.mergez", "tokenizer.ggml.mergez is a list of 8"),
    ("qwen3", "Ġ t", "Ġ_t", "tokenizer.ggml.merges[0] is \"Ġ_t\", expected two tokens and a space"),
    ("qwen2", "yarn", "fish", "rope_scaling.rope_type is the string \"fish\""),
    ("qwen2", "blk.0.attn_q.bias", "blk.0.attn_x.bias", "tensor \"blk.0.attn_q.bias\" [64] is missing"),
    ("qwen2", "blk.0.attn_q.bias", "blk.0.attn_x.bias", "tensor \"blk.0.attn_x.bias\" is not part of a qwen2 model"),
    ("llama", "rope_freqs.weight", "rope_fxxxx.weight", "tensor \"rope_fxxxx.weight\" is not part of a llama model"),
    ("llama", "token_embd.weight", "token_exxx.weight", "tensor \"token_embd.weight\""),
  ]

  @Test(arguments: changes.indices) func `what a file has and a model cannot be is refused by name`(_ index: Int) throws
  {
    let (name, old, new, words) = Self.changes[index]
    var bytes = try GGUFFixtures.bytes(name + ".gguf")
    let place = try #require(Self.find(Array(old.utf8), in: bytes), "\(old)")
    bytes.replaceSubrange(place..<place + old.utf8.count, with: Array(new.utf8))
    let error = #expect(throws: GGUFModelError.self, "\(words)") { try model(bytes) }
    #expect(error?.description.contains(words) == true, "\(error.map(\.description) ?? "")")
  }

  private static func find(_ text: [UInt8], in bytes: [UInt8]) -> Int? {
    // A key is preceded by its length, so the text is found as a whole.
    bytes.indices.first { bytes[$0...].starts(with: text) }
  }

  @Test func `other numbers in the metadata are refused where they do not fit`() throws {
    let cases: [(key: String, value: UInt32, words: String)] = [
      ("qwen3.vocab_size", 270, "qwen3.vocab_size is 270, expected 269, the rows of token_embd.weight"),
      ("qwen3.attention.value_length", 32, "qwen3.attention.value_length is 32"),
      ("qwen3.attention.head_count", 0, "num_attention_heads"),
      ("qwen3.embedding_length", 96, "tensor \"token_embd.weight\" is [269, 64], expected [269, 96]"),
      ("tokenizer.ggml.eos_token_id", 999, "tokenizer.ggml.eos_token_id is 999"),
      ("tokenizer.ggml.bos_token_id", 268, "tokenizer.ggml.bos_token_id is 268, expected a token that is in use"),
    ]
    for (key, value, words) in cases {
      var bytes = try GGUFFixtures.bytes("qwen3.gguf")
      let place = try #require(Self.find(Array(key.utf8), in: bytes)) + key.utf8.count + 4
      bytes.replaceSubrange(place..<place + 4, with: GGUFBytes.integer(value))
      let error = #expect(throws: GGUFModelError.self, "\(words)") { try model(bytes) }
      #expect(error?.description.contains(words) == true, "\(error.map(\.description) ?? "")")
    }
  }

  @Test func `damage never traps`() throws {
    var random = Damage(seed: 21)
    for name in GGUFFixtures.models {
      let whole = try GGUFFixtures.bytes(name + ".gguf")
      let header = try #require(try parse(whole).tensors.map(\.bytes.lowerBound).min())
      for _ in 0..<300 {
        let bytes = random.mutation(of: Array(whole[..<header])) + whole[header...]
        guard let model = try? model(bytes) else { continue }
        bytes.withUnsafeBytes { data in _ = try? model.exactType(in: data) }
      }
    }
  }
}
