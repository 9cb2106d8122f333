// The styles and scripts inside the program are the files of the repository, and they can do no harm.

import Base
import Foundation
import Observatory
import PageFiles
import Testing

@Suite struct PageFileTests {
  private static let directory =
    #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined() + "/Sources/Watching/CPageFiles/files"

  @Test(arguments: PageFile.allCases) func `what is embedded is the file`(file: PageFile) throws {
    #expect(try contents(of: "\(Self.directory)/\(file.rawValue)") == Array(file.text.utf8))
  }

  @Test func `every file is embedded`() throws {
    let names = try FileManager.default.contentsOfDirectory(atPath: Self.directory)
    #expect(names.sorted() == PageFile.allCases.map(\.rawValue).sorted())
  }

  @Test(arguments: PageFile.allCases) func `no script can make markup or code of text, and no file is fetched`(
    file: PageFile
  ) {
    for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "import "] {
      #expect(!file.text.contains(word), "\(word)")
    }
    for word in ["url(", "https:", "</script", "</style"] { #expect(!file.text.contains(word), "\(word)") }
  }

  @Test func `the page's script has no words of the charts: they are in the table`() {
    for chart in Charts.all + [Charts.agreement] {
      for text in [chart.title, chart.help, Charts.axis] {
        #expect(!PageDocument.script.contains(text), "\(text)")
      }
    }
  }

  @Test func `page and report have one style for what they share`() {
    let shared = PageFile.sharedStyle.text
    #expect(PageDocument.style.hasPrefix(shared))
    #expect(Report.html(RunHistory(), summary: .null, settings: []).contains(shared))
    // A rule that both have a copy of belongs into the shared file.
    func rules(_ file: PageFile) -> Set<Substring> {
      Set(file.text.split(separator: "\n").filter { $0.hasSuffix("}") })
    }
    #expect(rules(.pageStyle).intersection(rules(.reportStyle)).subtracting(["}", "  }"]) == [])
  }
}
