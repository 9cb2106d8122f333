// PageCommand: `ttrl page`, and the process of it that `ttrl train` keeps beside a run.
//
// The page is a process of its own that only reads. It may crash, hang or find its port taken: the run never waits for
// it, never fails for it, and is not told. `train` starts it again a few times and then lets it be.

import Base
import Commands
import Foundation
import PageRole
import Platform
import Runs
import Settings

extension Command {
  @Sendable static func page(_ settings: Settings, given: [String]) throws -> Int32 {
    let directory = RunDirectory(ThisProcess.absolute(settings.run))
    guard Files.exists(directory.settings) else { throw RunError.notARun(path: directory.path) }
    guard settings.page != Settings.noPage else {
      throw SettingsError(problems: ["--page none serves no page; leave it out, or give an address"])
    }
    try Log.start(role: "page")
    let found = settings.pageToken.isEmpty ? nil : try PageToken.readOrMake(ThisProcess.absolute(settings.pageToken))
    if let found, found.isNew { complain("made a token for the page, in \(settings.pageToken)") }
    let options = PageOptions(address: try HostPort(parsing: settings.page), token: found?.token)
    try PageShell(directory, options).serve { url in complain("page: \(url)") }
    return ExitStatus.done
  }

  /// What is wrong with where a page is to be served, and to whom.
  @Sendable static func pageProblems(_ settings: Settings) -> [String] {
    guard settings.page != Settings.noPage else { return [] }
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
  private let settings: Settings
  private let loop: EventLoop
  private let say: (String) -> Void
  private var process: ChildProcess?
  private var starts = 0
  private var isStopping = false
  /// Where the page was when the run was stopped: bookmarks should go on working.
  private var wanted: String?
  private var shown = ""

  /// A page that dies more often has a reason that starting it again does not mend.
  private static let startsMax = 5

  /// - Parameter say: tells the user where the page is.
  init(_ directory: RunDirectory, _ settings: Settings, loop: EventLoop, say: @escaping (String) -> Void) {
    self.directory = directory
    self.settings = settings
    self.loop = loop
    self.say = say
    if let text = try? Files.readText(directory.pageAddress), settings.page.hasSuffix(":0") {
      let address = text.split(separator: "/").dropFirst().first.map(String.init) ?? ""
      if address.hasPrefix(settings.page.dropLast(1)) { wanted = address }
    }
  }

  /// The URL, once it is known.
  var url: String { shown }

  func start() {
    guard settings.page != Settings.noPage, !isStopping, starts < Self.startsMax else { return }
    starts += 1
    try? Files.removeTree(directory.pageAddress)
    let address = starts == 1 ? wanted ?? settings.page : settings.page
    let log = directory.logs + "/page.log"
    guard let program = try? ThisProcess.executablePath() else { return }
    let token = settings.pageToken.isEmpty ? [] : ["--page-token", ThisProcess.absolute(settings.pageToken)]
    var command = ChildProcess.Command(program, ["page", "--run", directory.path, "--page", address] + token)
    command.output = .file(log)
    command.errors = .file(log)
    command.ownGroup = true
    do throws(PlatformError) {
      process = try ChildProcess(command, loop: loop) { _ in self.ended() }
    } catch {
      // A log directory that is full has no place for its words either.
      command.output = .discarded
      command.errors = .discarded
      process = try? ChildProcess(command, loop: loop) { _ in self.ended() }
    }
    lookForAddress()
  }

  private func ended() {
    process = nil
    guard !isStopping else { return }
    if starts == Self.startsMax { say("the page cannot be served (log: \(directory.logs)/page.log); the run goes on") }
    loop.schedule(at: MonotonicClock.now() + .seconds(UInt64(starts == 1 ? 0 : 2))) { self.start() }
  }

  private func lookForAddress() {
    guard process != nil, !isStopping else { return }
    let found = ((try? Files.readText(directory.pageAddress)) ?? "").trimmingCharacters(in: .whitespacesAndNewlines)
    guard found.isEmpty else {
      if found != shown { say("page: \(found)") }
      shown = found
      return
    }
    loop.schedule(at: MonotonicClock.now() + .milliseconds(100)) { self.lookForAddress() }
  }

  /// Ends the page, without waiting for more than a moment.
  func stop() {
    isStopping = true
    process?.signal(Signal.terminate)
    let deadline = MonotonicClock.now() + .seconds(1)
    while process != nil, MonotonicClock.now() < deadline { loop.run(until: MonotonicClock.now() + .milliseconds(20)) }
    process?.signal(Signal.kill)
  }
}
