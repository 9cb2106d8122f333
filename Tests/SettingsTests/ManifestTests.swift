// settings.json: the settings of a run come back from it, and it decides what a continued run can change.

import Foundation
import Records
import Runs
import Settings
import Testing

@Suite final class ManifestTests {
  private let directory = RunDirectory(NSTemporaryDirectory() + "ttrl-manifest-\(UUID().uuidString)")

  init() throws {
    try FileManager.default.createDirectory(atPath: directory.path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: directory.path) }

  /// The settings as a later start of the run reads them.
  private func saved(_ settings: RunSettings) throws -> RunManifest {
    let text = RunManifest.text(id: "7", settings: settings, modelIdentity: "abc")
    try text.write(toFile: directory.settings, atomically: true, encoding: .utf8)
    return try RunManifest(reading: directory)
  }

  /// What `check` refuses when these settings are given again.
  private func refused(_ given: [String: String], of manifest: RunManifest) -> [String] {
    var parser = SettingsParser(allowed: SettingTable.all.map(\.name), defaults: manifest.settings)
    parser.apply(given.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }, from: "command line")
    do {
      try manifest.check(parser.settings, given: parser.call.given)
      return []
    } catch RunError.changed(_, let settings) {
      return settings.map(\.name).sorted()
    } catch {
      return ["\(error)"]
    }
  }

  private func settings(_ values: [String: String]) throws -> RunSettings {
    var parser = SettingsParser(allowed: SettingTable.all.map(\.name), defaults: RunSettings())
    parser.apply(values.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }, from: "test")
    // Not finished: values that only differ from the defaults can contradict each other.
    return parser.settings
  }

  @Test func `every setting of a run comes back from settings.json`() throws {
    let kept = SettingTable.all.filter { $0.effect != .command && $0.name != "run" }
    #expect(kept.count > 40)
    for values in otherCombinations {
      let given = values.filter { value in kept.contains { $0.name == value.key } }
      let read = try saved(try settings(given)).settings
      for setting in kept where given[setting.name] != nil {
        #expect(setting.value(in: read) == given[setting.name], "\(setting.name)")
      }
      #expect(read.operation.run == directory.path)
    }
    #expect(Set(otherCombinations.flatMap(\.keys)) == Set(otherValues.keys))
  }

  @Test func `settings that were not given come back as defaults`() throws {
    var expected = RunSettings()
    expected.operation.run = directory.path
    #expect(try saved(RunSettings()).settings == expected)
  }

  @Test func `exactly the settings that can change the result are refused, all by name`() throws {
    let byContent = ["model", "adapter", "data", "held-out", "transfer"]
    let fixed = SettingTable.all.filter { $0.effect == .result && !byContent.contains($0.name) }.map(\.name)
    let given = otherValues.filter { value in SettingTable.named(value.key)?.effect != .command }
    #expect(refused(given, of: try saved(RunSettings())) == fixed.sorted())
    for free in ["workers", "learners", "threads", "listen", "checkpoint-every"] { #expect(!fixed.contains(free)) }
  }

  @Test func `the same settings given again change nothing`() throws {
    let given = ["steps": "9", "lr": "0.0001", "labels": "random", "ignore-eos": "true"]
    #expect(refused(given, of: try saved(try settings(given))) == [])
  }

  @Test func `the number of learners is part of a run with fast reduction, and of no other`() throws {
    #expect(refused(["learners": "5"], of: try saved(try settings(["reduction": "fast"]))) == ["learners"])
    #expect(refused(["learners": "5"], of: try saved(try settings(["reduction": "exact"]))) == [])
  }

  @Test func `a setting that the release before does not have is written only if it is used`() throws {
    let text = RunManifest.text(id: "7", settings: RunSettings(), modelIdentity: "abc")
    #expect(!text.contains("choice-orders") && text.contains("\"votes\""))
    let used = RunManifest.text(id: "7", settings: try settings(["choice-orders": "2"]), modelIdentity: "abc")
    #expect(used.contains(#""choice-orders": "2""#))
  }

  @Test func `a run of another edition is refused, and one from before there were editions is not`() throws {
    let manifest = try saved(RunSettings())
    try manifest.checkEdition()
    let text = try String(contentsOfFile: directory.settings, encoding: .utf8)
    let edition = #""edition": \#(Edition.own)"#
    #expect(text.contains(edition))
    let other = text.replacingOccurrences(of: edition, with: #""edition": 4000000000"#)
    try other.write(toFile: directory.settings, atomically: true, encoding: .utf8)
    let error = #expect(throws: RunError.self) { try RunManifest(reading: self.directory).checkEdition() }
    #expect("\(try #require(error))".contains("(edition 4000000000, here \(Edition.own))"))
    let former = text.replacingOccurrences(of: edition + ",", with: "")
    try former.write(toFile: directory.settings, atomically: true, encoding: .utf8)
    try RunManifest(reading: directory).checkEdition()
  }

  @Test(arguments: ["", "{", "[]", "{}", "{\"run\": \"7\", \"settings\": {\"steps\": \"x\"}}"])
  func `a damaged settings.json is reported as damaged`(_ text: String) throws {
    try text.write(toFile: directory.settings, atomically: true, encoding: .utf8)
    #expect { try RunManifest(reading: self.directory) } throws: { error in
      if case RunError.damagedManifest = error { true } else { false }
    }
  }
}
