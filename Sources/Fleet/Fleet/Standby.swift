// Standby: follows a coordinator, so that its own copy of the run is complete, and takes over when it is silent.
//
// It is a state machine like Worker. What a copy is: the run's files, the ledger, and the bytes of all versions of the
// weights that the ledger says are needed. Two rules:
//   1. A commit that records a version is made in the copy only after the version's bytes are on the disk. So the
//      copy's ledger never names weights that are not there. (A version that the coordinator has dropped in the
//      meantime is passed over, and until the commit comes that says so, the copy is not complete.)
//   2. It takes over only from a complete copy that was written under the newest term that it has seen. A copy of an
//      earlier term can lack what a later coordinator acknowledged.
// Two coordinators that both lead compute the same bits, so taking over needs no majority. The higher term wins as soon
// as one of them, or a worker, hears of it.
// Not here: how a version is fetched (BundleFetcher), files and the ledger (StandbyRole), what a coordinator sends
// (Replication).

package import Base
package import Records

package enum StandbyEvent: Sendable, Equatable {
  case connected
  /// Also sent if a connection attempt failed.
  case disconnected
  case received(Message)
  /// About versions on their way. A version is installed when its bytes are on the disk.
  case transfer(FetcherEvent)
  /// The files of the snapshot that the copy lacks, by their place in it.
  case lacking([Int])
  /// The snapshot's files are in place, and the ledger is open.
  case installed
  /// The commits up to this number are on the disk.
  case applied(UInt64)
  /// A commit does not fit the copy, or a file is not what it should be: everything is copied again.
  case unfit
  case tick
}

package enum StandbyEffect: Sendable, Equatable {
  case connect(Attempt)
  case send(Message)
  case disconnect
  case transfer(FetcherEffect)
  /// Find out which of these files the copy lacks, then report `.lacking`.
  case compare(ReplicaSnapshot)
  /// Append bytes to a file of the snapshot.
  case write(index: Int, offset: UInt64, bytes: [UInt8])
  /// All files are complete: check their digests, put them into their places, then report `.installed`.
  case install(ReplicaSnapshot)
  /// Make these commits in the copy's ledger, then report `.applied`.
  case apply([LedgerCommit])
  /// These versions are not needed any more.
  case dropPolicies([PolicyVersion])
  /// Start as coordinator, under this term. The addresses of others that can lead are for telling them.
  case lead(Term, others: [String])
  case exit(Departure)
}

package struct Standby: Sendable {
  /// The copy as it is on the disk when the process starts.
  package struct Copy: Sendable, Equatable {
    package var runID: String
    package var position: LedgerPosition
    /// The versions that its ledger says are needed.
    package var kept: [PolicyManifest]
    /// Those of them whose bytes are there.
    package var held: [PolicyVersion]

    package init(runID: String, position: LedgerPosition, kept: [PolicyManifest], held: [PolicyVersion]) {
      self.runID = runID
      self.position = position
      self.kept = kept
      self.held = held
    }
  }

  private struct Copying: Sendable {
    let snapshot: ReplicaSnapshot
    /// The files to fetch; the first one is being fetched.
    var files: [Int]
    /// How much of it is here, and the offset up to which it was asked for.
    var received: UInt64 = 0
    var asked: UInt64 = 0
  }

  private var hello: Hello
  private let identity: UInt32
  private let patience: Instant.Span
  private var search: CoordinatorSearch
  private var fetcher: BundleFetcher
  private var isWelcome = false
  private var lastHeartbeat = Instant.zero
  /// When a leading coordinator was heard last; nil before the first tick.
  private var lastHeard: Instant?
  private var lastTick = Instant.zero
  /// Where the coordinator says the standbys are, in the order in which they take over.
  private var standbys: [String] = []

  /// The run of the last welcome.
  private var joinedRun = ""
  /// The coordinator knows how far the copy is, over this connection.
  private var hasFollowed = false
  /// The run is finished. What was received still has to be made in the copy.
  private var isOver = false

  private var runID: String
  private var position: LedgerPosition
  /// The versions that the copy's ledger says are needed and that are not on the disk.
  private var lacking: Set<PolicyVersion> = []
  private var held: Set<PolicyVersion>
  /// Versions that the coordinator does not have any more.
  private var gone: Set<PolicyVersion> = []
  private var copying: Copying?
  /// The shell compares the copy with a snapshot, or replaces it.
  private var isReplacing = false
  /// Commits that are not in the copy yet, the parts of the next one, and how many are being made.
  private var commits: [LedgerCommit] = []
  private var parts: LedgerCommit?
  private var nextPart: UInt32 = 0
  private var applying: UInt64?

  /// - Parameters:
  ///   - hello: without the term; `relay` is where the others find this process when it leads.
  ///   - coordinators: where to look for the coordinator; the first attempt goes to the first address.
  ///   - seen: the highest term that this process has seen before it became a standby.
  ///   - copy: what is there already; nil for nothing.
  ///   - patience: the silence after which it takes over.
  ///   - identity: a random number.
  ///   - digest: computes the digest that identifies a chunk of weights.
  package init(
    hello: Hello, coordinators: [String], seen: Term = .none, copy: Copy?, patience: Instant.Span, identity: UInt32,
    digest: @escaping @Sendable ([UInt8]) -> ChunkDigest
  ) {
    self.hello = hello
    self.identity = identity
    self.patience = patience
    search = CoordinatorSearch(coordinators, processID: hello.processID)
    search.note(max(seen, copy?.position.term ?? .none))
    fetcher = BundleFetcher(digest: digest)
    runID = copy?.runID ?? ""
    position = copy?.position ?? .none
    held = Set(copy?.held ?? [])
    lacking = Set((copy?.kept ?? []).map(\.version)).subtracting(held)
  }

  /// Whether the copy is complete, and of the newest term.
  package var canLead: Bool {
    !runID.isEmpty && copying == nil && !isReplacing && lacking.isEmpty && position.term == search.term
  }

  /// How far the copy is.
  package var reached: LedgerPosition { position }

  package mutating func receive(_ event: StandbyEvent, now: Instant) -> [StandbyEffect] {
    var effects: [StandbyEffect] = []
    switch event {
    case .connected:
      search.connected(now: now)
      hello.term = search.term
      effects.append(.send(.hello(hello)))
    case .disconnected: disconnected(&effects)
    case .received(let message):
      search.heard(now: now)
      receive(message, now: now, &effects)
    case .transfer(let event):
      onFetcher(&effects) { $0.receive(event, now: now, &$1) }
      for version in fetcher.installed where held.insert(version).inserted { lacking.remove(version) }
    case .lacking(let files): fetch(files, &effects)
    case .installed: installed(&effects)
    case .applied(let number): applied(number, &effects)
    case .unfit:
      (runID, position) = ("", .none)
      startOver(&effects)
    case .tick: tick(now: now, &effects)
    }
    apply(&effects)
    if isOver, applying == nil, !isReplacing, commits.isEmpty || !isWelcome { effects.append(.exit(.finished)) }
    return effects
  }

  private mutating func receive(_ message: Message, now: Instant, _ effects: inout [StandbyEffect]) {
    switch message {
    case .welcome(let welcome):
      guard search.welcomed(welcome.term) else { return effects.append(.disconnect) }
      isWelcome = true
      joinedRun = welcome.runID
      onFetcher(&effects) { $0.joined(policies: "", &$1) }
      follow(&effects)
    // It only shows that the coordinator is alive.
    case .heartbeat: break
    case .standbys(let addresses, let silence):
      search.told(addresses.filter { $0 != hello.relay }, silence: silence)
      standbys = addresses
    case .bundle, .chunk, .missing:
      if case .missing(let version) = message, !held.contains(version) { gone.insert(version) }
      onFetcher(&effects) { $0.told(message, now: now, &$1) }
    case .snapshot(let snapshot):
      guard copying == nil, !isReplacing, applying == nil else { return effects.append(.disconnect) }
      isReplacing = true
      copying = Copying(snapshot: snapshot, files: [])
      effects.append(.compare(snapshot))
    case .fileBytes(let index, let offset, let bytes): receive(bytes, of: Int(index), at: offset, &effects)
    case .commit(let commit, let part, let partCount): receive(commit, part, of: partCount, &effects)
    case .goodbye(let reason): effects.append(.exit(.refused(reason)))
    case .finished: isOver = true
    default: effects.append(.disconnect)
    }
    if isWelcome { lastHeard = now }
  }

  // MARK: The coordinator

  private mutating func disconnected(_ effects: inout [StandbyEffect]) {
    (isWelcome, hasFollowed) = (false, false)
    fetcher.lost()
    // What was received is asked for again: the coordinator counts from what is on the disk.
    (commits, parts, nextPart) = ([], nil, 0)
    if !isReplacing { copying = nil }
    effects.append(.connect(search.next()))
  }

  private mutating func follow(_ effects: inout [StandbyEffect]) {
    // The copy is being written to; what it is will be said afterwards.
    guard isWelcome, !hasFollowed, !isReplacing, applying == nil else { return }
    hasFollowed = true
    effects.append(.send(.follow(FollowRequest(runID: runID, position: position, patience: patience))))
  }

  /// The copy is of no use: everything is asked for again.
  private mutating func startOver(_ effects: inout [StandbyEffect]) {
    (copying, isReplacing, applying) = (nil, false, nil)
    effects.append(.disconnect)
  }

  private mutating func tick(now: Instant, _ effects: inout [StandbyEffect]) {
    // This process, or its machine, was paused: a coordinator can have been heard in the meantime.
    if now.since(lastTick) > Limits.tickGap || lastHeard == nil { lastHeard = now }
    lastTick = now
    onFetcher(&effects) { $0.tick(now: now, &$1) }
    if search.isSilent(now: now) { effects.append(.disconnect) }
    if isWelcome, now.since(lastHeartbeat) >= Limits.heartbeat {
      lastHeartbeat = now
      effects.append(.send(.heartbeat(tokens: 0)))
    }
    // The standbys after the first one wait longer, so that usually only one takes over.
    let place = UInt64(standbys.firstIndex(of: hello.relay) ?? 0)
    let silence = patience + Instant.Span(nanoseconds: patience.nanoseconds / 2) * place
    guard canLead, applying == nil, let lastHeard, now.since(lastHeard) >= silence else { return }
    effects.append(
      .lead(search.term.next(of: identity), others: search.all.filter { $0 != hello.relay && !$0.isEmpty }))
  }

  // MARK: Snapshots

  private mutating func fetch(_ files: [Int], _ effects: inout [StandbyEffect]) {
    isReplacing = false
    // The connection broke while the files were compared.
    guard isWelcome, hasFollowed else {
      copying = nil
      return follow(&effects)
    }
    copying?.files = files
    askForBytes(&effects)
  }

  /// Asks for the next pieces of the files, and installs them when all are here.
  private mutating func askForBytes(_ effects: inout [StandbyEffect]) {
    guard var copying else { return }
    defer { self.copying = copying }
    guard let index = copying.files.first else {
      isReplacing = true
      return effects.append(.install(copying.snapshot))
    }
    let size = copying.snapshot.files[index].byteCount
    let window = UInt64(Limits.chunkBytes * Limits.filePiecesAhead)
    // An empty file is asked for once too, so that it is made.
    while copying.asked < min(max(size, 1), copying.received + window) {
      effects.append(.send(.requestFile(index: UInt32(index), offset: copying.asked)))
      copying.asked += UInt64(Limits.chunkBytes)
    }
  }

  private mutating func receive(
    _ bytes: [UInt8], of index: Int, at offset: UInt64, _ effects: inout [StandbyEffect]
  ) {
    guard var copying, copying.files.first == index, offset == copying.received else {
      return effects.append(.disconnect)
    }
    let size = copying.snapshot.files[index].byteCount
    guard UInt64(bytes.count) == min(UInt64(Limits.chunkBytes), size - offset) else { return startOver(&effects) }
    effects.append(.write(index: index, offset: offset, bytes: bytes))
    copying.received += UInt64(bytes.count)
    if copying.received == size {
      copying.files.removeFirst()
      (copying.received, copying.asked) = (0, 0)
    }
    self.copying = copying
    askForBytes(&effects)
  }

  /// The copy is that of the snapshot, except for its versions.
  private mutating func installed(_ effects: inout [StandbyEffect]) {
    guard let snapshot = copying?.snapshot else { return }
    (copying, isReplacing) = (nil, false)
    position = snapshot.position
    (runID, hasFollowed) = (joinedRun, false)
    (commits, parts, nextPart, gone) = ([], nil, 0, [])
    let kept = Set(snapshot.kept.map(\.version))
    held.formIntersection(kept)
    for version in fetcher.installed where !kept.contains(version) { onFetcher(&effects) { $0.drop(version, &$1) } }
    lacking = kept.subtracting(held)
    for manifest in snapshot.kept { need(manifest, &effects) }
    follow(&effects)
  }

  // MARK: Versions

  /// A version has to be on the disk before the commit that records it.
  private mutating func need(_ manifest: PolicyManifest, _ effects: inout [StandbyEffect]) {
    guard !held.contains(manifest.version) else { return }
    onFetcher(&effects) { $0.offered(manifest, &$1) }
  }

  /// Passes on the effects that the fetcher asks for.
  private mutating func onFetcher(
    _ effects: inout [StandbyEffect], _ change: (inout BundleFetcher, inout [BundleFetcher.Effect]) -> Void
  ) {
    var wanted: [BundleFetcher.Effect] = []
    change(&fetcher, &wanted)
    for effect in wanted {
      switch effect {
      case .send(let message): effects.append(.send(message))
      case .disconnect: effects.append(.disconnect)
      case .transfer(let effect): effects.append(.transfer(effect))
      }
    }
  }

  // MARK: Commits

  private mutating func receive(
    _ commit: LedgerCommit, _ part: UInt32, of partCount: UInt32, _ effects: inout [StandbyEffect]
  ) {
    // They were on their way when the copy began to be replaced.
    guard copying == nil, !isReplacing else { return }
    let last = commits.last?.number ?? applying ?? position.number
    guard commit.number == last + 1, part == nextPart, part < partCount, parts?.number ?? commit.number == commit.number
    else { return effects.append(.disconnect) }
    if parts == nil { parts = commit } else { parts?.changes += commit.changes }
    nextPart += 1
    guard nextPart == partCount, let whole = parts else { return }
    (parts, nextPart) = (nil, 0)
    commits.append(whole)
    for manifest in whole.added { need(manifest, &effects) }
  }

  /// Makes the commits whose versions are there.
  private mutating func apply(_ effects: inout [StandbyEffect]) {
    guard applying == nil, copying == nil, !isReplacing else { return }
    let ready = commits.prefix { commit in
      commit.added.allSatisfy { held.contains($0.version) || gone.contains($0.version) }
    }
    guard let last = ready.last else { return }
    applying = last.number
    effects.append(.apply(Array(ready)))
    for manifest in ready.flatMap(\.added) where !held.contains(manifest.version) { lacking.insert(manifest.version) }
    let removed = ready.flatMap(\.removed)
    for version in removed {
      lacking.remove(version)
      gone.remove(version)
      held.remove(version)
      onFetcher(&effects) { $0.drop(version, &$1) }
    }
    if !removed.isEmpty { effects.append(.dropPolicies(removed)) }
    commits.removeFirst(ready.count)
  }

  private mutating func applied(_ number: UInt64, _ effects: inout [StandbyEffect]) {
    guard applying == number else { return }
    applying = nil
    position.number = number
    if hasFollowed { effects.append(.send(.committed(number))) } else { follow(&effects) }
  }
}
