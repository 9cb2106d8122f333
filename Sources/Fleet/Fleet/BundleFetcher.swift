// BundleFetcher: how a worker gets a policy version, and how it serves chunks to other workers.
//
// It is a state machine within Worker. Its rules:
//   1. A worker on the coordinator's machine first looks for the version's file, and takes it if it has the digest.
//   2. Else a version is fetched as a bundle. The coordinator says which bundle (anchor or delta) and from which
//      process. Chunks are requested in order, many ahead. Each chunk is kept only if it has its digest. A kept chunk
//      is never requested again, even if connections break.
//   3. A chunk from a relay is accepted if it has its digest. The worker leaves a relay that is lost, slow or wrong,
//      reports it, and does not use it again. The coordinator then names the next relay. As the last resort it sends
//      the chunks itself.
//   4. If versions are adapters, their base comes first, once. Its chunks are not kept for other workers when all have
//      arrived.
//   5. Other workers can ask for chunks, including chunks that have not arrived yet. Those are passed on when they
//      arrive.
// It holds no bytes. Not here: unpacking and installing (the shell), which worker relays to which (BundleBook).

package import Base
package import Records

/// A worker that asks this worker for chunks, identified by its connection.
package struct ChildID: Comparable, Hashable, Sendable {
  package var number: UInt64
  package init(_ number: UInt64) { self.number = number }
  package static func < (left: Self, right: Self) -> Bool { left.number < right.number }
}

package enum FetcherEvent: Sendable, Equatable {
  /// Other workers can connect to this address.
  case listening(at: String)
  /// From the relay to which this worker is connected.
  case relaySaid(Message)
  /// The connection to the relay could not be made, or it broke.
  case relayLost
  case childSaid(ChildID, Message)
  case childLeft(ChildID)
  /// The version's file was looked for. isInstalled: it is there, its bytes have the digest, and the engine accepted
  /// them.
  case looked(PolicyManifest, isInstalled: Bool)
  /// All chunks had arrived. isIntact: the unpacked bytes have the digest, and the engine accepted them.
  case installed(BundleManifest, isIntact: Bool)
}

package enum FetcherEffect: Sendable, Equatable {
  /// Connects to a relay. Messages to the relay wait until the connection is established.
  case dial(String)
  case askRelay(Message)
  case hangUp
  /// The chunk has its digest.
  case keep(ChunkDigest, [UInt8])
  /// Look for the version's file on this machine. If it is there, verify and prepare its bytes. Then report `.looked`.
  case look(PolicyManifest)
  /// All chunks are kept: unpack, verify and prepare them, then report `.installed`.
  case install(BundleManifest)
  case forget([ChunkDigest])
  /// Sends a kept chunk to another worker.
  case sendChunk(ChunkDigest, to: ChildID)
  case tell(ChildID, Message)
  case dismiss(ChildID)
  /// For the log only.
  case left(relay: String, RelayFault)
}

package struct BundleFetcher: Sendable {
  /// What the fetcher's owner has to do.
  package enum Effect: Sendable, Equatable {
    /// To the coordinator.
    case send(Message)
    /// The coordinator broke the protocol's rules.
    case disconnect
    case transfer(FetcherEffect)
  }

  private enum Source: Equatable, Sendable {
    /// The coordinator has been asked, or is asked as soon as it is connected.
    case undecided
    case coordinator
    case relay(String, depth: Int)
  }

  private struct Fetch: Sendable {
    let policy: PolicyManifest
    var bundle: BundleManifest?
    var source = Source.undecided
    /// The delta could not be applied.
    var needsAnchor = false
    /// The first place of each chunk in the bundle.
    var places: [ChunkDigest: Int] = [:]
    var missing = 0
    /// The next block to request, unless its chunk is kept.
    var next = 0
    /// Chunks that were requested and have not arrived, in the order of the requests.
    var asked: [(chunk: PackedChunk, at: Instant)] = []
    var lastProgress = Instant.zero
    /// The shell has the version's bytes, or looks for them, and prepares them.
    var isInstalling = false
  }

  private let digest: @Sendable ([UInt8]) -> ChunkDigest
  private var address = ""
  private var isJoined = false
  /// Whether the coordinator has named its directory of versions.
  private var looks = false
  private var lastTick = Instant.zero
  /// What adapters adapt, and whether the engine has it; nil if versions are whole models.
  private var base: (policy: PolicyManifest, isInstalled: Bool)?
  /// In the order of installation. The last one can be the base of a delta.
  private var held: [PolicyManifest] = []
  /// Installed versions that no round needs any more.
  package private(set) var unneeded: Set<PolicyVersion> = []
  private var wanted: [PolicyManifest] = []
  private var fetch: Fetch?
  /// Only looked up by key, like `places`: the order has no meaning.
  private var kept: Set<ChunkDigest> = []
  /// The chunks of installed versions, kept for other workers.
  private var shelves = SortedMap<PolicyVersion, [ChunkDigest]>()
  private var avoided: Set<String> = []
  /// Messages that could not be sent while the coordinator was disconnected.
  private var untold: [Message] = []
  /// Chunks for which other workers wait.
  private var children = SortedMap<ChildID, [(version: PolicyVersion, digest: ChunkDigest)]>()

  package var installed: [PolicyVersion] { held.map(\.version) }

  /// - Parameter digest: SHA-256, or a substitute.
  package init(digest: @escaping @Sendable ([UInt8]) -> ChunkDigest) { self.digest = digest }

  package mutating func receive(_ event: FetcherEvent, now: Instant, _ effects: inout [Effect]) {
    switch event {
    case .listening(let address): self.address = address
    case .relaySaid(.chunk(let digest, let bytes)):
      receive(digest, bytes, isFromRelay: true, now: now, &effects)
    case .relaySaid(.missing(let version)):
      if fetch?.policy.version == version { leaveRelay(.gone, &effects) }
    case .relaySaid: leaveRelay(.wrong, &effects)
    case .relayLost: leaveRelay(.lost, &effects)
    case .childSaid(let child, let message): serve(child, message, &effects)
    case .childLeft(let child): children[child] = nil
    case .looked(let policy, let isInstalled): looked(for: policy, isInstalled, &effects)
    case .installed(let bundle, let isIntact): installed(bundle, isIntact, &effects)
    }
    fetchNext(&effects)
  }

  // MARK: Messages from the worker

  /// - Parameters:
  ///   - policies: the coordinator's directory of versions; empty if there is none.
  ///   - base: of the version `.base`; nil if versions are whole models.
  package mutating func joined(policies: String, base: PolicyManifest? = nil, _ effects: inout [Effect]) {
    isJoined = true
    if let base, self.base?.policy != base { self.base = (base, isInstalled: false) }
    looks = !policies.isEmpty
    for message in untold { effects.append(.send(message)) }
    untold = []
    if let fetch, fetch.source == .undecided, !fetch.isInstalling { ask(&effects) }
    fetchNext(&effects)
  }

  /// The coordinator is disconnected. Fetching from a relay continues. Chunks that the coordinator itself had to send
  /// are requested again later.
  package mutating func lost() {
    isJoined = false
    wanted = []
    guard fetch?.source == .coordinator || fetch?.bundle == nil else { return }
    fetch?.source = .undecided
    fetch?.asked = []
  }

  package mutating func offered(_ manifest: PolicyManifest, _ effects: inout [Effect]) {
    guard !held.contains(manifest), fetch?.policy != manifest, !wanted.contains(manifest) else { return }
    // A version is offered before it is durable. If its learner and the coordinator then end, the learner can train it
    // again with other bits (`--reduction fast`). What is held under its number is another version then.
    drop(manifest.version, &effects)
    abandon(manifest.version, &effects)
    wanted.append(manifest)
    fetchNext(&effects)
  }

  /// The coordinator sent a message about bundles.
  package mutating func told(_ message: Message, now: Instant, _ effects: inout [Effect]) {
    switch message {
    case .bundle(let bundle, let relay, let depth): begin(bundle, relay, depth, now: now, &effects)
    case .chunk(let digest, let bytes): receive(digest, bytes, isFromRelay: false, now: now, &effects)
    case .missing(let version): abandon(version, &effects)
    default: effects.append(.disconnect)
    }
    fetchNext(&effects)
  }

  package mutating func tick(now: Instant, _ effects: inout [Effect]) {
    defer { lastTick = now }
    guard var fetch, case .relay(_, let depth) = fetch.source, let oldest = fetch.asked.first else { return }
    if now.since(lastTick) > Limits.relayTickGap {
      // This process or its machine was paused. What arrived during the pause is read after this tick.
      fetch.lastProgress = now
      fetch.asked = fetch.asked.map { ($0.chunk, now) }
      self.fetch = fetch
      return
    }
    let patience = Limits.relaySilencePerHop * UInt64(depth)
    let isSilent = now.since(fetch.lastProgress) > Limits.relaySilence + patience
    guard isSilent || now.since(oldest.at) > Limits.relayAge + patience else { return }
    leaveRelay(.slow, &effects)
  }

  /// The worker does not sample from this version any more.
  package mutating func drop(_ version: PolicyVersion, _ effects: inout [Effect]) {
    held.removeAll { $0.version == version }
    unneeded.remove(version)
    guard let shelf = shelves.remove(version) else { return }
    let needed = Set(shelves.values.joined())
    forget(shelf.filter { !needed.contains($0) && fetch?.places[$0] == nil }, &effects)
  }

  // MARK: Fetching

  private mutating func fetchNext(_ effects: inout [Effect]) {
    guard fetch == nil, isJoined else { return }
    guard let policy = takeNext() else { return }
    // The base can be in this machine's cache.
    let looks = looks || policy.version == .base
    fetch = Fetch(policy: policy, isInstalling: looks)
    if looks { effects.append(.transfer(.look(policy))) } else { ask(&effects) }
  }

  private mutating func takeNext() -> PolicyManifest? {
    if let base, !base.isInstalled { return base.policy }
    return wanted.isEmpty ? nil : wanted.removeFirst()
  }

  private mutating func looked(for policy: PolicyManifest, _ isInstalled: Bool, _ effects: inout [Effect]) {
    guard fetch?.policy == policy, fetch?.bundle == nil else { return }
    if !isInstalled, !isReplaced(policy) {
      fetch?.isInstalling = false
      return ask(&effects)
    }
    fetch = nil
    if isInstalled { hold(policy) }
    disappoint(policy.version, &effects)
  }

  private mutating func hold(_ policy: PolicyManifest) {
    if policy.version == .base {
      if base?.policy == policy { base = (policy, isInstalled: true) }
    } else if !isReplaced(policy) {
      held.append(policy)
    }
  }

  /// Another version of that number was offered in the meantime.
  private func isReplaced(_ policy: PolicyManifest) -> Bool { wanted.contains { $0.version == policy.version } }

  /// Asks the coordinator which bundle to fetch, and from which process.
  private func ask(_ effects: inout [Effect]) {
    guard isJoined, let fetch else { return }
    let holding = fetch.needsAnchor || fetch.policy.version == .base ? [] : Array(installed.suffix(1))
    effects.append(.send(.requestBundle(fetch.policy.version, holding: holding)))
  }

  private mutating func begin(
    _ bundle: BundleManifest, _ relay: String, _ depth: Int, now: Instant, _ effects: inout [Effect]
  ) {
    // The fetch ended while this answer was on its way.
    guard let fetch, fetch.policy.version == bundle.policy.version, !fetch.isInstalling else { return }
    // What was offered was trained again with other bits. An offer of the new version is on its way.
    guard fetch.policy == bundle.policy else { return abandon(fetch.policy.version, &effects) }
    guard bundle.base == nil || bundle.base == installed.last, bundle.isSound else {
      return effects.append(.disconnect)
    }
    if fetch.bundle != bundle { lay(bundle, &effects) }
    hangUp(&effects)
    self.fetch?.lastProgress = now
    self.fetch?.next = 0
    self.fetch?.asked = []
    if relay.isEmpty || relay == address || avoided.contains(relay) {
      self.fetch?.source = .coordinator
    } else {
      self.fetch?.source = .relay(relay, depth: depth)
      effects.append(.transfer(.dial(relay)))
    }
    goOn(now: now, &effects)
  }

  /// Makes the list of missing chunks. It leaves out chunks that are kept already.
  private mutating func lay(_ bundle: BundleManifest, _ effects: inout [Effect]) {
    var places: [ChunkDigest: Int] = [:]
    places.reserveCapacity(bundle.chunks.count)
    for (index, chunk) in bundle.chunks.enumerated() where places[chunk.digest] == nil { places[chunk.digest] = index }
    let shelved = Set(shelves.values.joined())
    let old = (fetch?.bundle?.chunks ?? []).map(\.digest)
    fetch?.bundle = bundle
    fetch?.places = places
    fetch?.missing = places.keys.count { !kept.contains($0) }
    forget(old.filter { places[$0] == nil && !shelved.contains($0) }, &effects)
  }

  /// Requests as many chunks ahead as the limits allow. If no chunk is missing, starts the installation.
  private mutating func goOn(now: Instant, _ effects: inout [Effect]) {
    guard var fetch, let bundle = fetch.bundle, !fetch.isInstalling else { return }
    defer { self.fetch = fetch }
    guard fetch.missing > 0 else {
      hangUp(&effects)
      fetch.isInstalling = true
      fetch.source = .undecided
      return effects.append(.transfer(.install(bundle)))
    }
    guard fetch.source != .undecided else { return }
    var bytes = fetch.asked.reduce(0) { $0 + $1.chunk.byteCount }
    while fetch.asked.count < Limits.chunksInFlight, fetch.next < bundle.chunks.count {
      let chunk = bundle.chunks[fetch.next]
      guard !kept.contains(chunk.digest), fetch.places[chunk.digest] == fetch.next else {
        fetch.next += 1
        continue
      }
      guard fetch.asked.isEmpty || bytes + chunk.byteCount <= Limits.chunkBytesInFlight else { return }
      fetch.next += 1
      bytes += chunk.byteCount
      fetch.asked.append((chunk, now))
      let request = Message.requestChunk(bundle.policy.version, chunk.digest)
      effects.append(fetch.source == .coordinator ? .send(request) : .transfer(.askRelay(request)))
    }
  }

  private mutating func receive(
    _ digest: ChunkDigest, _ bytes: [UInt8], isFromRelay: Bool, now: Instant, _ effects: inout [Effect]
  ) {
    // A chunk can still arrive that was requested before the source changed or the fetch was abandoned.
    guard let fetch, let place = fetch.places[digest], let bundle = fetch.bundle, !kept.contains(digest) else {
      return
    }
    guard bytes.count == bundle.chunks[place].byteCount, self.digest(bytes) == digest else {
      if isFromRelay { leaveRelay(.wrong, &effects) } else { effects.append(.disconnect) }
      return
    }
    keep(digest, bytes, &effects)
    self.fetch?.missing -= 1
    self.fetch?.lastProgress = now
    self.fetch?.asked.removeAll { $0.chunk.digest == digest }
    goOn(now: now, &effects)
  }

  /// The coordinator does not keep this version any more, because no round needs it.
  private mutating func abandon(_ version: PolicyVersion, _ effects: inout [Effect]) {
    if installed.contains(version) { unneeded.insert(version) }
    wanted.removeAll { $0.version == version }
    guard let fetch, fetch.policy.version == version, !fetch.isInstalling else { return }
    hangUp(&effects)
    self.fetch = nil
    let shelved = Set(shelves.values.joined())
    forget((fetch.bundle?.chunks ?? []).map(\.digest).filter { !shelved.contains($0) }, &effects)
    disappoint(version, &effects)
  }

  private mutating func installed(
    _ bundle: BundleManifest, _ isIntact: Bool, _ effects: inout [Effect]
  ) {
    guard fetch?.bundle == bundle else { return }
    fetch = nil
    let digests = bundle.chunks.map(\.digest)
    if isIntact { hold(bundle.policy) }
    if isIntact, bundle.policy.version != .base {
      shelves[bundle.policy.version] = digests
      return disappoint(bundle.policy.version, &effects)
    }
    let shelved = Set(shelves.values.joined())
    forget(digests.filter { !shelved.contains($0) }, &effects)
    disappoint(bundle.policy.version, &effects)
    guard !isIntact else { return }
    // The bytes or the base are damaged: fetch again, from the start and without the base. If the coordinator is
    // disconnected, the next lease brings another offer.
    guard isJoined, !isReplaced(bundle.policy) else { return }
    fetch = Fetch(policy: bundle.policy, needsAnchor: true)
    ask(&effects)
  }

  private mutating func hangUp(_ effects: inout [Effect]) {
    if case .relay = fetch?.source { effects.append(.transfer(.hangUp)) }
  }

  private mutating func leaveRelay(_ fault: RelayFault, _ effects: inout [Effect]) {
    guard let fetch, case .relay(let relay, _) = fetch.source else { return }
    hangUp(&effects)
    self.fetch?.source = .undecided
    self.fetch?.asked = []
    if fault != .gone { avoided.insert(relay) }
    effects.append(.transfer(.left(relay: relay, fault)))
    let message = Message.fault(relay, fetch.policy.version, fault)
    if isJoined {
      effects.append(.send(message))
    } else if untold.count < Limits.relayDepth {
      untold.append(message)
    }
    ask(&effects)
  }

  // MARK: Chunks

  private mutating func keep(_ digest: ChunkDigest, _ bytes: [UInt8], _ effects: inout [Effect]) {
    kept.insert(digest)
    effects.append(.transfer(.keep(digest, bytes)))
    for (child, waiting) in children where waiting.contains(where: { $0.digest == digest }) {
      effects.append(.transfer(.sendChunk(digest, to: child)))
      _ = children.update(child) { $0.removeAll { $0.digest == digest } }
    }
  }

  private mutating func forget(_ digests: [ChunkDigest], _ effects: inout [Effect]) {
    let gone = digests.filter { kept.remove($0) != nil }
    if !gone.isEmpty { effects.append(.transfer(.forget(gone))) }
  }

  // MARK: Other workers

  private mutating func serve(_ child: ChildID, _ message: Message, _ effects: inout [Effect]) {
    guard case .requestChunk(let version, let digest) = message else {
      children[child] = nil
      return effects.append(.transfer(.dismiss(child)))
    }
    if kept.contains(digest) { return effects.append(.transfer(.sendChunk(digest, to: child))) }
    guard isExpected(version) else { return effects.append(.transfer(.tell(child, .missing(version)))) }
    let waiting = children[child] ?? []
    let hasPlace = children.count < Limits.relayChildren || children.contains(child)
    guard waiting.count < Limits.chunksInFlight, hasPlace else {
      children[child] = nil
      return effects.append(.transfer(.dismiss(child)))
    }
    children[child] = waiting + [(version, digest)]
  }

  /// Chunks of this version can still arrive here: it is being fetched, or it is newer than all versions that this
  /// worker knows.
  private func isExpected(_ version: PolicyVersion) -> Bool {
    if let fetch, fetch.policy.version == version { return !fetch.isInstalling }
    if version == .base { return base?.isInstalled == false }
    if wanted.contains(where: { $0.version == version }) { return true }
    let known = wanted.map(\.version) + installed + (fetch.map { [$0.policy.version] } ?? [])
    return known.allSatisfy { $0 < version || $0 == .base }
  }

  /// No more chunks of this version will arrive. A worker that waits for some has to fetch them from another process.
  private mutating func disappoint(_ version: PolicyVersion, _ effects: inout [Effect]) {
    for (child, waiting) in children where waiting.contains(where: { $0.version == version }) {
      effects.append(.transfer(.tell(child, .missing(version))))
      _ = children.update(child) { $0.removeAll { $0.version == version } }
    }
  }
}
