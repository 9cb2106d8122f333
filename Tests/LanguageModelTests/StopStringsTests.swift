// StopStringsTests: a response ends at the token that completes a stop string, and at no other token.

import Base
import LanguageModel
import Records
import Tensors
import Testing

/// Whether a text contains a string, byte by byte. The automaton must agree with this.
private func contains(_ text: [UInt8], _ string: [UInt8]) -> Bool {
  text.count >= string.count && (0...text.count - string.count).contains { text[$0...].starts(with: string) }
}

@Suite struct `Stop strings` {
  @Test func `are found at the first token with which the text contains one`() {
    var random = choices(41)
    for trial in 0..<2000 {
      // Only two letters, so that strings overlap themselves and each other.
      func word(_ countMax: Int) -> [UInt8] {
        (0..<1 + random.index(below: countMax)).map { _ in UInt8(97 + random.index(below: 2)) }
      }
      let texts = (0..<6).map { _ in random.index(below: 6) == 0 ? [] : word(4) }
      let strings = (0..<1 + random.index(below: 3)).map { _ in word(6) }
      let stops = StopStrings(strings.map { String(decoding: $0, as: UTF8.self) }, texts: TokenTexts(texts))
      var progress = stops.beginning
      var text: [UInt8] = []
      for _ in 0..<20 {
        let token = Int32(random.index(below: 6))
        text += texts[Int(token)]
        let isExpected = strings.contains { contains(text, $0) }
        let isFound = stops.isCompleted(by: token, &progress)
        #expect(isFound == isExpected, "trial \(trial): \(strings) in \(text)")
        if isFound { break }
      }
    }
  }

  @Test func `are found if tokens divide a character`() {
    let texts = TokenTexts([Array("x".utf8), [0xC3], [0xA9], []])
    let stops = StopStrings(["é"], texts: texts)
    var progress = stops.beginning
    #expect([0, 1, 3].allSatisfy { !stops.isCompleted(by: $0, &progress) })
    #expect(stops.isCompleted(by: 2, &progress))
  }

  @Test func `do not change with an id that no token has`() {
    let texts = TokenTexts([[97], [98]])
    #expect(texts[-1].isEmpty && texts[2].isEmpty && Array(texts[1]) == [98])
    #expect(TokenTexts(bytes: [97, 98], ends: [1, 2]) == texts)
    #expect(TokenTexts(bytes: [97, 98], ends: [2, 1]) == nil && TokenTexts(bytes: [97], ends: [2]) == nil)
    #expect(TokenTexts(bytes: [97, 98], ends: [1]) == nil)
  }

  @Test func `end responses where the same responses without stop strings contain them, with any batch`() throws {
    let tiny = TinyModel.llama
    let model = PreparedModel(
      plan: TransformerPlan(tiny.configuration, type: .float32), parameters: tiny.parameters(seed: 8))
    // 37 tokens of one or two letters.
    let texts = (0..<37).map { (token: Int) -> [UInt8] in
      let letter = UInt8(97 + token % 5)
      return token % 3 == 0 ? [letter, 120] : [letter]
    }
    let request = GenerationRequest(prompt: [3, 1, 4], round: .train(step: 3), promptIndex: 0, samples: Array(0..<40))
    func run(_ strings: [String], batchRows: Int) throws -> [Trajectory] {
      let sampling = Sampling(temperature: 1, maxNewTokens: 30, stopTokens: [], stopStrings: strings)
      let generator = Generator(
        model: model, policy: PolicyVersion(3), seed: 5, sampling: sampling, batchRows: batchRows,
        tokenTexts: TokenTexts(texts))
      try generator.add(request)
      var trajectories: [Trajectory] = []
      while generator.hasWork { trajectories += try generator.advance() }
      return trajectories.sorted { $0.slot < $1.slot }
    }
    let whole = try run([], batchRows: 16)
    let stopped = try run(["xd", "bcb"], batchRows: 16)
    #expect(try run(["xd", "bcb"], batchRows: 3) == stopped)
    for (one, other) in zip(stopped, whole) {
      var text: [UInt8] = []
      let end = other.tokens.firstIndex { token in
        text += texts[Int(token)]
        return contains(text, Array("xd".utf8)) || contains(text, Array("bcb".utf8))
      }
      #expect(one.tokens == Array(other.tokens.prefix((end ?? 29) + 1)))
      #expect(one.logprobs == Array(other.logprobs.prefix(one.tokens.count)))
      #expect(one.finish == (end == nil ? .length : .stop))
    }
    #expect(Set(stopped.map(\.finish)) == [.stop, .length])
  }
}
