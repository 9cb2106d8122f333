// RunProposal: settings with which a run takes an hour at most, for a run that would take longer.
//
// The paper's settings are for machines with GPUs. What is made smaller, and how far, is a table of halvings: first
// what costs the most time and changes the method the least. Then as many steps as fit are taken. Pure: the time of a
// run is an argument. Not here: memory (MemoryRemedy), the command line (ttrl).

import Records
package import Settings

package struct RunProposal: Sendable {
  /// An hour: long enough for a small model to learn something, short enough to be tried before a longer run.
  package static let limit = 3600.0

  package let settings: RunSettings
  /// Names of the settings that differ from the given ones.
  package let changed: [String]
  /// Of the whole run.
  package let seconds: Double

  /// Whether it takes at most an hour. If not, no smaller run is known.
  package var isShort: Bool { seconds <= Self.limit }

  /// - Parameter seconds: how long a run with these settings takes.
  /// - Returns: nil if the given settings take at most an hour.
  package init?(insteadOf given: RunSettings, seconds: (RunSettings) -> Double) {
    guard seconds(given) > Self.limit else { return nil }
    var settings = given
    for round in Self.halvings {
      // One halving of each at a time, until none of the round is left.
      var isHalved = true
      while isHalved, seconds(settings) > Self.limit {
        isHalved = false
        for halving in round where seconds(settings) > Self.limit {
          if halving(&settings) { isHalved = true }
        }
      }
    }
    settings.method.steps = Self.mostSteps(from: settings, to: given.method.steps, seconds)
    self.settings = settings
    self.seconds = seconds(settings)
    changed = SettingTable.all.filter { $0.value(in: settings) != $0.value(in: given) }.map(\.name)
  }

  // MARK: Halvings

  /// Halves a setting, or returns false if it is as small as this round allows.
  private typealias Halving = @Sendable (inout RunSettings) -> Bool

  /// Rounds, each with smaller bounds than the one before it.
  private static let halvings: [[Halving]] = [
    [evaluationSamples(least: 8), newTokens(least: 512), votes(least: 16), steps(least: 20)],
    [evaluationSamples(least: 4), votes(least: 8), newTokens(least: 256), steps(least: 10), prompts(least: 4)],
    [noEvaluation, votes(least: 4), prompts(least: 2), newTokens(least: 128), steps(least: 4)],
    [steps(least: 1), prompts(least: 1), newTokens(least: 64)],
  ]

  private static func half<Value: FixedWidthInteger>(_ value: inout Value, least: Value) -> Bool {
    guard value > least else { return false }
    value = max(least, value / 2)
    return true
  }

  private static func evaluationSamples(least: UInt32) -> Halving {
    { settings in
      let samples = settings.evaluation == .full || settings.evaluateEvery > 0
      return samples && half(&settings.evaluationSamples, least: least)
    }
  }
  /// Given responses are as long as they are.
  private static func newTokens(least: Int32) -> Halving {
    { !$0.method.objective.takesResponses && half(&$0.maxNewTokens, least: least) }
  }
  private static func steps(least: UInt32) -> Halving { { half(&$0.method.steps, least: least) } }
  /// In whole questions, each with all of its forms.
  private static func prompts(least: Int) -> Halving {
    { settings in
      let forms = settings.method.forms
      var questions = settings.method.promptsPerStep / forms
      guard half(&questions, least: max(1, least / forms)) else { return false }
      settings.method.promptsPerStep = questions * forms
      return true
    }
  }

  /// A group of one trained response has nothing to compare with.
  private static func votes(least: Int) -> Halving {
    { settings in
      guard !settings.method.objective.takesResponses, half(&settings.method.votes, least: least) else { return false }
      settings.method.trainSamples = min(settings.method.votes, max(2, settings.method.trainSamples / 2))
      return true
    }
  }

  /// The samples of the vote say what the run did, without samples of their own.
  private static let noEvaluation: Halving = { settings in
    guard settings.evaluation == .full || settings.evaluateEvery > 0 else { return false }
    (settings.evaluation, settings.evaluateEvery) = (settings.method.objective.takesResponses ? .none : .reuse, 0)
    return true
  }

  // MARK: Steps

  /// The most steps that fit, in whole tens above 20; what is left of the hour is of no use otherwise.
  private static func mostSteps(
    from settings: RunSettings, to most: UInt32, _ seconds: (RunSettings) -> Double
  ) -> UInt32 {
    var (low, high) = (settings.method.steps, max(settings.method.steps, most))
    func fits(_ steps: UInt32) -> Bool {
      var longer = settings
      longer.method.steps = steps
      return seconds(longer) <= limit
    }
    guard fits(low) else { return low }
    while low < high {
      let middle = low + (high - low + 1) / 2
      if fits(middle) { low = middle } else { high = middle - 1 }
    }
    return low > 20 && low < most ? low / 10 * 10 : low
  }
}
