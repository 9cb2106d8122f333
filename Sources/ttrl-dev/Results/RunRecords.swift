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
      let path = "\(directory)/\(planned.measured)"
      guard try Files.exists(path + "/summary.json") else { continue }
      let run = try FinishedRun(path, seed: planned.seed, commit: commit)
      try Files.append(run.record(named: planned.name).bytes() + [UInt8(ascii: "\n")], to: self.path)
      runs.append((planned.name, run))
      count += 1
    }
    return count
  }
}

/// A run of an experiment, or a course of which one stage counts.
struct PlannedRun {
  /// Of its directory, and in its record.
  let name: String
  let seed: Int
  /// The arguments of `ttrl train`, without `--run`.
  let flags: [String]
  /// What has to be there first, in this order.
  var needs: [Preparation] = []
  /// Of a course, the directory of the stage that is measured.
  var result: String?

  /// In a flag, before a slash: the directory of all runs.
  static let runs = "RUNS"

  /// The arguments of `ttrl`.
  var command: String { (["train", "--run", "\(Self.runs)/\(name)"] + flags).joined(separator: " ") }
  /// The run that is measured, below the directory of all runs.
  var measured: String { name + (result.map { "/\($0)" } ?? "") }
}

/// What a run needs: made by a command of `ttrl`, unless it is there.
struct Preparation {
  /// A file that the command makes at its end, below the directory of all runs.
  let product: String
  /// The arguments of `ttrl`.
  let command: String

  init(product: String, command: String) {
    self.product = product
    self.command = command
  }

  /// Another run has to be finished, with its directory.
  init(of run: PlannedRun) { self.init(product: "\(run.measured)/summary.json", command: run.command) }
}
