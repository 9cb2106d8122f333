// Plateau: it is found when, and only when, the mean of a window is not higher than that of the window before.

import Base
import Records
import TTRL
import Testing

@Suite struct PlateauTests {
  private func signs(_ step: UInt32, _ majority: Double) -> StepSigns {
    StepSigns(
      step: step, prompts: [], majorityRatio: majority, zeroAdvantageRatio: 0, noAnswerRatio: 0, truncationRatio: 0,
      entropy: 1, length: 10)
  }

  /// The definition, from all ratios at once.
  private func expected(_ ratios: [Double], window: Int) -> UInt32? {
    func mean(_ range: Range<Int>) -> Double { ratios[range].reduce(0, +) / Double(range.count) }
    return (2 * window..<max(2 * window, ratios.count + 1)).first { end in
      mean(end - window..<end) - mean(end - 2 * window..<end - window) <= Plateau.gain
    }.map { UInt32($0 - 1) }
  }

  @Test(arguments: [1, 2, 4], [UInt64(1), 2, 3, 4, 5, 6])
  func `it is found where the definition finds it`(_ window: Int, _ seed: UInt64) {
    var noise = RandomSequence(seed: seed, purpose: .promptOrder, stream: SIMD3(9, 0, 0))
    var level = 0.2
    let ratios = (0..<40).map { step -> Double in
      level += step < 20 ? 0.03 * noise.uniform() + 0.012 : 0
      return level
    }
    var plateau = Plateau(window: window)
    for (step, ratio) in ratios.enumerated() { plateau.observe(signs(UInt32(step), ratio)) }
    #expect(plateau.step == expected(ratios, window: window))
    #expect(plateau.step != nil)
  }

  @Test func `two windows are needed, and the first step that is level counts`() {
    var plateau = Plateau(window: 3)
    for step in UInt32(0)..<5 {
      plateau.observe(signs(step, 0.5))
      #expect(plateau.step == nil)
    }
    plateau.observe(signs(5, 0.5))
    #expect(plateau.step == 5)
    for step in UInt32(6)..<20 { plateau.observe(signs(step, Double(step) / 20)) }
    #expect(plateau.step == 5)
  }

  @Test func `steady gains above the limit are no plateau`() {
    var plateau = Plateau(window: 4)
    for step in UInt32(0)..<60 { plateau.observe(signs(step, 0.1 + 0.003 * Double(step))) }
    #expect(plateau.step == nil)
  }
}
