// RunTime: an estimate of how long a whole run takes, before anything has run: its steps and its evaluations.
//
// Evaluations count like steps that only sample, and use the same cores, so the times add up. As for a step (StepTime),
// the number of tokens in a response is an assumption: with the longest response that is allowed, the estimate is an
// upper bound. Not here: settings with which the run would take less time (RunProposal).

package import LanguageModel
package import Records
package import Settings

/// The questions of a run, as far as time depends on them.
package struct QuestionCounts: Sendable, Equatable {
  package var training: Int
  package var heldOut = 0
  package var transfer = 0
  /// The mean number of tokens of a prompt.
  package var promptTokens: Int

  package init(training: Int, heldOut: Int = 0, transfer: Int = 0, promptTokens: Int) {
    (self.training, self.heldOut, self.transfer) = (training, heldOut, transfer)
    self.promptTokens = promptTokens
  }

  package subscript(set: QuestionSet) -> Int {
    switch set {
    case .training: training
    case .heldOut: heldOut
    case .transfer: transfer
    }
  }
}

package struct RunTime: Sendable, Equatable {
  package let step: StepTime
  /// Seconds of all steps, and of all evaluations.
  package let steps: Double
  package let evaluations: Double

  package var total: Double { steps + evaluations }

  /// - Parameters:
  ///   - adapter: what is trained; nil for all weights.
  ///   - responseTokens: the mean length of a response.
  package init(
    _ settings: RunSettings, model: ModelConfiguration, adapter: AdapterLayout? = nil, questions: QuestionCounts,
    responseTokens: Int, _ means: StepTime.Means
  ) {
    func time(_ change: (inout RunSettings) -> Void) -> StepTime {
      var settings = settings
      change(&settings)
      return StepTime(
        settings, model: model, adapter: adapter, promptTokens: questions.promptTokens,
        responseTokens: responseTokens, means)
    }
    step = time {
      $0.method.promptsPerStep = min($0.method.promptsPerStep, questions.training)
      if $0.method.objective.takesResponses { $0.method.votes = 0 }
    }
    steps = Double(settings.method.steps) * step.total
    let sets = QuestionSet.allCases.filter { questions[$0] > 0 }
    // A round of an evaluation is sampled like a step's. Those in between are all alike.
    var known: [(set: QuestionSet, samples: UInt32, seconds: Double)] = []
    evaluations = settings.evaluations(of: sets).reduce(0) { sum, evaluation in
      let seconds =
        known.first { $0.set == evaluation.set && $0.samples == evaluation.samples }?.seconds
        ?? time {
          // Of the forms of a training question, the first is evaluated.
          let forms = evaluation.set == .training ? settings.method.forms : 1
          ($0.method.promptsPerStep, $0.method.votes) = (questions[evaluation.set] / forms, Int(evaluation.samples))
        }.sampling
      if known.count < 2 * sets.count { known.append((evaluation.set, evaluation.samples, seconds)) }
      return sum + seconds
    }
  }
}

extension RunSettings {
  /// All evaluations of a run that sample, in the order in which they can begin. Version `step` is evaluated.
  ///
  /// - Parameter sets: those that have questions.
  package func evaluations(of sets: [QuestionSet]) -> [(set: QuestionSet, step: UInt32, samples: UInt32)] {
    let last = method.steps
    let regular = stride(from: 0, to: Int(last), by: evaluateEvery > 0 ? Int(evaluateEvery) : Int.max / 2).map {
      UInt32($0)
    }
    return (regular + [last]).flatMap { step in
      let atEnds = step == 0 || step == last
      let isDue = evaluateEvery > 0 && step % evaluateEvery == 0
      return sets.filter { set in
        evaluation == .full && atEnds || set == .training && isDue
      }.map { set in
        // In between, a curve is enough: 16 samples, as for the paper's pass@1.
        (set, step, atEnds ? evaluationSamples : min(16, evaluationSamples))
      }
    }
  }
}
