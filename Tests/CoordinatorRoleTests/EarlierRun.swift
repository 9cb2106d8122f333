// EarlierRun: a finished run that an earlier version of the program made.

import Foundation
import Platform
import Runs

/// A copy of the fixture, with the built-in model in its settings. Removed with the test.
final class EarlierRun {
  let directory: RunDirectory

  init() throws {
    let fixture = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Fixtures/earlier-run")
    let path = NSTemporaryDirectory() + "ttrl-test-\(UUID().uuidString)"
    try FileManager.default.copyItem(atPath: fixture.path, toPath: path)
    directory = RunDirectory(path)
    let settings = try Files.readText(directory.settings).replacingOccurrences(
      of: "\"MODEL\"", with: "\"\(try BuiltIn.unpacked())\"")
    try Files.write(settings, to: directory.settings)
  }

  deinit { try? Files.removeTree(directory.path) }
}
