// What a watcher remembers, compared with the records; and that its answers stay small.

import Base
import Observatory
import Records
import Testing

@Suite struct RunDigestTests {
  private static let run = MadeUpRun()
  private static let history = RunHistory(parsing: run.metrics())
  private static let digest = ObservatoryTests.digest(of: run)

  @Test func `columns are the records' figures`() {
    #expect(Self.digest.steps.map(Int.init) == Self.history.steps.map(\.step))
    let expected = Self.history.steps.map { Float($0.majorityRatio ?? .nan) }
    #expect(Self.digest.column(.majorityRatio) == expected)
    #expect(Self.digest.sampledTokens == Self.history.steps.reduce(0) { $0 + Double($1.sampledTokens ?? 0) })
    #expect(Self.digest.alarms == Self.history.alarms)
  }

  @Test func `a prompt's track has every visit, its label and its flips`() {
    let groups = Self.history.steps.flatMap(\.prompts)
    #expect(Self.digest.prompts.keys == Set(groups.map(\.prompt)).sorted())
    for (prompt, track) in Self.digest.prompts {
      let known = groups.filter { $0.prompt == prompt }
      #expect(track.visits.map { track.label(of: $0) } == known.map(\.label))
      #expect(track.visits.map(\.share) == known.map(\.majorityRatio))
      #expect(track.visits.map(\.isLabelRight) == known.map(\.isLabelRight))
      let labels = known.compactMap(\.label)
      #expect(track.flipCount == zip(labels, labels.dropFirst()).count { $0 != $1 })
    }
  }

  @Test func `a step that comes again changes nothing`() throws {
    var again = Self.digest
    for line in Self.run.metrics().split(separator: "\n") { again.add(try JSON.parse(Array(line.utf8))) }
    #expect(again.steps == Self.digest.steps && again.sampledTokens == Self.digest.sampledTokens)
    #expect(again.evaluations == Self.digest.evaluations)
  }

  @Test func `the ends are those of the whole history`() {
    let ends = Self.digest.ends(on: .train)
    #expect(ends == Outcome(Self.history).train)
  }

  @Test func `curves are thinned to what was asked for, means of neighbours`() {
    let bins = PageAnswers.bins(of: 10, count: 4)
    #expect(bins == [0..<2, 2..<5, 5..<7, 7..<10])
    #expect(PageAnswers.bins(of: 3, count: 4) == [0..<1, 1..<2, 2..<3] && PageAnswers.bins(of: 0, count: 4) == [])
    let curves = PageAnswers.curves(Self.digest, points: 10)
    #expect(curves["steps"]?.elements?.count == 10 && curves["bin"]?.int == 12)
    let column = Self.digest.column(.entropy)
    let mean = column[0..<12].reduce(0) { $0 + Double($1) } / 12
    let first = curves["figures"]?["entropy"]?.elements?.first?.double ?? 0
    #expect(abs(first - mean) < 1e-5)
  }

  /// A run of ten thousand steps by a thousand workers.
  @Test func `answers stay small however long the run and however large the fleet`() throws {
    var digest = RunDigest()
    for step in 0..<10_000 {
      let prompts = (0..<8).map { offset -> JSON in
        let prompt = (step * 8 + offset) % 4000
        return ["prompt": .int(prompt), "label": .string("q:\(step % 97)"), "label_votes": 40, "samples": 64]
      }
      digest.add([
        "kind": "step", "step": .int(step), "majority_ratio": .double(Double(step) / 1e4),
        "entropy": .double(0.123456789),
        "sampled_tokens": 100_000, "prompts": .array(prompts),
      ])
    }
    var view = RunView()
    view.stepCount = 10_000
    for number in 0..<1000 {
      var worker = WorkerView(
        name: "worker-\(number)", address: "10.0.0.1:1234", arithmetic: "avx512 oneDNN 2.6.3 avx512_core_amx",
        isConnected: true, joinedAt: 1e9)
      worker.holding = "step 9999, prompt \(number)"
      view.workers.append(worker)
    }
    view.openRounds = (0..<300).map {
      RunView.OpenRound(name: "step \($0)", isTraining: true, step: $0, slots: 1, settled: 0)
    }
    let texts = (0..<4000).map {
      PromptText(index: $0, id: nil, question: String(repeating: "x", count: 500), answer: "1")
    }
    let prompt = try #require(texts.first)
    let sizes = [
      PageAnswers.run(view, digest, settings: []).bytes().count,
      PageAnswers.curves(digest, points: 1 << 30).bytes().count, PageAnswers.charts(digest).bytes().count,
      PageAnswers.fleet(view, from: 0, limit: 1 << 30).bytes().count,
      PageAnswers.prompts(digest, texts, total: 4000, from: 0).bytes().count,
      PageAnswers.prompt(prompt, digest.prompts[0]).bytes().count,
      PageAnswers.steps(digest, before: nil, limit: 1 << 30).bytes().count,
      Prometheus.text(view, digest, version: "1").utf8.count,
    ]
    for size in sizes { #expect(size < 300_000, "\(sizes)") }
  }

  @Test func `text of a run stays text: it is in the JSON as it is, and nowhere in the page`() throws {
    let hostile = "</script><img src=x onerror=alert(1)>\u{2028}\"'\\"
    let text = PromptText(index: 0, id: hostile, question: hostile, answer: hostile)
    let json = try JSON.parse(PageAnswers.prompt(text, nil).bytes())
    #expect(json["question"]?.string == hostile && json["id"]?.string == hostile)
    // The page is one constant: no text of any run is ever part of it.
    #expect(PageDocument.html.components(of: "<script>") == 2 && PageDocument.html.components(of: "</script>") == 2)
  }
}

extension String {
  /// How many parts a word splits it into.
  fileprivate func components(of word: String) -> Int {
    var (count, rest) = (1, self[...])
    while let found = rest.firstRange(of: word) {
      count += 1
      rest = rest[found.upperBound...]
    }
    return count
  }
}

@Suite struct BoundsTests {
  /// A file can contain any number, and the program that shows it must not trap.
  @Test(arguments: ["9223372036854775807", "-9223372036854775808", "1e308", "-1e308", "4294967295", "0"])
  func `numbers beyond every bound are watched without a trap`(number: String) throws {
    var digest = RunDigest()
    let members = StepFigures.all.map { "\"\($0.name)\":\(number)" }.joined(separator: ",")
    for step in [0, 1, 4_294_967_295] {
      let text =
        "{\"kind\":\"step\",\"step\":\(step),\(members),\"prompts\":[{\"prompt\":1,\"label\":\"a\",\"votes\":\(number),"
        + "\"samples\":\(number),\"right\":\(number),\"label_right\":true}]}"
      digest.add(try JSON.parse(Array(text.utf8)))
      if let event = EventFile.event(of: try JSON.parse(Array(text.utf8)), wallTime: 1) { _ = EventFile.record(event) }
    }
    var view = RunView()
    (view.stepCount, view.samplingRate, view.wallSeconds) = (.max, Double(number), Double(number))
    let text = PromptText(index: 1, id: nil, question: "", answer: nil)
    _ = LiveView.lines(view, digest, on: LiveView.Terminal(width: 100, height: 40, isUnicode: true, isStyled: true))
    _ = Prometheus.text(view, digest, version: "1")
    _ = Explanation.text(text, digest.prompts[1], step: nil, [], columns: 80)
    for answer in [
      PageAnswers.run(view, digest, settings: []), PageAnswers.curves(digest, points: 10),
      PageAnswers.charts(digest),
      PageAnswers.prompt(text, digest.prompts[1]), PageAnswers.steps(digest, before: nil, limit: 10),
    ] {
      #expect(try JSON.parse(answer.bytes()) == answer)
    }
    #expect(digest.prompts[1]?.visits.count == digest.steps.count)
  }
}
