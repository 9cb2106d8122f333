// The reference documentation of the library targets, made from their comments.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct ReferenceTests {
    private static let hasTools =
      ["docc", "swift-symbolgraph-extract"].allSatisfy { tool in
        (try? Program.run(["-c", "command -v \(tool)"], program: "/bin/sh"))?.status == 0
      }
    /// scripts/reference reads the release build.
    private static let isReleaseBuild = Program.path().contains("/release/")

    @Test(.enabled(if: hasTools && isReleaseBuild, "needs docc and swift build -c release"))
    func `DocC makes the reference without a warning`() throws {
      let outcome = try Program.run(
        [Scratch.shared.file("reference")],
        program: Program.packageRoot.appendingPathComponent("scripts/reference").path, within: 300)
      #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
    }
  }
}
