// MessageCodec: messages to payload bytes and back.
//
// Decoding is total: any bytes give a message or a named error. Every count is checked against a limit and against the
// remaining bytes before anything is allocated. Bytes after the message are an error. The number of a kind is never
// reused.

import Base
import Records

enum MessageCodec {
  private enum Kind: UInt16 {
    case hello = 1
    case welcome = 2
    case goodbye = 3
    case finished = 4
    case want = 10
    case lease = 11
    case trajectories = 12
    case settled = 13
    case revoke = 14
    case heartbeat = 15
    case offer = 20
    case requestBytes = 21
    case policyBytes = 22
    case requestBundle = 23
    case bundle = 24
    case requestChunk = 25
    case chunk = 26
    case missing = 27
    case fault = 28
    case installed = 29
    case ready = 30
    case batch = 31
    case publish = 32
    case published = 33
    case standbys = 40
    case follow = 41
    case snapshot = 42
    case requestFile = 43
    case fileBytes = 44
    case commit = 45
    case committed = 46

    /// The first version that has the kind.
    var since: UInt16 { rawValue < Kind.standbys.rawValue ? ProtocolVersions.greeting : ProtocolVersions.standbys }
  }

  /// Whether a kind's bytes are the same in every version. These are the messages that are sent before a version is
  /// agreed on, and those between workers, which agree on none.
  static func isFixed(_ kind: UInt16) -> Bool {
    switch Kind(rawValue: kind) {
    case .hello, .goodbye, .requestChunk, .chunk, .missing: true
    default: false
    }
  }

  // MARK: Encoding

  static func encode(_ message: Message, version: UInt16) -> (kind: UInt16, payload: [UInt8]) {
    var out = ByteWriter()
    let kind: Kind
    switch message {
    case .hello(let hello):
      kind = .hello
      out.write(hello.role.rawValue)
      out.write(hello.name)
      out.write(hello.arithmetic)
      out.write(hello.processID)
      out.write(hello.threads)
      out.write(hello.relay)
      out.write(hello.speaks.oldest)
      out.write(hello.speaks.newest)
      out.write(hello.edition)
      if hello.speaks.knowsStandbys { out.write(hello.term.number) }
    case .welcome(let welcome):
      kind = .welcome
      out.write(welcome.runID)
      out.write(welcome.seed)
      out.write(welcome.dtype)
      out.write(welcome.modelConfiguration)
      out.write(welcome.latestPolicy.number)
      out.write(welcome.heartbeat.nanoseconds)
      out.write(welcome.tokenTexts.bytes)
      out.write(welcome.tokenTexts.ends)
      out.write(welcome.policies)
      out.write(UInt8(welcome.base == nil ? 0 : 1))
      if let base = welcome.base {
        out.write(base.adapter)
        encode(base.manifest, into: &out)
        out.write(base.directory)
      }
      if version >= ProtocolVersions.standbys { out.write(welcome.term.number) }
    case .goodbye(let reason):
      kind = .goodbye
      out.write(reason)
    case .finished: kind = .finished
    case .want(let slots):
      kind = .want
      out.write(slots)
    case .lease(let lease):
      kind = .lease
      encode(lease, into: &out)
    case .trajectories(let id, let trajectories):
      kind = .trajectories
      out.write(id.number)
      encode(trajectories, into: &out)
    case .settled(let slots):
      kind = .settled
      out.write(UInt32(slots.count))
      for slot in slots { encode(slot, into: &out) }
    case .revoke(let id):
      kind = .revoke
      out.write(id.number)
    case .heartbeat(let tokens):
      kind = .heartbeat
      out.write(tokens)
    case .offer(let manifest):
      kind = .offer
      encode(manifest, into: &out)
    case .requestBytes(let version, let offset):
      kind = .requestBytes
      out.write(version.number)
      out.write(offset)
    case .policyBytes(let version, let offset, let bytes):
      kind = .policyBytes
      out.write(version.number)
      out.write(offset)
      out.write(bytes)
    case .requestBundle(let version, let holding):
      kind = .requestBundle
      out.write(version.number)
      out.write(UInt32(holding.count))
      for version in holding { out.write(version.number) }
    case .bundle(let manifest, let relay, let depth):
      kind = .bundle
      encode(manifest, into: &out)
      out.write(relay)
      out.write(UInt16(clamping: depth))
    case .requestChunk(let version, let digest):
      kind = .requestChunk
      out.write(version.number)
      out.append(digest.bytes)
    case .chunk(let digest, let bytes):
      kind = .chunk
      out.append(digest.bytes)
      out.write(bytes)
    case .missing(let version):
      kind = .missing
      out.write(version.number)
    case .fault(let relay, let version, let fault):
      kind = .fault
      out.write(relay)
      out.write(version.number)
      out.write(fault.rawValue)
    case .installed(let version, let span):
      kind = .installed
      out.write(version.number)
      out.write(span.nanoseconds)
    case .ready(let version):
      kind = .ready
      out.write(version.number)
    case .batch(let step, let part, let partCount, let trajectories):
      kind = .batch
      out.write(step)
      out.write(part)
      out.write(partCount)
      encode(trajectories, into: &out)
    case .publish(let manifest, let report, let isAtHand):
      kind = .publish
      encode(manifest, into: &out)
      encode(report, version: version, into: &out)
      out.write(isAtHand)
    case .published(let version):
      kind = .published
      out.write(version.number)
    case .standbys(let addresses, let silence):
      kind = .standbys
      out.write(UInt32(addresses.count))
      for address in addresses { out.write(address) }
      out.write(silence.nanoseconds)
    case .follow(let request):
      kind = .follow
      encode(request, into: &out)
    case .snapshot(let snapshot):
      kind = .snapshot
      encode(snapshot, into: &out)
    case .requestFile(let index, let offset):
      kind = .requestFile
      out.write(index)
      out.write(offset)
    case .fileBytes(let index, let offset, let bytes):
      kind = .fileBytes
      out.write(index)
      out.write(offset)
      out.write(bytes)
    case .commit(let commit, let part, let partCount):
      kind = .commit
      encode(commit, into: &out)
      out.write(part)
      out.write(partCount)
    case .committed(let number):
      kind = .committed
      out.write(number)
    }
    return (kind.rawValue, out.bytes)
  }

  static func encode(_ slot: Slot, into out: inout ByteWriter) {
    out.write(slot.round.code)
    out.write(slot.prompt)
    out.write(slot.sample)
  }

  static func encode(_ manifest: PolicyManifest, into out: inout ByteWriter) {
    out.write(manifest.version.number)
    out.write(manifest.byteCount)
    out.write(manifest.digest)
  }

  private static func encode(_ manifest: BundleManifest, into out: inout ByteWriter) {
    encode(manifest.policy, into: &out)
    out.write(manifest.base != nil)
    out.write(manifest.base?.number ?? 0)
    out.write(UInt8(manifest.wordBytes))
    out.write(UInt32(manifest.blockBytes))
    out.write(UInt32(manifest.chunks.count))
    for chunk in manifest.chunks {
      out.write(UInt32(chunk.byteCount))
      out.append(chunk.digest.bytes)
    }
  }

  // MARK: Decoding

  static func decode(
    kind raw: UInt16, version: UInt16, _ bytes: [UInt8], in range: Range<Int>
  ) throws(WireError) -> Message {
    guard let kind = Kind(rawValue: raw), kind.since <= version else { throw .unknownKind(raw) }
    var reader = ByteReader(bytes, in: range)
    do {
      let message = try decode(kind, version: version, &reader)
      // A later version can add to the end of a hello.
      if case .hello(let hello) = message, hello.speaks.newest > ProtocolVersions.own.newest { return message }
      try reader.finish()
      return message
    } catch {
      throw .malformed(kind: raw, error)
    }
  }

  private static func decode(
    _ kind: Kind, version spoken: UInt16, _ reader: inout ByteReader
  ) throws(ByteError) -> Message {
    switch kind {
    case .hello:
      let role = try reader.read(UInt8.self)
      guard let role = Role(rawValue: role) else { throw .invalid(field: "role", value: UInt64(role)) }
      var hello = Hello(
        role: role, name: try text(&reader, "name"), arithmetic: try text(&reader, "arithmetic"),
        processID: try reader.read(), threads: try reader.read(), relay: try address(&reader),
        speaks: try protocolVersions(&reader), edition: try reader.read())
      if hello.speaks.knowsStandbys { hello.term = Term(try reader.read()) }
      return .hello(hello)
    case .welcome:
      return .welcome(
        Welcome(
          runID: try text(&reader, "run"), seed: try reader.read(), dtype: try text(&reader, "dtype"),
          modelConfiguration: try text(&reader, "model configuration"), latestPolicy: try version(&reader),
          heartbeat: Instant.Span(nanoseconds: try reader.read()), tokenTexts: try tokenTexts(&reader),
          policies: try text(&reader, "policies"), base: try base(&reader),
          term: spoken >= ProtocolVersions.standbys ? Term(try reader.read()) : .first))
    case .goodbye: return .goodbye(reason: try text(&reader, "reason"))
    case .finished: return .finished
    case .want: return .want(slots: try reader.read())
    case .lease: return .lease(try lease(&reader))
    case .trajectories: return .trajectories(LeaseID(try reader.read()), try trajectories(&reader))
    case .settled:
      let count = try reader.readCount("slots", limit: Limits.trajectoriesPerMessage, elementBytes: 12)
      var slots: [Slot] = []
      for _ in 0..<count { slots.append(try slot(&reader)) }
      return .settled(slots)
    case .revoke: return .revoke(LeaseID(try reader.read()))
    case .heartbeat: return .heartbeat(tokens: try reader.read())
    case .offer: return .offer(try manifest(&reader))
    case .requestBytes: return .requestBytes(try version(&reader), offset: try reader.read())
    case .policyBytes:
      return .policyBytes(
        try version(&reader), offset: try reader.read(),
        bytes: try reader.readBytes("chunk", limit: Limits.chunkBytes))
    case .requestBundle:
      let wanted = try version(&reader)
      let count = try reader.readCount("versions held", limit: Limits.versionsHeld, elementBytes: 4)
      var holding: [PolicyVersion] = []
      for _ in 0..<count { holding.append(try version(&reader)) }
      return .requestBundle(wanted, holding: holding)
    case .bundle:
      let manifest = try bundle(&reader)
      return .bundle(manifest, from: try address(&reader), depth: Int(try reader.read(UInt16.self)))
    case .requestChunk: return .requestChunk(try version(&reader), try digest(&reader))
    case .chunk:
      return .chunk(try digest(&reader), try reader.readBytes("packed chunk", limit: Limits.packedChunkBytes))
    case .missing: return .missing(try version(&reader))
    case .fault:
      let relay = try address(&reader)
      let wanted = try version(&reader)
      let code = try reader.read(UInt8.self)
      guard let fault = RelayFault(rawValue: code) else { throw .invalid(field: "fault", value: UInt64(code)) }
      return .fault(relay, wanted, fault)
    case .installed: return .installed(try version(&reader), Instant.Span(nanoseconds: try reader.read()))
    case .ready: return .ready(try version(&reader))
    case .batch:
      return .batch(
        step: try reader.read(), part: try reader.read(), partCount: try reader.read(), try trajectories(&reader))
    case .publish:
      return .publish(
        try manifest(&reader), report: try report(&reader, version: spoken), isAtHand: try reader.readBool("at hand"))
    case .published: return .published(try version(&reader))
    case .standbys: return .standbys(try addresses(&reader), silence: Instant.Span(nanoseconds: try reader.read()))
    case .follow: return .follow(try followRequest(&reader))
    case .snapshot: return .snapshot(try snapshot(&reader))
    case .requestFile: return .requestFile(index: try reader.read(), offset: try reader.read())
    case .fileBytes:
      return .fileBytes(
        index: try reader.read(), offset: try reader.read(),
        bytes: try reader.readBytes("bytes of a file", limit: Limits.chunkBytes))
    case .commit:
      return .commit(try commit(&reader), part: try reader.read(), partCount: try reader.read())
    case .committed: return .committed(try reader.read())
    }
  }

  static func text(_ reader: inout ByteReader, _ field: String) throws(ByteError) -> String {
    try reader.readString(field, limit: Limits.textBytes)
  }

  private static func protocolVersions(_ reader: inout ByteReader) throws(ByteError) -> ProtocolVersions {
    let versions = ProtocolVersions(oldest: try reader.read(), newest: try reader.read())
    guard versions.oldest <= versions.newest else {
      throw .invalid(field: "oldest protocol version", value: UInt64(versions.oldest))
    }
    return versions
  }

  private static func base(_ reader: inout ByteReader) throws(ByteError) -> AdaptedBase? {
    guard try reader.readBool("base") else { return nil }
    return AdaptedBase(
      adapter: try text(&reader, "adapter"), manifest: try manifest(&reader),
      directory: try text(&reader, "directory of the base"))
  }

  private static func tokenTexts(_ reader: inout ByteReader) throws(ByteError) -> TokenTexts {
    let bytes = try reader.readBytes("token texts", limit: Limits.tokenTextBytes)
    let ends = try reader.readInt32s("token texts", limit: Limits.tokenTexts)
    guard let texts = TokenTexts(bytes: bytes, ends: ends) else {
      throw .invalid(field: "token texts", value: UInt64(ends.count))
    }
    return texts
  }

  static func version(_ reader: inout ByteReader) throws(ByteError) -> PolicyVersion {
    PolicyVersion(try reader.read())
  }

  static func address(_ reader: inout ByteReader) throws(ByteError) -> String {
    try reader.readString("relay", limit: Limits.addressBytes)
  }

  static func digest(_ reader: inout ByteReader) throws(ByteError) -> ChunkDigest {
    ChunkDigest(try reader.readRaw(count: ChunkDigest.byteCount))
  }

  /// Refuses a manifest that is not sound.
  private static func bundle(_ reader: inout ByteReader) throws(ByteError) -> BundleManifest {
    let policy = try manifest(&reader)
    let isDelta = try reader.readBool("delta")
    let base = try version(&reader)
    guard isDelta || base.number == 0 else { throw .invalid(field: "base", value: UInt64(base.number)) }
    let wordBytes = Int(try reader.read(UInt8.self))
    let blockBytes = Int(try reader.read(UInt32.self))
    let count = try reader.readCount("chunks", limit: Limits.chunksPerBundle, elementBytes: 4 + ChunkDigest.byteCount)
    var chunks: [PackedChunk] = []
    chunks.reserveCapacity(count)
    for _ in 0..<count {
      let byteCount = Int(try reader.read(UInt32.self))
      chunks.append(PackedChunk(digest: try digest(&reader), byteCount: byteCount))
    }
    let bundle = BundleManifest(
      policy: policy, base: isDelta ? base : nil, wordBytes: wordBytes, blockBytes: blockBytes, chunks: chunks)
    guard bundle.isSound else { throw .invalid(field: "bundle", value: UInt64(count)) }
    return bundle
  }

  static func round(_ reader: inout ByteReader) throws(ByteError) -> RoundID {
    let code = try reader.read(UInt32.self)
    guard let round = RoundID(code: code) else { throw .invalid(field: "round", value: UInt64(code)) }
    return round
  }

  static func slot(_ reader: inout ByteReader) throws(ByteError) -> Slot {
    Slot(round: try round(&reader), prompt: try reader.read(), sample: try reader.read())
  }

  static func manifest(_ reader: inout ByteReader) throws(ByteError) -> PolicyManifest {
    PolicyManifest(
      version: try version(&reader), byteCount: try reader.read(), digest: try reader.readBytes("digest", limit: 64))
  }

}
