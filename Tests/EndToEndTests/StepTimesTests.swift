// Where the time of a real run's steps went: the parts add up to each step, the steps to the run, and the page, the
// report and `ttrl status` say the same.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct StepTimesTests {
    private let rankParts = [
      "vote", "forward", "backward", "sums", "optimizer", "packing", "checkpoint", "publish",
    ].map { $0 + "_seconds" }
    private let workerParts = ["package", "fetch", "install", "sampling"].map { $0 + "_seconds" }
    private var parts: [String] {
      ["evaluation_seconds", "workers_seconds"] + workerParts + ["last_sample_seconds", "batch_seconds"] + rankParts
    }

    private func steps(of run: String) throws -> [[String: Any]] {
      try textOfFile(run + "/metrics.jsonl").split(separator: "\n").compactMap {
        try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]
      }.filter { $0["kind"] as? String == "step" }
    }

    private func seconds(_ names: [String], of object: [String: Any]) -> [Double] {
      names.map { object[$0] as? Double ?? .nan }
    }

    @Test func `the parts add up to each step, and the steps to less than the run`() throws {
      try #require(SmallRun.undisturbed != nil)
      let run = SmallRun.undisturbedDirectory
      let steps = try steps(of: run)
      var sum = 0.0
      for step in steps {
        let whole = try #require(step["step_seconds"] as? Double)
        let times = seconds(parts, of: step)
        #expect(times.allSatisfy { $0 >= 0 } && abs(times.reduce(0, +) - whole) < 1e-6, "\(times), of \(whole)")
        #expect(seconds(["sampling_seconds", "forward_seconds", "backward_seconds"], of: step).allSatisfy { $0 > 0 })
        // Another clock's view of the same: training is what rank 0 does until the weights are there.
        let training = try #require(step["train_seconds"] as? Double)
        let measured = seconds(Array(rankParts.prefix(6)), of: step).reduce(0, +)
        #expect(measured <= training + 1e-3 && measured > training / 2, "\(measured), of \(training)")
        let processes = try #require(step["processes"] as? [[String: Any]])
        let names = processes.compactMap { $0["process"] as? String }
        #expect(names.prefix(2) == ["rank 0", "rank 1"] && names.dropFirst(2).allSatisfy { $0.hasPrefix("worker-") })
        for (index, process) in processes.enumerated() {
          let own = seconds(index < 2 ? rankParts : workerParts, of: process)
          #expect(own.allSatisfy { $0 >= 0 } && own.reduce(0, +) <= whole + 1e-3, "\(process), of \(whole)")
        }
        sum += whole
      }
      let wall = try #require(try SmallRun.summary(of: run)["wall_seconds"] as? Double)
      #expect(steps.count == SmallRun.steps && sum <= wall && sum > wall / 2, "\(sum) of \(wall)")
    }

    @Test func `status names the largest part, and the page and the report have one bar per step`() throws {
      try #require(SmallRun.undisturbed != nil)
      let run = SmallRun.undisturbedDirectory
      let last = try #require(try steps(of: run).last)
      let largest = try #require(zip(parts, seconds(parts, of: last)).max { $0.1 < $1.1 })
      let name = largest.0.replacingOccurrences(of: "_seconds", with: "").replacingOccurrences(of: "_", with: " ")
      let text = try Program.run(["status", "--run", run]).output
      #expect(text.contains("time      step 3 took ") && text.contains("; its largest part: \(name) "), "\(text)")
      let status = try #require(
        try JSONSerialization.jsonObject(with: Data(try Program.run(["status", "--run", run, "--json"]).output.utf8))
          as? [String: Any])
      let time = try #require(status["time"] as? [String: Any])
      #expect(time["largest_part"] as? String == name && time["largest_part_seconds"] as? Double == largest.1)

      let served = try Served(run)
      func page(_ path: String) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(try served.get(path).utf8)) as? [String: Any])
      }
      let list = try page("/api/steps")
      #expect((list["parts"] as? [[String: Any]])?.compactMap { $0["figure"] as? String } == parts)
      for row in try #require(list["steps"] as? [[String: Any]]) {
        #expect(abs(seconds(parts, of: row).reduce(0, +) - (row["step_seconds"] as? Double ?? .nan)) < 1e-3)
      }
      #expect(try page("/api/step?step=3")["processes"] as? NSArray == last["processes"] as? NSArray)
      let html = textOfFile(run + "/report.html")
      #expect(html.components(separatedBy: "<title>sampling: ").count - 1 == SmallRun.steps)
      #expect(html.contains("part of the step</th>"))
    }
  }
}
