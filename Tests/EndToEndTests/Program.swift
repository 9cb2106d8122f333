// Program: the built `ttrl`, started as users start it.
//
// These tests check processes: exit statuses, standard error, remaining processes, files. No code of the program is
// linked into them. The binary is the one in the directory of the test bundle, built in the same configuration; without
// it the suite is skipped with a message.

import Foundation
import Testing

/// All end-to-end tests. They run one at a time, because each starts processes that use all cores.
@Suite(.serialized, .enabled(if: Program.isBuilt, "no ttrl next to the test bundle; run: swift build -c release"))
struct EndToEnd {}

enum Program {
  /// The path of the package's directory.
  static let packageRoot = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  /// The path of `ttrl` or `ttrl-dev`, in the directory of the running test bundle.
  static func path(_ name: String = "ttrl") -> String {
    let bundle = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    return URL(fileURLWithPath: bundle).deletingLastPathComponent().appendingPathComponent(name).path
  }

  /// The path of `ttrl-dev`.
  static var dev: String { path("ttrl-dev") }

  static let isBuilt = FileManager.default.isExecutableFile(atPath: path())

  /// A program that has ended.
  struct Outcome {
    let status: Int32
    let output: String
    let errors: String
    let seconds: Double
  }

  /// Runs a program to its end.
  ///
  /// - Parameters:
  ///   - arguments: for `ttrl`, or for `program`.
  ///   - input: its standard input.
  ///   - environment: added to this process's environment.
  ///   - seconds: the time after which it is killed, and the test fails.
  static func run(
    _ arguments: [String], program: String = path(), input: Data = Data(), environment: [String: String] = [:],
    within seconds: Double = 60
  ) throws -> Outcome {
    try Running(arguments, program: program, input: input, environment: environment).wait(within: seconds)
  }
}

/// A running program. Its output goes to files, because a full pipe would block it.
final class Running {
  private let process = Process()
  private let scratch = Scratch()
  private let begun = Date()

  init(
    _ arguments: [String], program: String = Program.path(), input: Data = Data(), environment: [String: String] = [:]
  ) throws {
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    // The built-in model is unpacked into a cache that only the tests use.
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

  /// Waits for its end. A program that does not end in time is killed, and an issue is recorded.
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

/// Checks a condition repeatedly until it is true.
///
/// - Returns: whether it became true in time.
func eventually(within seconds: Double = 30, _ holds: () -> Bool) -> Bool {
  let deadline = Date() + seconds
  while !holds() {
    if Date() > deadline { return false }
    usleep(5_000)
  }
  return true
}

/// A temporary directory, removed with the object.
final class Scratch: Sendable {
  let path: String

  /// Exists as long as the process.
  static let shared: Scratch = {
    atexit { try? FileManager.default.removeItem(atPath: Scratch.sharedPath) }
    return Scratch(at: sharedPath)
  }()
  private static let sharedPath = NSTemporaryDirectory() + "ttrl-tests-\(UUID().uuidString)"

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

/// The text of a file; empty if the file does not exist.
func textOfFile(_ path: String) -> String {
  String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
}
