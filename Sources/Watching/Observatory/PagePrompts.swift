// PagePrompts: the page's answers about prompts and steps.
//
// For a prompt: its question, its votes at every visit, where its label changed, and single responses, token by token,
// with where each came from. All text is data here; the page sets it as text and never parses it.

package import Base
package import Records

/// A question, as the page shows it.
package struct PromptText: Sendable, Equatable {
  package let index: Int
  package let id: String?
  package let question: String
  package let answer: String?

  package init(index: Int, id: String?, question: String, answer: String?) {
    self.index = index
    self.id = id
    self.question = question
    self.answer = answer
  }

  /// How the prompt is called: by its id, if the question file gives one, and always by its index, from 0.
  package var name: String { id.map { "\($0) (#\(index))" } ?? "#\(index)" }
}

/// One response with its tokens.
package struct ResponseView: Sendable {
  package let sample: Int
  package let policy: Int
  package let worker: String?
  package let address: String?
  package let finish: String
  /// The key of its final answer; nil if it states none.
  package let answer: String?
  /// Whether the vote counts it.
  package let counts: Bool
  package let lease: Int?
  /// Each token with its own text and its log-probability; the first `PageAnswers.tokensMax`.
  package let tokens: [(id: Int32, text: String, logprob: Float)]
  package let tokenCount: Int
  /// Natural log, of all tokens.
  package let logprobSum: Double
  package let entropyMean: Double
  /// False without the model's tokenizer: then no answer is known.
  package var isReadable = true
  /// Whether the answer is the true one; nil if that is not known.
  package var isRight: Bool?
  /// nil if it is not known, for example before the step is done.
  package var reward: Double?
  /// nil before the step is done.
  package var training: Training?

  /// What became of a response in the training.
  package enum Training: String, Sendable {
    case trained = "trained on"
    case notDrawn = "not drawn for training"
    case noSignal = "not trained on: all rewards of the group are equal"
    case unneeded = "not needed for the vote"
    case excluded = "left out: the reward command called it not valid, or gave no verdict"
  }

  package init(
    sample: Int, policy: Int, worker: String?, address: String?, finish: String, answer: String?, counts: Bool,
    lease: Int? = nil, tokens: [(id: Int32, text: String, logprob: Float)], tokenCount: Int, logprobSum: Double,
    entropyMean: Double
  ) {
    self.sample = sample
    self.policy = policy
    self.worker = worker
    self.address = address
    self.finish = finish
    self.answer = answer
    self.counts = counts
    self.lease = lease
    self.tokens = tokens
    self.tokenCount = tokenCount
    self.logprobSum = logprobSum
    self.entropyMean = entropyMean
  }
}

extension PageAnswers {
  /// Responses in one answer, and tokens of a response that are listed.
  package static let responsesMax = 8
  package static let tokensMax = 1000

  /// - Parameter texts: the prompts from `offset` on.
  /// - Parameter all: prompts of the run; nil if all are listed.
  package static func prompts(
    _ digest: RunDigest, _ texts: [PromptText], total: Int, of all: Int? = nil, from offset: Int
  ) -> JSON {
    [
      "total": .int(total), "all": .int(all ?? total), "offset": .int(offset),
      "prompts": .array(texts.prefix(rowsMax).map { row($0, digest.prompts[$0.index]) }),
    ]
  }

  private static func row(_ text: PromptText, _ track: PromptTrack?) -> JSON {
    let visits = track?.visits ?? []
    let bars = thinned(visits, to: barsMax).map { visit -> JSON in
      .array([.double((visit.share * 1000).rounded() / 1000), verdict(visit)])
    }
    return [
      "prompt": .int(text.index), "id": .optional(text.id), "question": .string(cut(text.question, 300)),
      "answer": .optional(text.answer.map { cut($0, 120) }), "visits": .int(visits.count),
      "flips": .int(track?.flipCount ?? 0), "bars": .array(bars),
      "first": visits.first.map { short($0, track) } ?? .null, "last": visits.last.map { short($0, track) } ?? .null,
    ]
  }

  private static func short(_ visit: PromptTrack.Visit, _ track: PromptTrack?) -> JSON {
    [
      "step": .int(Int(visit.step)), "label": .optional(track?.label(of: visit)), "share": .double(visit.share),
      "right": verdict(visit),
    ]
  }

  /// Whether the label is right: true, false, or null where there is no answer or no label.
  private static func verdict(_ visit: PromptTrack.Visit) -> JSON {
    visit.label < 0 ? .null : visit.isLabelRight.map { .bool($0) } ?? .null
  }

  /// A prompt with its votes over time.
  package static func prompt(_ text: PromptText, _ track: PromptTrack?) -> JSON {
    let visits = track?.visits ?? []
    let shown = thinned(visits, to: visitsMax)
    return [
      "prompt": .int(text.index), "id": .optional(text.id), "question": .string(cut(text.question, 20_000)),
      "answer": .optional(text.answer.map { cut($0, 2000) }), "visits": .int(visits.count),
      "flips": .int(track?.flipCount ?? 0), "charts": charts(shown),
      "votes": .array(
        shown.map { visit in
          [
            "step": .int(Int(visit.step)), "label": .optional(track?.label(of: visit)),
            "label_votes": .int(Int(visit.votes)), "samples": .int(Int(visit.samples)),
            "right": visit.right.map { .int($0) } ?? .null, "label_right": verdict(visit), "flip": .bool(visit.isFlip),
            "tie": .bool(visit.isTie), "zero_advantage": .bool(visit.hasZeroAdvantage),
          ]
        }),
      // Where the label changed, newest first.
      "turns": .array(
        visits.filter(\.isFlip).suffix(50).reversed().map {
          ["step": .int(Int($0.step)), "label": .optional(track?.label(of: $0))]
        }
      ),
    ]
  }

  /// Some responses to one prompt in one step.
  ///
  /// - Parameter problem: what is missing to show them whole, in words.
  package static func responses(
    _ responses: [ResponseView], prompt: Int, step: Int, from sample: Int, seed: String, problem: String? = nil
  ) -> JSON {
    [
      "prompt": .int(prompt), "step": .int(step), "from": .int(sample), "seed": .string(seed),
      "problem": .optional(problem),
      "responses": .array(responses.prefix(responsesMax).map(response)),
    ]
  }

  private static func response(_ response: ResponseView) -> JSON {
    let tokens = response.tokens.prefix(tokensMax)
    return [
      "sample": .int(response.sample), "policy": .int(response.policy), "worker": .optional(response.worker),
      "address": .optional(response.address), "finish": .string(response.finish), "answer": .optional(response.answer),
      "readable": .bool(response.isReadable), "right": response.isRight.map { .bool($0) } ?? .null,
      "reward": number(response.reward), "training": .optional(response.training?.rawValue),
      "counts": .bool(response.counts), "lease": response.lease.map { .int($0) } ?? .null,
      "tokens": .int(response.tokenCount),
      "logprob": number(response.logprobSum), "entropy": number(response.entropyMean),
      "texts": .array(tokens.map { .string($0.text) }), "ids": .array(tokens.map { .int(Int($0.id)) }),
      "logprobs": .array(tokens.map { .double((Double($0.logprob) * 1e5).rounded() / 1e5) }),
    ]
  }

  // MARK: Steps

  /// The newest steps before one, newest first.
  package static func steps(_ digest: RunDigest, before step: Int?, limit: Int) -> JSON {
    let figures: [FigureName] = [
      .groundTruthRatio, .labelAccuracy, .majorityRatio, .entropy, .zeroAdvantageRatio, .noAnswerRatio,
      .responseLengthMean, .sampledTokens, .rolloutSeconds, .trainSeconds, .stepSeconds,
    ]
    let end =
      step.map { step in digest.steps.firstIndex { Int($0) >= step } ?? digest.steps.count } ?? digest.steps.count
    let range = max(0, end - min(max(0, limit), rowsMax))..<end
    return [
      "total": .int(digest.steps.count), "parts": StepParts.json,
      "steps": .array(
        range.reversed().map { index in
          .object(
            [JSON.Member("step", .int(Int(digest.steps[index])))]
              + (figures + FigureName.parts).map {
                JSON.Member($0.rawValue, digest.column($0)[index].isFinite ? .float(digest.column($0)[index]) : .null)
              })
        }),
    ]
  }

  /// A step's whole record, its prompts cut to `rowsMax`.
  ///
  /// - Parameter ids: of the prompts that have one, by index.
  package static func step(_ record: JSON, ids: SortedMap<Int, String> = SortedMap()) -> JSON {
    guard let members = record.members else { return .null }
    return .object(
      members.map { member in
        guard member.key == "prompts", let all = member.value.elements else { return member }
        return JSON.Member("prompts", .array(all.prefix(rowsMax).map { named($0, ids) }))
      } + [
        JSON.Member("prompt_count", .int(record["prompts"]?.elements?.count ?? 0)),
        JSON.Member("parts", StepParts.json),
      ])
  }

  private static func named(_ prompt: JSON, _ ids: SortedMap<Int, String>) -> JSON {
    guard let members = prompt.members, let index = prompt["prompt"]?.int, let id = ids[index] else { return prompt }
    return .object(members + [JSON.Member("id", .string(id))])
  }

  /// Settings in their order; `chosen` has the names of those that differ from their defaults.
  ///
  /// - Parameter example: nil before the run has begun.
  package static func settings(
    _ settings: [ShownSetting], example: ExamplePrompt?, versions: JSON, manifest: [(name: String, value: String)]
  ) -> JSON {
    func list(_ pairs: [(name: String, value: String)]) -> JSON {
      .object(pairs.map { JSON.Member($0.name, .string(cut($0.value, 4000))) })
    }
    return [
      "settings": list(settings.map { ($0.name, $0.value) }),
      "chosen": .array(ShownSetting.chosen(settings).map { .string($0.name) }), "versions": versions,
      "facts": list(manifest), "prompt": example?.json ?? .null,
    ]
  }

  package static func cut(_ text: String, _ count: Int) -> String {
    text.count <= count ? text : text.prefix(count) + "…"
  }
}
