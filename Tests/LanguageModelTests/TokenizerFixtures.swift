// The files of these tests: fixtures, which always exist, and the shared folder, if there is one.
//
// The shared folder (a real vocabulary, model checkpoints) is too large for the repository. The environment variable
// TTRL_SHARED names it; by default it is next to the package. Without it, the tests that need it are skipped.

import Foundation

/// The processor time that `work` takes on this thread. Unlike wall-clock time, it does not grow with the machine's
/// load.
func processorSeconds(_ work: () throws -> Void) rethrows -> Double {
  func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
  let start = now()
  try work()
  return now() - start
}

enum TestFiles {
  static let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
  static let fixtures = package.appendingPathComponent("Tests/Fixtures")

  static let shared: URL? = {
    let folder =
      ProcessInfo.processInfo.environment["TTRL_SHARED"].map { URL(fileURLWithPath: $0) }
      ?? package.deletingLastPathComponent().appendingPathComponent("shared")
    return FileManager.default.fileExists(atPath: folder.path) ? folder : nil
  }()

  static let hasShared = shared != nil

  static func bytes(_ url: URL) throws -> [UInt8] { Array(try Data(contentsOf: url)) }

  static func fixture(_ path: String) throws -> [UInt8] { try bytes(fixtures.appendingPathComponent(path)) }

  /// Only for tests that are enabled by `hasShared`.
  static func shared(_ path: String) throws -> [UInt8] {
    guard let shared else { throw CocoaError(.fileNoSuchFile) }
    return try bytes(shared.appendingPathComponent(path))
  }
}
