// Served: a page of a run directory, asked by a program, for tests that are not about the page alone.

import Foundation
import Testing

final class Served {
  private let page: Running
  private let url: String

  init(_ directory: String) throws { (page, url) = try EndToEnd.PageTests.serve(directory) }

  deinit { stop() }

  /// The body of an answer, whatever its status.
  func get(_ path: String) throws -> String { try EndToEnd.PageTests.get(url, path).body }

  func stop() { page.signal(SIGTERM) }
}
