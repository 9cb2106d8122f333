// The inputs that a fuzzer kept because each reached something new, given to the decoders again in every test run, and
// each of them damaged a little. scripts/fuzz makes and grows the corpora.

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

  @Test(arguments: Decoder.allCases) func `a decoder survives what a fuzzer found, also damaged`(_ decoder: Decoder)
    throws
  {
    let inputs = try corpus(decoder)
    #expect(inputs.count >= 5, "the corpus of \(decoder) is nearly empty")
    for input in inputs {
      decoder.feed(input)
      guard !input.isEmpty else { continue }
      // Cut short, one bit off, one byte doubled: at a place that depends on the input.
      let place = input.reduce(0) { ($0 &* 31 &+ Int($1)) & 0xFFFF } % input.count
      decoder.feed(Array(input[..<place]))
      var changed = input
      changed[place] ^= 1 << UInt8(place % 8)
      decoder.feed(changed)
      decoder.feed(Array(input[...place]) + input[place...])
    }
  }
}
