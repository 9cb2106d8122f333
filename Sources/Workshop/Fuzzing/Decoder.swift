// Decoder: everything that reads bytes which somebody else may have written, one entry each, for a fuzzer to call.
//
// What must hold of any bytes: the decoder returns or throws a named error, in bounded time and memory; nothing traps.
// Where a value comes out, it goes in again: encoded and decoded once more it is the same. A broken rule stops the
// process, which is what a fuzzer looks for. `scripts/fuzz` gives them to libFuzzer; Tests/FuzzingTests, the corpora
// that it found, in every test run.

import Base
import Bundles
import LanguageModel
import Platform
import Records
import Settings
import Wire

package enum Decoder: String, Sendable, CaseIterable {
  /// A connection's byte stream, from its first byte on.
  case frames
  /// A payload in a frame that is right: what is behind the checksums.
  case messages
  /// A bundle of weights whose manifest was decoded, and chunks that claim to be its own.
  case bundles
  /// TLS, from either side, before and after the handshake.
  case handshake
  /// Rows of a ledger that somebody else has written.
  case ledger
  case safetensors
  case tokenizer
  /// config.json and generation_config.json.
  case configuration
  /// Question files, JSON lines or one array.
  case questions
  case json
  /// Flags and settings files.
  case settings

  /// Gives it some bytes.
  package func feed(_ bytes: [UInt8]) {
    switch self {
    case .frames: feedFrames(bytes)
    case .messages: feedMessages(bytes)
    case .bundles: feedBundles(bytes)
    case .handshake: feedHandshake(bytes)
    case .ledger: LedgerBytes.shared.feed(bytes)
    case .safetensors: feedSafeTensors(bytes)
    case .tokenizer: feedTokenizer(bytes)
    case .configuration: feedConfiguration(bytes)
    case .questions: _ = try? Question.read(bytes)
    case .json: feedJSON(bytes)
    case .settings: feedSettings(bytes)
    }
  }

  // MARK: Wire

  /// The first byte says in which pieces the rest arrives: that must not matter.
  private func feedFrames(_ bytes: [UInt8]) {
    guard let first = bytes.first else { return }
    let stream = Array(bytes.dropFirst())
    let (whole, wholeError) = messages(of: stream, inPiecesOf: max(stream.count, 1))
    let (parts, partsError) = messages(of: stream, inPiecesOf: Int(first) + 1)
    precondition(whole == parts && wholeError == partsError, "a stream is read otherwise in pieces")
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
    // There is one spelling of a message: decoded and encoded, the bytes are the same.
    precondition(Frame.encode(message) == frame, "a message has two spellings")
  }

  /// Four bytes of shape, then chunks: one byte of length each, and as many bytes. What is unpacked is as long as was
  /// said, packed again and unpacked again the same.
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
    precondition(whole.count == count, "a bundle unpacks to another length than it says")
    let again = bundleOf(policy, whole, base: base, wordBytes: wordBytes, blockBytes: block) {
      ChunkDigest(SHA256.digest(of: $0))
    }
    let shelf = Dictionary(
      zip(again.manifest.chunks.map(\.digest), again.chunks), uniquingKeysWith: { first, _ in first })
    precondition((try? unpacked(again.manifest, base: base) { shelf[$0] }) == whole, "a bundle changes on its way")
  }

  // MARK: TLS

  /// The first byte: 0, a server hears the rest; 1, a client; else the rest changes what a client says to a server,
  /// from that place on, until both are through or one gives up.
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

  /// The first byte: how much longer the file claims to be than these bytes.
  private func feedSafeTensors(_ bytes: [UInt8]) {
    guard let more = bytes.first else { return }
    let beginning = Array(bytes.dropFirst())
    _ = try? SafeTensorsHeader.size(beginning, fileBytes: beginning.count + Int(more))
    _ = try? SafeTensorsHeader(beginning, fileBytes: beginning.count + Int(more))
    beginning.withUnsafeBytes { file in _ = try? SafeTensorsHeader(file) }
  }

  /// A tokenizer that is one encodes and decodes, whatever its tables say.
  private func feedTokenizer(_ bytes: [UInt8]) {
    guard let tokenizer = try? Tokenizer(file: bytes) else { return }
    for text in ["Hello, world 123\n", "é̈ \u{1F600}", "\\boxed{7}<|im_end|>"] {
      _ = tokenizer.decode(tokenizer.encode(text), skipSpecial: false)
    }
    _ = tokenizer.decode([0, 1, -1, .max], skipSpecial: true)
  }

  /// The two files are divided by a zero byte.
  private func feedConfiguration(_ bytes: [UInt8]) {
    let parts = bytes.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false).map(Array.init)
    _ = try? CheckpointConfiguration(config: parts[0], generation: parts.count > 1 ? parts[1] : nil)
  }

  private func feedJSON(_ bytes: [UInt8]) {
    _ = try? JSON.parseElements(bytes)
    guard let value = try? JSON.parse(bytes) else { return }
    let text = value.text()
    guard let again = try? JSON.parse(text) else { preconditionFailure("what was written cannot be read: \(text)") }
    precondition(again.text() == text, "JSON changed on the way: \(text)")
  }

  /// Arguments are divided by line breaks.
  private func feedSettings(_ bytes: [UInt8]) {
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
    // A value that was accepted is accepted again as it is printed.
    for setting in SettingTable.all where !setting.value(in: settings).isEmpty {
      var again = SettingsParser(allowed: [setting.name], defaults: defaults)
      again.apply([(setting.name, setting.value(in: settings))], from: "again")
      precondition(
        setting.value(in: again.settings) == setting.value(in: settings), "--\(setting.name) does not come back")
    }
  }
}
