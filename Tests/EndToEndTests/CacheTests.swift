// CacheTests: `ttrl cache` lists what is in the user's cache, and removes what no process uses.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct CacheTests {
    private let scratch = Scratch()

    private func cache(_ arguments: [String]) throws -> Program.Outcome {
      try Program.run(["cache"] + arguments, environment: ["XDG_CACHE_HOME": scratch.file("cache")])
    }

    private func names(_ members: Any?) -> [String] {
      (members as? [[String: Any]] ?? []).compactMap { $0["name"] as? String }
    }

    @Test func `the cache is listed, and packed weights that no process uses are removed`() throws {
      let empty = try cache([])
      #expect(empty.status == 0 && empty.output.hasSuffix("cache/ttrl: 0 MiB in 0 entries\n"), "\(empty.output)")
      let unpacked = try Program.run(
        ["tokenize", "--model", "builtin"], environment: ["XDG_CACHE_HOME": scratch.file("cache")])
      #expect(unpacked.status == 0)
      scratch.write(Data(count: 3 << 20), to: "cache/ttrl/packed-0123")
      let listed = try cache([])
      #expect(listed.output.contains("packed-0123: packed weights, 3 MiB, used 2"), "\(listed.output)")
      #expect(listed.output.contains(": the built-in model, "), "\(listed.output)")
      let cleaned = try cache(["--clean", "--json"])
      let json = try #require(try JSONSerialization.jsonObject(with: Data(cleaned.output.utf8)) as? [String: Any])
      #expect(names(json["removed"]) == ["packed-0123"])
      let kept = names(json["entries"])
      #expect(kept.count == 1 && kept[0].hasPrefix("base-"), "\(cleaned.output)")
      #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.file("cache/ttrl")) == kept)
    }
  }
}
