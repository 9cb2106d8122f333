// PageCommand: `ttrl page`, and the process of it that `ttrl train` keeps running during a run.
//
// The page is a separate process that only reads. It can crash, hang or find its port in use: the run never waits for
// it and does not fail because of it. `train` starts it again a few times and then leaves it.

import Base
import Commands
import Foundation
import PageRole
import Platform
import Runs
import Settings

extension Command {
  @Sendable static func page(_ settings: OperationSettings, _ call: CallSettings) throws -> Int32 {
    let directory = try shownRun(RunDirectory(ThisProcess.absolute(settings.run)))
    guard try Files.exists(directory.settings) else { throw RunError.notARun(path: directory.path) }
    guard settings.page != OperationSettings.noPage else {
      throw SettingsError(problems: ["--page none serves no page; leave it out, or give an address"])
    }
    Log.start(role: "page")
    let found = settings.pageToken.isEmpty ? nil : try PageToken.readOrMake(ThisProcess.absolute(settings.pageToken))
    if let found, found.isNew { complain("made a token for the page, in \(settings.pageToken)") }
    // In another user's directory the page only reads.
    let isOwn = (try? OwnedDirectory.require(directory.path)) != nil
    let options = PageOptions(
      address: try HostPort(parsing: settings.page), token: found?.token, keepsEventFiles: isOwn, announces: isOwn)
    do {
      try PageShell(directory, options).serve { url in complain("page: \(url)") }
    } catch PlatformError.addressInUse(let address) {
      throw UserError(
        "cannot serve the page on \(address): another process listens there. Stop it (ss -ltnp names it), or give "
          + "another address with --page; port 0 takes any free port")
    }
    return ExitStatus.done
  }

  /// What is wrong with the page's address and token.
  @Sendable static func pageProblems(_ settings: OperationSettings) -> [String] {
    guard settings.page != OperationSettings.noPage else { return [] }
    do throws(PlatformError) {
      let address = try HostPort(parsing: settings.page)
      return address.isLoopback || !settings.pageToken.isEmpty ? [] : ["\(PageTokenError.needed(address))"]
    } catch {
      return ["\(error)"]
    }
  }
}

/// The page of a run that this machine trains.
final class PageKeeper {
  private let directory: RunDirectory
  private let settings: OperationSettings
  private let loop: EventLoop
  private let say: (String) -> Void
  private var process: ChildProcess?
  private var starts = 0
  /// The size of its log before its latest start.
  private var logBytes = 0
  /// Why the page is not served, as it was said last.
  private var problem = ""
  private var isStopping = false
  /// Where the page was when the run was stopped. The same address again keeps bookmarks valid.
  private var formerAddress: String?
  /// The page's URL, when it is known.
  private(set) var url = ""

  /// A page that fails more often has a reason that a restart does not fix.
  private static let startsMax = 5

  /// - Parameter say: tells the user where the page is.
  init(_ directory: RunDirectory, _ settings: OperationSettings, loop: EventLoop, say: @escaping (String) -> Void) {
    self.directory = directory
    self.settings = settings
    self.loop = loop
    self.say = say
    if let text = try? Files.readText(directory.pageAddress), settings.page.hasSuffix(":0") {
      let address = text.split(separator: "/").dropFirst().first.map(String.init) ?? ""
      if address.hasPrefix(settings.page.dropLast(1)) { formerAddress = address }
    }
  }

  func start() {
    guard settings.page != OperationSettings.noPage, !isStopping, starts < Self.startsMax else { return }
    starts += 1
    try? Files.removeTree(directory.pageAddress)
    let address = starts == 1 ? formerAddress ?? settings.page : settings.page
    logBytes = (try? Files.size(of: log)) ?? 0
    guard let program = try? ThisProcess.executablePath() else { return }
    let token = settings.pageToken.isEmpty ? [] : ["--page-token", ThisProcess.absolute(settings.pageToken)]
    var command = ChildProcess.Command(program, ["page", "--run", directory.path, "--page", address] + token)
    command.output = .file(log)
    command.errors = .file(log)
    command.ownGroup = true
    do throws(PlatformError) {
      process = try ChildProcess(command, loop: loop) { _ in self.ended() }
    } catch {
      // The disk of the log directory can be full.
      command.output = .discarded
      command.errors = .discarded
      process = try? ChildProcess(command, loop: loop) { _ in self.ended() }
    }
    lookForAddress()
  }

  private var log: String { directory.logs + "/page.log" }

  private func ended() {
    process = nil
    guard !isStopping else { return }
    // The address of an earlier start can be taken; then another one is tried at once.
    let isFirstOfTwo = starts == 1 && formerAddress != nil
    let isServed = (try? Files.exists(directory.pageAddress)) == true
    if !isFirstOfTwo, !isServed || starts == Self.startsMax {
      let words = LastWords.of("page", log: log, from: logBytes)
      if words != problem {
        say(
          "NO PAGE   \(words)\nnext      the run goes on without its page. When the cause is fixed: ttrl page --run "
            + "\(Reach.word(directory.path)) (--page HOST:PORT for another address). The log: \(log)")
      }
      problem = words
    }
    loop.schedule(at: MonotonicClock.now() + .seconds(UInt64(starts == 1 ? 0 : 2))) { self.start() }
  }

  private func lookForAddress() {
    guard process != nil, !isStopping else { return }
    let found = ((try? Files.readText(directory.pageAddress)) ?? "").trimmingCharacters(in: .whitespacesAndNewlines)
    guard found.isEmpty else {
      if found != url { say("page: \(found.visible)") }
      url = found
      return
    }
    loop.schedule(at: MonotonicClock.now() + .milliseconds(100)) { self.lookForAddress() }
  }

  /// Ends the page. Waits a second at most.
  func stop() {
    isStopping = true
    process?.signal(Signal.terminate)
    let deadline = MonotonicClock.now() + .seconds(1)
    while process != nil, MonotonicClock.now() < deadline { loop.run(until: MonotonicClock.now() + .milliseconds(20)) }
    process?.signal(Signal.kill)
  }
}
