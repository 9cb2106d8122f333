// Questions that are chosen by how an earlier run did on them.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct PromptFilterRunTests {
    private let scratch = Scratch()

    /// The share of each question's label at its last visit, by the earlier run's metrics.
    private func lastShares(in run: String) throws -> [Int: Double] {
      var shares: [Int: Double] = [:]
      for line in textOfFile(run + "/metrics.jsonl").split(separator: "\n") {
        let row = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        for prompt in row["prompts"] as? [[String: Any]] ?? [] {
          let index = try #require(prompt["prompt"] as? Int)
          let votes = try #require(prompt["label_votes"] as? Double)
          shares[index] = votes / (try #require(prompt["samples"] as? Double))
        }
      }
      return shares
    }

    private func ids(_ path: String) throws -> [String] {
      try textOfFile(path).split(separator: "\n").map { line in
        let row = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        return try #require(row["id"] as? String)
      }
    }

    @Test
    func `a run takes the questions whose label had a share in the band, and does not need the earlier run again`()
      throws
    {
      let earlier = try #require(SmallRun.undisturbed.map { _ in SmallRun.undisturbedDirectory })
      let shares = try lastShares(in: earlier)
      let all = try ids(earlier + "/questions.jsonl")
      let sorted = shares.values.sorted()
      let (low, high) = (sorted[sorted.count / 4], sorted[sorted.count / 2])
      let kept = all.enumerated().filter { index, _ in shares[index].map { low <= $0 && $0 <= high } ?? true }
        .map(\.element)
      #expect(kept.count < all.count)

      // A copy, because it is removed later.
      let history = scratch.file("history")
      try FileManager.default.copyItem(atPath: earlier, toPath: history)
      let run = scratch.file("run")
      let filter = ["--prompt-filter", "majority:\(low)..\(high)", "--prompt-history", history]
      let arguments = ["train", "--run", run, "--steps", "1"] + SmallRun.settings.dropFirst(2) + filter
      let started = try Program.run(arguments)
      try #require(started.status == 0, "\(started.errors)")
      #expect(started.errors.contains("\(kept.count) of \(all.count) questions kept"), "\(started.errors)")
      #expect(try ids(run + "/questions.jsonl") == kept)
      #expect(try ids(run + "/prompt-filter.jsonl") == all)

      try FileManager.default.removeItem(atPath: history)
      let again = try Program.run(["train", "--run", run, "--data", earlier + "/questions.jsonl"])
      #expect(again.status == 0, "\(again.errors)")
      let other = try Program.run(["train", "--run", run, "--prompt-filter", "failed"])
      #expect(other.status == 2 && other.errors.contains("prompt-filter"), "\(other.errors)")
    }

    @Test func `a filter without a usable run is refused`() throws {
      let earlier = try #require(SmallRun.undisturbed.map { _ in SmallRun.undisturbedDirectory })
      func refusal(_ flags: [String]) throws -> String {
        let outcome = try Program.run(["train", "--run", scratch.file("none"), "--steps", "1"] + flags)
        #expect(outcome.status != 0 && !FileManager.default.fileExists(atPath: scratch.file("none")))
        return outcome.errors
      }
      #expect(try refusal(["--prompt-filter", "failed"]).contains("needs prompt-history"))
      #expect(try refusal(["--prompt-history", earlier]).contains("without prompt-filter"))
      #expect(try refusal(["--prompt-filter", "some", "--prompt-history", earlier]).contains("majority:LOW..HIGH"))
      #expect(
        try refusal(["--prompt-filter", "failed", "--prompt-history", scratch.file("x")]).contains("is not a run"))
      // The small run's votes always have a label, so no question failed.
      #expect(try refusal(["--prompt-filter", "failed", "--prompt-history", earlier]).contains("keeps none of"))

      let unfinished = scratch.file("unfinished")
      try FileManager.default.copyItem(atPath: earlier, toPath: unfinished)
      try FileManager.default.removeItem(atPath: unfinished + "/summary.json")
      #expect(
        try refusal(["--prompt-filter", "majority:0..1", "--prompt-history", unfinished]).contains("is not finished"))

      let id = try ids(earlier + "/questions.jsonl")[0]
      let data = scratch.write("{\"id\": \"\(id)\", \"prompt\": \"another\"}\n", to: "other.jsonl")
      #expect(
        try refusal(["--prompt-filter", "majority:0..1", "--prompt-history", earlier, "--data", data])
          .contains("another text"))
    }
  }
}
