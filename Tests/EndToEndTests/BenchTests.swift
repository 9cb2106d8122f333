// The benchmarks, with the smallest inputs: the form of their output, and that it is repeatable.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct BenchTests {
    private static let small = [
      "--model", "tiny", "--prompts", "2", "--samples", "3", "--prompt-tokens", "5", "--max-new-tokens", "4", "--runs",
      "1", "--dtype", "float32", "--json",
    ]

    private func bench(_ name: String, _ more: [String] = []) throws -> [String: Any] {
      let outcome = try Program.run(["bench", name] + Self.small + more, program: Program.dev)
      try #require(outcome.status == 0, "\(outcome.errors)")
      let last = try #require(outcome.output.split(separator: "\n").last)
      return try #require(try JSONSerialization.jsonObject(with: Data(last.utf8)) as? [String: Any])
    }

    @Test(arguments: [("gemm", "GFLOP/s"), ("rollout", "tokens/s"), ("learner", "tokens/s")])
    func `a benchmark prints its figure and the ceiling`(_ name: String, _ unit: String) throws {
      let result = try bench(name)
      #expect(result["name"] as? String == name && result["unit"] as? String == unit)
      let value = try #require(result["value"] as? Double)
      let ceiling = try #require(result["ceiling"] as? Double)
      let share = try #require(result["share"] as? Double)
      // 1e-12 is for the conversion to decimal text and back.
      #expect(value > 0 && ceiling > 0 && abs(share / (value / ceiling) - 1) < 1e-12)
      #expect(try #require(result["peak_bytes"] as? Int) > 1 << 20)
      let parts = try #require(result["parts"] as? [[String: Any]])
      #expect(parts.count >= 4 && parts.allSatisfy { $0["seconds"] as? Double ?? -1 >= 0 })
      let limits = try #require(result["limits"] as? [String: Any])
      for limit in ["onednn_gflops", "fma_float32_gflops", "memory_gigabytes_per_second"] {
        #expect(limits[limit] as? Double ?? 0 > 0, "\(limit)")
      }
    }

    @Test(arguments: [[], ["--adapter", "lora"], ["--gradient", "streamed"]])
    func `a training step takes the memory that is planned`(_ more: [String]) throws {
      // Many tokens, so that the program itself is a small part.
      let arguments =
        ["bench", "memory", "--model", "tiny", "--prompts", "4", "--prompt-tokens", "1024", "--max-new-tokens", "3072"]
      let outcome = try Program.run(arguments + ["--json"] + more, program: Program.dev)
      try #require(outcome.status == 0, "\(outcome.errors)")
      let result = try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
      let counts = try #require(result["counts"] as? [String: Int])
      let (used, planned) = (Double(counts["used"] ?? 0), Double(counts["planned"] ?? 0))
      #expect(abs(used / planned - 1) < 0.2, "\(counts)")
    }

    @Test func `a batch passes through the coordinator message by message, even if it is large`() throws {
      let arguments = [
        "bench", "coordinator", "--workers", "4", "--prompts", "20", "--samples", "64", "--max-new-tokens", "4000",
        "--seconds", "15", "--json",
      ]
      let outcome = try Program.run(arguments, program: Program.dev)
      try #require(outcome.status == 0, "\(outcome.errors)")
      let result = try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
      // 1,280 responses of 4,000 tokens, 8 bytes each: 41 MB, which an earlier version held three times. Without that,
      // 50 to 60 MiB.
      #expect(result["steps"] as? Int ?? 0 >= 1)
      #expect(try #require(result["peak_bytes"] as? Int) < 100 << 20)
    }

    @Test(arguments: [
      // A step takes milliseconds: there have to be many.
      ["--workers", "4", "--prompts", "1", "--samples", "2", "--seconds", "8"],
      // The run finishes before its time.
      ["--workers", "8", "--prompts", "2048", "--samples", "2", "--max-new-tokens", "1", "--seconds", "600"],
    ])
    func `a coordinator is measured also if its steps are short, or all done early`(_ arguments: [String]) throws {
      let outcome = try Program.run(
        ["bench", "coordinator", "--json"] + arguments, program: Program.dev, within: 240)
      try #require(outcome.status == 0, "\(outcome.errors)")
      let result = try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
      let (rate, seconds) = (result["value"] as? Double ?? 0, result["seconds"] as? Double ?? 0)
      #expect(rate > 0 && seconds > 0 && result["steps"] as? Int ?? 0 > 1 && result["join_seconds"] is Double)
      let isEarly = arguments.contains("600")
      #expect(isEarly == outcome.errors.contains("the figures are of this time"), "\(outcome.errors)")
      #expect(!isEarly || seconds < 200)
    }

    @Test func `ranks that train together, and their sums, are measured together with the time without them`() throws {
      let ranks = try bench("ranks", ["--learners", "2", "--micro-batch-tokens", "16"])
      #expect(ranks["ranks"] as? Int == 2 && ranks["value"] as? Double ?? 0 > 0)
      #expect(ranks["ceiling"] as? Double ?? 0 > 0 && ranks["peak_bytes"] as? Int ?? 0 > 1 << 20)
    }

    @Test(arguments: ["rollout", "learner"])
    func `the result of a benchmark does not depend on threads`(_ name: String) throws {
      let hashes = try ["1", "2"].map { try bench(name, ["--threads", $0])["result_sha256"] as? String }
      #expect(hashes[0] == hashes[1] && hashes[0]?.count == 64)
    }

    @Test func `three receivers hold a version that the source has sent once`() throws {
      let outcome = try Program.run(
        ["bench", "broadcast", "--model", "tiny", "--workers", "3", "--runs", "2", "--json"], program: Program.dev)
      try #require(outcome.status == 0, "\(outcome.errors)")
      let last = try #require(outcome.output.split(separator: "\n").last)
      let result = try #require(try JSONSerialization.jsonObject(with: Data(last.utf8)) as? [String: Any])
      for name in ["name", "value", "unit", "ceiling", "share", "peak_bytes"] {
        #expect(result[name] != nil, "\(name)")
      }
      let limits = try #require(result["limits"] as? [String: Double])
      #expect(limits["source_copies"] == 1 && limits["relays_avoided"] == 0)
    }

    @Test func `a benchmark of two words is found, and one word lists the benchmarks`() throws {
      let outcome = try Program.run(["bench"], program: Program.dev)
      #expect(outcome.status == 2 && outcome.errors.contains("bench gemm, bench products, bench rollout, bench"))
      let help = try Program.run(["bench", "rollout", "--help"], program: Program.dev)
      #expect(help.status == 0 && help.output.contains("--prompt-tokens N"))
      let long = try Program.run(
        ["bench", "rollout", "--model", "tiny", "--max-new-tokens", "100000"], program: Program.dev)
      #expect(long.status == 2 && long.errors.contains("16384 positions"), "\(long.errors)")
    }
  }

  @Suite struct AgreementTests {
    /// A small part of `ttrl-dev agree --cases 1000 --dtype …`.
    @Test(arguments: ["float32", "bfloat16"])
    func `no bit differs between batches, threads, splits, sampler and trainer`(_ type: String) throws {
      let outcome = try Program.run(
        ["agree", "--cases", "24", "--seed", "400", "--dtype", type, "--length", "700", "--json"],
        program: Program.dev, within: 120)
      let json = try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(json["cases"] as? Int == 24 && json["longest"] as? Int ?? 0 > 400)
      #expect(json["batch_differing"] as? Int == 0 && json["batch_compared"] as? Int ?? 0 > 10_000)
      #expect(json["trainer_differing"] as? Int == 0 && json["trainer_compared"] as? Int ?? 0 > 5_000)
    }
  }
}
