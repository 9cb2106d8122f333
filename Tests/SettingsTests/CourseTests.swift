// Course: which stage is next and with which settings, and what contradicts the stage before.

import Records
import Settings
import Testing

@Suite struct CourseTests {
  private func stage(_ name: String, _ values: [(String, String)] = []) throws -> Course.Stage {
    var settings = RunSettings()
    settings.method.steps = 4
    for (name, value) in values {
      let place = try #require(SettingTable.named(name)?.place(in: RunSettings.self))
      #expect(place.set(&settings, value) == nil)
    }
    return Course.Stage(name: name, settings: settings, place: "stage \(name)")
  }

  @Test func `a stage begins with the directory of the one before, and has its own settings`() throws {
    let course = Course(
      stages: [try stage("a", [("lr", "0.1")]), try stage("b"), try stage("c", [("votes", "9")])], text: "")
    let first = try #require(course.next(after: [], in: "/c"))
    #expect(first.index == 0 && first.settings.operation.run == "/c/01-a" && first.settings.from.isEmpty)
    #expect(first.settings.method.learningRate == 0.1)
    let second = try #require(course.next(after: [Course.Finished(directory: "/c/01-a")], in: "/c"))
    #expect(
      second.settings.from == "/c/01-a" && second.settings.method.learningRate == RunSettings().method.learningRate)
    let third = try #require(
      course.next(after: [Course.Finished(directory: "/c/01-a"), Course.Finished(directory: "/c/02-b")], in: "/c"))
    #expect(third.index == 2 && third.settings.from == "/c/02-b" && third.settings.method.votes == 9)
    let all = ["a", "b", "c"].map { Course.Finished(directory: $0) }
    #expect(course.next(after: all, in: "/c") == nil)
  }

  private static let filter = [("prompt-filter", "failed"), ("prompt-history", "/h"), ("skip-below", "8")]

  @Test func `a stage after one that is skipped begins with what the last trained one delivered`() throws {
    let course = Course(stages: [try stage("a"), try stage("b", Self.filter), try stage("c")], text: "")
    #expect(course.problems == [])
    let skipped = [Course.Finished(directory: "/c/01-a"), Course.Finished(directory: "/c/02-b", isSkipped: true)]
    let next = try #require(course.next(after: skipped, in: "/c"))
    #expect(next.index == 2 && next.settings.from == "/c/01-a")
  }

  @Test func `what a stage that can be skipped contradicts is named`() throws {
    let first = Course(stages: [try stage("a", Self.filter), try stage("b")], text: "")
    #expect(first.problems.count == 1 && first.problems[0].contains("the first stage cannot be skipped"))
    let history = [("prompt-filter", "failed"), ("prompt-history", "stage:b")]
    let looked = Course(stages: [try stage("a"), try stage("b", Self.filter), try stage("c", history)], text: "")
    #expect(looked.problems.count == 1 && looked.problems[0].contains("that stage can be skipped"))
    // The optimizer can come from either of the stages before.
    let carried = Course(
      stages: [
        try stage("a", [("dtype", "float32")]), try stage("b", Self.filter), try stage("c", [("optimizer", "carry")]),
      ], text: "")
    #expect(carried.problems.count == 1 && carried.problems[0].contains("float32 in the stage before, a"))
  }

  @Test(arguments: [
    ([("adapter", "lora")], [("adapter", "none")], "trains an adapter"),
    ([("adapter", "lora")], [("adapter", "lora"), ("adapter-rank", "3")], "adapter-rank differs"),
    ([], [("optimizer", "carry"), ("dtype", "float32")], "dtype is float32"),
    ([], [("optimizer", "carry"), ("adapter", "lora")], "begins an adapter"),
    ([], [("optimizer", "carry"), ("objective", "ppo")], "objective is ppo"),
    ([("guard", "stop")], [("optimizer", "carry")], "can end early"),
    ([("plateau", "stop"), ("checkpoint-every", "2")], [("optimizer", "carry")], "can end early"),
    ([], [("steps", "0")], "steps is 0"),
  ])
  func `what contradicts the stage before is named`(
    _ before: [(String, String)], _ after: [(String, String)], _ words: String
  ) throws {
    let course = Course(stages: [try stage("a", before), try stage("b", after)], text: "")
    #expect(course.problems.count == 1 && course.problems[0].contains(words), "\(course.problems)")
    #expect(course.problems[0].hasPrefix("stage b: "))
  }

  @Test(arguments: [
    ([("adapter", "lora")], [("adapter", "lora")]),
    ([], [("adapter", "lora")]),
    ([("plateau", "stop"), ("checkpoint-every", "1")], [("optimizer", "carry")]),
    ([("objective", "ppo")], [("optimizer", "carry"), ("objective", "ppo")]),
    ([("dtype", "float32")], []),
  ])
  func `what goes together is not refused`(_ before: [(String, String)], _ after: [(String, String)]) throws {
    let course = Course(stages: [try stage("a", before), try stage("b", after)], text: "")
    #expect(course.problems == [])
  }

  @Test func `differences are named by stage, only those that can change a result`() throws {
    let begun = Course(stages: [try stage("a"), try stage("b", [("lr", "0.1")])], text: "x")
    #expect(begun.differences(from: begun) == [])
    let moved = Course(
      stages: [try stage("a", [("workers", "9")]), try stage("b", [("lr", "0.1"), ("from", "/x")])], text: "y")
    #expect(moved.differences(from: begun) == [])
    let other = Course(stages: [try stage("a", [("votes", "9")]), try stage("b")], text: "x")
    #expect(other.differences(from: begun).count == 2)
    let fewer = Course(stages: [try stage("a")], text: "x")
    #expect(fewer.differences(from: begun) == ["the course was begun with the stages a, b, and the file has a"])
  }

  @Test func `a name is a part of a directory's name`() {
    for name in ["a", "warm-up", "stage2"] { #expect(Course.problem(ofName: name) == nil) }
    for name in ["", "A", "a b", "../x", "-a", "é", String(repeating: "a", count: 41)] {
      #expect(Course.problem(ofName: name) != nil, "\(name)")
    }
  }
}
