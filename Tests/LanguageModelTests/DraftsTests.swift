// DraftsTests: drafts change no bit of a response, they are right where texts repeat, and few are made where they do
// not pay.

import Base
import LanguageModel
import Records
import Tensors
import Testing

/// What a generator samples, with or without drafts.
private struct Sampled: Equatable {
  var trajectories: [Trajectory] = []
  var passes = 0
  var computed = 0
  var accepted = 0
}

private struct Work {
  var requests: [GenerationRequest]
  var model: PreparedModel
  var sampling: Sampling
  var texts = TokenTexts.none
  var batchRows = 8

  /// - Parameter cancelled: after this many passes, the unwanted samples are cancelled.
  func sample(drafts: Bool, threads: Int = 1, cancelled: (after: Int, (Slot) -> Bool)? = nil) throws -> Sampled {
    let generator = Generator(
      model: model, policy: PolicyVersion(3), seed: 5, sampling: sampling, batchRows: batchRows, tokenTexts: texts,
      drafts: drafts, team: Team(threads))
    for request in requests { try generator.add(request) }
    var sampled = Sampled()
    while generator.hasWork {
      if let cancelled, sampled.passes == cancelled.after { generator.cancel(cancelled.1) }
      sampled.trajectories += try generator.advance()
      sampled.passes += 1
    }
    sampled.trajectories.sort { $0.slot < $1.slot }
    (sampled.computed, sampled.accepted) = generator.draftCounts
    return sampled
  }
}

private func model(_ tiny: TinyModel, _ type: DataType = .float32) -> PreparedModel {
  PreparedModel(plan: TransformerPlan(tiny.configuration, type: type), parameters: tiny.parameters(seed: 8))
}

/// Samples of two prompts, at a temperature at which responses repeat themselves and each other.
private func repetitive(_ model: PreparedModel, samples: Int = 6, maxNewTokens: Int32 = 60) -> Work {
  let requests = [[3, 1, 4, 1, 5], [2, 7]].enumerated().map { index, prompt in
    GenerationRequest(
      prompt: prompt, round: .train(step: 3), promptIndex: UInt32(index), samples: Array(0..<UInt32(samples)))
  }
  return Work(
    requests: requests, model: model,
    sampling: Sampling(temperature: 0.4, maxNewTokens: maxNewTokens, stopTokens: [1, 9]))
}

@Suite struct `Drafts` {
  @Test(arguments: TinyModel.allCases, DataType.allCases)
  func `change no token and no log-probability`(_ tiny: TinyModel, _ type: DataType) throws {
    var work = repetitive(model(tiny, type))
    var computed = 0
    for temperature: Float in [0, 0.4, 1] {
      work.sampling.temperature = temperature
      let plain = try work.sample(drafts: false)
      #expect(plain.computed == 0)
      for (batchRows, threads) in [(1, 1), (3, 2), (8, 1), (12, 2)] {
        work.batchRows = batchRows
        let drafted = try work.sample(drafts: true, threads: threads)
        #expect(drafted.trajectories == plain.trajectories, "temperature \(temperature), \(batchRows) rows")
        computed += drafted.computed
      }
    }
    // Linear attention has states, which a wrong draft would change.
    #expect((computed > 0) == (tiny != .qwen35))
  }

  @Test func `are accepted where responses repeat, and save passes`() throws {
    var work = repetitive(model(.llama))
    work.sampling.stopTokens = []
    work.sampling.temperature = 0
    work.batchRows = 2
    let (plain, drafted) = (try work.sample(drafts: false), try work.sample(drafts: true))
    #expect(drafted.trajectories == plain.trajectories)
    #expect(
      drafted.accepted * 2 > drafted.computed && drafted.passes * 2 < plain.passes,
      "\(drafted.accepted) of \(drafted.computed), \(drafted.passes) passes instead of \(plain.passes)")
    #expect(drafted.trajectories.allSatisfy { $0.tokens.count == 60 })
  }

  @Test(arguments: [2, 5, 11]) func `do not matter to samples that remain when others are cancelled`(
    _ moment: Int
  ) throws {
    let work = repetitive(model(.qwen2))
    let isUnwanted: (Slot) -> Bool = { ($0.prompt + $0.sample) % 3 == 1 }
    let plain = try work.sample(drafts: false)
    let drafted = try work.sample(drafts: true, cancelled: (moment, isUnwanted))
    let wanted = plain.trajectories.filter { !isUnwanted($0.slot) }
    #expect(drafted.trajectories.filter { !isUnwanted($0.slot) } == wanted)
    #expect(drafted.accepted > 0)
  }

  @Test func `end where a stop string or the limit of positions ends a response`() throws {
    var work = repetitive(model(.llama))
    work.texts = TokenTexts((0..<37).map { [UInt8(97 + $0 % 5), UInt8(97 + $0 % 3)] })
    work.sampling.stopStrings = ["abca", "eb"]
    work.sampling.stopTokens = []
    let plain = try work.sample(drafts: false)
    let drafted = try work.sample(drafts: true)
    #expect(drafted.trajectories == plain.trajectories && drafted.accepted > 0)
    #expect(plain.trajectories.contains { $0.finish == .stop })

    // A repetitive prompt that leaves few positions.
    let positions = TinyModel.llama.configuration.maxPositions
    for room in 1...12 {
      var work = repetitive(model(.llama))
      work.sampling.stopTokens = []
      work.requests[0].prompt = (0..<positions - room).map { Int32($0 % 3) }
      let drafted = try work.sample(drafts: true)
      #expect(drafted.trajectories == (try work.sample(drafts: false)).trajectories)
      #expect(drafted.trajectories[0].tokens.count == room)
    }
  }

  @Test func `are not made while many samples run`() throws {
    var work = repetitive(model(.llama), samples: DraftTexts.samplesMax + 1, maxNewTokens: 20)
    work.requests.removeLast()
    work.sampling.stopTokens = []
    work.batchRows = 64
    let plain = try work.sample(drafts: false)
    #expect(try work.sample(drafts: true) == plain)
    work.batchRows = DraftTexts.samplesMax
    let drafted = try work.sample(drafts: true)
    #expect(drafted.computed > 0 && drafted.trajectories == plain.trajectories)
  }

  @Test func `continue as the texts do that have the longest match`() {
    let texts = DraftTexts(prompt: [8, 9, 5, 6, 1], responses: [[5, 6, 2, 7], [4, 5, 6, 3, 7, 7], [0, 6, 3]])
    func tokens(_ response: [Int32], _ count: Int = 16) -> [Int32] {
      texts.draft(after: response, count: count).map(\.token)
    }
    #expect(tokens([4, 5, 6]) == [3, 7, 7], "three tokens match in the second response")
    #expect(tokens([2, 6]) == [3, 7, 7], "one token matches; most texts continue with 3")
    #expect(tokens([5]) == [6, 2, 7], "the first response begins like this one, after the same prompt")
    #expect(tokens([9]) == [5, 6, 1], "only the prompt has the token")
    #expect(tokens([4, 5, 6], 2) == [3, 7] && tokens([4, 5, 6], 0).isEmpty)
    #expect(tokens([33]).isEmpty)
    #expect(DraftTexts(prompt: [1], responses: []).draft(after: [2], count: 4).isEmpty)
    let repeated = DraftTexts(prompt: [1], responses: [[2, 3, 2, 3]])
    #expect(repeated.draft(after: [2, 3, 2, 3], count: 4).map(\.token) == [2, 3])
    for draft in [texts.draft(after: [4, 5, 6], count: 9), texts.draft(after: [6], count: 9)] {
      let chances = draft.map(\.chance)
      #expect(chances == chances.sorted(by: >) && chances.allSatisfy { $0 > 0 && $0 < 1 })
    }
  }

  @Test func `find a token at every place of a text, and look at the end of a long one`() {
    for count in 2...50 {
      for place in 0..<count - 1 {
        var text = [Int32](repeating: 1, count: count)
        text[place] = 2
        text[place + 1] = 3
        let texts = DraftTexts(prompt: [4], responses: [text])
        #expect(texts.draft(after: [2], count: 1).map(\.token) == [3], "\(place) of \(count)")
      }
    }
    let long = [7, 8] + [Int32](repeating: 1, count: 100_000) + [5, 6]
    let texts = DraftTexts(prompt: [4], responses: [long])
    #expect(texts.draft(after: [5], count: 1).map(\.token) == [6])
    #expect(texts.draft(after: [7], count: 1).isEmpty, "too far back to be looked at")
  }

  @Test func `are worth a row if no other choice of rows gives more tokens per cost`() {
    var random = choices(17)
    for trial in 0..<500 {
      let drafts = (0..<1 + random.index(below: 3)).map { _ in
        var chance = 1.0
        return (0..<random.index(below: 5)).map { _ in
          chance *= random.uniform()
          return DraftedToken(token: 0, chance: chance)
        }
      }
      func tokensPerCost(_ counts: [Int]) -> Double {
        let tokens = zip(drafts, counts).reduce(0.0) { $0 + 1 + $1.0.prefix($1.1).reduce(0) { $0 + $1.chance } }
        return tokens / Double(DraftTexts.weightRows + counts.count + counts.reduce(0, +))
      }
      var all: [[Int]] = [[]]
      for draft in drafts { all = all.flatMap { counts in (0...draft.count).map { counts + [$0] } } }
      let best = all.map(tokensPerCost).max() ?? 0
      // 1e-12: sums of a few terms in another order.
      #expect(abs(tokensPerCost(worthwhile(drafts)) - best) < 1e-12, "trial \(trial)")
    }
    let sure = (0..<16).map { DraftedToken(token: 0, chance: 1 - 0.001 * Double($0)) }
    let counts = worthwhile(Array(repeating: sure, count: 16))
    #expect(counts.reduce(16, +) == DraftTexts.rowsMax, "no more rows than a pass may have")
  }
}
