// Whole numbers as text, with and without a noun.

import Base
import Testing

@Suite struct CountedTests {
  @Test func `integers are grouped in threes, whatever their sign`() {
    #expect([0, 999, 1000, -1_234_567].map { grouped($0) } == ["0", "999", "1,000", "-1,234,567"])
    #expect(grouped(Int.min) == "-9,223,372,036,854,775,808")
  }

  @Test func `one is singular, and everything else plural`() {
    #expect(counted(1, "worker") == "1 worker" && counted(0, "worker") == "0 workers")
    #expect(counted(UInt32(2500), "reply", plural: "replies") == "2,500 replies")
  }
}
