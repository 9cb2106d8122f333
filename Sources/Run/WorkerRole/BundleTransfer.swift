// BundleTransfer: performs BundleFetcher's decisions with sockets, memory and a thread.
//
// It has a listener for workers that fetch from this worker, one connection to the relay that this worker fetches from,
// the chunks that are kept, and the newest version's bytes, which are the base of the next delta. A thread unpacks a
// bundle, checks the version's digest, and prepares the bytes for the worker, so that sampling, heartbeats and relaying
// continue. Memory: the packed size of two versions, and the published size of one version, or of two versions while
// one is unpacked.

import Base
import Bundles
package import Fleet
package import Platform
package import Records
import Transport

/// - Prepared: what the owner makes from a version's bytes.
package final class BundleTransfer<Prepared: Sendable> {
  /// The result of an installation.
  private struct Outcome: Sendable {
    var bundle: BundleManifest
    var bytes: [UInt8]
    /// nil if the bytes are not the version's bytes, or are of another model.
    var prepared: Prepared?
    var error: (any Error)?
  }

  private let loop: EventLoop
  private let context: TLSContext?
  /// Called with each event. The owner passes the event to its machine, and passes the machine's effects to `perform`.
  package var onEvent: (FetcherEvent) -> Void = { _ in }
  package var onPrepared: (PolicyVersion, Prepared) -> Void = { _, _ in }
  package var onFailure: (any Error) -> Void = { _ in }
  /// Makes what the owner needs from a version's bytes, on a thread; nil if the bytes are of another model.
  package var prepare: (@Sendable ([UInt8]) throws -> Prepared?)?

  private var listener: Listener?
  private var relay: Link?
  private var children: [ChildID: Link] = [:]
  private var nextChild: UInt64 = 1
  private var chunks: [ChunkDigest: [UInt8]] = [:]
  private var newest: (version: PolicyVersion, bytes: [UInt8])?
  private var inbox: Inbox<Outcome>?

  /// - Throws: if the process has no descriptor left, or OpenSSL lacks TLS 1.3.
  package init(key: ClusterKey?, loop: EventLoop) throws(PlatformError) {
    self.loop = loop
    context = if let key { try TLSContext(key) } else { nil }
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
    case .keep(let digest, let bytes): chunks[digest] = bytes
    case .forget(let digests): for digest in digests { chunks[digest] = nil }
    case .install(let bundle): install(bundle)
    case .sendChunk(let digest, let child):
      if let bytes = chunks[digest] { children[child]?.send(.chunk(digest, bytes)) }
    case .tell(let child, let message): children[child]?.send(message)
    case .dismiss(let child): children.removeValue(forKey: child)?.close()
    case .left(let relay, let fault):
      if fault != .gone { Log.warning("worker.relay_left", ["relay": relay, "fault": "\(fault)"]) }
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

  private func install(_ bundle: BundleManifest) {
    guard let prepare, let inbox else { return }
    var taken: [ChunkDigest: [UInt8]] = [:]
    for chunk in bundle.chunks { taken[chunk.digest] = chunks[chunk.digest] }
    let (base, parts) = (newest, taken)
    do {
      try startThread(named: "install") {
        var outcome = Outcome(bundle: bundle, bytes: [], prepared: nil, error: nil)
        do {
          let bytes = try unpacked(bundle, base: base) { parts[$0] }
          if SHA256.digest(of: bytes) == bundle.policy.digest {
            outcome.prepared = try prepare(bytes)
            outcome.bytes = bytes
          }
        } catch is BundleError {
          // The bytes are not the version: `prepared` stays nil, and the version is fetched again.
        } catch {
          outcome.error = error
        }
        inbox.post(outcome)
      }
    } catch {
      onFailure(error)
    }
  }

  private func finish(_ outcome: Outcome) {
    if let error = outcome.error { return onFailure(error) }
    if let prepared = outcome.prepared {
      newest = (outcome.bundle.policy.version, outcome.bytes)
      Log.info(
        "worker.installed",
        [
          "policy": outcome.bundle.policy.version, "base": outcome.bundle.base.map { "\($0)" } ?? "none",
          "packed_bytes": outcome.bundle.packedBytes,
        ])
      onPrepared(outcome.bundle.policy.version, prepared)
    } else {
      Log.warning("worker.policy_damaged", ["policy": outcome.bundle.policy.version])
    }
    onEvent(.installed(outcome.bundle, isIntact: outcome.prepared != nil))
  }
}
