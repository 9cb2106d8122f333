// StepParts: where a step's time went, as people see it: one bar per step, and the largest part in words.
//
// A bar has the parts in the order of the step. The colour is that of the kind of work, and two parts of one kind side
// by side differ in lightness. No meaning depends on the colour: a part's name and time are under the pointer, and the
// report has a table of all parts. Not here: what the parts are (Records' StepTimes).

package import Base
import Records

package enum StepParts {
  /// How a part is drawn.
  struct Look {
    let part: FigureName
    /// Classes of the style sheet.
    let style: String

    init(_ part: FigureName, _ ink: Series.Ink, isLight: Bool = false) {
      self.part = part
      style = "part \(ink.rawValue)\(isLight ? " light" : "")"
    }
  }

  /// In the order of `FigureName.parts`. Grey: the step waits. Blue: workers sample. Green: weights are on their way.
  /// Vermilion: the learner trains. Purple: a checkpoint.
  static let looks = [
    Look(.evaluationSeconds, .quiet), Look(.workersSeconds, .quiet, isLight: true), Look(.packageSeconds, .reward),
    Look(.fetchSeconds, .reward, isLight: true), Look(.installSeconds, .reward), Look(.samplingSeconds, .right),
    Look(.lastSampleSeconds, .right, isLight: true), Look(.batchSeconds, .quiet),
    Look(.voteSeconds, .majority, isLight: true), Look(.forwardSeconds, .majority),
    Look(.backwardSeconds, .majority, isLight: true), Look(.sumsSeconds, .majority),
    Look(.optimizerSeconds, .majority, isLight: true), Look(.packingSeconds, .majority),
    Look(.checkpointSeconds, .other), Look(.publishSeconds, .reward),
  ]

  /// What the page's script has to know to draw bars.
  static var json: JSON {
    .array(
      looks.map { look in
        ["figure": .string(look.part.rawValue), "name": .string(look.part.partName), "style": .string(look.style)]
      })
  }

  /// "sampling 5.4 s (45%)": the largest part of a step.
  ///
  /// - Returns: nil if the step's parts are not known.
  static func largest(_ figures: FigureValues) -> String? {
    guard let (part, seconds) = figures.largestPart, let all = figures[.stepSeconds], all > 0 else { return nil }
    return
      "\(part.partName) \(Figures.duration(seconds: seconds)) (\(Figures.fixed(seconds / all * 100, decimals: 0))%)"
  }
}

extension StepRecord {
  /// "step 7 took 12 s; its largest part: sampling 5.4 s (45%)"; nil if the parts are not known.
  package var timeText: String? {
    StepParts.largest(figures).map {
      "step \(step) took \(Figures.duration(seconds: self[.stepSeconds])); its largest part: \($0)"
    }
  }

  /// The same for programs; null if the parts are not known.
  package var timeJSON: JSON {
    guard let (part, seconds) = figures.largestPart, let all = self[.stepSeconds] else { return .null }
    return [
      "step": .int(step), "seconds": .double(all), "largest_part": .string(part.partName),
      "largest_part_seconds": .double(seconds),
    ]
  }
}
