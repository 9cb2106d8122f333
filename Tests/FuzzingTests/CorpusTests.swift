// Every test run gives the decoders the inputs that a fuzzer kept, because each reached new code, and damaged copies of
// them. scripts/fuzz makes and extends the corpora.

import Foundation
import Fuzzing
import Testing

@Suite struct CorpusTests {
  private static let corpora = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Fixtures/fuzzing")

  private func corpus(_ decoder: Decoder) throws -> [[UInt8]] {
    let directory = Self.corpora.appendingPathComponent(decoder.rawValue)
    let names = try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
    return try names.map { [UInt8](try Data(contentsOf: directory.appendingPathComponent($0))) }
  }

  @Test(arguments: Decoder.allCases) func `a decoder does not trap on a fuzzer's inputs, or on damaged ones`(
    _ decoder: Decoder
  )
    throws
  {
    let inputs = try corpus(decoder)
    #expect(inputs.count >= 5, "the corpus of \(decoder) has only \(inputs.count) inputs")
    for input in inputs {
      decoder.feed(input)
      guard !input.isEmpty else { continue }
      // Cut short, with one bit flipped, with one byte doubled: at a place that depends on the input.
      let place = input.reduce(0) { ($0 &* 31 &+ Int($1)) & 0xFFFF } % input.count
      decoder.feed(Array(input[..<place]))
      var changed = input
      changed[place] ^= 1 << UInt8(place % 8)
      decoder.feed(changed)
      decoder.feed(Array(input[...place]) + input[place...])
    }
  }
}
