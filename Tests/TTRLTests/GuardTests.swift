// What the guard must see in histories whose end is known, and what it must not see in healthy ones.

import Records
import TTRL
import Testing

/// Twelve prompts, four a step: a pass of three steps, a window of four.
private let promptCount = 12

private func method(steps: UInt32 = 100) -> Method {
  var method = Method()
  method.promptsPerStep = 4
  method.steps = steps
  return method
}

/// A healthy step; tests change what they are about.
private func step(_ number: UInt32, label: (UInt32) -> String? = { "q:\($0)" }) -> StepSigns {
  let first = number % 3 * 4
  return StepSigns(
    step: number, prompts: (first..<first + 4).map { StepSigns.Prompt(prompt: $0, label: label($0), share: 0.4) },
    majorityRatio: 0.4, zeroAdvantageRatio: 0.1, noAnswerRatio: 0.02, truncationRatio: 0.01, entropy: 0.5, length: 40)
}

/// Feeds a history, and returns all readings and the guard at its end.
private func watch(
  _ history: [StepSigns], window: Int = 0, steps: UInt32 = 100
) -> (readings: [GuardReading], end: Guard) {
  var watch = Guard(window: window, promptCount: promptCount, method: method(steps: steps))
  return (history.map { watch.observe($0) }, watch)
}

private func alarms(_ readings: [GuardReading]) -> [[Alarm]] { readings.map { $0.alarms.map(\.alarm) } }

/// A change to every step from some step on, and the alarm that it must raise.
struct Sign: Sendable {
  let alarm: Alarm
  let change: @Sendable (inout StepSigns) -> Void
}

private let signs = [
  Sign(alarm: .disagreement) { $0.majorityRatio = 0.1 }, Sign(alarm: .noAnswers) { $0.noAnswerRatio = 0.9 },
  Sign(alarm: .truncation) { $0.truncationRatio = 0.9 }, Sign(alarm: .entropy) { $0.entropy = 2 },
  Sign(alarm: .length) { $0.length = 200 }, Sign(alarm: .length) { $0.length = 5 },
  Sign(alarm: .zeroAdvantage) { $0.zeroAdvantageRatio = 1 }, Sign(alarm: .divergence) { $0.divergence = 3 },
  Sign(alarm: .certain) {
    $0.majorityRatio = 1
    $0.entropy = 0
  },
]

@Suite struct GuardTests {
  @Test func `a healthy run raises nothing, and its newest step is its best`() {
    let history = (UInt32(0)..<40).map { number in
      // Labels go on changing now and then; agreement rises, entropy and length fall.
      var signs = step(number) { "q:\($0 == number % 12 ? $0 + 100 * number : $0)" }
      signs.majorityRatio = 0.3 + 0.015 * Double(number)
      signs.entropy = 0.5 - 0.01 * Double(number)
      signs.length = 40 - 0.4 * Double(number)
      return signs
    }
    let (readings, end) = watch(history)
    #expect(alarms(readings).allSatisfy { $0.isEmpty })
    #expect(end.best?.policy == PolicyVersion(39) && end.collapse == nil)
    #expect(readings[..<3].allSatisfy { $0.score == nil } && readings[3].score != nil)
  }

  @Test func `one answer for everything is a collapse, and the best step lies before it, however certain all become`() {
    let history = (UInt32(0)..<40).map { number in
      // From step 20 on, one prompt more in every step gives the template answer.
      let taken = number < 20 ? 0 : number - 19
      var signs = step(number) { $0 % 12 < taken ? "q:42" : "q:\($0)" }
      signs.majorityRatio = min(0.3 + 0.02 * Double(number), 1)
      return signs
    }
    let (readings, end) = watch(history)
    let first = alarms(readings).firstIndex { $0.contains(.fewLabels) }
    #expect(first == end.collapse.map { Int($0.step) } && end.collapse?.alarm.alarm == .fewLabels)
    #expect(first.map { (24...32).contains($0) } == true)
    // Agreement still rises when the first labels fall together; the best weighs both.
    #expect(end.best.map { (20...26).contains($0.policy.number) } == true, "\(String(describing: end.best))")
    #expect(readings[39].distinctLabelRatio < 0.1 && alarms(readings)[39].contains(.fewLabels))
  }

  @Test func `few labels from the start, as where the answer is a letter, are no collapse`() {
    let history = (UInt32(0)..<40).map { number in step(number) { "c:\($0 % 4)" } }
    #expect(!alarms(watch(history).readings).joined().contains(.fewLabels))
  }

  @Test(arguments: signs) func `each sign raises its alarm when it has filled the window, and not before it began`(
    _ sign: Sign
  ) {
    let history = (UInt32(0)..<30).map { number in
      var signs = step(number)
      if number >= 15 { sign.change(&signs) }
      return signs
    }
    // Past the run's first quarter, where labels that stay would be early.
    let (readings, end) = watch(history, steps: 4)
    #expect(alarms(readings)[..<15].allSatisfy { $0.isEmpty })
    #expect(alarms(readings)[18] == [sign.alarm])
    #expect((end.collapse != nil) == sign.alarm.isCollapse)
    if sign.alarm.isCollapse { #expect((end.best?.policy.number ?? 0) < 18) }
  }

  @Test func `flips are labels that differ from the prompt's last visit, where it had no label too`() {
    func history(changing count: UInt32) -> [StepSigns] {
      (UInt32(0)..<20).map { number in step(number) { $0 % 4 < count ? "q:\(number)" : nil } }
    }
    // Three prompts of four change at every visit; that the fourth gives no answer again and again is not a change.
    let (readings, _) = watch(history(changing: 3))
    #expect(readings[19].alarms.first { $0.alarm == .flips }?.value == 0.75)
    #expect(!alarms(watch(history(changing: 2)).readings).joined().contains(.flips))
    #expect(readings[..<3].allSatisfy { $0.overturnRatio == nil } && readings[3].overturnRatio == 0)
  }

  @Test func `labels that most agreed on and that change are a collapse, others are not`() {
    // From step 15 on, one prompt of the four has a new label at each visit.
    func history(share: Double) -> [StepSigns] {
      (UInt32(0)..<40).map { number in
        var signs = step(number) { number >= 15 && $0 % 4 == 1 ? "q:\(1000 + number)" : "q:\($0)" }
        for index in signs.prompts.indices { signs.prompts[index].share = share }
        return signs
      }
    }
    let (readings, end) = watch(history(share: 0.6), steps: 4)
    #expect(readings[14].overturnRatio == 0 && readings[15].overturnRatio == 0.25)
    // One of 16 is noise, two are more than a tenth.
    #expect(alarms(readings)[15].isEmpty && alarms(readings)[16] == [.overturned])
    #expect(end.collapse?.step == 16 && end.best?.policy == PolicyVersion(14))
    #expect(alarms(watch(history(share: 0.4), steps: 4).readings).allSatisfy { $0.isEmpty })
  }

  @Test func `labels that never move in a run's first quarter are locked, later they may rest`() {
    let readings = watch((UInt32(0)..<40).map { step($0) }, steps: 40).readings
    #expect(alarms(readings)[6] == [.locked] && alarms(readings)[9] == [.locked])
    #expect(alarms(readings)[10...].allSatisfy { $0.isEmpty })
  }

  @Test func `a run that is shorter than a window has no verdict`() {
    let (readings, end) = watch((UInt32(0)..<3).map { step($0) })
    #expect(readings.allSatisfy { $0.alarms.isEmpty && $0.score == nil } && end.best == nil)
  }

  @Test func `a window is a pass over the prompts, within bounds, unless it is given`() {
    func full(promptCount: Int, window: Int) -> Int? {
      var watch = Guard(window: window, promptCount: promptCount, method: method())
      return (0..<60).first { watch.observe(step(UInt32($0))).score != nil }.map { $0 + 1 }
    }
    #expect(full(promptCount: 40, window: 0) == 10)
    #expect(full(promptCount: 4, window: 0) == 4)
    #expect(full(promptCount: 4000, window: 0) == 32)
    #expect(full(promptCount: 4000, window: 7) == 7)
  }
}
