// RecordedVisits: which responses of a recorded run are taken: a pure function of its visits.

import Answers
import Base
import Records
import Settings
import TTRL

/// One response that counted.
struct RecordedResponse {
  var trajectory: Trajectory
  /// nil if it states none.
  var answer: AnswerKey?
  /// nil if its group abstained, or if a reward command left it out.
  var reward: Float?
  /// As an archive has it; nil if the recorded run's tokenizer is there.
  var text: String?
}

/// Responses to a question in one step: all that counted, or those that are taken.
struct RecordedVisit {
  /// In the recorded run.
  var prompt: UInt32
  var step: UInt32
  /// In the order of their samples.
  var responses: [RecordedResponse]
}

struct RecordedVisits {
  private let method: Method
  private let ties: TieRule
  private var latest = SortedMap<UInt32, RecordedVisit>()
  private var all: [RecordedVisit] = []

  /// - Parameters:
  ///   - method: of the run that is to learn.
  ///   - recorded: the settings of the run that sampled.
  init(for method: Method, of recorded: RunSettings) {
    self.method = method
    ties = recorded.method.ties
  }

  /// Under `sft` one visit of each question; under `awr` all, by step. Each response has a reward.
  var taken: [RecordedVisit] {
    (method.objective == .sft ? latest.values : all).filter { !$0.responses.isEmpty }
  }

  /// Takes of the next visit what is learned of it.
  mutating func take(_ visit: RecordedVisit) {
    if method.objective == .sft {
      latest[visit.prompt] = first(agreeing(visit), of: visit)
    } else {
      // Groups that abstained, and responses that a reward command left out, have no rewards.
      all.append(first(visit.responses.filter { $0.reward != nil }, of: visit))
    }
  }

  /// The first of the responses, as many as are trained on.
  private func first(_ responses: [RecordedResponse], of visit: RecordedVisit) -> RecordedVisit {
    RecordedVisit(prompt: visit.prompt, step: visit.step, responses: Array(responses.prefix(method.trainSamples)))
  }

  /// The responses that agree with the majority, with reward 1, if a share of `minimumShare` does. A response that the
  /// token limit cut off does not end, so it is left out.
  private func agreeing(_ visit: RecordedVisit) -> [RecordedResponse] {
    let vote = majority(of: visit.responses.map(\.answer), ties: ties)
    guard vote.label != nil, Double(vote.votes) / Double(max(visit.responses.count, 1)) >= method.minimumShare else {
      return []
    }
    return visit.responses.filter { $0.answer.agrees(with: vote.label) && $0.trajectory.finish == .stop }.map {
      var response = $0
      response.reward = 1
      return response
    }
  }

  /// That nothing was taken, and why.
  static func nothing(_ method: Method) -> String {
    method.objective == .sft
      ? "no question has complete responses that agree with its majority, of a share of at least "
        + "\(method.minimumShare). Lower --min-share"
      : "no group of responses has rewards"
  }
}
