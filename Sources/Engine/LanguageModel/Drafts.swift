// Drafts: guesses of a response's next tokens, so that one pass through the model can give several of them.
//
// With few rows, reading the weights takes most of a pass, so some rows more cost little. A drafted token goes through
// the model in the same pass as the token before it, and counts only if that very token is drawn at its position. Rows
// do not influence each other, and slot and position determine the random numbers. So drafts change the time of a
// response and none of its bits.
// The responses to one prompt repeat each other, the prompt and themselves. A draft is what followed, in these texts,
// the longest sequence of tokens with which the response ends now. No second model is needed.
// Not here: the pass, and which drafted tokens count (Generator).

/// A drafted token, and an estimate of the chance that the response continues with it and the drafted tokens before it.
package struct DraftedToken: Equatable {
  package let token: Int32
  package let chance: Double

  package init(token: Int32, chance: Double) {
    self.token = token
    self.chance = chance
  }
}

/// The texts from which the responses to one prompt are drafted.
package struct DraftTexts {
  /// With more running samples, arithmetic takes so much of a pass that drafts gain little: 1.1 to 1.2 times the speed
  /// with 16 samples, none with 32 (docs/log.md).
  package static let samplesMax = 16
  /// Rows of a pass, drafted tokens included.
  package static let rowsMax = 48
  /// The arithmetic of this many rows takes as long as reading the weights. It was 8 to 14 with AVX2 and AVX-512, and
  /// is more with AMX. The smaller number drafts less.
  package static let weightRows = 8
  /// Tokens of one draft. Longer drafts were hardly ever right to the end.
  package static let tokensMax = 16
  /// Tokens of context that are compared. A longer match does not make a draft better.
  private static let contextMax = 16
  /// Tokens that one draft looks at, and places that it compares, so that a draft takes microseconds.
  private static let lookedAtMax = 8192
  private static let placesMax = 64
  /// Finished responses that are kept for drafts; as many as a lease has.
  static let responsesMax = 64

  private let prompt: [Int32]
  private let responses: [[Int32]]

  /// Where a text continues after the context.
  private struct Place {
    let text: Int
    var next: Int
  }

  /// Texts that are looked at in the order of `responses`; then the prompt.
  package init(prompt: [Int32], responses: [[Int32]]) {
    self.prompt = prompt
    self.responses = responses
  }

  /// Guesses at most `count` tokens that follow `response`, which has at least one token.
  package func draft(after response: [Int32], count: Int) -> [DraftedToken] {
    let context = Array((prompt.suffix(Self.contextMax) + response.suffix(Self.contextMax)).suffix(Self.contextMax))
    var (places, length) = longestMatches(of: context)
    var drafted: [DraftedToken] = []
    var chance = 1.0
    while drafted.count < min(count, Self.tokensMax), let (token, votes) = mostFrequentNext(places) {
      // A single place says less than many that agree, and a short match less than a long one.
      chance *= Double(votes) / Double(places.count + 1) * Double(length) / Double(length + 1)
      drafted.append(DraftedToken(token: token, chance: chance))
      places = places.filter { text($0.text).indices.contains($0.next) && text($0.text)[$0.next] == token }
      for index in places.indices { places[index].next += 1 }
      length += 1
    }
    return drafted
  }

  /// The responses, then the prompt.
  private func text(_ index: Int) -> [Int32] { index < responses.count ? responses[index] : prompt }

  /// The places after the longest matches with the end of `context`, and the length of these matches.
  private func longestMatches(of context: [Int32]) -> (places: [Place], length: Int) {
    guard let last = context.last else { return ([], 0) }
    var (places, longest, left) = ([Place](), 0, Self.lookedAtMax)
    for index in 0...responses.count where left > 0 {
      let text = text(index)
      let start = max(0, text.count - left)
      left -= text.count - start
      // The end of a text has no continuation.
      for place in start..<max(start, text.count - 1) where text[place] == last {
        let length = matchLength(index, at: place, context)
        if length > longest { (places, longest) = ([], length) }
        if length == longest, places.count < Self.placesMax { places.append(Place(text: index, next: place + 1)) }
      }
    }
    return (places, longest)
  }

  /// How many tokens of a text, up to the one at `place`, equal the last tokens of `context`. A response continues the
  /// prompt.
  private func matchLength(_ index: Int, at place: Int, _ context: [Int32]) -> Int {
    let text = text(index)
    let before = index < responses.count ? prompt.count : 0
    var length = 1
    while length < context.count {
      let place = place - length
      guard place + before >= 0 else { break }
      let token = place >= 0 ? text[place] : prompt[before + place]
      guard token == context[context.count - 1 - length] else { break }
      length += 1
    }
    return length
  }

  /// The token that follows at most places, and at how many; nil if all texts end there.
  private func mostFrequentNext(_ places: [Place]) -> (token: Int32, votes: Int)? {
    var counted: [(token: Int32, votes: Int)] = []
    for place in places where text(place.text).indices.contains(place.next) {
      let token = text(place.text)[place.next]
      if let index = counted.firstIndex(where: { $0.token == token }) {
        counted[index].votes += 1
      } else {
        counted.append((token, 1))
      }
    }
    return counted.max { $0.votes < $1.votes }
  }
}

/// How many tokens of each draft are worth a row: a row is worth it while its chance is above the tokens per cost of
/// the pass without it. The cost of a pass is counted in rows; reading the weights costs `weightRows`.
package func worthwhile(_ drafts: [[DraftedToken]]) -> [Int] {
  var counts = [Int](repeating: 0, count: drafts.count)
  var (rows, expected) = (drafts.count, Double(drafts.count))
  let candidates = drafts.enumerated().flatMap { sample, draft in draft.map { (sample, chance: $0.chance) } }
  // Chances fall from token to token of a draft, so the tokens before a chosen one are chosen as well.
  for (sample, chance) in candidates.sorted(by: { $0.chance > $1.chance }) {
    guard rows < DraftTexts.rowsMax, chance > expected / Double(DraftTexts.weightRows + rows) else { break }
    counts[sample] += 1
    rows += 1
    expected += chance
  }
  return counts
}
