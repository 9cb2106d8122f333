// BroadcastBenchmark: how long it takes until N workers have a version, as an anchor and as a delta.
//
// It runs the real weight transfer, without sampling: BundleBook decides, BundleShelf packs, Links send the real
// frames, BundleFetcher and BundleTransfer fetch, relay, unpack and verify. The receivers are in this process, on one
// event loop with the source, or in other processes: `--listen` waits for them, `--coordinator` makes this process one
// of them. A receiver reports a version that it has with `ready`. If there are two sets of weights, versions are
// anchors and deltas in turn. A receiver that has a new version drops the older ones, so that each round transfers
// everything again.

package import Base
import Ceilings
import CoordinatorRole
import Fleet
import LanguageModel
package import Platform
import Records
import Tensors
import Transport
import WorkerRole

package struct BroadcastOptions: Sendable {
  /// The model that is sent.
  package var model: BenchmarkModel
  /// The model before it: `base` is sent as an anchor, then `model` as a delta. nil: only anchors of `model` are sent.
  package var base: BenchmarkModel?
  package var type: DataType
  package var receivers: Int
  package var runs: Int
  /// nil: the receivers are in this process.
  package var listen: HostPort?
  package var key: ClusterKeys?
  /// The bytes per second that a link can carry; 0: the rate of a stream over loopback is measured and used.
  package var linkRate: Double

  package init(
    model: BenchmarkModel, base: BenchmarkModel?, type: DataType, receivers: Int, runs: Int, listen: HostPort?,
    key: ClusterKeys?, linkRate: Double
  ) {
    self.model = model
    self.base = base
    self.type = type
    self.receivers = receivers
    self.runs = runs
    self.listen = listen
    self.key = key
    self.linkRate = linkRate
  }
}

/// Sends versions until the runs are done.
///
/// The value is the anchor's packed bytes divided by the time until all receivers have it: the rate of each receiver.
/// The ceiling is the rate of a link.
/// - Throws: if the weights cannot be read, or a receiver is lost.
package func benchmarkBroadcast(_ options: BroadcastOptions) throws -> BenchmarkResult {
  let anchor = try publishedWeights(options.base ?? options.model, options.type)
  let next = try options.base.map { _ in try publishedWeights(options.model, options.type) }
  let directory = try OwnedDirectory.temporary(prefix: "ttrl-broadcast")
  defer { try? Files.removeTree(directory) }
  let source = try BroadcastSource(options, directory: directory, anchor: anchor, next: next)
  let rounds = try source.run()
  let peakBytes = Machine.peakResidentBytes
  let (anchors, deltas) = (rounds.filter { !$0.isDelta }, rounds.filter(\.isDelta))
  let seconds = median(anchors.map(\.seconds))
  let packed = Double(anchors.first?.packedBytes ?? 0)
  var parts = [
    BenchmarkResult.Part(name: "anchor packed", seconds: median(anchors.map(\.packSeconds)), gigaflops: nil),
    .init(name: "anchor on all", seconds: seconds, gigaflops: nil),
  ]
  var limits: [(name: String, value: Double?)] = [
    ("raw_bytes", Double(anchor.count)), ("anchor_bytes", packed),
  ]
  if let next, let delta = deltas.first {
    parts.append(.init(name: "delta packed", seconds: median(deltas.map(\.packSeconds)), gigaflops: nil))
    parts.append(.init(name: "delta on all", seconds: median(deltas.map(\.seconds)), gigaflops: nil))
    limits.append(("delta_bytes", Double(delta.packedBytes)))
    limits.append(("identical_weights", identicalShare(anchor, next, wordBytes: options.type.bytes)))
  }
  let ceiling = options.linkRate > 0 ? options.linkRate : try streamRate()
  limits.append(("line_seconds", packed / ceiling))
  // 1 if the source sent every version once and the receivers relayed it.
  let offered = rounds.reduce(0) { $0 + $1.packedBytes }
  limits.append(("source_copies", Double(source.sentBytes) / Double(max(1, offered))))
  limits.append(("relays_avoided", Double(source.avoidedRelays)))
  return BenchmarkResult(
    name: "broadcast", value: packed / seconds / 1e6, unit: "MB/s", ceiling: ceiling / 1e6, peakBytes: peakBytes,
    conditions: [
      .init("model", .string(options.model.name)), .init("dtype", .string(options.type.rawValue)),
      .init("receivers", .int(options.receivers)), .init("key", .string(options.key == nil ? "none" : "TLS 1.3")),
      .init("elsewhere", .bool(options.listen != nil)),
    ], parts: parts, times: anchors.map(\.seconds), limits: limits, hash: SHA256.hex(of: next ?? anchor))
}

private func publishedWeights(_ model: BenchmarkModel, _ type: DataType) throws -> [UInt8] {
  publishedBytes(
    of: try model.parameters(), layout: ParameterLayout(model.configuration).flat,
    type: type == .bfloat16 ? .bfloat16 : .float32)
}

private func identicalShare(_ one: [UInt8], _ other: [UInt8], wordBytes: Int) -> Double {
  guard one.count == other.count, !one.isEmpty else { return 0 }
  var equal = 0
  for word in stride(from: 0, to: one.count, by: wordBytes) {
    var isEqual = true
    for index in word..<min(word + wordBytes, one.count) where one[index] != other[index] { isEqual = false }
    equal += isEqual ? 1 : 0
  }
  return Double(equal) / Double((one.count + wordBytes - 1) / wordBytes)
}

/// The bytes per second of a connection over loopback, without frames, TLS and digests.
private func streamRate() throws -> Double {
  let loop = try EventLoop()
  let total = 256 << 20
  var received = 0
  var accepted: Connection?
  let listener = try Listener(on: HostPort(host: "127.0.0.1", port: 0), loop: loop) { connection in
    accepted = connection
    connection.onBytes = { bytes in
      received += bytes.count
      if received >= total { loop.stop() }
    }
  }
  let deadline = MonotonicClock.now() + .seconds(60)
  let sender = Connection(to: listener.address, by: deadline, loop: loop)
  let piece = [UInt8](repeating: 1, count: 1 << 20)
  var sent = 0
  func fill() {
    while sent < total, sender.queuedBytes < 4 << 20 {
      sender.send(piece)
      sent += piece.count
    }
  }
  sender.onOpen = { fill() }
  sender.onDrained = { fill() }
  let seconds = elapsed { loop.run(until: deadline) }
  sender.close()
  accepted?.close()
  listener.close()
  return Double(received) / seconds
}

// MARK: - The source

/// The figures of one version.
struct BroadcastRound {
  var isDelta: Bool
  var packedBytes: Int
  var packSeconds: Double
  /// From the offer until the last receiver reported that it has the version.
  var seconds: Double
}

/// Plays the coordinator.
private final class BroadcastSource {
  private let options: BroadcastOptions
  private let loop: EventLoop
  private let context: TLSContext?
  private let weights: (anchor: [UInt8], next: [UInt8]?)
  private let file: (PolicyVersion) -> String
  private var book = BundleBook()
  private var shelf: BundleShelf?
  private var listener: Listener?
  private var links: [PeerID: Link] = [:]
  private var addresses: [PeerID: String] = [:]
  private var nextPeer: UInt64 = 1
  private var receivers: [BroadcastReceiver] = []
  private(set) var avoidedRelays = 0
  /// The packed bytes that the source sent in all rounds. Receivers relayed the rest.
  private(set) var sentBytes = 0

  private var rounds: [BroadcastRound] = []
  private var current: (manifest: PolicyManifest, base: PolicyManifest?, begun: Instant)?
  private var offered: (at: Instant, bundle: BundleManifest)?
  private var holders = 0
  private var failure: BroadcastFailure?

  init(_ options: BroadcastOptions, directory: String, anchor: [UInt8], next: [UInt8]?) throws {
    self.options = options
    weights = (anchor, next)
    loop = try EventLoop()
    context = if let key = options.key { try TLSContext(key.ring) } else { nil }
    file = { "\(directory)/\($0)" }
  }

  func run() throws -> [BroadcastRound] {
    shelf = try BundleShelf(
      wordBytes: options.type.bytes, loop: loop, file: file, writeBase: {}, onBundled: { self.bundled($0) },
      onFailure: {
        self.failure = .source("\($0)")
        self.loop.stop()
      })
    let listener = try Listener(
      on: options.listen ?? HostPort(host: "127.0.0.1", port: 0), tls: context, loop: loop
    ) { self.accept($0) }
    self.listener = listener
    if options.listen == nil {
      receivers = try (0..<options.receivers).map {
        try BroadcastReceiver(coordinator: listener.address, key: options.key, name: "receiver-\($0)", loop: loop)
      }
      for receiver in receivers { receiver.begin() }
    } else {
      Log.info("broadcast.listen", ["address": listener.address, "receivers": options.receivers])
    }
    while failure == nil, rounds.count < roundCount { loop.run() }
    for (_, link) in links { link.send(.finished) }
    for (_, link) in links { link.finish() }
    for receiver in receivers { receiver.end() }
    loop.run(until: MonotonicClock.now() + .milliseconds(300))
    listener.close()
    if let failure { throw failure }
    return rounds
  }

  private var roundCount: Int { options.runs * (weights.next == nil ? 1 : 2) }

  private func accept(_ connection: Connection) {
    let id = PeerID(nextPeer)
    nextPeer += 1
    links[id] = Link(
      connection, firstFrameBytes: Limits.helloBytes, onMessage: { self.receive($0, from: id) },
      onClose: { reason in
        self.links[id] = nil
        self.failure = .lost("\(reason)")
        self.loop.stop()
      })
  }

  private func receive(_ message: Message, from id: PeerID) {
    switch message {
    case .hello(let hello):
      addresses[id] = hello.relay
      links[id]?.send(
        .welcome(
          Welcome(
            runID: "broadcast", seed: 0, dtype: options.type.rawValue, modelConfiguration: "{}",
            latestPolicy: PolicyVersion(0), heartbeat: Limits.heartbeat)))
      if addresses.count == options.receivers { begin() }
    case .requestBundle(let version, let holding):
      guard let current, current.manifest.version == version else { return }
      onBook { $0.asked(for: current.manifest, holding: holding, by: id, at: self.addresses[id] ?? "", &$1) }
    case .requestChunk(let version, let digest): onBook { $0.requested(digest, of: version, by: id, &$1) }
    case .fault(let relay, let version, let fault): onBook { $0.faulted(relay, version, fault, by: id, &$1) }
    case .ready(let version): if version == current?.manifest.version { held() }
    default: break
    }
  }

  private func onBook(_ change: (inout BundleBook, inout [BundleBook.Effect]) -> Void) {
    var effects: [BundleBook.Effect] = []
    change(&book, &effects)
    for effect in effects {
      do {
        try perform(effect)
      } catch {
        failure = .source("\(error)")
        loop.stop()
      }
    }
  }

  private func perform(_ effect: BundleBook.Effect) throws {
    switch effect {
    case .send(let message, let peer): links[peer]?.send(message)
    case .bundle(.make(let policy, let base)): try shelf?.make(policy, base: base)
    case .bundle(.sendChunk(let digest, let peer)):
      guard let bytes = try shelf?.chunk(digest) else { return }
      links[peer]?.send(.chunk(digest, bytes))
      sentBytes += bytes.count
    case .bundle(.drop(let version)): shelf?.drop(version)
    case .avoid(let relay, let fault, _):
      avoidedRelays += 1
      Log.warning("broadcast.relay_avoided", ["relay": relay, "fault": "\(fault)"])
    }
  }

  // MARK: Rounds

  /// Makes the bundle of the next version. `bundled` offers it.
  private func begin() {
    let version = PolicyVersion(UInt32(rounds.count))
    let isDelta = weights.next != nil && rounds.count % 2 == 1
    let bytes = isDelta ? weights.next ?? weights.anchor : anchor(of: version)
    do {
      try Files.write(bytes, to: file(version))
    } catch {
      failure = .source("\(error)")
      return loop.stop()
    }
    let manifest = PolicyManifest(
      version: version, byteCount: UInt64(bytes.count), digest: SHA256.digest(of: bytes))
    let base = isDelta ? current?.manifest : nil
    current = (manifest, base, MonotonicClock.now())
    holders = 0
    offered = nil
    if let base {
      onBook { $0.sealed(manifest, after: base, &$1) }
    } else {
      // Asked in the name of no receiver, because packing is timed separately.
      onBook { $0.asked(for: manifest, holding: [], by: PeerID(0), at: "", &$1) }
    }
  }

  /// Successive anchors differ in every block. Otherwise blocks that a receiver has would not be sent again.
  private func anchor(of version: PolicyVersion) -> [UInt8] {
    var bytes = weights.anchor
    if weights.next == nil, version.number % 2 == 1 {
      for start in stride(from: 0, to: bytes.count, by: Limits.blockBytes) { bytes[start] ^= 1 }
    }
    return bytes
  }

  private func bundled(_ bundle: BundleManifest) {
    onBook { $0.bundled(bundle, &$1) }
    guard let current, offered == nil else { return }
    offered = (MonotonicClock.now(), bundle)
    for (_, link) in links { link.send(.offer(current.manifest)) }
  }

  private func held() {
    holders += 1
    guard holders == options.receivers, let current, let offered else { return }
    rounds.append(
      BroadcastRound(
        isDelta: current.base != nil, packedBytes: offered.bundle.packedBytes,
        packSeconds: offered.at.since(current.begun).seconds,
        seconds: MonotonicClock.now().since(offered.at).seconds))
    // The base of a delta is kept until the delta is made.
    let isBaseNext = weights.next != nil && current.base == nil
    if !isBaseNext, current.manifest.version.number > 0 {
      onBook { $0.dropped(PolicyVersion(current.manifest.version.number - 1), &$1) }
    }
    guard rounds.count < roundCount else { return loop.stop() }
    loop.soon { self.begin() }
  }
}

// MARK: - A receiver

/// Plays a worker, without sampling.
package final class BroadcastReceiver {
  private let loop: EventLoop
  private let uplink: Uplink
  private let transfer: BundleTransfer<Bool>
  private let name: String
  private var fetcher = BundleFetcher { ChunkDigest(SHA256.digest(of: $0)) }
  private var address = ""
  private var isOver = false
  private var failure: BroadcastFailure?

  /// - Throws: if the process has no free file descriptors, or OpenSSL has no TLS 1.3.
  package init(coordinator: HostPort, key: ClusterKeys?, name: String, loop: EventLoop) throws {
    self.loop = loop
    self.name = name
    let context = if let key { try TLSContext(key.ring) } else { nil as TLSContext? }
    uplink = Uplink(to: coordinator, context: context, loop: loop)
    transfer = try BundleTransfer(context, loop: loop)
    transfer.prepare = { _, _ in true }
  }

  /// Receives until the source has finished.
  ///
  /// - Throws: if the connection to the source is lost before.
  package static func run(coordinator: HostPort, key: ClusterKeys?, name: String) throws {
    let loop = try EventLoop()
    let receiver = try BroadcastReceiver(coordinator: coordinator, key: key, name: name, loop: loop)
    receiver.begin()
    while !receiver.isOver, receiver.failure == nil { loop.run() }
    receiver.end()
    if let failure = receiver.failure { throw failure }
  }

  package func begin() {
    transfer.onEvent = { event in
      if case .listening(let address) = event { self.address = address }
      self.onFetcher { $0.receive(event, now: MonotonicClock.now(), &$1) }
      if case .installed(let bundle, isIntact: true) = event { self.hold(bundle.policy.version) }
    }
    uplink.onConnect = {
      self.transfer.listen(on: HostPort(host: "", port: 0), reachedFrom: self.uplink.localHost)
      self.uplink.send(
        .hello(
          Hello(
            role: .worker, name: self.name, arithmetic: "none", processID: ThisProcess.id, threads: 1,
            relay: self.address)))
    }
    uplink.onMessage = { self.receive($0) }
    uplink.onDisconnect = { reason in
      guard !self.isOver else { return }
      // Without an address there was no connection yet: the source has perhaps not started.
      if self.address.isEmpty { return self.uplink.connect(after: .milliseconds(200)) }
      self.failure = .lost(reason)
      self.loop.stop()
    }
    uplink.onRefused = { refused in
      self.failure = .lost("\(refused)")
      self.loop.stop()
    }
    uplink.connect(after: .zero)
    tick()
  }

  package func end() {
    isOver = true
    uplink.finish()
    transfer.close()
  }

  private func tick() {
    guard !isOver else { return }
    onFetcher { $0.tick(now: MonotonicClock.now(), &$1) }
    loop.schedule(at: MonotonicClock.now() + .milliseconds(500)) { self.tick() }
  }

  private func receive(_ message: Message) {
    switch message {
    case .welcome: onFetcher { $0.joined(policies: "", &$1) }
    case .offer(let manifest): onFetcher { $0.offered(manifest, &$1) }
    case .bundle, .chunk, .missing: onFetcher { $0.told(message, now: MonotonicClock.now(), &$1) }
    default:
      isOver = true
      loop.stop()
    }
  }

  private func hold(_ version: PolicyVersion) {
    for older in fetcher.installed where older < version { onFetcher { $0.drop(older, &$1) } }
    uplink.send(.ready(version))
  }

  private func onFetcher(_ change: (inout BundleFetcher, inout [BundleFetcher.Effect]) -> Void) {
    var effects: [BundleFetcher.Effect] = []
    change(&fetcher, &effects)
    for effect in effects {
      switch effect {
      case .send(let message): uplink.send(message)
      case .disconnect: uplink.disconnect("the source broke the protocol")
      case .transfer(let effect): transfer.perform(effect)
      }
    }
  }
}

/// Why a broadcast ended early.
enum BroadcastFailure: Error, CustomStringConvertible {
  case lost(String)
  case source(String)

  var description: String {
    switch self {
    case .lost(let reason):
      "the broadcast lost its connection: \(reason). Look at the output of the other process, and start again"
    case .source(let reason): "the source cannot continue: \(reason)"
    }
  }
}
