// Program: the built `ttrl`, started as users start it.
//
// These tests are about processes: exit statuses, words on standard error, what is left running, what the files say.
// Nothing of the program is linked in here. The binary is the one that was built beside the test bundle, in the same
// configuration; without it the suite is skipped and says so.

import Foundation
import Testing

/// All end-to-end tests, one at a time: each starts processes that want every core.
@Suite(.serialized, .enabled(if: Program.isBuilt, "no ttrl beside the test bundle; run: swift build -c release"))
struct EndToEnd {}

enum Program {
  /// Of the directory that holds this package.
  static let packageRoot = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  /// `ttrl` or `ttrl-dev`, beside the running test bundle.
  static func path(_ name: String = "ttrl") -> String {
    let bundle = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    return URL(fileURLWithPath: bundle).deletingLastPathComponent().appendingPathComponent(name).path
  }

  /// The workshop's program.
  static var dev: String { path("ttrl-dev") }

  static let isBuilt = FileManager.default.isExecutableFile(atPath: path())

  /// A program that has ended.
  struct Outcome {
    let status: Int32
    let output: String
    let errors: String
    let seconds: Double
  }

  /// Runs to the end.
  ///
  /// - Parameters:
  ///   - arguments: of `ttrl`, or of `program`.
  ///   - input: its standard input.
  ///   - environment: added to this process's own.
  ///   - seconds: after which it is killed, which fails the test.
  static func run(
    _ arguments: [String], program: String = path(), input: Data = Data(), environment: [String: String] = [:],
    within seconds: Double = 60
  ) throws -> Outcome {
    try Running(arguments, program: program, input: input, environment: environment).wait(within: seconds)
  }
}

/// A program that runs. Its output goes to files, so that no pipe can fill up and stop it.
final class Running {
  private let process = Process()
  private let scratch = Scratch()
  private let begun = Date()

  init(
    _ arguments: [String], program: String = Program.path(), input: Data = Data(), environment: [String: String] = [:]
  ) throws {
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    // The built-in model is unpacked into a cache of the tests' own.
    let cache = ["XDG_CACHE_HOME": Scratch.shared.file("cache")]
    process.environment = ProcessInfo.processInfo.environment.merging(cache) { $1 }.merging(environment) { $1 }
    process.standardInput = try FileHandle(forReadingFrom: URL(fileURLWithPath: scratch.write(input, to: "input")))
    process.standardOutput = FileHandle(forWritingAtPath: scratch.write("", to: "output"))
    process.standardError = FileHandle(forWritingAtPath: scratch.write("", to: "errors"))
    try process.run()
  }

  deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }

  var id: Int32 { process.processIdentifier }
  var isRunning: Bool { process.isRunning }
  var output: String { scratch.read("output") }
  var errors: String { scratch.read("errors") }

  func signal(_ number: Int32) { kill(id, number) }

  /// Waits for its end. One that does not come is brought about, and is an issue.
  func wait(within seconds: Double = 60) -> Program.Outcome {
    if !eventually(within: seconds, { !self.process.isRunning }) {
      Issue.record("it still ran after \(seconds) s: \(process.arguments ?? [])\n\(errors)")
      kill(id, SIGKILL)
    }
    process.waitUntilExit()
    let isSignal = process.terminationReason == .uncaughtSignal
    return Program.Outcome(
      status: isSignal ? 128 + process.terminationStatus : process.terminationStatus, output: output, errors: errors,
      seconds: Date().timeIntervalSince(begun))
  }
}

/// Looks again and again until something holds.
///
/// - Returns: whether it came to hold in time.
func eventually(within seconds: Double = 30, _ holds: () -> Bool) -> Bool {
  let deadline = Date() + seconds
  while !holds() {
    if Date() > deadline { return false }
    usleep(5_000)
  }
  return true
}

/// A directory that is removed with the object.
final class Scratch: Sendable {
  let path: String

  /// Lives as long as the process.
  static let shared: Scratch = {
    atexit { try? FileManager.default.removeItem(atPath: Scratch.sharedPath) }
    return Scratch(at: sharedPath)
  }()
  private static let sharedPath = NSTemporaryDirectory() + "ttrl-tests-\(getpid())"

  convenience init() { self.init(at: NSTemporaryDirectory() + "ttrl-test-\(UUID().uuidString)") }

  private init(at path: String) {
    self.path = path
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String) -> String { path + "/" + name }

  /// - Returns: the file's path.
  @discardableResult func write(_ text: String, to name: String) -> String { write(Data(text.utf8), to: name) }

  @discardableResult func write(_ data: Data, to name: String) -> String {
    _ = FileManager.default.createFile(atPath: file(name), contents: data)
    return file(name)
  }

  func read(_ name: String) -> String { textOfFile(file(name)) }
}

/// Empty if there is no such file.
func textOfFile(_ path: String) -> String {
  String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
}
