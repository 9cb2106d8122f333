// SimulatedStandby: a standby's state machine with a simulated disk and a connection around it.

import Base
import Bundles
import Fleet
import Records
import Wire

final class SimulatedStandby: Shell {
  private let seat: SeatID
  private let incarnation: Int
  private var machine: Standby
  private var link: LinkID?
  private var decoder = FrameDecoder()
  private var chunks = SortedMap<ChunkDigest, [UInt8]>()
  private var newest: (version: PolicyVersion, bytes: [UInt8])?
  private var incoming: [UInt8] = []

  init(seat: SeatID, following addresses: [String], seen: Term, world: World) {
    self.seat = seat
    incarnation = world.seats[seat].incarnation
    var copy: Standby.Copy?
    if let disk = world.directories[seat], !disk.manifests.isEmpty {
      copy = Standby.Copy(
        runID: "run-\(world.scenario.seed)", position: disk.position, kept: disk.kept,
        held: disk.kept.filter { manifest in disk.policies[manifest.version].map { digest($0) } == manifest.digest }
          .map(\.version))
    }
    world[disk: seat].following = addresses
    machine = Standby(
      hello: Hello(
        role: .standby, name: world.seats[seat].name, arithmetic: "", processID: UInt32(seat * 1000 + incarnation),
        threads: 1, relay: "\(seat)"),
      coordinators: addresses, seen: seen, copy: copy,
      patience: world.scenario.standby?.patience ?? .zero, identity: UInt32(world.workDice.index(below: 1 << 30)),
      digest: chunkDigest)
  }

  /// Whether it could take over without the loss of anything that this term's coordinator has acknowledged to be kept.
  func isWhole(for term: Term) -> Bool { machine.canLead && machine.reached.term == term }

  func handle(_ occurrence: Occurrence, in world: World) {
    switch occurrence {
    case .started: link = world.connect(from: seat, to: world[disk: seat].following?.first ?? "0")
    case .connect(let address): link = world.connect(from: seat, to: address)
    case .tick: feed(.tick, in: world)
    case .opened(let id):
      guard id == link else { return }
      decoder = FrameDecoder()
      feed(.connected, in: world)
    case .closed(let id): if id == link { disconnected(in: world) }
    case .bytes(let id, let bytes): receive(bytes, on: id, in: world)
    case .done(.installed(let bundle)): install(bundle, in: world)
    case .done(.lacking(let files)): feed(.lacking(files), in: world)
    case .done(.replaced(let copy)):
      world.note(seat, 50, "has the copy of commit \(copy.number)")
      world[disk: seat].replace(with: copy)
      feed(.installed, in: world)
    case .done(.applied(let number)): feed(.applied(number), in: world)
    case .done(.unfit): feed(.unfit, in: world)
    case .drain, .done: world.violate("a standby was given \(occurrence)")
    }
  }

  private func receive(_ bytes: [UInt8], on id: LinkID, in world: World) {
    guard id == link else { return }
    decoder.append(bytes)
    do {
      while link == id, let message = try decoder.next() {
        feed(.received(message), in: world)
        guard world.survives(seat, incarnation: incarnation) else { return }
      }
    } catch {
      world.violate("a standby cannot read a frame: \(error)")
    }
  }

  private func disconnected(in world: World) {
    link = nil
    feed(.disconnected, in: world)
  }

  // MARK: Effects

  private func feed(_ event: StandbyEvent, in world: World) {
    for effect in machine.receive(event, now: world.clock) {
      guard world.survives(seat, incarnation: incarnation) else { return }
      perform(effect, in: world)
    }
  }

  private func perform(_ effect: StandbyEffect, in world: World) {
    switch effect {
    case .connect(let next): world.schedule(.connect(next.address), on: seat, after: next.pause)
    case .send(let message):
      if let link { world.send(message, on: link, from: seat) }
    case .disconnect:
      if let link { world.close(link, at: seat) }
      disconnected(in: world)
    case .transfer(let effect): perform(effect, in: world)
    case .compare(let snapshot):
      incoming = []
      soon(.lacking(Array(snapshot.files.indices)), in: world)
    case .write(_, _, let bytes): incoming += bytes
    case .install: replace(in: world)
    case .apply(let commits): apply(commits, in: world)
    case .dropPolicies(let versions): for version in versions { world[disk: seat].drop(version) }
    case .lead(let term, let others): lead(term, others, in: world)
    case .exit(let departure): world.exit(seat, departure)
    }
  }

  private func soon(_ work: Work, in world: World) {
    world.schedule(.done(work), on: seat, after: world.workDice.span(.zero, world.scenario.verifyTime))
  }

  private func replace(in world: World) {
    guard let number = number(in: incoming), number < world.snapshots.count else { return soon(.unfit, in: world) }
    soon(.replaced(world.snapshots[number]), in: world)
  }

  private func number(in bytes: [UInt8]) -> Int? {
    var reader = ByteReader(bytes)
    return (try? reader.read(UInt64.self)).map { Int($0) }
  }

  private func apply(_ commits: [LedgerCommit], in world: World) {
    for commit in commits {
      guard commit.number == world[disk: seat].number + 1, let number = number(in: commit.changes) else {
        return world.violate("commit \(commit.number) is made after \(world[disk: seat].number)")
      }
      let changes = world.bug == .loseCommits ? [] : world.changes[number]
      if let problem = world[disk: seat].commit(changes) { return world.violate("a copy: \(problem)") }
    }
    world.note(seat, 51, "has commit \(world[disk: seat].number)")
    soon(.applied(world[disk: seat].number), in: world)
  }

  private func lead(_ term: Term, _ others: [String], in world: World) {
    let disk = world[disk: seat]
    if let lacking = disk.kept.first(where: { disk.policies[$0.version] == nil }) {
      return world.violate("a standby takes over without policy \(lacking.version)")
    }
    world.note(seat, 52, "takes over under term \(term)")
    world.count("takeover")
    world.change(seat) { [seat] in SimulatedCoordinator(seat: seat, takeover: (term, others), world: world) }
  }

  // MARK: Versions

  private func perform(_ effect: FetcherEffect, in world: World) {
    switch effect {
    case .keep(let digest, let bytes): chunks[digest] = bytes
    case .forget(let digests): for digest in digests { chunks[digest] = nil }
    case .look(let policy): world.violate("a standby looks for a file of policy \(policy.version)")
    case .install(let bundle): soon(.installed(bundle), in: world)
    case .dial(let relay): world.violate("a standby is sent to relay \(relay)")
    case .askRelay, .hangUp, .sendChunk, .tell, .dismiss, .left: break
    }
  }

  private func install(_ bundle: BundleManifest, in world: World) {
    let bytes = try? unpacked(bundle, base: newest) { chunks[$0] }
    var isIntact = false
    if var bytes {
      if world.strikesNow(.damageInstall), let last = bytes.indices.last { bytes[last] ^= 1 }
      isIntact = digest(bytes) == bundle.policy.digest
      if isIntact {
        newest = (bundle.policy.version, bytes)
        if world.bug != .forgetVersions { world[disk: seat].keep(bundle.policy.version, bytes) }
      }
    }
    world.note(seat, 53, "has policy \(bundle.policy.version), intact: \(isIntact)")
    feed(.transfer(.installed(bundle, isIntact: isIntact)), in: world)
  }
}
