// BaseModel: the shape and the tokenizer of the small built-in model.
//
// It is a Qwen2 with 0.49 million parameters. It has one token per byte, so that any text can be encoded, and one token
// each for `\boxed{` and the end of text.

import Base
import LanguageModel

enum BaseModel {
  static let boxToken: Int32 = 256
  static let endToken: Int32 = 257
  static let vocabularySize = 258

  static let configuration = ModelConfiguration(
    family: .qwen2, vocabularySize: vocabularySize, hiddenSize: 128, feedForwardSize: 384, layerCount: 2,
    headCount: 4, keyValueHeadCount: 4, headDimension: 32, normEpsilon: 1e-6, ropeTheta: 1000, maxPositions: 256,
    hasTiedEmbeddings: false, hasAttentionBias: true)

  /// tokenizer.json: byte-level BPE without merges.
  static var tokenizerFile: [UInt8] {
    let bytes = ByteAlphabet.spellings.enumerated().map { byte, spelling in
      JSON.Member(String(decoding: spelling, as: UTF8.self), .int(byte))
    }
    let added: [JSON] = [
      token(boxToken, "\\boxed{", isSpecial: false), token(endToken, "<|endoftext|>", isSpecial: true),
    ]
    let byteLevel: JSON = ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false]
    let json: JSON = [
      "version": "1.0", "truncation": .null, "padding": .null, "added_tokens": .array(added), "normalizer": .null,
      "pre_tokenizer": byteLevel, "post_processor": .null, "decoder": byteLevel,
      "model": [
        "type": "BPE", "dropout": .null, "unk_token": .null, "continuing_subword_prefix": .null,
        "end_of_word_suffix": .null, "fuse_unk": false, "byte_fallback": false, "vocab": .object(bytes), "merges": [],
      ],
    ]
    return json.bytes(.pretty) + [UInt8(ascii: "\n")]
  }

  private static func token(_ id: Int32, _ content: String, isSpecial: Bool) -> JSON {
    [
      "id": .int(Int(id)), "content": .string(content), "single_word": false, "lstrip": false, "rstrip": false,
      "normalized": false, "special": .bool(isSpecial),
    ]
  }
}
