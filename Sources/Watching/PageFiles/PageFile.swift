// PageFile: the styles and scripts of the live page and of the report, as text.
//
// They are real files, in Sources/Watching/CPageFiles/files, where editors and linters can read them; they are embedded
// when the program is built (CPageFiles). A test compares what is embedded with the files.

import CPageFiles

/// A file by its name.
package enum PageFile: String, CaseIterable, Sendable {
  case sharedStyle = "shared.css"
  case pageStyle = "page.css"
  case reportStyle = "report.css"
  case sharedScript = "shared.js"
  case reportScript = "report.js"
  case toolsScript = "page-tools.js"
  case chartsScript = "page-charts.js"
  case overviewScript = "page-overview.js"
  case listsScript = "page-lists.js"
  case promptScript = "page-prompt.js"
  case startScript = "page-start.js"

  /// The whole file.
  package var text: String {
    var count = 0
    guard let bytes = ttrl_page_file(rawValue, &count) else { preconditionFailure("\(rawValue) is not embedded") }
    return String(decoding: UnsafeBufferPointer(start: bytes, count: count), as: UTF8.self)
  }

  /// Several files, one after the other.
  package static func text(_ files: [PageFile]) -> String { files.map(\.text).joined(separator: "\n") }
}
