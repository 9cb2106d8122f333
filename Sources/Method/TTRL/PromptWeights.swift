// PromptWeights: prompts whose labels change count less, and some are left out: TTRL-Guard, arXiv 2605.19444.
//
// A prompt can lock onto a wrong label: its labels compete for some visits, then one wins and the others die out. While
// labels change, a step learns from a label that the next step can contradict; after they have settled, every step
// makes the winner stronger, right or wrong. With f = 1 if this visit's label differs from the last visit's, else 0, and
// the mean over the last 5 visits of the majority ratio, this visit included:
//
//   weight = (1 − 0.5 f) · 0.7 if f = 1 and this visit's ratio > 0.6
//                        · 0.85 if the label never changed in 5 visits or more and the mean > 0.6, at 5 visits at most
//            at least 0.1
//   left out with probability 0.7, if the label changed before, there were 5 visits or more and the mean > 0.7;
//            at most a quarter of a step's prompts, but at least one, in the order of their indices
//
// The formulas and the numbers are those of the authors' code (`TTRLGuard` in `ttrl_utils.py`, its parts FRS and RCSU).
// Its bonus for answers of a minority is not here. A visit without a label counts for nothing, as in History.

import Base
import Records

/// Weighs the prompts of a step.
///
/// - Parameter history: of the steps before.
func weigh(_ judgements: inout [Judgement], step: UInt32, history: History, method: Method) {
  let mostSkips = max(1, judgements.count / 4)
  var skips = 0
  for index in judgements.indices {
    let judgement = judgements[index]
    guard let visit = PromptHistory.Visit(judgement) else { continue }
    let before = history[judgement.prompt]
    var now = before
    now.add(visit)
    judgements[index].shaping.weight *= weight(visit, before: before, now: now)
    var sequence = RandomSequence(
      seed: method.seed, purpose: .promptSkips, stream: SIMD3(step, judgement.prompt, 0))
    if now.hasSettledAgain, skips < mostSkips, sequence.uniform() < 0.7 {
      skips += 1
      judgements[index].abstention = .skipped
    }
  }
}

private func weight(_ visit: PromptHistory.Visit, before: PromptHistory, now: PromptHistory) -> Float {
  var weight = 1.0
  if visit.isFlip {
    weight *= 0.5
    if visit.ratio > 0.6 { weight *= 0.7 }
  }
  if now.isSteady, before.steadyVisits < PromptHistory.longVisits { weight *= 0.85 }
  return Float(max(0.1, weight))
}

extension PromptHistory {
  /// Visits after which a prompt's past says something.
  static let longVisits = 5

  private var recentRatio: Double {
    let last = ratios.suffix(Self.longVisits)
    return last.reduce(0, +) / Double(max(last.count, 1))
  }

  /// Strong agreement on a label that was never in question.
  var isSteady: Bool { flips == 0 && visits >= Self.longVisits && recentRatio > 0.6 }

  /// Strong agreement after the label had changed.
  var hasSettledAgain: Bool { flips > 0 && visits >= Self.longVisits && recentRatio > 0.7 }
}
