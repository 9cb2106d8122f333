// Ranks that no longer hold the same weights stop, all of them, with a name.

import LearnerRole
import Tensors
import Testing

@Suite struct AgreementTests {
  @Test func `ranks with the same weights go on`() throws {
    for fingerprint: UInt64 in [0, 1, 0xFFFF_FFFF, 1 << 32, .max] {
      try Agreement.require(fingerprint, step: 3, Beside(fingerprint))
    }
    try Agreement.require(7, step: 3, OneRank())
  }

  @Test func `one bit of difference, in either half and on either rank, stops both`() {
    for bit in [0, 1, 31, 32, 63] {
      let other = 0x0123_4567_89AB_CDEF ^ UInt64(1) << UInt64(bit)
      for (own, beside) in [(0x0123_4567_89AB_CDEF, other), (other, 0x0123_4567_89AB_CDEF)] {
        #expect(throws: RanksDisagree.self, "bit \(bit)") {
          try Agreement.require(own, step: 3, Beside(beside))
        }
      }
    }
  }

  @Test func `ranks of two releases stop, and the error says which release a rank has`() throws {
    // A release's number is unlike any fingerprint here.
    let error = #expect(throws: OtherReleases.self) { try Agreement.requireRelease("0.2.0, commit 1", Beside(7)) }
    #expect("\(try #require(error))".contains("this one is 0.2.0, commit 1."))
    try Agreement.requireRelease("0.2.0, commit 1", OneRank())
  }

  @Test func `the error says when, and what to compare`() throws {
    let error = #expect(throws: RanksDisagree.self) { try Agreement.require(1, step: 3, Beside(2)) }
    #expect("\(try #require(error))".contains("ranks disagree: after step 3 the 2 learner ranks"))
  }
}

/// A world of two, of which the other rank contributes one fingerprint.
private struct Beside: Collectives {
  let rank = 0
  let size = 2
  private let other: [Double]

  init(_ fingerprint: UInt64) {
    let halves = [Double(fingerprint >> 32), Double(fingerprint & 0xFFFF_FFFF)]
    other = halves + halves.map { -$0 }
  }

  func max(_ values: [Double]) -> [Double] { zip(values, other).map { Swift.max($0, $1) } }
  func sum(_ values: UnsafeMutableBufferPointer<Int64>) {}
  func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Int64>, slices: [Range<Int>]) {}
  func beginReduceScatter(_ values: UnsafeMutableBufferPointer<Float>, slices: [Range<Int>]) {}
  func beginExchange(
    _ values: UnsafeMutableBufferPointer<Float>, outgoing: [Range<Int>], incoming: [Int],
    land: ([UnsafeBufferPointer<Float>]) -> Void
  ) {}
  func advanceBuckets() {}
  func advanceBuckets(until isDone: () -> Bool) {}
  func finishBuckets() {}
  func beginAllGather(_ bytes: UnsafeMutableRawBufferPointer, slices: [Range<Int>]) {}
  func gatherToRoot(_ bytes: UnsafeMutableRawBufferPointer, slices: [Range<Int>]) {}
  func sendToAll(_ bytes: [UInt8]) {}
  func receiveFromRoot() -> [UInt8] { [] }
  func copyFromRoot(_ bytes: UnsafeMutableRawBufferPointer) {}
}
