// Numbers as text: the roundings and the corners.

import Observatory
import Testing

@Suite struct FiguresTests {
  @Test(arguments: [
    (0.3125, 1, "0.3"), (2.25, 1, "2.3"), (-2.25, 1, "-2.3"), (-0.04, 1, "0.0"), (0.05, 2, "0.05"), (9.999, 2, "10.00"),
    (1234.5, 0, "1235"), (1e300, 1, "1e+300"), (.infinity, 1, "-"), (.nan, 3, "-"),
  ]) func `fixed rounds half away from zero and never writes a negative zero`(
    value: Double, decimals: Int, text: String
  ) {
    #expect(Figures.fixed(value, decimals: decimals) == text)
  }

  @Test(arguments: [
    (0, "0"), (0.125, "0.125"), (0.9996, "1"), (12.345, "12.3"), (1240, "1,240"), (99999.6, "100,000"),
    (0.0000005, "5e-7"), (9.9996e-8, "1e-7"), (-0.25, "-0.25"), (1.5e9, "1.5e9"), (3e-300, "3e-300"),
  ]) func `short keeps three significant digits`(value: Double, text: String) {
    #expect(Figures.short(value) == text)
  }

  @Test(arguments: [
    (0, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (99.4, "99 s"), (100, "2 min"), (3569, "59 min"),
    (3571, "1 h 00 min"),
    (86_400, "1 d 0 h"), (180_000, "2 d 2 h"), (-1, "-"), (.infinity, "-"),
  ]) func `a duration has its largest two units`(seconds: Double, text: String) {
    #expect(Figures.duration(seconds: seconds) == text)
  }

  @Test func `percentage points carry their sign, except nothing`() {
    #expect([0.272, -0.004, 0.0001, -0.0001].map(Figures.points) == ["+27.2", "-0.4", "0.0", "0.0"])
    #expect(Figures.points(nil) == "-" && Figures.percent(.nan) == "-")
  }
}
