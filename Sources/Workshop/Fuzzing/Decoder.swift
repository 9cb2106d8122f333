// Decoder: one entry for each decoder of bytes that another program can have written, for a fuzzer to call.
//
// For any bytes, the decoder must return or throw a named error, in bounded time and memory; nothing must trap. A
// decoded value is encoded and decoded again, and must be the same. A violation stops the process, which a fuzzer
// notices. `scripts/fuzz` runs the decoders under libFuzzer; Tests/FuzzingTests feeds them the corpora that it found,
// in every test run.

import Base
import Bundles
import GGUF
import LanguageModel
import Platform
import Records
import Settings
import Wire

package enum Decoder: String, Sendable, CaseIterable {
  /// A connection's byte stream from its first byte on.
  case frames
  /// A payload in a frame with right checksums.
  case messages
  /// A bundle of weights: a manifest, and chunks that claim to belong to it.
  case bundles
  /// TLS, on both sides, before and after the handshake.
  case handshake
  /// Rows of a ledger that another program wrote.
  case ledger
  case safetensors
  case gguf
  case tokenizer
  /// config.json and generation_config.json.
  case configuration
  /// adapter_config.json and adapter_model.safetensors.
  case adapter
  /// Question files: JSON lines, one array, or CSV.
  case questions
  /// Archives of runs.
  case archives
  case json
  /// Flags and settings files.
  case settings

  /// Gives bytes to the decoder.
  package func feed(_ bytes: [UInt8]) {
    switch self {
    case .frames: feedFrames(bytes)
    case .messages: feedMessages(bytes)
    case .bundles: feedBundles(bytes)
    case .handshake: feedHandshake(bytes)
    case .ledger: LedgerBytes.shared.feed(bytes)
    case .safetensors: feedSafeTensors(bytes)
    case .gguf: feedGGUF(bytes)
    case .tokenizer: feedTokenizer(bytes)
    case .configuration: feedConfiguration(bytes)
    case .adapter: feedAdapter(bytes)
    case .questions: feedQuestions(bytes)
    case .archives: ArchiveBytes.shared.feed(bytes)
    case .json: feedJSON(bytes)
    case .settings: feedSettings(bytes)
    }
  }

  /// What is read is written so that it is read again as the same.
  private func feedQuestions(_ bytes: [UInt8]) {
    guard let questions = try? Question.read(bytes) else { return }
    let again = try? Question.read(Array(questions.fileText.utf8))
    precondition(again == questions, "questions that are written are not read back")
  }

  // MARK: Wire

  /// The first byte is the size of the pieces in which the rest arrives. The pieces must not matter.
  private func feedFrames(_ bytes: [UInt8]) {
    guard let first = bytes.first else { return }
    let stream = Array(bytes.dropFirst())
    let (whole, wholeError) = messages(of: stream, inPiecesOf: max(stream.count, 1))
    let (parts, partsError) = messages(of: stream, inPiecesOf: Int(first) + 1)
    precondition(whole == parts && wholeError == partsError, "a stream that comes in pieces is decoded differently")
  }

  private func messages(of stream: [UInt8], inPiecesOf size: Int) -> ([Message], WireError?) {
    var decoder = FrameDecoder(firstFrameBytes: Limits.helloBytes)
    var messages: [Message] = []
    do throws(WireError) {
      for start in stride(from: 0, to: stream.count, by: size) {
        decoder.append(Array(stream[start..<min(start + size, stream.count)]))
        while let message = try decoder.next() { messages.append(message) }
      }
      return (messages, nil)
    } catch {
      return (messages, error)
    }
  }

  private func feedMessages(_ bytes: [UInt8]) {
    guard let kind = bytes.first else { return }
    let frame = Frame.encode(kind: UInt16(kind), payload: Array(bytes.dropFirst()))
    var decoder = FrameDecoder()
    decoder.append(frame)
    guard let message = try? decoder.next() else { return }
    // What follows the fields of a later version's hello is not decoded.
    if case .hello(let hello) = message, hello.speaks.newest > ProtocolVersions.own.newest { return }
    // A message has one encoding: decoded and encoded again, the bytes are the same.
    precondition(Frame.encode(message) == frame, "a message has two encodings")
  }

  /// The input is four bytes of shape, then chunks: each is one byte of length and as many bytes. The unpacked bytes
  /// must have the stated length, and must be the same after they are packed and unpacked again.
  private func feedBundles(_ bytes: [UInt8]) {
    guard bytes.count >= 4 else { return }
    let (count, block) = (Int(bytes[0]) << 4 | Int(bytes[1]) & 15, Int(bytes[2]))
    let wordBytes = bytes[3] & 1 == 0 ? 2 : 4
    let base: (version: PolicyVersion, bytes: [UInt8])? =
      bytes[3] & 2 == 0 ? nil : (PolicyVersion(0), [UInt8](repeating: bytes[0], count: count))
    var chunks: [[UInt8]] = []
    var rest = bytes.dropFirst(4)
    while let length = rest.popFirst() {
      chunks.append(Array(rest.prefix(Int(length))))
      rest = rest.dropFirst(Int(length))
    }
    let policy = PolicyManifest(version: PolicyVersion(1), byteCount: UInt64(count), digest: [])
    let bundle = BundleManifest(
      policy: policy, base: base?.version, wordBytes: wordBytes, blockBytes: block,
      chunks: chunks.enumerated().map { PackedChunk(digest: ChunkDigest([UInt8($0 & 255)]), byteCount: $1.count) })
    let found: (ChunkDigest) -> [UInt8]? = { digest in
      chunks.indices.contains(Int(digest.bytes[0])) ? chunks[Int(digest.bytes[0])] : nil
    }
    guard let whole = try? unpacked(bundle, base: base, chunk: found) else { return }
    precondition(whole.count == count, "a bundle unpacks to another length than it states")
    let again = bundleOf(policy, whole, base: base, wordBytes: wordBytes, blockBytes: block) {
      ChunkDigest(SHA256.digest(of: $0))
    }
    let shelf = Dictionary(
      zip(again.manifest.chunks.map(\.digest), again.chunks), uniquingKeysWith: { first, _ in first })
    precondition(
      (try? unpacked(again.manifest, base: base) { shelf[$0] }) == whole, "a bundle changes when it is packed again")
  }

  // MARK: TLS

  /// If the first byte is 0, a server receives the rest; if it is 1, a client. Otherwise the rest is XORed into what a
  /// client sends to a server, from that place on, until both finish the handshake or one fails.
  private func feedHandshake(_ bytes: [UInt8]) {
    guard let mode = bytes.first, let key = try? TLSContext(ClusterKey()), let server = try? TLSSession(key, .server),
      let client = try? TLSSession(key, .client)
    else { return }
    let rest = Array(bytes.dropFirst())
    do throws(TLSFailure) {
      try client.begin()
      switch mode {
      case 0: _ = try server.receive(rest)
      case 1: _ = try client.receive(rest)
      default: try converse(client, server, changing: rest, from: Int(mode) - 2)
      }
    } catch {
      _ = "\(error)"
    }
  }

  private func converse(
    _ client: TLSSession, _ server: TLSSession, changing changes: [UInt8], from place: Int
  ) throws(TLSFailure) {
    var sent = 0
    for turn in 0..<4 {
      var words = client.takeOutgoing()
      for index in words.indices where sent + index >= place && sent + index - place < changes.count {
        words[index] ^= changes[sent + index - place]
      }
      sent += words.count
      if !words.isEmpty { _ = try server.receive(words) }
      let answer = server.takeOutgoing()
      if !answer.isEmpty { _ = try client.receive(answer) }
      if turn == 1, client.isEstablished { try client.send([1, 2, 3]) }
    }
  }

  // MARK: Files

  /// The first byte says how many bytes longer the file claims to be than this input.
  private func feedSafeTensors(_ bytes: [UInt8]) {
    guard let more = bytes.first else { return }
    let beginning = Array(bytes.dropFirst())
    _ = try? SafeTensorsHeader.size(beginning, fileBytes: beginning.count + Int(more))
    _ = try? SafeTensorsHeader(beginning, fileBytes: beginning.count + Int(more))
    beginning.withUnsafeBytes { file in _ = try? SafeTensorsHeader(file) }
  }

  /// The weights of a model that was accepted must be those of its configuration, and its files must be readable.
  private func feedGGUF(_ bytes: [UInt8]) {
    bytes.withUnsafeBytes { data in
      guard let file = try? GGUFFile(data), let model = try? GGUFModel(file, data: data) else { return }
      var count = 0
      model.forEachPiece(in: data) { count += $0.count }
      precondition(count == model.layout.count, "\(count) of \(model.layout.count) parameters")
      _ = try? model.exactType(in: data)
      feedTokenizer(model.tokenizer.bytes())
      let config = model.configuration.configFile()
      precondition((try? CheckpointConfiguration(config: config)) != nil, "a configuration cannot be read again")
    }
  }

  /// A tokenizer that was accepted must encode and decode, whatever its tables are, also one token at a time.
  private func feedTokenizer(_ bytes: [UInt8]) {
    guard let tokenizer = try? Tokenizer(file: bytes) else { return }
    _ = try? tokenizer.tokensAround()
    let texts = ["Hello, world 123\n", "é̈ \u{1F600}", "\\boxed{7}<|im_end|>", "▁We'LL  \n 数 <0xE2>"]
    for ids in texts.map({ tokenizer.encode($0) }) + [[0, 1, 2, 3, 100, 200, 199, 5, -1, .max]] {
      var decoder = StreamingDecoder(tokenizer, skipSpecial: true)
      let pieces = ids.map { decoder.append($0) } + [decoder.finish()]
      precondition(pieces.joined().isSameBytes(as: tokenizer.decode(ids, skipSpecial: true)), "\(ids)")
    }
  }

  /// A zero byte separates the two files.
  private func feedConfiguration(_ bytes: [UInt8]) {
    let parts = bytes.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false).map(Array.init)
    _ = try? CheckpointConfiguration(config: parts[0], generation: parts.count > 1 ? parts[1] : nil)
  }

  /// A zero byte separates the two files. The model has a tied head, and is as small as one can be.
  private func feedAdapter(_ bytes: [UInt8]) {
    let parts = bytes.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false).map(Array.init)
    let model = ParameterLayout(
      ModelConfiguration(
        family: .qwen2, vocabularySize: 3, hiddenSize: 4, feedForwardSize: 3, layerCount: 1, headCount: 2,
        keyValueHeadCount: 1, headDimension: 2, maxPositions: 8, hasTiedEmbeddings: true, hasAttentionBias: false))
    guard let file = try? AdapterFile(parts[0], of: model) else { return }
    precondition((try? AdapterFile(file.bytes, of: model)) == file, "an adapter's file changes when it is written")
    guard let layout = try? AdapterLayout(file.adapter, of: model), parts.count > 1 else { return }
    parts[1].withUnsafeBytes { data in
      guard let header = try? SafeTensorsHeader(data),
        let plan = try? LoadPlan(layout, of: model, file: (AdapterFile.weightsName, header)),
        let source = try? plan.source([data], keptBy: 0)
      else { return }
      precondition(source.count == layout.tensors.count, "\(source.count) of \(layout.tensors.count) parameters")
    }
  }

  private func feedJSON(_ bytes: [UInt8]) {
    try? JSON.parseElements(bytes, limit: 64) { _, _ in }
    guard let value = try? JSON.parse(bytes) else { return }
    let text = value.text()
    guard let again = try? JSON.parse(text) else {
      preconditionFailure("JSON that was written cannot be read: \(text)")
    }
    precondition(again.text() == text, "JSON changes when it is written and read: \(text)")
    if let report = try? StepReport(parsing: text) {
      precondition((try? StepReport(parsing: report.json.text())) == report, "a step's report changes on the way")
    }
  }

  /// Line breaks separate the arguments.
  private func feedSettings(_ bytes: [UInt8]) {
    _ = try? JSON5.parse(bytes)
    let arguments = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
    feed(arguments, RunSettings())
    feed(arguments, EvaluationSettings())
    feed(arguments, BenchmarkSettings())
    feed(arguments, LookSettings())
  }

  private func feed<Group: SettingGroup>(_ arguments: [String], _ defaults: Group) {
    var parser = SettingsParser(allowed: SettingTable.all.map(\.name), defaults: defaults)
    parser.apply(parser.pairs(of: arguments), from: "fuzzer")
    guard let settings = try? parser.finish() else { return }
    // The text of an accepted value must give the same value.
    for setting in SettingTable.all where !setting.value(in: settings).isEmpty {
      var again = SettingsParser(allowed: [setting.name], defaults: defaults)
      again.apply([(setting.name, setting.value(in: settings))], from: "again")
      precondition(
        setting.value(in: again.settings) == setting.value(in: settings),
        "--\(setting.name) changes when its own text is parsed")
    }
  }
}
