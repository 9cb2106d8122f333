// PromptChoice: which prompts the page lists, and in which order.
//
// The text is searched in the ledger (PageShell); what the votes say is known here.

import Base

package struct PromptChoice: Sendable, Equatable {
  package enum Show: String, Sendable, CaseIterable { case all, flipped, wrong, split, unvisited }
  package enum Order: String, Sendable, CaseIterable { case index, flips, agreement }

  package var show: Show
  package var order: Order

  /// Agreement below this share is a split vote: no answer has a majority.
  static let splitShare = 0.5

  /// - Parameters: the words of a request; others mean all prompts, by index.
  package init(show: String? = nil, order: String? = nil) {
    self.show = show.flatMap(Show.init(rawValue:)) ?? .all
    self.order = order.flatMap(Order.init(rawValue:)) ?? .index
  }

  /// - Parameters:
  ///   - indices: of the prompts to choose from, ascending.
  ///   - digest: of the run.
  /// - Returns: the chosen ones, in their order; equal ones by index.
  package func chosen(from indices: [Int], _ digest: RunDigest) -> [Int] {
    let kept = show == .all ? indices : indices.filter { isShown(digest.prompts[$0]) }
    guard order != .index else { return kept }
    return kept.map { (key(digest.prompts[$0]), $0) }.sorted { $0 < $1 }.map(\.1)
  }

  private func isShown(_ track: PromptTrack?) -> Bool {
    guard let track, let last = track.visits.last else { return show == .unvisited }
    switch show {
    case .all: return true
    case .flipped: return track.flipCount > 0
    case .wrong: return last.isLabelRight == false
    case .split: return last.share < Self.splitShare
    case .unvisited: return false
    }
  }

  /// Small values come first: many flips, or little agreement. Prompts without a visit come last.
  private func key(_ track: PromptTrack?) -> Double {
    guard let track, let last = track.visits.last else { return .infinity }
    return order == .flips ? -Double(track.flipCount) : last.share
  }
}
