// PageShell: `ttrl page`, a process that shows a run and has no part in it.
//
// One loop: it looks at the run once a second (RunWatch), keeps the event files up to date (EventFileWriter), and
// answers requests from what it remembers. It reads the ledger through a connection that cannot write, and the run does
// not know that it exists. If it is killed, hangs or is slow, the run goes on; it only uses some of the processor, at a
// low priority. An answer that many clients ask for is made once per look.

import Base
import Glibc
import Ledger
import Observatory
package import Platform
import Records
import RunReading
package import Runs
import Settings

package struct PageOptions: Sendable {
  package var address: HostPort
  /// nil: no token is needed.
  package var token: PageToken?
  /// Keep RUN/tensorboard up to date.
  package var keepsEventFiles: Bool
  /// Leave the URL in RUN/page.address.
  package var announces: Bool

  package init(address: HostPort, token: PageToken?, keepsEventFiles: Bool = true, announces: Bool = true) {
    self.address = address
    self.token = token
    self.keepsEventFiles = keepsEventFiles
    self.announces = announces
  }
}

package final class PageShell {
  private let watch: RunWatch
  private let options: PageOptions
  private let loop: EventLoop
  private let access: PageAccess
  private let files: EventFileWriter
  private var server: HTTPServer?
  private var responses: ResponseReader?
  private var isStopping = false
  private var hasComplained = false
  /// Answers by path and query; emptied at every look.
  private var cache: [String: [UInt8]] = [:]

  /// The course whose stage the run is, and when it was read; nil if the run is not a stage.
  private var course: (view: CourseView, at: Instant)?
  private let place: CoursePlace?

  private static let cacheMax = 32
  /// All stages are read for it.
  private static let courseInterval = Instant.Span.seconds(10)
  private static let interval = Instant.Span.seconds(1)
  /// Characters of the text that prompts are searched for.
  private static let findMax = 200

  /// - Throws: `PlatformError` if the process has no descriptor left.
  package init(_ directory: RunDirectory, _ options: PageOptions) throws(PlatformError) {
    watch = RunWatch(directory)
    place = CoursePlace(of: directory)
    self.options = options
    loop = try EventLoop()
    access = PageAccess(token: options.token, run: (try? RunManifest(reading: directory))?.id ?? directory.path)
    files = EventFileWriter(directory)
  }

  /// Serves until a signal asks to stop.
  ///
  /// - Parameter ready: gets the URL once it can be opened.
  /// - Throws: `PageTokenError` for an address beyond loopback without a token; `PlatformError` if the address
  ///   cannot be listened on.
  package func serve(ready: (String) -> Void) throws {
    guard options.address.isLoopback || options.token != nil else { throw PageTokenError.needed(options.address) }
    // The run's own processes come first.
    setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 10)
    try loop.onSignals([Signal.terminate, Signal.interrupt, Signal.hangup]) { _ in self.stop() }
    look()
    let server = try HTTPServer(on: options.address, loop: loop) { self.answer($0) }
    self.server = server
    let url = "http://\(server.address)/"
    if options.announces { try? Files.write(url + "\n", to: watch.directory.pageAddress, mode: 0o600) }
    Log.info("page.listen", ["url": url, "token": options.token == nil ? "none" : "needed"])
    ready(url)
    while !isStopping { loop.run() }
    // The event files must have the end of the run, too.
    catchUp()
    server.close()
    if options.announces { try? Files.removeTree(watch.directory.pageAddress) }
  }

  private func stop() {
    isStopping = true
    loop.stop()
  }

  /// Writes what is missing in the event files, for half a second at most.
  private func catchUp() {
    let deadline = MonotonicClock.now() + .milliseconds(500)
    watch.refresh()
    while keepEventFiles(), MonotonicClock.now() < deadline {}
  }

  /// A ledger that cannot be read is read again at the next look. The log says so once.
  ///
  /// - Returns: whether there is more to write at once.
  private func keepEventFiles() -> Bool {
    guard options.keepsEventFiles, let ledger = watch.ledger else { return false }
    do {
      let hasMore = try files.refresh(ledger)
      hasComplained = false
      return hasMore
    } catch {
      if !hasComplained { Log.warning("tensorboard.waits", ["reason": "\(error)"]) }
      hasComplained = true
      return false
    }
  }

  /// The stages of the course, as they were at the last look. A ledger that is busy is read again later.
  private func lookAtCourse() {
    let now = MonotonicClock.now()
    guard let place, course.map({ now.since($0.at) > Self.courseInterval }) ?? true else { return }
    guard let view = try? place.directory.view(now: WallClock.seconds()) else { return }
    course = (view, now)
  }

  /// Reads what is new; a long history in pieces, between which requests are answered.
  private func look() {
    let hasMore = watch.refresh()
    lookAtCourse()
    cache = [:]
    let hasMoreEvents = keepEventFiles()
    let pause = hasMore || hasMoreEvents ? Instant.Span.milliseconds(10) : Self.interval
    loop.schedule(at: MonotonicClock.now() + pause) { self.look() }
  }

  // MARK: Answers

  private func answer(_ request: HTTPRequest) -> HTTPResponse {
    var response: HTTPResponse
    switch access.verdict(on: request) {
    case .allowed:
      response =
        request.method == "POST"
        ? request.path == "/enter" ? access.enter(request.body) : .text(405, "nothing can be changed here")
        : found(request)
    case .needsToken:
      response = request.method == "POST" && request.path == "/enter" ? access.enter(request.body) : refusal(request)
    case .otherHost:
      response = .text(
        421, "this page answers only requests to 127.0.0.1 or localhost; for others, start it with --page-token FILE")
    }
    response.headers += [
      ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"),
      ("X-Frame-Options", "DENY"), ("Cross-Origin-Resource-Policy", "same-origin"),
    ]
    return response
  }

  /// A browser gets a form, a program a sentence.
  private func refusal(_ request: HTTPRequest) -> HTTPResponse {
    var response =
      request.path == "/"
      ? PageAccess.form : .text(401, "a token is needed: send \"Authorization: Bearer TOKEN\", or open / in a browser")
    response.headers.append(("WWW-Authenticate", "Bearer realm=\"ttrl\""))
    return response
  }

  private func found(_ request: HTTPRequest) -> HTTPResponse {
    switch request.path {
    case "/":
      var page = HTTPResponse(type: "text/html; charset=utf-8", Page.bytes)
      page.headers = [("Content-Security-Policy", Page.policy)]
      return page
    case "/metrics":
      let text = cached("/metrics") {
        Array(Prometheus.text(watch.view, watch.digest, version: Program.version).utf8)
      }
      return HTTPResponse(type: Prometheus.contentType, text)
    case let path where path.hasPrefix("/api/"):
      do {
        guard let bytes = try data(request) else { return .text(404, "there is no \(path)") }
        return HTTPResponse(type: "application/json", bytes)
      } catch let missing as Missing {
        return .text(404, missing.what)
      } catch {
        return .text(503, "the run cannot be read now: \(error)")
      }
    default: return .text(404, "there is nothing at this path; the page is at /")
    }
  }

  private func cached(_ key: String, _ make: () -> [UInt8]) -> [UInt8] {
    if let known = cache[key] { return known }
    let bytes = make()
    if cache.count < Self.cacheMax { cache[key] = bytes }
    return bytes
  }

  /// Something of the run that was asked for and is not there, in a sentence.
  private struct Missing: Error { let what: String }

  /// - Returns: nil if there is no such answer.
  private func data(_ request: HTTPRequest) throws -> [UInt8]? {
    func integer(_ name: String) -> Int? { request.query(name).flatMap { Int($0) } }
    let offset = min(max(0, integer("offset") ?? 0), 1 << 30)
    let limit = min(max(1, integer("limit") ?? 100), PageAnswers.rowsMax)
    let (view, digest) = (watch.view, watch.digest)
    switch request.path {
    case "/api/run":
      return cached("run") { PageAnswers.run(view, digest, settings: settings, course: course?.view).bytes() }
    case "/api/charts": return cached("charts") { PageAnswers.charts(digest).bytes() }
    case "/api/curves":
      let points = min(max(2, integer("points") ?? PageAnswers.pointsUsual), PageAnswers.pointsMax)
      return cached("curves \(points)") { PageAnswers.curves(digest, points: points).bytes() }
    case "/api/fleet":
      return cached("fleet \(offset) \(limit)") { PageAnswers.fleet(view, from: offset, limit: limit).bytes() }
    case "/api/steps": return PageAnswers.steps(digest, before: integer("before"), limit: limit).bytes()
    case "/api/settings":
      return PageAnswers.settings(
        settings, example: (try? watch.ledger?.examplePrompt()) ?? nil, versions: ["ttrl": .string(Program.version)],
        manifest: facts
      ).bytes()
    default: return try stored(request, integer, offset: offset, limit: limit)
    }
  }

  /// Answers that need the ledger.
  private func stored(
    _ request: HTTPRequest, _ integer: (String) -> Int?, offset: Int, limit: Int
  ) throws -> [UInt8]? {
    guard let ledger = watch.ledger else { return nil }
    switch request.path {
    case "/api/events":
      let events = try ledger.events(before: integer("before").map(Int64.init), limit: limit)
      return PageAnswers.events(
        events.map {
          RunView.EventView(number: Int($0.number), time: $0.happenedAt, kind: $0.kind, detail: $0.detail)
        }
      ).bytes()
    case "/api/prompts": return try prompts(ledger, request, offset: offset, limit: limit)
    case "/api/prompt":
      guard let prompt = try request.query("id").flatMap({ try self.prompt(ledger, $0) }) else {
        let count = try ledger.promptCount(of: .training)
        throw Missing(
          what: "there is no prompt \(named(request.query("id"))); the run has \(counted(count, "prompt"))"
            + (count > 0 ? ", #0 to #\(count - 1)" : ""))
      }
      return PageAnswers.prompt(prompt, watch.digest.prompts[prompt.index]).bytes()
    case "/api/responses":
      guard let prompt = integer("prompt").flatMap(UInt32.init(exactly:)),
        let step = integer("step"), (0..<(1 << 24)).contains(step)
      else { return nil }
      return try responses(ledger, to: prompt, inStep: UInt32(step), from: offset)
    case "/api/step":
      guard let step = integer("step"), let text = try ledger.metrics(ofStep: step) else {
        let last = watch.digest.lastStep
        throw Missing(
          what: "there is no record of step \(named(request.query("step"))); "
            + (last < 0 ? "no step is done yet" : "steps 0 to \(grouped(last)) are done"))
      }
      let record = try MetricsRow.parse(text)
      var ids = SortedMap<Int, String>()
      for prompt in record["prompts"]?.elements?.prefix(PageAnswers.rowsMax) ?? [] {
        guard let index = prompt["prompt"]?.int, index >= 0 else { continue }
        ids[index] = try self.prompt(ledger, "#\(index)")?.id
      }
      return PageAnswers.step(record, ids: ids).bytes()
    default: return nil
    }
  }

  /// What a request named, shortened: it can be anything.
  private func named(_ name: String?) -> String { "\"\(PageAnswers.cut(name ?? "", 40))\"" }

  /// A training prompt by its index, with or without "#".
  private func prompt(_ ledger: Ledger, _ name: String) throws(LedgerError) -> PromptText? {
    guard let index = Int(name.hasPrefix("#") ? String(name.dropFirst()) : name), index >= 0 else { return nil }
    return try ledger.prompts(of: .training, from: index, limit: 1).first { Int($0.index) == index }
      .map { PromptText($0) }
  }

  /// The prompts that a request chooses: those with a text, those with certain votes, in an order.
  private func prompts(
    _ ledger: Ledger, _ request: HTTPRequest, offset: Int, limit: Int
  ) throws(LedgerError) -> [UInt8] {
    let all = try ledger.promptCount(of: .training)
    let text = request.query("find") ?? ""
    let choice = PromptChoice(show: request.query("show"), order: request.query("order"))
    let found =
      text.isEmpty
      ? Array(0..<all) : try ledger.promptIndices(of: .training, containing: String(text.prefix(Self.findMax)))
    let chosen = choice.chosen(from: found, watch.digest)
    var texts: [PromptText] = []
    for index in chosen.dropFirst(offset).prefix(limit) {
      if let text = try prompt(ledger, "#\(index)") { texts.append(text) }
    }
    return PageAnswers.prompts(watch.digest, texts, total: chosen.count, of: all, from: offset).bytes()
  }

  private func responses(
    _ ledger: Ledger, to prompt: UInt32, inStep step: UInt32, from sample: Int
  ) throws -> [UInt8]? {
    guard let settings = watch.settings else { return nil }
    let reader = responses ?? ResponseReader(watch.directory, settings)
    responses = reader
    let visit = watch.digest.prompts[Int(prompt)]?.visits.last { Int($0.step) == step }
    return PageAnswers.responses(
      try reader.responses(ledger, to: prompt, inStep: step, from: sample, visit: visit), prompt: Int(prompt),
      step: Int(step), from: sample, seed: "\(settings.method.seed)", problem: reader.problem
    ).bytes()
  }

  /// The settings of the run, in the order of their table.
  private var settings: [ShownSetting] { watch.settings?.shown ?? [] }

  private var facts: [(name: String, value: String)] {
    ["run", "version", "model_sha256"].compactMap { name in
      watch.manifest?.json[name]?.string.map { (name, $0) }
    }
  }
}
