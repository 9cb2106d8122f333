// The terminal's block: what it says, that it fits, and that a run's text cannot control the terminal.

import Base
import Observatory
import Testing

@Suite struct LiveViewTests {
  private static func view() -> RunView {
    var view = RunView()
    (view.path, view.stepCount, view.now, view.isAlive) = ("/runs/demo", 240, 1000, true)
    view.page = "http://127.0.0.1:4000/"
    view.openRounds = [RunView.OpenRound(name: "step 120", isTraining: true, step: 120, slots: 512, settled: 128)]
    view.samplingRate = 24_310
    view.peak = (48_620, 20_000)
    view.tokens = 1_234_567
    for (name, rate) in [("ada", 9000.0), ("bob", 8000), ("cyd", 1000)] {
      var worker = WorkerView(name: name, address: "10.0.0.1:1", arithmetic: "avx2", isConnected: true, joinedAt: 0)
      (worker.rate, worker.slots, worker.leases) = (rate, 64, 4)
      view.workers.append(worker)
    }
    view.events = [RunView.EventView(number: 1, time: 990, kind: "worker.joined", detail: "ada")]
    view.markStragglers()
    return view
  }

  private static func lines(_ view: RunView, width: Int = 100, isUnicode: Bool = true) -> [String] {
    LiveView.lines(
      view, digest(of: MadeUpRun()),
      on: LiveView.Terminal(width: width, height: 40, isUnicode: isUnicode, isStyled: false))
  }

  @Test func `it shows progress, accuracy, warning signs, speed, workers and events`() {
    let text = Self.lines(Self.view(), width: 120).joined(separator: "\n")
    let words = [
      "/runs/demo", "page http://127.0.0.1:4000/", "120 of 240 done", "50%", "left", "128 of 512", "pass@1", "majority",
      "entropy",
      "no signal", "sampling 24,310 tokens/s (50.0% of peak)", "training",
      "step 119 took 6.0 s; its largest part: backward 2.5 s (41%)",
      "3 workers", "12 leases of 192 slots",
      "behind: cyd",
      "10 s ago  worker.joined  ada", "training questions: pass@1",
    ]
    for word in words { #expect(text.contains(word), "\(word) is missing in\n\(text)") }
  }

  @Test(arguments: [20, 40, 60, 80, 100, 200])
  func `no line is wider than the terminal`(width: Int) {
    for line in Self.lines(Self.view(), width: width) { #expect(line.count <= width, "\(line)") }
  }

  @Test func `there are no more lines than the terminal has`() {
    let lines = LiveView.lines(
      Self.view(), digest(of: MadeUpRun()),
      on: LiveView.Terminal(width: 80, height: 6, isUnicode: true, isStyled: true))
    #expect(lines.count == 5)
  }

  @Test func `a plain terminal gets ASCII`() {
    for line in Self.lines(Self.view(), isUnicode: false) { #expect(line.utf8.allSatisfy { $0 < 0x80 }, "\(line)") }
  }

  @Test func `text of a run cannot control the terminal`() {
    var view = Self.view()
    view.path = "/runs/\u{1B}]0;owned\u{7}\u{9B}31m\r\n"
    view.events = [RunView.EventView(number: 1, time: 990, kind: "x\u{1B}[2J", detail: "a\u{8}b")]
    for line in Self.lines(view) {
      #expect(line.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7F..<0xA0).contains($0.value) }, "\(line)")
    }
  }

  @Test func `a run without answers says so and shows what it can`() {
    var run = MadeUpRun()
    run.knowsAnswers = false
    let lines = LiveView.lines(
      Self.view(), digest(of: run), on: LiveView.Terminal(width: 100, height: 40, isUnicode: true, isStyled: false))
    let text = lines.joined(separator: "\n")
    #expect(text.contains("no answers are known") && text.contains("majority"))
  }

  @Test func `a worker without progress, or slower than the others, is behind; a single worker is not slow`() {
    var view = RunView()
    for (name, rate, stillness) in [("a", 10.0, 0.0), ("b", 4, 0), ("c", 10, 11), ("d", 9, 0)] {
      var worker = WorkerView(name: name, address: "", arithmetic: "", isConnected: true, joinedAt: 0)
      (worker.rate, worker.stillness, worker.slots) = (rate, stillness, 8)
      view.workers.append(worker)
    }
    view.markStragglers()
    #expect(view.stragglers.map(\.name) == ["b", "c"])
    view.workers = [view.workers[1]]
    view.markStragglers()
    #expect(view.stragglers.isEmpty)
  }
}
