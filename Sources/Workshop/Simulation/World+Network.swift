// World+Network: connections that delay, break and refuse as TCP's do. They have no faults that TCP does not have.
//
// Bytes arrive in order or not at all, in pieces that do not follow frame boundaries. A connection that broke never
// comes back. A side learns late that a connection ended, and bytes in flight can have arrived before that. Nothing is
// duplicated: only the processes send things twice, when they reconnect and send again. While a process is paused, its
// kernel still accepts connections and buffers bytes.

import Base
import Records
import Wire

/// A connection, numbered in the order of dialling.
typealias LinkID = Int

/// One connection: from a worker or learner to the coordinator, or from a worker to a relay.
struct Link {
  let client: SeatID
  let clientIncarnation: Int
  let server: SeatID
  /// The only incarnation of a relay that listens at its address; nil accepts any incarnation.
  var wantedIncarnation: Int?
  var serverIncarnation = 0
  /// The side has not closed the connection and has not learned that it is closed.
  var isClientOpen = true
  var isServerOpen = false
  /// No byte passes any more, even if a side takes the connection for open.
  var isCut = false
  /// The connection is still being dialled; what the client sends in the meantime.
  var isDialling = true
  var early: [Message] = []
  /// When the last bytes so far reach each side. Later bytes arrive later.
  var lastToServer = Instant.zero
  var lastToClient = Instant.zero
}

extension World {
  // MARK: Operations for shells

  /// Dials the process that leads at an address. `.opened` or `.closed` follows.
  func connect(from seat: SeatID, to address: String = "\(World.coordinatorSeat)") -> LinkID {
    connect(from: seat, to: SeatID(address) ?? Self.coordinatorSeat, nil)
  }

  /// Dials a worker that is a relay.
  func connect(from seat: SeatID, toRelayAt address: String) -> LinkID {
    let numbers = address.split(separator: ":").compactMap { Int($0) }
    return connect(from: seat, to: numbers[0], numbers[1])
  }

  /// The address at which a worker's process can be dialled.
  func relayAddress(of seat: SeatID) -> String { "\(seat):\(seats[seat].incarnation)" }

  private func connect(from seat: SeatID, to server: SeatID, _ incarnation: Int?) -> LinkID {
    links.append(
      Link(
        client: seat, clientIncarnation: seats[seat].incarnation, server: server, wantedIncarnation: incarnation))
    schedule(.dial(links.count - 1), at: clock + delay())
    return links.count - 1
  }

  /// The same for a connection that is still being dialled. A real connection keeps what is sent until it is
  /// established.
  func sendSoon(_ message: Message, on id: LinkID, from seat: SeatID) {
    if links[id].isDialling { links[id].early.append(message) } else { send(message, on: id, from: seat) }
  }

  /// The versions of the protocol that a process speaks which starts now. In some runs a part of the processes are of
  /// an earlier release, each until it is started again.
  func spokenVersions() -> ProtocolVersions {
    let earlier = ProtocolVersions(oldest: ProtocolVersions.greeting, newest: ProtocolVersions.standbys - 1)
    return mixesReleases && releaseDice.chance(0.5) ? earlier : .own
  }

  /// Hands a message to the network. The message is lost if the connection is no longer open.
  func send(
    _ message: Message, on id: LinkID, from seat: SeatID, version: UInt16 = ProtocolVersions.own.newest
  ) {
    let frame = Frame.encode(message, version: version)
    // Bytes 20–23 are the header's checksum. The header contains the payload's checksum, so they represent the whole
    // frame.
    let code = frame[20..<24].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    note(seat, code, "→ link \(id): \(summary(of: message))")
    guard isOpen(id, at: seat), !links[id].isCut else { return }
    var start = 0
    while start < frame.count {
      // Mostly whole frames, sometimes pieces of any size.
      let length = networkDice.chance(0.9) ? frame.count - start : networkDice.count(1...(frame.count - start))
      transmit(Array(frame[start..<start + length]), on: id, from: seat)
      start += length
    }
  }

  private func transmit(_ bytes: [UInt8], on id: LinkID, from seat: SeatID) {
    let server = links[id].server
    if seat == server {
      let arrival = max(links[id].lastToClient, clock + delay())
      links[id].lastToClient = arrival
      let client = links[id].client
      schedule(.occur(client, incarnation: links[id].clientIncarnation, .bytes(id, bytes)), at: arrival)
    } else {
      let arrival = max(links[id].lastToServer, clock + delay())
      links[id].lastToServer = arrival
      let incarnation = links[id].serverIncarnation
      schedule(.occur(server, incarnation: incarnation, .bytes(id, bytes)), at: arrival)
    }
  }

  /// One side closes the connection. The other side learns of it after it has received what was sent before.
  func close(_ id: LinkID, at seat: SeatID) {
    guard isOpen(id, at: seat) else { return }
    note(seat, 6, "closes link \(id)")
    shut(id, at: seat)
    // Over a cut connection the end does not arrive either. The other side has its own notice.
    if !links[id].isCut { tellOtherSide(of: id, closedAt: seat, after: delay()) }
  }

  // MARK: Events

  func isOpen(_ id: LinkID, at seat: SeatID) -> Bool {
    seat == links[id].server ? links[id].isServerOpen : links[id].isClientOpen
  }

  func shut(_ id: LinkID, at seat: SeatID) {
    if seat == links[id].server { links[id].isServerOpen = false } else { links[id].isClientOpen = false }
  }

  /// A connection attempt reaches its target machine.
  func dial(_ id: LinkID) {
    links[id].isDialling = false
    let link = links[id]
    guard link.isClientOpen else { return }
    let server = link.server
    let isThere = seats[server].isAlive && link.wantedIncarnation.map { $0 == seats[server].incarnation } ?? true
    // A standby ends every connection to it.
    let isLeader = !leaderSeats.contains(server) || seats[server].shell is SimulatedCoordinator
    let isReachable = !isPartitioned || !leaderSeats.contains(link.client) || !leaderSeats.contains(server)
    guard isThere, isLeader, isReachable, !strikesNow(.refuseConnection) else {
      schedule(.occur(link.client, incarnation: link.clientIncarnation, .closed(id)), at: clock + delay())
      return
    }
    let incarnation = seats[server].incarnation
    links[id].isServerOpen = true
    links[id].serverIncarnation = incarnation
    links[id].lastToServer = clock
    links[id].lastToClient = clock + delay()
    schedule(.occur(server, incarnation: incarnation, .opened(id)), at: clock)
    schedule(.occur(link.client, incarnation: link.clientIncarnation, .opened(id)), at: links[id].lastToClient)
    for message in link.early { send(message, on: id, from: link.client) }
  }

  /// The network loses a connection and the bytes in flight. Each side notices it at its own time.
  func cut(_ id: LinkID) {
    note(links[id].server, 7, "link \(id) is cut")
    links[id].isCut = true
    tellOtherSide(of: id, closedAt: links[id].server, after: faultDice.span(.zero, .seconds(4)))
    tellOtherSide(of: id, closedAt: links[id].client, after: lateNotice())
  }

  /// The process on a seat is gone, and so are its connections.
  func closeLinks(of seat: SeatID, isAbrupt: Bool) {
    for id in links.indices where (links[id].server == seat || links[id].client == seat) && isOpen(id, at: seat) {
      shut(id, at: seat)
      guard !links[id].isCut else { continue }
      links[id].isCut = isAbrupt
      let notice = isAbrupt && seat != links[id].server ? lateNotice() : faultDice.span(.zero, .seconds(2))
      tellOtherSide(of: id, closedAt: seat, after: notice)
    }
  }

  /// A server is sometimes not told that a client is gone, and must detect it by the silence.
  private func lateNotice() -> Instant.Span {
    faultDice.chance(0.2) ? .seconds(60) : faultDice.span(.zero, .seconds(4))
  }

  private func tellOtherSide(of id: LinkID, closedAt seat: SeatID, after span: Instant.Span) {
    let link = links[id]
    if seat == link.server {
      guard link.isClientOpen else { return }
      let arrival = max(clock + span, link.lastToClient)
      schedule(.occur(link.client, incarnation: link.clientIncarnation, .closed(id)), at: arrival)
    } else {
      guard link.isServerOpen else { return }
      let arrival = max(clock + span, link.lastToServer)
      schedule(.occur(link.server, incarnation: link.serverIncarnation, .closed(id)), at: arrival)
    }
  }

  private func delay() -> Instant.Span {
    if strikesNow(.delayPacket) { return networkDice.span(.zero, .seconds(3)) }
    return networkDice.span(scenario.latency, scenario.latency * 4)
  }
}
