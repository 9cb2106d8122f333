// /metrics, judged by a parser that is stricter than Prometheus' own.
//
// Text format 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/. Beyond the grammar it holds that a
// metric has its help and type before its samples, all of them together, each set of labels once, and that what only
// grows is called so.

import Base
import Glibc
import Observatory
import Records
import Testing

/// Any text gives its samples, or what is wrong with it.
private struct PrometheusParser {
  struct Sample: Equatable {
    var name: String
    var labels: [String: String]
    var value: Double
  }

  private(set) var samples: [Sample] = []
  private(set) var problems: [String] = []
  private var types: [String: String] = [:]
  private var helps: Set<String> = []
  private var current = ""
  private var finished: Set<String> = []

  init(_ text: String) {
    if !text.hasSuffix("\n") { problems.append("the last line does not end") }
    for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() { read(line) }
    for name in types.keys.sorted() where !samples.contains(where: { $0.name == name }) {
      problems.append("\(name) has no samples")
    }
  }

  private mutating func read(_ line: Substring) {
    if line.hasPrefix("# ") {
      let words = line.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: false).map(String.init)
      guard words.count == 4, isName(words[2]) else {
        return problems.append("no comment that means anything: \(line)")
      }
      switch words[1] {
      case "HELP":
        if !helps.insert(words[2]).inserted { problems.append("\(words[2]) has two helps") }
      case "TYPE":
        if !["counter", "gauge"].contains(words[3]) { problems.append("\(words[2]) is a \(words[3])") }
        if types.updateValue(words[3], forKey: words[2]) != nil { problems.append("\(words[2]) has two types") }
        if words[3] == "counter", !words[2].hasSuffix("_total") {
          problems.append("\(words[2]) grows, says its type only")
        }
        if !finished.insert(words[2]).inserted { problems.append("\(words[2]) comes twice") }
        current = words[2]
      default: problems.append("no comment that means anything: \(line)")
      }
      return
    }
    guard let sample = sample(line) else { return problems.append("no sample: \(line)") }
    if sample.name != current || !helps.contains(sample.name) { problems.append("\(sample.name) is not announced") }
    if samples.contains(where: { $0.name == sample.name && $0.labels == sample.labels }) {
      problems.append("\(sample.name) \(sample.labels) comes twice")
    }
    samples.append(sample)
  }

  private func isName(_ text: String) -> Bool {
    guard let first = text.first, first.isLetter || first == "_" || first == ":" else { return false }
    return text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_" || $0 == ":") }
  }

  private func sample(_ line: Substring) -> Sample? {
    var rest = line[...]
    let name = String(rest.prefix { $0 != "{" && $0 != " " })
    guard isName(name) else { return nil }
    rest = rest.dropFirst(name.count)
    var labels: [String: String] = [:]
    if rest.first == "{" {
      rest = rest.dropFirst()
      while rest.first != "}" {
        guard let label = label(&rest), labels.updateValue(label.value, forKey: label.name) == nil else { return nil }
        if rest.first == "," { rest = rest.dropFirst() } else if rest.first != "}" { return nil }
      }
      rest = rest.dropFirst()
    }
    guard rest.first == " " else { return nil }
    let text = String(rest.dropFirst())
    guard !text.contains(" "), let value = text == "+Inf" ? .infinity : text == "NaN" ? .nan : Double(text) else {
      return nil
    }
    return Sample(name: name, labels: labels, value: value)
  }

  private func label(_ rest: inout Substring) -> (name: String, value: String)? {
    let name = String(rest.prefix { $0 != "=" })
    guard isName(name), !name.contains(":") else { return nil }
    rest = rest.dropFirst(name.count)
    guard rest.hasPrefix("=\"") else { return nil }
    rest = rest.dropFirst(2)
    var value = ""
    while let next = rest.popFirst() {
      if next == "\"" { return (name, value) }
      guard next == "\\" else {
        value.append(next)
        continue
      }
      switch rest.popFirst() {
      case "n": value.append("\n")
      case "\\": value.append("\\")
      case "\"": value.append("\"")
      default: return nil
      }
    }
    return nil
  }
}

@Suite struct PrometheusTests {
  private func view() -> RunView {
    var view = RunView()
    view.stepCount = 120
    view.isAlive = true
    view.openRounds = [RunView.OpenRound(name: "step 3", isTraining: true, step: 3, slots: 64, settled: 10)]
    for name in ["ada", "a\"b\\c\nd", "<script>alert(1)</script>", "ünïcödé"] {
      var worker = WorkerView(name: name, address: "10.0.0.1:1", arithmetic: "avx2", isConnected: true, joinedAt: 0)
      (worker.tokens, worker.rate, worker.slots, worker.leases) = (1000, 12.5, 8, 1)
      view.workers.append(worker)
    }
    return view
  }

  @Test func `the metrics of a run are in the format`() {
    let digest = digest(of: MadeUpRun())
    let parsed = PrometheusParser(Prometheus.text(view(), digest, version: "0.1.0"))
    #expect(parsed.problems == [])
    #expect(parsed.samples.allSatisfy { $0.name.hasPrefix("ttrl_") })
    func value(_ name: String) -> Double? { parsed.samples.first { $0.name == name }?.value }
    #expect(value("ttrl_steps_total") == 120 && value("ttrl_steps_planned") == 120)
    #expect(value("ttrl_step_majority_ratio") == digest.last(.majorityRatio).map { Double("\($0)") ?? $0 })
    #expect(value("ttrl_open_slots") == 54)
  }

  @Test func `a worker's name is its own, whatever it holds`() {
    let parsed = PrometheusParser(Prometheus.text(view(), RunDigest(), version: "0.1.0"))
    let names = parsed.samples.filter { $0.name == "ttrl_worker_tokens_total" }.compactMap { $0.labels["worker"] }
    #expect(parsed.problems == [] && names == view().workers.map(\.name))
  }

  @Test func `a run that has done nothing has no figures, and those it has are in the format`() {
    let parsed = PrometheusParser(Prometheus.text(RunView(), RunDigest(), version: "0.1.0"))
    #expect(parsed.problems == [])
    #expect(!parsed.samples.contains { $0.name == "ttrl_step_majority_ratio" })
  }

  @Test func `a fleet of any size takes a bounded page`() {
    var view = RunView()
    for number in 0..<3000 {
      view.workers.append(
        WorkerView(name: "w\(number)", address: "", arithmetic: "", isConnected: true, joinedAt: 0))
    }
    let parsed = PrometheusParser(Prometheus.text(view, RunDigest(), version: "0.1.0"))
    #expect(parsed.samples.filter { $0.name == "ttrl_worker_tokens_total" }.count == 1000)
    #expect(parsed.samples.first { $0.name == "ttrl_workers_connected" }?.value == 3000)
  }

  @Test(arguments: [
    "ttrl_x 1", "# TYPE ttrl_x gauge\nttrl_x 1\n", "# HELP ttrl_x h\n# TYPE ttrl_x gauge\nttrl_x{a=b} 1\n",
  ])
  func `the parser finds what is wrong`(text: String) {
    #expect(PrometheusParser(text).problems != [])
  }
}

/// What a watcher remembers of a run.
func digest(of run: MadeUpRun) -> RunDigest {
  var digest = RunDigest()
  for line in run.metrics().split(separator: "\n") {
    if let json = try? JSON.parse(Array(line.utf8)) { digest.add(json) }
  }
  return digest
}

@Suite struct GrafanaTests {
  /// Every metric that the example dashboard asks for is one that a page serves.
  @Test func `every figure of a step is shown once`() {
    #expect(StepFigures.all.count == FigureName.allCases.count)
    #expect(Set(StepFigures.all.map(\.figure)) == Set(FigureName.allCases))
  }

  @Test func `the example dashboard asks for metrics that exist`() throws {
    let path = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined() + "/cluster/grafana/ttrl.json"
    let dashboard = try JSON.parse(try contents(of: path))
    var view = RunView()
    var worker = WorkerView(name: "ada", address: "", arithmetic: "", isConnected: true, joinedAt: 0)
    (worker.rate, worker.silence, worker.slots, worker.leases) = (1, 1, 1, 1)
    (view.workers, view.samplingRate, view.stepCount) = ([worker], 1, 200)
    // A step that has every figure there is.
    var digest = digest(of: MadeUpRun())
    let figures = StepFigures.all.map { JSON.Member($0.name, .int(1)) }
    digest.add(.object([JSON.Member("kind", "step"), JSON.Member("step", .int(digest.lastStep + 1))] + figures))
    let served = Prometheus.text(view, digest, version: "1")
    let panels = try #require(dashboard["panels"]?.elements)
    #expect(panels.count > 10)
    var asked: Set<String> = []
    for target in panels.flatMap({ $0["targets"]?.elements ?? [] }) {
      let text = target["expr"]?.string ?? ""
      asked.formUnion(
        text.split { !($0.isLetter || $0.isNumber || $0 == "_") }.map(String.init).filter { $0.hasPrefix("ttrl_") })
    }
    #expect(asked.count > 20)
    for name in asked.sorted() where name != "ttrl_guard_alarm" {
      #expect(served.contains("# TYPE \(name) "), "\(name) is not served")
    }
  }

}

/// All bytes of a file.
func contents(of path: String) throws -> [UInt8] {
  let file = try #require(fopen(path, "r"), "\(path) cannot be read")
  defer { fclose(file) }
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 1 << 16)
  while true {
    let count = fread(&chunk, 1, chunk.count, file)
    if count == 0 { return bytes }
    bytes += chunk[..<count]
  }
}
