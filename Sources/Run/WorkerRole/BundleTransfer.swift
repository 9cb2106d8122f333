// BundleTransfer: performs BundleFetcher's decisions with sockets, memory and a thread.
//
// It has a listener for workers that fetch from this worker, one connection to the relay that this worker fetches from,
// the chunks that are kept, and the newest version's bytes, which are the base of the next delta. A thread unpacks a
// bundle, checks the version's digest, and prepares the bytes for the worker, so that sampling, heartbeats and relaying
// continue. On the coordinator's machine it maps the coordinator's file of the version instead, so that all processes
// share one copy. Memory of a worker elsewhere: the packed size of two versions, and the published size of one version,
// or of two versions while one is unpacked.

package import Base
import Bundles
package import Fleet
package import Platform
package import Records
import Tensors
import Transport

/// - Prepared: what the owner makes from a version's bytes.
package final class BundleTransfer<Prepared: Sendable> {
  /// The result of an installation.
  private struct Outcome: Sendable {
    var source: Source
    /// When it began.
    var begun = MonotonicClock.now()
    var bytes = HeldBytes.array([])
    /// nil if the bytes are not the version's bytes, or are of another model.
    var prepared: Prepared?
    var error: (any Error)?
  }

  private enum Source: Sendable {
    case bundle(BundleManifest)
    case file(PolicyManifest)

    var isFile: Bool {
      if case .file = self { true } else { false }
    }

    var policy: PolicyManifest {
      switch self {
      case .bundle(let bundle): bundle.policy
      case .file(let policy): policy
      }
    }
  }

  /// More threads would not unpack faster, because memory is written.
  private static var threads: Int { 4 }

  private let loop: EventLoop
  private let context: TLSContext?
  /// Called with each event. The owner passes the event to its machine, and passes the machine's effects to `perform`.
  package var onEvent: (FetcherEvent) -> Void = { _ in }
  package var onPrepared: (PolicyVersion, Prepared) -> Void = { _, _ in }
  /// Called after `onEvent`, with the time that the version's installation took.
  package var onInstalled: (PolicyVersion, Instant.Span) -> Void = { _, _ in }
  package var onFailure: (any Error) -> Void = { _ in }
  /// Makes what the owner needs from a version's bytes, on a thread; nil if the bytes are of another model.
  package var prepare: (@Sendable (PolicyVersion, UnsafeRawBufferPointer) throws -> Prepared?)?
  /// Looks for the base of adapters on this machine, on a thread; nil if it is not there.
  package var findBase: (@Sendable () throws -> Prepared?)?
  /// An existing directory on a disk that has room for the base.
  package var baseDirectory: (@Sendable () throws -> String)?
  /// The path of a version's file; nil if the coordinator is on another machine.
  package var file: ((PolicyVersion) -> String)?

  private var listener: Listener?
  private var relay: Link?
  private var children: [ChildID: Link] = [:]
  private var nextChild: UInt64 = 1
  private var chunks: [ChunkDigest: KeptBytes] = [:]
  /// The base's chunks, while it is being fetched.
  private var spool: SpoolFile?
  private var isFetchingBase = false
  private var newest: (version: PolicyVersion, bytes: HeldBytes)?
  private var inbox: Inbox<Outcome>?

  /// - Parameters:
  ///   - context: the keys of connections to other workers; nil is plain TCP.
  ///   - loop: serves the connections.
  /// - Throws: if the process has no descriptor left.
  package init(_ context: TLSContext?, loop: EventLoop) throws(PlatformError) {
    self.loop = loop
    self.context = context
    inbox = try loop.inbox { [unowned self] in self.finish($0) }
  }

  /// Lets other workers fetch from this worker. Only the first successful call has an effect. If listening is not
  /// possible, this worker is not a relay, and logs that.
  ///
  /// - Parameters:
  ///   - address: where to listen; an empty host means `host`.
  ///   - host: the local address of the connection to the coordinator.
  package func listen(on address: HostPort, reachedFrom host: String) {
    guard listener == nil else { return }
    let isEverywhere = address.host.isEmpty || ["0.0.0.0", "::"].contains(address.host)
    do throws(PlatformError) {
      let listener = try Listener(
        on: HostPort(host: address.host.isEmpty ? host : address.host, port: address.port), tls: context, loop: loop
      ) { self.accept($0) }
      self.listener = listener
      let known = isEverywhere ? HostPort(host: host, port: listener.address.port) : listener.address
      Log.info("worker.relays", ["address": known])
      onEvent(.listening(at: "\(known)"))
    } catch {
      Log.warning("worker.relays_nothing", ["address": address, "reason": "\(error)"])
    }
  }

  private func accept(_ connection: Connection) {
    guard children.count < Limits.relayChildren else { return connection.close() }
    let id = ChildID(nextChild)
    nextChild += 1
    children[id] = Link(
      connection, firstFrameBytes: Limits.helloBytes, onMessage: { self.onEvent(.childSaid(id, $0)) },
      onClose: { _ in
        self.children[id] = nil
        self.onEvent(.childLeft(id))
      })
  }

  /// Ends connections whose key is not accepted any more. The others go on until they end by themselves.
  package func renewKeys() {
    guard let context else { return }
    if let relay, !context.accepts(relay.keyID) {
      relay.close()
      self.relay = nil
      loop.soon { self.onEvent(.relayLost) }
    }
    for (id, link) in children.sorted(by: { $0.key < $1.key }) where !context.accepts(link.keyID) {
      link.close()
      children[id] = nil
      loop.soon { self.onEvent(.childLeft(id)) }
    }
  }

  /// Ends all connections.
  package func close() {
    listener?.close()
    relay?.close()
    for (_, link) in children { link.finish() }
  }

  package func perform(_ effect: FetcherEffect) {
    switch effect {
    case .dial(let address): dial(address)
    case .askRelay(let message): relay?.send(message)
    case .hangUp:
      relay?.close()
      relay = nil
    case .keep(let digest, let bytes): keep(digest, bytes)
    case .forget(let digests): for digest in digests { chunks[digest] = nil }
    case .look(let policy): look(for: policy)
    case .install(let bundle): install(bundle)
    case .sendChunk(let digest, let child): send(digest, to: child)
    case .tell(let child, let message): children[child]?.send(message)
    case .dismiss(let child): children.removeValue(forKey: child)?.close()
    case .left(let relay, let fault):
      if fault != .gone { Log.warning("worker.relay_left", ["relay": relay, "fault": "\(fault)"]) }
    }
  }

  private func keep(_ digest: ChunkDigest, _ bytes: [UInt8]) {
    guard isFetchingBase, let baseDirectory else { return chunks[digest] = .memory(bytes) }
    do {
      let file = try spool ?? SpoolFile(in: try baseDirectory())
      spool = file
      chunks[digest] = .disk(file, try file.append(bytes))
    } catch {
      onFailure(error)
    }
  }

  private func send(_ digest: ChunkDigest, to child: ChildID) {
    do {
      if let bytes = try chunks[digest]?.read() { children[child]?.send(.chunk(digest, bytes)) }
    } catch {
      onFailure(error)
    }
  }

  private func dial(_ address: String) {
    relay?.close()
    relay = nil
    guard let target = try? HostPort(parsing: address) else { return loop.soon { self.onEvent(.relayLost) } }
    let connection = Connection(
      to: target, tls: context, by: MonotonicClock.now() + Limits.relaySilence, loop: loop)
    relay = Link(
      connection, onMessage: { self.onEvent(.relaySaid($0)) },
      onClose: { reason in
        Log.info("worker.relay_lost", ["relay": address, "reason": reason])
        self.relay = nil
        self.onEvent(.relayLost)
      })
  }

  // MARK: Installing

  private func look(for policy: PolicyManifest) {
    if policy.version == .base { return lookForBase(policy) }
    // The file can have been dropped since it was offered; then the coordinator says so when it is asked.
    guard
      let path = file?(policy.version), let file = try? MappedFile(path, isLocked: true),
      file.bytes.count == policy.byteCount
    else {
      return loop.soon { self.onEvent(.looked(policy, isInstalled: false)) }
    }
    install(.file(policy)) { .file(file) }
  }

  private func lookForBase(_ policy: PolicyManifest) {
    isFetchingBase = true
    guard let findBase, let inbox else { return loop.soon { self.onEvent(.looked(policy, isInstalled: false)) } }
    run {
      var outcome = Outcome(source: .file(policy))
      do { outcome.prepared = try findBase() } catch { outcome.error = error }
      inbox.post(outcome)
    }
  }

  private func install(_ bundle: BundleManifest) {
    var taken: [ChunkDigest: KeptBytes] = [:]
    for chunk in bundle.chunks { taken[chunk.digest] = chunks[chunk.digest] }
    let kept = taken
    if bundle.policy.version == .base, let baseDirectory {
      return install(.bundle(bundle)) {
        .file(
          try MappedFile.withoutName(in: try baseDirectory()) { file in
            try forEachBlock(of: bundle, chunk: { try kept[$0]?.read() }) { try file.write($0) }
          })
      }
    }
    let base = newest
    install(.bundle(bundle)) { () throws(BundleError) in
      let team = Team(min(Machine.coreCount, Self.threads))
      let share: Sharing = { count, body in team.share(count) { blocks, _ in body(blocks) } }
      guard let base else { return .array(try unpacked(bundle, onto: nil, share: share) { try? kept[$0]?.read() }) }
      return try base.bytes.withBytes { bytes throws(BundleError) -> HeldBytes in
        .array(try unpacked(bundle, onto: (base.version, bytes), share: share) { try? kept[$0]?.read() })
      }
    }
  }

  /// Verifies and prepares a version's bytes on a thread.
  ///
  /// - Parameter bytes: gives them; throws `BundleError` if they cannot be unpacked.
  private func install(_ source: Source, _ bytes: @escaping @Sendable () throws -> HeldBytes) {
    guard let prepare, let inbox else { return }
    run {
      var outcome = Outcome(source: source)
      do {
        let bytes = try bytes()
        outcome.prepared = try verified(bytes, source.policy, prepare)
        if outcome.prepared != nil { outcome.bytes = bytes }
      } catch is BundleError {
        // The bytes are not the version: `prepared` stays nil, and the version is fetched again.
      } catch {
        outcome.error = error
      }
      inbox.post(outcome)
    }
  }

  private func run(_ work: @escaping @Sendable () -> Void) {
    do { try startThread(named: "install", work) } catch { onFailure(error) }
  }

  private func finish(_ outcome: Outcome) {
    if let error = outcome.error { return onFailure(error) }
    let policy = outcome.source.policy
    if let prepared = outcome.prepared {
      if policy.version != .base {
        newest = (policy.version, outcome.bytes)
      } else {
        // It is not the base of a delta, so its bytes are not needed any more.
        (isFetchingBase, spool) = (false, nil)
      }
      switch outcome.source {
      case .file: Log.info("worker.installed", ["policy": policy.version, "from": "file"])
      case .bundle(let bundle):
        Log.info(
          "worker.installed",
          [
            "policy": policy.version, "base": bundle.base.map { "\($0)" } ?? "none",
            "packed_bytes": bundle.packedBytes,
          ])
      }
      onPrepared(policy.version, prepared)
    } else if policy.version != .base || !outcome.source.isFile {
      Log.warning("worker.policy_damaged", ["policy": policy.version])
    }
    let isIntact = outcome.prepared != nil
    switch outcome.source {
    case .file: onEvent(.looked(policy, isInstalled: isIntact))
    case .bundle(let bundle): onEvent(.installed(bundle, isIntact: isIntact))
    }
    if isIntact, policy.version != .base { onInstalled(policy.version, MonotonicClock.now().since(outcome.begun)) }
  }
}

/// What `prepare` makes of a version's bytes; nil if they do not have the version's digest. They are verified and
/// prepared at the same time.
private func verified<Prepared>(
  _ bytes: HeldBytes, _ policy: PolicyManifest, _ prepare: (PolicyVersion, UnsafeRawBufferPointer) throws -> Prepared?
) throws -> Prepared? {
  let digest = BackgroundResult { bytes.withBytes { SHA256.digest(of: $0) } }
  let prepared = Result { try bytes.withBytes { try prepare(policy.version, $0) } }
  return try digest.value() == policy.digest ? prepared.get() : nil
}
