// .safetensors files: writing and reading, every refusal, damaged files, and checkpoints that another program wrote.

import Base
import Foundation
import LanguageModel
import Tensors
import Testing

/// A model small enough to print: 5 words, 4 channels, one layer.
private let tiny = ModelConfiguration(
  family: .qwen2, vocabularySize: 5, hiddenSize: 4, feedForwardSize: 6, layerCount: 1, headCount: 2,
  keyValueHeadCount: 1, headDimension: 2, maxPositions: 16, hasTiedEmbeddings: false, hasAttentionBias: true)
private let layout = ParameterLayout(tiny)
private let parameters = (0..<layout.count).map { Float($0 * $0 % 509 - 250) / 64 }

/// A file with this header and some data.
private func file(_ header: String, dataBytes: Int = 0) -> [UInt8] {
  var writer = ByteWriter()
  writer.write(UInt64(header.utf8.count))
  writer.append(Array(header.utf8))
  return writer.bytes + Array(repeating: 0, count: dataBytes)
}

private func header(_ file: [UInt8]) throws(SafeTensorsError) -> SafeTensorsHeader {
  try SafeTensorsHeader(file, fileBytes: file.count)
}

/// A file with some tensors of the tiny model, as F32.
private func shard(_ tensors: [ParameterTensor]) -> [UInt8] {
  var members: [JSON.Member] = []
  var data = ByteWriter()
  for tensor in tensors {
    let start = data.bytes.count
    for value in parameters[tensor.range] { data.write(value) }
    let json: JSON = [
      "dtype": "F32", "shape": .array(tensor.shape.map { .int($0) }),
      "data_offsets": [.int(start), .int(data.bytes.count)],
    ]
    members.append(.init(tensor.name, json))
  }
  return file(JSON.object(members).text()) + data.bytes
}

@Suite struct HuggingFaceSafeTensorsTests {
  @Test func `float32 weights are the same bits after writing and reading`() throws {
    let file = SafeTensorsWriter(layout, type: .float32).file(parameters)
    let plan = try LoadPlan(layout, shards: [("model.safetensors", header(file))])
    #expect(try plan.load([file]) == parameters)
  }

  @Test(arguments: WeightType.allCases)
  func `the file is the header and then the array, in pieces of any size`(type: WeightType) throws {
    let writer = SafeTensorsWriter(layout, type: type)
    let whole = writer.file(parameters)
    #expect(whole.count == writer.fileBytes && writer.header.count % 8 == 0)
    for size in [1, 7, 1000] {
      var file = writer.header
      for start in stride(from: 0, to: parameters.count, by: size) {
        file += Array(parameters[start..<min(start + size, parameters.count)]).withUnsafeBufferPointer(writer.data)
      }
      #expect(file == whole)
    }
    let plan = try LoadPlan(layout, shards: [("m", header(whole))])
    let read = try plan.load([whole])
    #expect(writer.file(read) == whole, "rounded values changed when they were written again")
  }

  @Test func `bfloat16 values are rounded to nearest, ties to even`() {
    // 8 bits of precision: 1, then steps of 1/128.
    let values: [Float] = [
      1 + 1 / 256, 1 + 3 / 256, 1 + 1 / 255, -1 - 1 / 256, 0, -0.0, 3.4e38, .leastNonzeroMagnitude,
    ]
    let bits: [UInt16] = [0x3F80, 0x3F82, 0x3F81, 0xBF80, 0, 0x8000, 0x7F80, 0]
    let bytes = values.withUnsafeBufferPointer(SafeTensorsWriter(layout, type: .bfloat16).data)
    #expect(bytes == bits.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] })
  }

  @Test func `every bfloat16 keeps its bits, NaNs and infinities included, and a NaN stays one`() {
    let words = (UInt16.min...UInt16.max).filter { $0 & 0x7FFF <= 0x7F80 || $0 & 0x40 != 0 }
    let values = words.map { Float(bitPattern: UInt32($0) << 16) }
    let bytes = values.withUnsafeBufferPointer(SafeTensorsWriter(layout, type: .bfloat16).data)
    #expect(bytes == words.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] })
    let odd = [Float(bitPattern: 0x7F80_0001), Float(bitPattern: 0xFFFF_FFFF)]
    let quiet = odd.withUnsafeBufferPointer(SafeTensorsWriter(layout, type: .bfloat16).data)
    #expect(quiet == [0xC0, 0x7F, 0xFF, 0xFF])
  }

  /// Headers, and the words that each refusal must contain.
  @Test(arguments: [
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, "ends at byte 8, but there are 4 bytes"),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, "its range has 4 bytes"),
    (#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#, "its range has 0 bytes"),
    (#"{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}"#, "unknown type \"F33\""),
    (#"{"a":{"dtype":"U8","shape":[],"data_offsets":[3,2]}}"#, "a beginning and an end"),
    (#"{"a":{"dtype":"U8","shape":[],"data_offsets":[3]}}"#, "a beginning and an end"),
    (#"{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}"#, "a list of integers"),
    (#"{"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}"#, "a list of integers"),
    (#"{"a":{"dtype":"U8","shape":[1]}}"#, "data_offsets missing"),
    (#"{"a":{"shape":[1],"data_offsets":[0,1]}}"#, "no dtype"), (#"{"a":3}"#, "no dtype"), ("[]", "an array of 0"),
    (#"{"a":{},"a":{}}"#, "twice"), ("{", "not JSON"), ("", "not JSON"),
    (
      #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#,
      "\"a\" and \"b\" share bytes"
    ),
  ])
  func `a header that cannot be true is refused by name`(text: String, words: String) {
    let error = #expect(throws: SafeTensorsError.self) { try header(file(text, dataBytes: 4)) }
    #expect(error?.description.contains(words) == true, "\(error.map(\.description) ?? "accepted")")
  }

  @Test func `gaps, empty tensors, scalars and metadata are accepted`() throws {
    let text =
      #"{"__metadata__":{"x":"y"},"a":{"dtype":"U8","shape":[],"data_offsets":[3,4]},"#
      + #""b":{"dtype":"F32","shape":[0,5],"data_offsets":[3,3]}}   "#
    let found = try header(file(text, dataBytes: 9)).entries
    #expect(found.map(\.name) == ["a", "b"] && found.map(\.shape) == [[], [0, 5]])
  }

  @Test func `a file that is too short for its header is refused before it is read`() {
    #expect(throws: SafeTensorsError.tooShort(fileBytes: 3)) { try header([1, 0, 0]) }
    let huge = Array(repeating: UInt8(0xFF), count: 8)
    #expect(throws: SafeTensorsError.headerTooLong(headerBytes: .max, limit: 0)) { try header(huge) }
    let long: [UInt8] = [9, 0, 0, 0, 0, 0, 0, 0, 0x7B, 0x7D]
    #expect(throws: SafeTensorsError.headerTooLong(headerBytes: 9, limit: 2)) { try header(long) }
  }

  @Test func `an index lists each file once, and a file outside the folder is refused`() throws {
    let index = try SafeTensorsIndex(Array(#"{"weight_map":{"x":"b.st","y":"a.st","z":"b.st"}}"#.utf8))
    #expect(index.files == ["a.st", "b.st"])
    for name in ["../a", "/etc/passwd", "a/b", "", "..", ".hidden", "a\\nb"] {
      let text = #"{"weight_map":{"x":"\#(name)"}}"#
      #expect(throws: SafeTensorsError.self, "\(name)") { try SafeTensorsIndex(Array(text.utf8)) }
    }
    #expect(throws: SafeTensorsError.self) { try SafeTensorsIndex(Array("{}".utf8)) }
  }

  @Test func `reading a damaged file never traps`() throws {
    let whole = SafeTensorsWriter(layout, type: .bfloat16).file(parameters)
    let headerCount = SafeTensorsWriter(layout, type: .bfloat16).header.count
    var random = Damage(seed: 5)
    for _ in 0..<3000 {
      let bytes = random.mutation(of: Array(whole[..<headerCount])) + whole[headerCount...]
      guard let header = try? header(bytes), let plan = try? LoadPlan(layout, shards: [("m", header)]) else { continue }
      _ = try? plan.load([bytes])
    }
  }
}

@Suite struct HuggingFaceLoadPlanTests {
  private static func problems(
    _ files: [(name: String, bytes: [UInt8])], index: String? = nil
  ) throws -> [WeightsError.Problem] {
    let shards = try files.map { ($0.name, try header($0.bytes)) }
    let index = try index.map { try SafeTensorsIndex(Array($0.utf8)) }
    do {
      _ = try LoadPlan(layout, shards: shards, index: index).load(files.map(\.bytes))
      return []
    } catch { return error.problems }
  }

  @Test func `shards in any order, tensors in any order, give the same parameters`() throws {
    let some = shard(layout.tensors.enumerated().filter { $0.offset % 2 == 0 }.map(\.element).reversed())
    let others = shard(layout.tensors.enumerated().filter { $0.offset % 2 == 1 }.map(\.element))
    for files in [[some, others], [others, some]] {
      let shards = try files.enumerated().map { ("\($0.offset)", try header($0.element)) }
      #expect(try LoadPlan(layout, shards: shards).load(files) == parameters)
    }
  }

  @Test func `everything that does not fit is reported at once`() throws {
    var tensors = layout.tensors
    let last = tensors.removeLast()
    tensors[1].shape = [2, 2]
    tensors.append(tensors[0])
    tensors[tensors.count - 1].name = "model.extra"
    let second = shard([layout.tensors[2]])
    let index = #"{"weight_map":{"\#(tensors[0].name)":"two","nowhere":"one"}}"#
    #expect(
      try Self.problems([("one", shard(tensors)), ("two", second)], index: index) == [
        .repeated(tensor: tensors[2].name, shards: ["one", "two"]),
        .wrongShape(tensor: tensors[1].name, found: [2, 2], type: "F32", expected: [4]),
        .missing(tensor: last.name, shape: [5, 4]),
        .unexpected(tensor: "model.extra", shard: "one"),
        .misplaced(tensor: tensors[0].name, index: "two", found: "one"),
        .misplaced(tensor: "nowhere", index: "one", found: nil),
      ])
  }

  private static let tied: ParameterLayout = {
    var configuration = tiny
    configuration.hasTiedEmbeddings = true
    return ParameterLayout(configuration)
  }()

  /// A file of the tied model, with a head whose values are the embedding's, changed by `change`.
  private static func fileWithHead(_ type: WeightType = .float32, _ change: (Int, Float) -> Float) -> [UInt8] {
    let values = Array(parameters[..<tied.count])
    let embedding = tied.tensors[tied.embedding]
    let head = values[embedding.range].enumerated().map(change)
    return SafeTensorsWriter(layout, type: type).file(values + head)
  }

  @Test(arguments: WeightType.allCases)
  func `a tied head that is stored nevertheless is accepted if it equals the embedding`(type: WeightType) throws {
    let bytes = Self.fileWithHead(type) { $1 }
    #expect(try LoadPlan(Self.tied, shards: [("m", header(bytes))]).load([bytes]).count == Self.tied.count)
  }

  @Test func `a tied head that differs from the embedding is refused, in whichever shard it is`() throws {
    let bytes = Self.fileWithHead { $0 == 7 ? $1 + 0.5 : $1 }
    let expected = parameters[Self.tied.tensors[Self.tied.embedding].offset + 7]
    let problem = WeightsError.Problem.notTied(
      tensor: "lm_head.weight", to: "model.embed_tokens.weight", index: 7, found: expected + 0.5, expected: expected)
    #expect(throws: WeightsError(problems: [problem])) {
      try LoadPlan(Self.tied, shards: [("m", header(bytes))]).load([bytes])
    }
    let head = shard([layout.tensors[layout.head]])
    let rest = shard(Self.tied.tensors)
    for files in [[head, rest], [rest, head]] {
      let plan = try LoadPlan(Self.tied, shards: files.enumerated().map { ("\($0.offset)", try header($0.element)) })
      #expect(throws: WeightsError.self) { try plan.load(files) }
    }
  }

  @Test func `frequency tables are ignored`() throws {
    var table = layout.tensors[1]
    table.name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    let bytes = shard(layout.tensors + [table])
    #expect(try LoadPlan(layout, shards: [("m", header(bytes))]).load([bytes]) == parameters)
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity], WeightType.allCases)
  func `weights that are not finite are refused by the tensor's name`(bad: Float, type: WeightType) throws {
    var damaged = parameters
    let tensor = layout.tensors[3]
    damaged[tensor.offset + 2] = bad
    let bytes = SafeTensorsWriter(layout, type: type).file(damaged)
    let found = try Self.problems([("m", bytes)])
    guard case .notFinite(tensor.name, 2, let value) = found.first, found.count == 1 else {
      Issue.record("\(found)")
      return
    }
    #expect(value.isNaN == bad.isNaN && (bad.isNaN || value == bad))
  }

  @Test func `a file that changed since its header was read is refused`() throws {
    let bytes = shard(layout.tensors)
    let plan = try LoadPlan(layout, shards: [("m", header(bytes))])
    let problem = WeightsError.Problem.fileChanged(shard: "m", planned: bytes.count, found: bytes.count - 1)
    #expect(throws: WeightsError(problems: [problem])) { try plan.load([Array(bytes.dropLast())]) }
  }

  @Test func `the message says what was found, what was expected, and what can be the cause`() {
    let problem = WeightsError.Problem.wrongShape(
      tensor: "model.layers.3.self_attn.q_proj.weight", found: [896, 896], type: "F16", expected: [1024, 896])
    #expect(
      problem.description == """
        tensor "model.layers.3.self_attn.q_proj.weight" is [896, 896] F16, expected [1024, 896]. \
        Do config.json and weights belong together?
        """)
  }
}

/// Checkpoints that transformers wrote. The checksum is the sum over all tensors of value[i] · (i mod 97 + 1) in
/// float64, computed with numpy, which adds in another order; hence the tolerance.
@Suite(.enabled(if: TestFiles.hasShared, "needs TTRL_SHARED: checkpoints that transformers wrote"))
struct HuggingFaceCheckpointTests {
  @Test(arguments: [
    ("llama3-rope-scaled", ["model.safetensors"], 179_648, 23787.65865594556, WeightType.float32),
    ("qwen2-tied", ["model.safetensors"], 159_552, 19564.645940525268, .float32),
    (
      "qwen2-untied-sharded-bf16", (1...3).map { "model-0000\($0)-of-00003.safetensors" }, 180_032,
      13664.094391606748, .bfloat16
    ),
    ("qwen3-qknorm", ["model.safetensors"], 177_744, 16991.985730549728, .float32),
  ])
  func `checkpoints load with the right sizes and sums, and are the same after writing and reading`(
    name: String, files: [String], count: Int, checksum: Double, type: WeightType
  ) throws {
    func read(_ file: String) throws -> [UInt8] { try TestFiles.shared("models/\(name)/\(file)") }
    let configuration = try CheckpointConfiguration(
      config: read("config.json"), generation: read("generation_config.json"))
    #expect(configuration.bosToken == 1 && configuration.eosTokens == [2] && configuration.weightType == type)
    #expect(try CheckpointConfiguration(config: configuration.configFile()) == configuration)

    let layout = ParameterLayout(configuration.model)
    #expect(layout.count == count)
    let bytes = try files.map(read)
    let shards = try zip(files, bytes).map { ($0, try header($1)) }
    let index = files.count > 1 ? try SafeTensorsIndex(read("model.safetensors.index.json")) : nil
    let loaded = try LoadPlan(layout, shards: shards, index: index).load(bytes)
    var sum = 0.0
    for tensor in layout.tensors {
      for (index, value) in loaded[tensor.range].enumerated() { sum += Double(value) * Double(index % 97 + 1) }
    }
    #expect(abs(sum - checksum) < 1e-6, "\(sum)")

    let copy = SafeTensorsWriter(layout, type: type).file(loaded)
    #expect(try LoadPlan(layout, shards: [("copy", header(copy))]).load([copy]) == loaded)
  }
}

@Suite struct `Parameters that are read where they are stored` {
  @Test func `any range of several shards and types has the same values as all of them together`() throws {
    let files = [0, 1].map { half in
      shard(layout.tensors.enumerated().filter { $0.offset % 2 == half }.map(\.element))
    }
    let plan = try LoadPlan(layout, shards: zip(["a", "b"], files).map { ($0, try header($1)) })
    let all = try plan.load(files)
    let source = ParameterSource(Floats(all))
    try files[0].withUnsafeBytes { first in
      try files[1].withUnsafeBytes { second in
        let stored = try plan.source([first, second], keptBy: 0)
        #expect(stored.count == layout.count)
        for start in stride(from: 0, to: layout.count, by: 7) {
          for length in [0, 1, 3, 20, layout.count - start] where start + length <= layout.count {
            let range = start..<start + length
            #expect(stored.values(range).array == source.values(range).array, "\(range)")
          }
        }
      }
    }
  }
}
