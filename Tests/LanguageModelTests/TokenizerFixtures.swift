// Where the tests of text find their files: fixtures that always exist, and the shared folder where there is one.
//
// The shared folder is too large for the repository (a real vocabulary, model checkpoints). It is named by the
// environment variable TTRL_SHARED, or lies beside the package; where it is absent the tests that need it are skipped.

import Foundation

/// The processor time that `work` takes on this thread: unlike the time on the wall it does not grow with the load.
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

  /// Only in tests that are enabled by `hasShared`.
  static func shared(_ path: String) throws -> [UInt8] {
    guard let shared else { throw CocoaError(.fileNoSuchFile) }
    return try bytes(shared.appendingPathComponent(path))
  }
}
