// Explanation: what happened to one prompt, as text for a terminal.
//
// What the prompt asks, its votes at every visit, where its label changed, what single responses say, how probable the
// policy found them, and which of them were rewarded. The page shows the same (CPageFiles/files/page-prompt.js).

package import Base

package enum Explanation {
  /// Visits that are shown; of more visits, evenly spaced ones.
  static let visitsMax = 24
  /// Characters of a response that are shown. They are its last ones, because the answer is there.
  static let responseMax = 240

  /// - Parameters:
  ///   - prompt: the question.
  ///   - track: its votes; nil if it was never visited.
  ///   - responses: some of the step's.
  ///   - step: the step of these responses, from 0; nil if the prompt was never visited.
  ///   - columns: width of the text.
  package static func text(
    _ prompt: PromptText, _ track: PromptTrack?, step: Int?, _ responses: [ResponseView], columns: Int
  ) -> String {
    var lines = ["prompt    \(shown(prompt.name, 80))"]
    lines += block("question", prompt.question, columns)
    lines.append("answer    \(prompt.answer.map { shown($0, 200) } ?? "unknown") (only figures use it, no reward)")
    guard let track, let last = track.visits.last else {
      return (lines + ["votes     no step has sampled this prompt yet"]).joined(separator: "\n")
    }
    lines.append(
      "votes     \(counted(track.visits.count, "visit")), "
        + "\(counted(track.labels.count, "distinct label")), " + counted(track.flipCount, "flip"))
    lines.append("")
    lines.append("    step  agreement                 label")
    for visit in ReportPrompts.thinned(track.visits, to: visitsMax) { lines.append(row(visit, track)) }
    if let step {
      lines += responseLines(responses, track.visits.last { Int($0.step) == step } ?? last, track, step, columns)
    }
    return lines.joined(separator: "\n")
  }

  /// The same facts for a program. Steps count from 0, as in the ledger.
  package static func json(
    _ prompt: PromptText, _ track: PromptTrack?, step: Int?, _ responses: [ResponseView]
  ) -> JSON {
    let visits = (track?.visits ?? []).map { visit -> JSON in
      [
        "step": .int(Int(visit.step)), "label": .optional(track?.label(of: visit)), "votes": .int(Int(visit.votes)),
        "samples": .int(Int(visit.samples)), "right": visit.right.map { .int($0) } ?? .null,
        "label_right": visit.isLabelRight.map { .bool($0) } ?? .null, "flip": .bool(visit.isFlip),
        "tie": .bool(visit.isTie), "zero_advantage": .bool(visit.hasZeroAdvantage),
      ]
    }
    let sampled = responses.map { response -> JSON in
      [
        "sample": .int(response.sample), "policy": .int(response.policy), "worker": .optional(response.worker),
        "finish_reason": .string(response.finish), "answer": .optional(response.answer),
        "text": .string(response.tokens.map(\.text).joined()), "tokens": .int(response.tokenCount),
        "logprob_sum": .double(response.logprobSum),
      ]
    }
    return [
      "prompt": .int(prompt.index), "id": .optional(prompt.id), "question": .string(prompt.question),
      "answer": .optional(prompt.answer), "visits": .array(visits), "step": step.map { .int($0) } ?? .null,
      "responses": .array(sampled),
    ]
  }

  private static func row(_ visit: PromptTrack.Visit, _ track: PromptTrack) -> String {
    let filled = Int((visit.share * 16).rounded())
    let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: 16 - filled)
    var notes: [String] = []
    if let right = visit.isLabelRight { notes.append(right ? "right" : "wrong") }
    if visit.isFlip { notes.append("flipped") }
    if visit.isTie { notes.append("tie") }
    if visit.hasZeroAdvantage { notes.append("no signal") }
    let step = padded("\(Int(visit.step))", to: 8, right: true)
    let share = padded(Figures.fixed(visit.share * 100, decimals: 0) + "%", to: 5, right: true)
    let label = track.label(of: visit).map { shown(plain($0), 40) } ?? "none"
    return "\(step)  [\(bar)]\(share)  \(label)" + (notes.isEmpty ? "" : "  (\(notes.joined(separator: ", ")))")
  }

  private static func responseLines(
    _ responses: [ResponseView], _ visit: PromptTrack.Visit, _ track: PromptTrack, _ step: Int, _ columns: Int
  ) -> [String] {
    guard !responses.isEmpty else { return ["", "the ledger has no responses of step \(step)"] }
    let label = track.label(of: visit)
    var lines = [
      "", "responses of step \(step); the label was \(label.map { shown(plain($0), 40) } ?? "none"):",
    ]
    for response in responses {
      let vote =
        response.answer.map { answer in
          "answers \(shown(plain(answer), 40))" + (answer == label ? ", the label" : "")
            + (response.isRight.map { $0 ? ", right" : ", wrong" } ?? "")
        } ?? (response.isReadable ? "states no answer" : "answer not known")
      let reward = response.reward.map { ", reward \(Figures.short($0))" } ?? ""
      let training = response.training.map { ", \($0.rawValue)" } ?? ""
      let probability = exponential(response.logprobSum / Double(max(1, response.tokenCount)))
      lines.append("")
      lines.append(
        "  sample \(response.sample)  \(vote)\(reward)\(training)  \(counted(response.tokenCount, "token")), "
          + "\(Figures.percent(probability)) per token, \(response.finish)"
          + (response.worker.map { ", by \(shown($0, 40))" } ?? ""))
      let text = response.tokens.map(\.text).joined()
      let end = text.count > responseMax ? "…" + text.suffix(responseMax) : text
      lines += wrapped(end, columns - 4).map { "    \($0)" }
    }
    return lines
  }

  /// e^x by its series: this module imports no mathematics library, and three digits are shown.
  private static func exponential(_ logarithm: Double) -> Double {
    guard logarithm < 0 else { return 1 }
    // Halved until it is small; the sum is squared as often.
    var (small, halvings) = (max(logarithm, -700), 0)
    while small < -0.5 { (small, halvings) = (small / 2, halvings + 1) }
    var (sum, term) = (1.0, 1.0)
    for n in 1...14 {
      term *= small / Double(n)
      sum += term
    }
    for _ in 0..<halvings { sum *= sum }
    return sum
  }

  private static func block(_ name: String, _ text: String, _ columns: Int) -> [String] {
    wrapped(text, columns - 10).enumerated().map { (($0 == 0) ? padded(name, to: 10) : "          ") + $1 }
  }

  /// Lines of at most `width` characters. The text's own line breaks are kept.
  private static func wrapped(_ text: String, _ width: Int) -> [String] {
    var lines: [String] = []
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      var rest = shown(String(line), .max)[...]
      repeat {
        lines.append(String(rest.prefix(max(10, width))))
        rest = rest.dropFirst(max(10, width))
      } while !rest.isEmpty
    }
    return lines
  }

  /// The key of a number is "q:" and the number; the reader needs only the number.
  private static func plain(_ key: String) -> String { key.hasPrefix("q:") ? String(key.dropFirst(2)) : key }

  /// Text of a run, on one line.
  static func shown(_ text: String, _ count: Int) -> String {
    let text = text.visible
    return text.count <= count ? text : text.prefix(count) + "…"
  }
}
