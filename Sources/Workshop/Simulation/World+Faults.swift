// World+Faults: which faults occur, when, and to which process.

import Base
import Records

extension World {
  private var areFaultsOn: Bool { clock < scenario.faultsUntil && !isComplete }

  /// Whether a fault that occurs by chance occurs at this opportunity.
  func strikesNow(_ kind: FaultKind) -> Bool {
    let rate = scenario.rate(of: kind)
    guard rate > 0, areFaultsOn, faultDice.chance(rate) else { return false }
    count(kind)
    return true
  }

  private func count(_ kind: FaultKind) { count(kind.rawValue) }

  func count(_ name: String) { strikes[name] = (strikes[name] ?? 0) + 1 }

  /// Schedules the first occurrence of every fault that occurs at random times.
  func scheduleFaults() {
    for kind in FaultKind.allCases where kind.isTimed { scheduleNext(kind) }
  }

  private func scheduleNext(_ kind: FaultKind) {
    let mean = scenario.rate(of: kind)
    guard mean > 0 else { return }
    let wait = faultDice.span(.zero, Instant.Span(nanoseconds: UInt64(2e9 * mean)))
    guard clock + wait < scenario.faultsUntil else { return }
    schedule(.fault(kind), at: clock + wait)
  }

  /// A fault that occurs at random times occurs now.
  func strike(_ kind: FaultKind) {
    guard areFaultsOn else { return }
    if inflict(kind) { count(kind) }
    scheduleNext(kind)
  }

  /// - Returns: false if there was nothing that the fault could affect.
  private func inflict(_ kind: FaultKind) -> Bool {
    switch kind {
    case .killCoordinator: onSome([Self.coordinatorSeat]) { kill($0) }
    case .killLearner: onSome(Self.learnerSeats) { kill($0) }
    case .killWorker: onSome(workerSeats) { kill($0) }
    case .pauseCoordinator: onSome([Self.coordinatorSeat]) { pause($0, for: pauseTime()) }
    case .pauseLearner: onSome(Self.learnerSeats) { pause($0, for: pauseTime()) }
    case .pauseWorker: onSome(workerSeats) { pause($0, for: pauseTime()) }
    case .stallEngine:
      onSome(workerSeats) { seat in
        note(seat, 8, "its engine stalls")
        (seats[seat].shell as? SimulatedWorker)?.stall(until: clock + faultDice.span(.seconds(5), .seconds(200)))
      }
    // The first worker stays: a run without workers waits forever, and that is not an error.
    case .drainWorker: onSome(Array(workerSeats.dropFirst())) { schedule(.drain, on: $0, after: .zero) }
    case .joinWorker: fill(Array(workerSeats))
    case .secondLearner: fill(Self.learnerSeats)
    case .cutConnection: cutSome()
    case .killStandby: onSome(standbySeat.map { [$0] } ?? []) { kill($0) }
    case .pauseStandby: onSome(standbySeat.map { [$0] } ?? []) { pause($0, for: pauseTime()) }
    case .loseDisk: loseDisk()
    case .partition: partition()
    default: false
    }
  }

  private var workerSeats: [SeatID] { Array(Self.firstWorkerSeat..<(standbySeat ?? seats.count)) }

  private func pauseTime() -> Instant.Span { faultDice.wildSpan(.milliseconds(100), doublings: 9) }

  private func onSome(_ candidates: [SeatID], _ action: (SeatID) -> Void) -> Bool {
    let alive = candidates.filter { seats[$0].isAlive }
    guard !alive.isEmpty else { return false }
    action(faultDice.pick(alive))
    return true
  }

  /// Starts a process on an empty seat.
  private func fill(_ candidates: [SeatID]) -> Bool {
    let empty = candidates.filter { seats[$0].state == .empty }
    guard !empty.isEmpty else { return false }
    schedule(.start(faultDice.pick(empty)), at: clock)
    return true
  }

  /// The leading process's machine is lost for good, with its disk. Another machine gets its place. Only if a
  /// standby has a complete copy: a run is not promised to survive the loss of its only one.
  private func loseDisk() -> Bool {
    guard let copy = leaderSeats.first(where: { isWhole($0) }),
      let lost = leaderSeats.first(where: { $0 != copy && seats[$0].shell is SimulatedCoordinator })
    else { return false }
    kill(lost)
    note(lost, 10, "its disk is lost")
    directories[lost] = nil
    return true
  }

  private func isWhole(_ seat: SeatID) -> Bool {
    guard let standby = seats[seat].shell as? SimulatedStandby else { return false }
    return standby.isWhole(for: leaderSeats.compactMap { directories[$0]?.term }.max() ?? .none)
  }

  /// Coordinator and standby do not reach each other for a while; the others reach both.
  private func partition() -> Bool {
    guard standbySeat != nil, !isPartitioned else { return false }
    partitionedUntil = clock + faultDice.span(.seconds(1), .seconds(60))
    note(Self.coordinatorSeat, 11, "does not reach the standby")
    for id in links.indices where leaderSeats.contains(links[id].client) && leaderSeats.contains(links[id].server) {
      if links[id].isServerOpen || links[id].isClientOpen, !links[id].isCut { cut(id) }
    }
    return true
  }

  private func cutSome() -> Bool {
    let open = links.indices.filter { links[$0].isServerOpen && links[$0].isClientOpen && !links[$0].isCut }
    guard !open.isEmpty else { return false }
    cut(faultDice.pick(open))
    return true
  }
}
