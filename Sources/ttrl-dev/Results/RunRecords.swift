// RunRecords: a file of records of finished runs, one line of JSON each. docs/results has one per page.

import Base
import Platform

struct RunRecords {
  private let path: String
  private var runs: [(name: String, run: FinishedRun)] = []

  enum Problem: Error, CustomStringConvertible {
    case badLine(path: String, line: Int)
    case missing(path: String, run: String)

    var description: String {
      switch self {
      case .badLine(let path, let line):
        "line \(line) of \(path) is not a record of a run of this version. Remove the line; its run is then made again"
      case .missing(let path, let run): "\(path) has no record of the run \(run). `--plan` lists the runs that are left"
      }
    }
  }

  /// Reads the file; without one there are no records.
  ///
  /// - Throws: if the file has another line than a record.
  init(_ path: String) throws {
    self.path = path
    guard try Files.exists(path) else { return }
    let lines = try Files.readText(path).split(separator: "\n", omittingEmptySubsequences: false).dropLast()
    for (index, line) in lines.enumerated() {
      guard let record = try? JSON.parse(String(line)), let name = record["run"]?.string,
        let run = FinishedRun(record: record)
      else { throw Problem.badLine(path: path, line: index + 1) }
      runs.append((name, run))
    }
  }

  var all: [FinishedRun] { runs.map(\.run) }

  subscript(name: String) -> FinishedRun? { runs.first { $0.name == name }?.run }

  /// The commits of the programs that made the runs, without repetition.
  var commits: [String] {
    var commits: [String] = []
    for run in all where !commits.contains(run.commit) { commits.append(run.commit) }
    return commits
  }

  /// - Throws: if there is no record of this name.
  func require(_ name: String) throws -> FinishedRun {
    guard let run = self[name] else { throw Problem.missing(path: path, run: name) }
    return run
  }

  /// Appends the records of runs that are finished and not in the file yet.
  ///
  /// - Parameters:
  ///   - planned: the runs' names, which are also those of their directories.
  ///   - directory: where the runs are.
  ///   - commit: of the program that made them.
  /// - Returns: how many were added.
  /// - Throws: if a run's files cannot be read, or the file cannot be written.
  mutating func add(_ planned: [PlannedRun], in directory: String, commit: String) throws -> Int {
    var count = 0
    for planned in planned where self[planned.name] == nil {
      let path = "\(directory)/\(planned.name)"
      guard try Files.exists(path + "/summary.json") else { continue }
      let run = try FinishedRun(path, seed: planned.seed, commit: commit)
      try Files.append(run.record(named: planned.name).bytes() + [UInt8(ascii: "\n")], to: self.path)
      runs.append((planned.name, run))
      count += 1
    }
    return count
  }
}

/// A run of an experiment.
struct PlannedRun {
  /// Of its directory, and in its record.
  let name: String
  let seed: Int
  /// The arguments of `ttrl`, without `--run`.
  let flags: [String]

  /// In a flag: the directory of all runs.
  static let runs = "RUNS"

  func command(below directory: String) -> String {
    (["train", "--run", "\(directory)/\(name)"] + flags.map { $0.replacing(Self.runs + "/", with: directory + "/") })
      .joined(separator: " ")
  }
}
