// Receipts: compares the slots that were acknowledged as durable with the ledger.
//
// A worker that logs at level debug logs every acknowledgement that it gets. The check reads those lines first and the
// ledger afterwards; then the ledger must have every acknowledged slot, also right after the coordinator was killed.
// (At the end of the run the check would prove little: a lost slot would have been sampled again.)

import Base
package import Ledger
import Platform
package import Records
package import Runs

package struct ReceiptCheck: Equatable, Sendable {
  /// Compared acknowledgements, over all checks; one that is compared twice counts twice.
  package var compared = 0
  package var checks = 0
  /// Slots that were acknowledged and are not in the ledger.
  package var lost: [Slot] = []

  package init() {}

  /// Compares once more.
  ///
  /// - Throws: if the ledger cannot be read.
  package mutating func run(on directory: RunDirectory) throws(LedgerError) {
    let receipts = Self.receipts(in: directory)
    guard !receipts.isEmpty else { return }
    let ledger = try Ledger(path: directory.ledger, mode: .readOnly)
    var durable = Set<Slot>()
    for round in try ledger.rounds() where receipts.contains(where: { $0.round == round.id }) {
      durable.formUnion(try ledger.settledSlots(of: round.id))
      durable.formUnion(try ledger.unneededSlots(of: round.id))
    }
    checks += 1
    compared += receipts.count
    lost += receipts.filter { !durable.contains($0) && !lost.contains($0) }
  }

  private static func receipts(in directory: RunDirectory) -> [Slot] {
    let names = ((try? Files.list(directory.logs)) ?? []).filter { $0.hasPrefix("worker") }
    return names.flatMap { name in
      let text = (try? Files.readText("\(directory.logs)/\(name)")) ?? ""
      return text.split(separator: "\n").flatMap { slots(acknowledgedBy: $0) }
    }
  }

  /// - Parameter line: a line of a worker's log.
  static func slots(acknowledgedBy line: some StringProtocol) -> [Slot] {
    guard let line = LogLine(parsing: line), line.event == "worker.settled", let names = line["slots"] else {
      return []
    }
    return names.split(separator: ",").compactMap { name in
      let numbers = name.split(separator: ":").compactMap { UInt32($0) }
      guard numbers.count == 3, let round = RoundID(code: numbers[0]) else { return nil }
      return Slot(round: round, prompt: numbers[1], sample: numbers[2])
    }
  }
}
